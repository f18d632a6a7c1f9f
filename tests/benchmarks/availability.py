"""What outages cost: first tries that meet one, and how soon a model is used again that is back.

Every figure comes from choices and outcomes of :class:`modelperf_plugin.ModelPerf` with its defaults, on a clock that
the benchmark moves; the worst of several seeds stands beside the goal. Single parts: ``python -m
tests.benchmarks.availability [dead | quota | flaky | back | keys] …``.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import modelperf_plugin as mp
from tests.benchmarks.timing import verdict
from tests.clocks import FakeClock

SEEDS: Final = range(5)
WARM: Final = 200
"""Tasks before the outage."""
DAY: Final = 1_440
"""Minutes."""
RATES: Final = {"best": 0.90, "second": 0.80}
OUTAGE: Final = mp.Outcome(success=False, error_kind="server_error")
GONE: Final = mp.Outcome(success=False, error_kind="unavailable")

Outage = Callable[[str, int, int], "mp.Outcome | None"]
"""What a call of a model meets instead of an answer, by model, task (from 0 on) and host; None if it is answered."""


class Run(NamedTuple):
    """What came of the first tries after the first :data:`WARM` tasks."""

    met: list[int]
    """The hosts of those that met an outage."""
    successes: int
    best: int
    """How many were tries of the best model."""
    tasks: int


@contextmanager
def hosts(seed: int, clock: FakeClock, number: int = 1) -> Iterator[list[mp.ModelPerf]]:
    """Open engines on one new store."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "outcomes.db"
        engines = (mp.ModelPerf({}, store=path, clock=clock, seed=seed * 100 + host) for host in range(number))
        yield [stack.enter_context(engine) for engine in engines]


def choose(perf: mp.ModelPerf, models: Mapping[str, float]) -> mp.Decision:
    """Return a decision; without one the figures would mean nothing."""
    decision = perf.select("t", list(models))
    if decision is None:
        raise SystemExit("select answered None: the figures mean nothing")
    return decision


def run(
    seed: int, outage: Outage, tasks: int, *, seconds: float, number: int = 1, models: Mapping[str, float] = RATES
) -> Run:
    """Give tasks to hosts at random, one every so many seconds; each lets the models try it in turn."""
    clock, rng = FakeClock(), random.Random(seed)
    met, successes, best = [], 0, 0
    with hosts(seed, clock, number) as engines:
        for task in range(-WARM, tasks):
            clock.advance(seconds=seconds)
            host = rng.randrange(number)
            decision = choose(engines[host], models)
            for place, model_id in enumerate(decision):
                down = outage(model_id, task, host) if task >= 0 else None
                outcome = down or mp.Outcome(success=rng.random() < models[model_id])
                engines[host].record("t", model_id, outcome, decision)
                if place == 0 and task >= 0:
                    met += [host] * (down is not None)
                    successes += outcome.success
                    best += model_id == "best"
                if outcome.success:
                    break
            if number > 1:
                for engine in engines:  # as they do every second
                    engine._availability.refresh()
    return Run(met, successes, best, tasks)


def show(what: str, values: Sequence[float], goal: float, *, at_least: bool = False) -> None:
    """Print the worst of some figures, with their mean, beside the goal."""
    worst = min(values) if at_least else max(values)
    sign, is_met = ("≥", verdict(-worst, -goal)) if at_least else ("≤", verdict(worst, goal))
    figure = f"{worst:.4g} (mean {statistics.fmean(values):.4g})"
    print(f"{what:<72} {figure:>22}  (goal {sign} {goal:g}: {is_met})", flush=True)


def dead() -> None:
    """Print how often a model that is gone is tried first."""

    def gone(model_id: str, task: int, host: int) -> mp.Outcome | None:
        return GONE if model_id == "best" else None

    for seconds, number in ((10, 1), (60, 1), (60, 4)):
        values = [len(run(seed, gone, 1_000, seconds=seconds, number=number).met) for seed in SEEDS]
        show(f"model gone: first tries of it in 1,000 tasks, {seconds} s apart, {number} hosts", values, 10)
    values = [len(run(seed, gone, 1_000, seconds=60, models={"best": 0.9, "second": 0.2}).met) for seed in SEEDS]
    show("   the same, 60 s apart, if the only other model is demoted", values, 10)


