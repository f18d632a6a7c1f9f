"""Whether the intervals of ``modelperf savings`` hold: whole tasks with second tries, where all dollars are known.

In each replay 1,500 tasks of a world are drawn, and a policy chooses among five models through the hooks. After a
failure the host tries the most expensive model, too: in half of the replays under the same decision, in the others
under one that retries it. The truth is what the very same tasks would have cost, and how many would have been solved,
had each begun with another model. Compared are all models, the current one and, from a third of the log on, the one
that was best before. Costs are the recorded ones, else drawn: every model has a price, every task a size.
``BENCH_SCALE=0.25`` does a quarter of the replays; the outcomes are looked for as in ``decisions``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, Final, NamedTuple

import pluggy

import modelperf_plugin as mp
from modelperf_plugin.analysis.off_policy.judgement import Estimate
from modelperf_plugin.analysis.off_policy.savings import Difference, savings
from modelperf_plugin.analysis.off_policy.task_log import read_tasks
from modelperf_plugin.analysis.simulation.outcomes_file import read_outcomes
from tests.benchmarks.decisions import CHANGED, OUTCOMES, SCALE
from tests.benchmarks.timing import verdict

REPLAYS: Final = 200
TASKS, POOL, MINUTES = 1500, 5, 1
WORLDS: Final = (
    "llmdrift_2023", "paretobandit_k4", "metr_runs_2025_01", "swebench_pro", "swebench_bash_only",
    "swebench_pro, changed halfway", "paretobandit_k4, changed halfway",
)  # fmt: skip
POLICIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "default": {},
    "cheapest_within": {"cost": {"objective": "cheapest_within", "margin": 0.03}},
    "evaluation_share .05": {"exploration": {"evaluation_share": 0.05}},
}
COVERAGE: Final = 0.95
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class _Try(NamedTuple):
    success: bool
    usd: float


class _Task(NamedTuple):
    task_type: str
    tries: Mapping[str, _Try]
    """By model: what it would get and cost."""

    def beginning_with(self, model_id: str, last_resort: str) -> _Try:
        """Return the success and dollars of the whole task."""
        first = self.tries[model_id]
        if first.success or model_id == last_resort:
            return first
        second = self.tries[last_resort]
        return _Try(second.success, first.usd + second.usd)


class _Result(NamedTuple):
    """One difference in one replay; intervals are None if it was refused."""

    world: str
    policy: str
    name: str
    gained: tuple[float, float] | None
    saved: tuple[float, float] | None
    true_gained: float
    true_saved: float
    """Per task, as are the dollars of ``saved``."""
    actual_usd: float


def main() -> None:
    """Print how many intervals hold, how wide they are, and how many comparisons are refused."""
    if not OUTCOMES.is_dir():
        print(f"skipped: {OUTCOMES} is not there (BENCH_OUTCOMES says where it is)")
        return
    kinds = [(world, policy) for world in WORLDS for policy in POLICIES]
    jobs = [(*kinds[run % len(kinds)], run) for run in range(max(2, round(REPLAYS * SCALE)))]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        found = [each for part in executor.map(replay, jobs) for each in part]
    print(f"{len(jobs)} replays of {TASKS:,} tasks; intervals that hold, mean width, share refused")
    titles = f"{'':<24}{'success':>9}{'width, points':>15}{'refused':>9}"
    print(f"{titles}{'dollars':>9}{'width, % of actual':>20}{'refused':>9}")
    _print_rows("all", [("", found)])
    _print_rows("world", _grouped(found, WORLDS, lambda each: each.world))
    _print_rows("policy", _grouped(found, POLICIES, lambda each: each.policy))
    names = ("not exploring", "current", "best-before", "a model")
    _print_rows("against", _grouped(found, names, lambda each: each.name if each.name in names else "a model"))
    for what, part in (("success", _held(found)), ("dollars", _held_usd(found))):
        print(f"{what}: {fmean(part):.1%} of {len(part)} intervals hold, goal ≥ {COVERAGE:.0%}: ", end="")
        print(verdict(-fmean(part), -COVERAGE))


def replay(job: tuple[str, str, int]) -> list[_Result]:
    """Let a policy decide the tasks of a world, and return what the log says beside the truth."""
    world, policy, run = job
    rng = Random(f"savings/{world}/{run}")
    tasks = _draw(world, rng)
    models = sorted(tasks[0].tries)
    usd = {model_id: fmean(each.tries[model_id].usd for each in tasks) for model_id in models}
    last_resort = max(usd, key=usd.__getitem__)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.db"
        firsts = _live(tasks, models, last_resort, POLICIES[policy], path, run)
        with mp.ModelPerf({"mode": "observe"}, store=path) as engine:
            now_ms = int((_START + timedelta(days=30)).timestamp() * 1000)
            log = read_tasks(engine.store, now_ms)
            since = TASKS // 3
            whole, rest = savings(log), savings(log, int(log.log.made_ms[since]), "best-before")
    results = [
        *_results(world, policy, [*whole.against, whole.exploration], tasks, firsts, last_resort, log.log, 0),
        *_results(world, policy, rest.against, tasks, firsts, last_resort, log.log, since),
    ]
    return [each for each in results if each.name != "best-before" or each in results[-1:]]


def _results(
    world: str, policy: str, differences: Iterable[Difference], tasks: Sequence[_Task], firsts: Sequence[str],
    last_resort: str, log: Any, since: int,
) -> list[_Result]:  # fmt: skip
    rows = range(since, len(tasks))
    happened = [tasks[row].beginning_with(firsts[row], last_resort) for row in rows]
    results = []
    for each in differences:
        ranked = [log.models[int(log.position[row].argmin())] for row in rows] if each.model_id is None else None
        others = [tasks[row].beginning_with(each.model_id or (ranked or ())[row - since], last_resort) for row in rows]
        results.append(
            _Result(
                world, policy, each.name,
                _interval(each.gained, 1),
                _interval(each.saved_usd, len(rows)),
                fmean(was.success - other.success for was, other in zip(happened, others, strict=True)),
                fmean(other.usd - was.usd for was, other in zip(happened, others, strict=True)),
                fmean(was.usd for was in happened),
            )
        )  # fmt: skip
    return results


def _interval(estimate: Estimate | None, count: int) -> tuple[float, float] | None:
    return None if estimate is None else (estimate.low / count, estimate.high / count)


def _live(
    tasks: Sequence[_Task], models: Sequence[str], last_resort: str, config: Mapping[str, Any], path: Path, seed: int
) -> list[str]:
    """Decide and try all tasks; return the model that each began with."""
    now = _START
    pm = pluggy.PluginManager("benchmark")
    plugin = mp.register(pm, config=dict(config), store=path, seed=seed, clock=lambda: now)
    firsts = []
    for task in tasks:
        first = decision = pm.hook.select_model(task_type=task.task_type, candidates=models, context=None)
        model_id = first.model_id
        while True:
            success, usd = task.tries[model_id]
            outcome = mp.Outcome(success=success, cost_usd=usd)
            pm.hook.on_task_complete(task_type=task.task_type, model_id=model_id, outcome=outcome, decision=decision)
            now += timedelta(minutes=MINUTES)
            if success or model_id == last_resort:
                break
            model_id = last_resort
            if seed % 2:
                context = {"retry_of": first.decision_id, "pin": last_resort}
                decision = pm.hook.select_model(task_type=task.task_type, candidates=models, context=context)
        firsts.append(first.model_id)
    plugin.close()
    return firsts


def _draw(world: str, rng: Random) -> list[_Task]:
    """Return tasks of a world; the models of llmdrift change halfway, others become other ones where it says so."""
    world, _, changes = world.partition(", ")
    if world == "llmdrift_2023":
        halves = [{now: names[half] for now, names in CHANGED.items()} for half in (0, 1)]
        known = _instances(world)
        return [_task(rng.choice(known), halves[2 * row >= TASKS]) for row in range(TASKS)]
    known = _instances(world)
    models = sorted(known[0].outcomes)
    pool = rng.sample(models, min(POOL, len(models)))
    later = rng.sample(models, len(pool)) if changes else pool
    names = [dict(zip(pool, recorded, strict=True)) for recorded in (pool, later)]
    return [_task(rng.choice(known), names[2 * row >= TASKS]) for row in range(TASKS)]


def _task(instance: Any, names: Mapping[str, str]) -> _Task:
    size = Random(instance.instance_id).lognormvariate(0.0, 0.7)
    tries = {}
    for name, recorded in names.items():
        outcome = instance.outcomes[recorded]
        price = 0.002 * 4 ** Random(f"price/{recorded}").uniform(0.0, 4.0)
        tries[name] = _Try(outcome.success, max(outcome.cost_usd or price * size, 1e-6))
    return _Task(instance.task_type, tries)


@cache
def _instances(world: str) -> Sequence[Any]:
    return list(read_outcomes(OUTCOMES / f"{world}.csv.gz").dense_core().instances)


# What is printed


def _grouped(
    found: Sequence[_Result], names: Iterable[str], key: Callable[[_Result], str]
) -> list[tuple[str, list[_Result]]]:
    return [(name, [each for each in found if key(each) == name]) for name in names]


def _held(found: Iterable[_Result]) -> list[bool]:
    return [_holds(each.gained, each.true_gained) for each in found if each.gained]


def _held_usd(found: Iterable[_Result]) -> list[bool]:
    return [_holds(each.saved, each.true_saved) for each in found if each.saved]


def _holds(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] - 1e-9 <= truth <= interval[1] + 1e-9


def _print_rows(title: str, groups: Iterable[tuple[str, Sequence[_Result]]]) -> None:
    for name, found in groups:
        if not found:
            continue
        widths = [each.gained[1] - each.gained[0] for each in found if each.gained]
        usd = [(each.saved[1] - each.saved[0]) / each.actual_usd for each in found if each.saved]
        print(f"{name or title:<24}{_percent(_held(found)):>9}{100 * fmean(widths or [0.0]):>15.1f}", end="")
        print(f"{1 - len(widths) / len(found):>9.0%}{_percent(_held_usd(found)):>9}", end="")
        print(f"{100 * fmean(usd or [0.0]):>20.1f}{1 - len(usd) / len(found):>9.0%}")


def _percent(held: Sequence[bool]) -> str:
    return f"{fmean(held):.1%}" if held else "—"
