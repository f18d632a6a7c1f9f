"""What a prior from elsewhere is worth: another project's own log, as it would be exported, or a leaderboard."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Final, NamedTuple

import modelperf_plugin as mp
from modelperf_plugin.analysis.simulation.outcomes_file import Instance, OutcomeData, read_outcomes
from modelperf_plugin.exchange.sharing.exports import read_export, text_export
from modelperf_plugin.exchange.sharing.leaderboard import ORIGIN, read_leaderboard
from modelperf_plugin.exchange.sharing.merge import GENERAL_STRENGTH, STRENGTH, merge
from modelperf_plugin.exchange.sharing.share import Export, select
from modelperf_plugin.values import Tally

RUNS: Final = 40
FIRST: Final = 100
TASKS: Final = 300
"""Each half has at most so many."""
MODELS: Final = 7
"""Pools of so many models, drawn anew for each run where there are more."""
GOALS: Final = {"metr_runs_2025_01": (1.5, 4.0)}
"""Gain of an own log in points of success, over the whole run and its first 100 choices."""
FILES: Final = ("metr_runs_2025_01", "swebench_pro", "swebench_bash_only")
OUTCOMES: Final = Path(__file__).resolve().parents[3] / "shared/outcomes"

Won = list[bool]


class Half(NamedTuple):
    """Tasks of one project, in its order, and the models that it has."""

    instances: list[Instance]
    models: list[str]


Source = Callable[[Half, Sequence[Tally]], Export]
"""What is merged: made from the other project's tasks, and from the tallies of its own log."""


def report() -> None:
    """Print what the kinds of priors are worth on each file."""
    for name in FILES:
        path = OUTCOMES / f"{name}.csv.gz"
        if path.is_file():
            _report(name, read_outcomes(path).dense_core())
        else:
            print(f"what a prior is worth: skipped, {path.name} is not beside the checkout")


def _report(name: str, data: OutcomeData) -> None:
    without: list[Won] = []
    found: dict[str, list[Won]] = {kind: [] for kind in SOURCES}
    for run in range(RUNS):
        theirs, ours = _halves(data, run)
        without.append(_play(ours, run))
        log = _log(theirs, run)
        for kind, source in SOURCES.items():
            found[kind].append(_play(ours, run, source(theirs, log)))
    start = 100 * fmean(map(_rate_of_first, without))
    print(f"{name}: {RUNS} runs of {len(without[0])} choices, pools of {min(MODELS, len(data.models))} models")
    print(f"  without a prior {100 * fmean(map(fmean, without)):.1f} % succeed, {start:.1f} % of the first {FIRST}")
    for kind, runs in found.items():
        whole, first = (_gain(without, runs, rate) for rate in (fmean, _rate_of_first))
        text = f"  {kind:32}{whole[0]:+.2f} ± {whole[1]:.2f}, first {FIRST}: {first[0]:+.2f} ± {first[1]:.2f}"
        goal = GOALS.get(name) if kind == "own log" else None
        if goal is not None:
            word = "ok" if whole[0] >= goal[0] and first[0] >= goal[1] else "MISSED"
            text += f" (goal {goal[0]:+g} and {goal[1]:+g}): {word}"
        print(text)


def _gain(before: Sequence[Won], after: Sequence[Won], rate: Callable[[Won], float]) -> tuple[float, float]:
    """Return the mean gain in points, and its standard error over the runs."""
    gains = [100.0 * (rate(new) - rate(old)) for new, old in zip(after, before, strict=True)]
    return fmean(gains), stdev(gains) / len(gains) ** 0.5


def _rate_of_first(won: Won) -> float:
    return fmean(won[:FIRST])


def _halves(data: OutcomeData, run: int) -> tuple[Half, Half]:
    """Split the tasks in two, repetitions of one staying together, so that nothing judged is known before."""
    draw = Random(f"halves/{run}")
    groups: dict[str, list[Instance]] = {}
    for instance in data.instances:
        groups.setdefault(instance.instance_id.split("@", maxsplit=1)[0], []).append(instance)
    names = sorted(groups)
    draw.shuffle(names)
    models = sorted(draw.sample(data.models, min(MODELS, len(data.models))))
    halves = []
    for part in (names[: len(names) // 2], names[len(names) // 2 :]):
        instances = [instance for name in part for instance in groups[name]]
        draw.shuffle(instances)
        halves.append(Half(instances[:TASKS], models))
    return halves[0], halves[1]


def _engine(seed: int) -> mp.ModelPerf:
    return mp.ModelPerf({"log": {"share": 0.0}}, store=":memory:", seed=seed)


def _choose(engine: mp.ModelPerf, half: Half) -> Won:
    """Let the default policy choose for every task, and tell it only how its choice ended."""
    won = []
    for instance in half.instances:
        decision = engine.select(instance.task_type, half.models)
        assert decision is not None
        known = instance.outcomes[decision.model_id]
        outcome = mp.Outcome(success=known.success, timeout=known.timeout)
        engine.record(instance.task_type, decision.model_id, outcome, decision)
        won.append(known.success)
    return won


def _log(half: Half, run: int) -> list[Tally]:
    """Return the tallies of a project that works on ``half``."""
    with _engine(1_000_000 + run) as engine:
        _choose(engine, half)
        return engine.store.tallies.all()


def _play(half: Half, run: int, prior: Export | None = None) -> Won:
    with _engine(run) as engine:
        if prior is not None:
            strength = GENERAL_STRENGTH if prior.origin == ORIGIN else STRENGTH
            merge(engine.store, prior, "them", 0, strength=strength)
        return _choose(engine, half)


def _exported(entries: Sequence[Tally]) -> Export:
    """Return entries as a file of them is read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "them.json")
        path.write_text(text_export(entries, "json", "them", datetime.now(UTC)), encoding="utf-8")
        return read_export(path)


def _leaderboard(half: Half) -> Export:
    """Return the leaderboard of a half: every model has tried every task."""
    tasks = len(half.instances)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "board.csv")
        lines = [f"{model},{sum(each.outcomes[model].success for each in half.instances)}" for model in half.models]
        path.write_text("\n".join(["model,successes,n", *(f"{line},{tasks}" for line in lines)]), encoding="utf-8")
        return read_leaderboard(path)


SOURCES: Final[Mapping[str, Source]] = {
    "own log": lambda _, log: _exported(select(log).entries),
    "of it, pairs of 10 or more": lambda _, log: _exported(select(log, min_samples=10).entries),
    "these, and the sums of the rest": lambda _, log: _exported(select(log, min_samples=10, sum_rest=True).entries),
    "leaderboard of the other half": lambda half, _: _leaderboard(half),
}