def quota() -> None:
    """Print how many first tries a day without quota costs, if the provider says when it ends, and if not."""

    def used_up(model_id: str, task: int, host: int) -> mp.Outcome | None:
        if model_id != "best" or task >= DAY:
            return None
        return mp.Outcome(success=False, error_kind="rate_limit", retry_after_seconds=(DAY - task) * 60)

    for number in (1, 4):
        runs = [run(seed, used_up, DAY, seconds=60, number=number) for seed in SEEDS]
        show(
            f"a day without quota, a task a minute, {number} hosts: failed first tries",
            [len(each.met) for each in runs],
            5,
        )
    silent = [
        len(run(seed, lambda *call: OUTAGE if used_up(*call) else None, DAY, seconds=60).met) for seed in SEEDS[:2]
    ]
    print(f"   without retry_after_seconds: {statistics.fmean(silent):.0f}")


def flaky() -> None:
    """Print how many first tries succeed with two models, the better one of which has outages in 30 % of its tries."""
    values = []
    for seed in SEEDS:
        chance = random.Random(seed)

        def sometimes(model_id: str, task: int, host: int, chance: random.Random = chance) -> mp.Outcome | None:
            return OUTAGE if model_id == "best" and chance.random() < 0.3 else None

        done = run(seed, sometimes, 2_000, seconds=10, models={"best": 0.90, "second": 0.88})
        values.append(done.successes / done.tasks)
    show(
        "30 % outages, .90 against .88 without: first tries that succeed",
        [statistics.fmean(values)],
        0.86,
        at_least=True,
    )


def back() -> None:
    """Print how soon a model is used that was down, and is back, with a hundred tasks waiting."""
    tries, shares = [], []
    for seed in SEEDS:
        for minutes in (1, 10, 120, DAY):
            clock, rng = FakeClock(), random.Random(seed)
            with hosts(seed, clock) as (perf,):
                for _ in range(WARM):
                    clock.advance(seconds=60)
                    decision = choose(perf, RATES)
                    perf.record("t", decision[0], mp.Outcome(success=rng.random() < RATES[decision[0]]), decision)
                for _ in range(minutes * 6):
                    clock.advance(seconds=10)
                    decision = choose(perf, RATES)
                    down = decision[0] == "best"
                    outcome = OUTAGE if down else mp.Outcome(success=rng.random() < RATES["second"])
                    perf.record("t", decision[0], outcome, decision)
                clock.advance(seconds=600)
                waiting = [choose(perf, RATES) for _ in range(100)]
                tries.append(sum(each[0] == "best" for each in waiting))
                clock.advance(seconds=5)
                for answer in [each for each in waiting if each[0] == "best"] * 20:
                    perf.record("t", "best", mp.Outcome(success=True), answer)
                clock.advance(seconds=60)
                shares.append(sum(choose(perf, RATES)[0] == "best" for _ in range(200)) / 200)
    show("back after 1 minute to a day, 100 tasks waiting: tries before an answer", tries, 5)
    show("   share of the choices after 20 answers", shares, 0.9, at_least=True)


def keys() -> None:
    """Print what the bad key of one host among four costs the others."""

    def bad_key(model_id: str, task: int, host: int) -> mp.Outcome | None:
        return GONE if model_id == "best" and host == 0 else None

    done = [run(seed, bad_key, DAY, seconds=60, number=4) for seed in SEEDS]
    tries, share = statistics.fmean(len(each.met) for each in done), statistics.fmean(each.best / DAY for each in done)
    print(
        f"one host of 4 with a bad key, a day: {tries:.0f} failed first tries, {share:.0%} of the tasks to that model"
    )


PARTS: Final = {each.__name__: each for each in (dead, quota, flaky, back, keys)}


def main() -> None:
    """Print every figure beside its goal."""
    for part in PARTS.values():
        part()


if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()
