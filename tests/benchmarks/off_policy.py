"""How far off-policy answers can be trusted: logs made through the hooks on real outcomes, where the truth is known.

In each world 2,000 tasks are drawn, a policy makes the log, and ten target policies are judged by it. The truth is what
each would have got on the very same tasks. Beside the product stand the estimators of the Open Bandit Pipeline by their
published formulas, with bootstrapped intervals as there (IPW, SNIPW, DR; it does not install beside current
libraries). ``BENCH_SCALE=0.25`` does a quarter of the repetitions. The outcomes are looked for as in ``decisions``.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, Final, NamedTuple

import numpy as np
import pluggy

import modelperf_plugin as mp
from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog, read_log
from modelperf_plugin.analysis.off_policy.estimators import Floats, weights
from modelperf_plugin.analysis.off_policy.judgement import Judge
from modelperf_plugin.analysis.off_policy.targets import Configured, constant, per_task_type, uniform
from modelperf_plugin.analysis.off_policy.tune import changed, tune
from modelperf_plugin.analysis.simulation.play import MIGRATION_GUIDE_RULE
from modelperf_plugin.config import load
from tests.benchmarks.decisions import CHANGED, OUTCOMES, SCALE, before_and_after, core_of
from tests.benchmarks.timing import verdict

DECISIONS: Final = 2000
REPETITIONS: Final = 200
"""For each log and world."""
POOL: Final = 7
WORLDS: Final = (
    "metr_runs_2025_01", "swebench_pro", "swebench_bash_only", "paretobandit_k4", "llmdrift, changed halfway"
)  # fmt: skip
LOGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "default": {},
    "evaluation_share .05": {"exploration": {"evaluation_share": 0.05}},
    "evaluation_share .10": {"exploration": {"evaluation_share": 0.10}},
    "uniform": {"exploration": {"strategy": "epsilon_greedy", "epsilon": 1.0}, "demotion": {"strategy": "never"}},
}
CONFIGURED: Final[Mapping[str, Mapping[str, Any]]] = {
    "the default policy": {},
    "the same, never exploring": {"exploration": {"strategy": "never"}},
    "ε-greedy .1": {"exploration": {"strategy": "epsilon_greedy", "epsilon": 0.1}},
    "the migration guide's rule": MIGRATION_GUIDE_RULE,
}
COVERAGE, RMSE, ANSWERED = 0.95, 0.05, 7
RESAMPLES: Final = 200
TUNINGS: Final = 20
MANY, MANY_MODELS, SECONDS, GIGABYTES = 1_000_000, 8, 60.0, 1.0


def main() -> None:
    """Print all figures beside their goals."""
    if OUTCOMES.is_dir():
        repetitions = max(2, round(REPETITIONS * SCALE))
        jobs = [(world, log, run) for run in range(repetitions) for world in WORLDS for log in LOGS]
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
            found = [each for part in executor.map(_judge, jobs) for each in part]
            _report(found, repetitions)
            _tuning(list(executor.map(_tune, range(max(2, round(TUNINGS * SCALE))))))
    else:
        print(f"skipped: {OUTCOMES} is not there (BENCH_OUTCOMES says where it is)")
    many_decisions()


class _Answer(NamedTuple):
    """One target judged by one log."""

    world: str
    log: str
    target: str
    truth: float
    value: float
    low: float
    high: float
    refusal: str | None
    effective: float
    dr: float
    snips: float
    pipeline: Mapping[str, tuple[float, float, float]]

    @property
    def holds(self) -> bool:
        return self.low <= self.truth <= self.high


class _World:
    """Tasks in order, each with the success of every model offered."""

    def __init__(self, name: str, rng: Random) -> None:
        if name.startswith("llmdrift"):
            self.models = tuple(CHANGED)
            before, after = before_and_after()
            halves = (before if 2 * position < DECISIONS else after for position in range(DECISIONS))
            self.tasks = [rng.choice(half) for half in halves]
        else:
            _, instances = core_of(name)
            known = tuple(instances[0].successes)
            self.models = tuple(rng.sample(known, min(POOL, len(known))))
            self.tasks = [rng.choice(instances) for _ in range(DECISIONS)]


def _judge(job: tuple[str, str, int]) -> list[_Answer]:
    world_name, log_name, run = job
    world = _World(world_name, Random(f"{world_name}/{run}"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.db"
        _make_log(world, LOGS[log_name], path, run)
        with mp.ModelPerf({"mode": "observe"}, store=path) as engine:
            log = read_log(engine.store)
            judge = Judge(log)
            then = Configured(log, engine.store)
            truth = np.array([[float(each[model]) for model in log.models] for _, each in world.tasks])
            return [
                _answer(world_name, log_name, name, target, log, judge, truth)
                for name, target in _targets(log, then, world, truth)
            ]


def _make_log(world: _World, config: Mapping[str, Any], path: Path, seed: int) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    pm = pluggy.PluginManager("benchmark")
    plugin = mp.register(pm, config=dict(config), store=path, seed=seed, clock=lambda: now)
    for task_type, successes in world.tasks:
        decision = pm.hook.select_model(task_type=task_type, candidates=world.models, context=None)
        outcome = mp.Outcome(success=successes[decision.model_id])
        pm.hook.on_task_complete(task_type=task_type, model_id=decision.model_id, outcome=outcome, decision=decision)
        now += timedelta(seconds=60)
    plugin.close()


def _targets(log: DecisionLog, then: Configured, world: _World, truth: Floats) -> Iterator[tuple[str, Floats]]:
    yield "what made the log", log.propensities
    for name, config in CONFIGURED.items():
        yield name, then.shares(load(dict(config)).config)
    order = np.argsort(-truth.mean(axis=0), kind="stable")
    yield "always the best model", constant(log, log.models[order[0]])
    yield "always the second best", constant(log, log.models[order[1]])
    yield "always the worst", constant(log, log.models[order[-1]])
    best = {
        name: log.models[int(np.argmax(truth[log.task == position].mean(axis=0)))]
        for position, name in enumerate(log.task_types)
    }
    yield "best of each task type", per_task_type(log, best)
    yield "random", uniform(log)


def _answer(
    world: str, log_name: str, name: str, target: Floats, log: DecisionLog, judge: Judge, truth: Floats
) -> _Answer:
    judged = judge.judge(name, target)
    low, high = judged.interval
    return _Answer(
        world,
        log_name,
        name,
        float((target * truth).sum(axis=1).mean()),
        (low + high) / 2,
        low,
        high,
        judged.refusal,
        judged.effective_sample_size,
        judged.dr,
        judged.snips or 0.0,
        _pipeline(log, judge, target),
    )


def _pipeline(log: DecisionLog, judge: Judge, target: Floats) -> dict[str, tuple[float, float, float]]:
    """Return estimate and 95 % interval of the pipeline's estimators: percentiles of resampled decisions."""
    logged = judge.logged
    own = weights(logged, target)
    rows = np.arange(len(log))
    expected = (target * logged.forecasts).sum(axis=1)
    parts = {
        "IPW": (own * log.success, np.ones(len(log))),
        "SNIPW": (own * log.success, own),
        "DR": (expected + own * (log.success - logged.forecasts[rows, log.chosen]), np.ones(len(log))),
    }
    rng = np.random.default_rng(0)
    draws = rng.multinomial(len(log), np.full(len(log), 1 / len(log)), size=RESAMPLES).astype(np.float64)
    found = {}
    for name, (above, below) in parts.items():
        if not below.any():
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (draws @ above) / (draws @ below)
        low, high = np.nanpercentile(means, [2.5, 97.5])
        found[name] = (float(above.sum() / below.sum()), float(low), float(high))
    return found


# What is printed


def _report(found: list[_Answer], repetitions: int) -> None:
    print(f"{DECISIONS:,} decisions, ten targets, {repetitions} repetitions for each log and world")
    _goals(found)
    _by_world(found)
    _by_target(found)
    _beside_the_pipeline(found)
    (Path(tempfile.gettempdir()) / "off_policy.json").write_text(json.dumps([each._asdict() for each in found]))


def _goals(found: list[_Answer]) -> None:
    print(
        f"\n{'log':<22}{'answered':>9}{'of the intervals hold':>23}{'all intervals':>15}{'width':>7}{'RMSE':>7}"
        f"{'RMSE DR':>9}{'targets answered':>18}  goal"
    )
    for log in LOGS:
        own = [each for each in found if each.log == log]
        given = [each for each in own if each.refusal is None]
        print(f"{log:<22}{len(given) / len(own):>8.0%} {_covered(given):>22.1%} {_covered(own):>14.1%} ", end="")
        width = 100 * fmean(each.high - each.low for each in given)
        print(f"{width:>6.1f} {100 * _rmse(given):>6.2f} {100 * _rmse(given, 'dr'):>8.2f} ", end="")
        print(f"{_targets_answered(own):>17.1f}  ", end="")
        goals = [verdict(-_covered(given), -COVERAGE), verdict(_rmse(given), RMSE)]
        if log == "default":
            goals.append(verdict(-_targets_answered(own), -ANSWERED))
        print(", ".join(goals))


def _by_world(found: list[_Answer]) -> None:
    print(f"\n{'log':<22}{'world':<28}{'answered':>9}{'hold':>8}{'RMSE':>7}{'targets':>9}{'the log itself holds':>22}")
    for log in LOGS:
        for world in WORLDS:
            own = [each for each in found if (each.log, each.world) == (log, world)]
            given = [each for each in own if each.refusal is None]
            same = [each for each in own if each.target == "what made the log"]
            print(f"{log:<22}{world:<28}{len(given) / len(own):>8.0%} {_covered(given):>7.1%} ", end="")
            print(f"{100 * _rmse(given):>6.2f} {_targets_answered(own):>8.1f} {_covered(same):>21.1%}")


def _by_target(found: list[_Answer]) -> None:
    print(f"\n{'target: answered / RMSE of these':<34}" + "".join(f"{log:>22}" for log in LOGS))
    for target in dict.fromkeys(each.target for each in found):
        cells = []
        for log in LOGS:
            own = [each for each in found if (each.log, each.target) == (log, target)]
            given = [each for each in own if each.refusal is None]
            cells.append(f"{len(given) / len(own):.0%} / {100 * _rmse(given):.1f}" if given else "0%")
        print(f"{target:<34}" + "".join(f"{cell:>22}" for cell in cells))


def _beside_the_pipeline(found: list[_Answer]) -> None:
    print("\nintervals that hold, over all targets and worlds (the pipeline never refuses)")
    print(f"{'log':<22}{'product, answers':>18}{'product, all':>14}{'IPW':>8}{'SNIPW':>8}{'DR':>8}")
    for log in LOGS:
        own = [each for each in found if each.log == log]
        given = [each for each in own if each.refusal is None]
        cells = []
        for name in ("IPW", "SNIPW", "DR"):
            theirs = [(each.pipeline[name], each.truth) for each in own if name in each.pipeline]
            cells.append(fmean(low <= truth <= high for (_, low, high), truth in theirs))
        shown = "".join(f"{each:>8.1%}" for each in cells)
        print(f"{log:<22}{_covered(given):>18.1%}{_covered(own):>14.1%}{shown}")


def _covered(answers: list[_Answer]) -> float:
    return fmean(each.holds for each in answers) if answers else 1.0


def _rmse(answers: list[_Answer], name: str = "value") -> float:
    return fmean((getattr(each, name) - each.truth) ** 2 for each in answers) ** 0.5 if answers else 0.0


def _targets_answered(own: list[_Answer]) -> float:
    """Return how many of the ten targets are answered on average."""
    return 10 * fmean(each.refusal is None for each in own)


# Tuning


class _Tuned(NamedTuple):
    """The result of one search on half of a log."""

    change: str
    better: bool
    low: float
    high: float
    truth: float


def _tune(run: int) -> _Tuned:
    """Tune on the first half of a log of metr, and return what that really gains on the second half."""
    world = _World(WORLDS[0], Random(f"tune/{run}"))
    present = load({}).config
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.db"
        _make_log(world, LOGS["evaluation_share .10"], path, run)
        with mp.ModelPerf({"mode": "observe"}, store=path) as engine:
            log = read_log(engine.store)
            found = tune(log, engine.store, present)
            if found.gain is None:
                return _Tuned("nothing", better=False, low=0.0, high=0.0, truth=0.0)
            rest = log.only(np.arange(len(log)) >= len(log) // 2)
            truth = np.array([[float(each[model]) for model in log.models] for _, each in world.tasks[len(log) // 2 :]])
            then = Configured(rest, engine.store)
            moved = then.shares(changed(present, found.change)) - then.shares(present)
            gained = float((moved * truth).sum(axis=1).mean())
            return _Tuned(str(dict(found.change)), found.better, found.gain.low, found.gain.high, gained)


def _tuning(found: list[_Tuned]) -> None:
    print("\ntune on the first half of a log of metr: true gain on the second half, in points; and its interval")
    for each in found:
        holds = "holds" if each.low <= each.truth <= each.high else "MISSED"
        said = "proposed" if each.better else "nothing certain"
        interval = f"{100 * each.low:+.1f} – {100 * each.high:+.1f}"
        print(f"{said:<23}{100 * each.truth:>+6.1f}  {interval:<15} {holds:<7} {each.change}")


# A large log


@dataclass(frozen=True)
class _Large:
    log: DecisionLog
    targets: list[Floats]


def many_decisions() -> None:
    """Print what it takes to judge ten policies by a million decisions, once they are read."""
    large = _large()
    started = time.perf_counter()
    judge = Judge(large.log)
    for number, target in enumerate(large.targets):
        judge.judge(f"policy {number}", target)
    seconds = time.perf_counter() - started
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"\n{MANY:,} decisions, {len(large.targets)} policies: {seconds:.0f} s (goal ≤ {SECONDS:.0f}: "
        f"{verdict(seconds, SECONDS)}), {gigabytes:.2f} GB (goal ≤ {GIGABYTES:g}: {verdict(gigabytes, GIGABYTES)})"
    )


def _large() -> _Large:
    rng = np.random.default_rng(0)
    rates = rng.uniform(0.4, 0.9, (20, MANY_MODELS))
    task = rng.integers(0, 20, MANY).astype(np.int32)
    best = rates.argmax(axis=1)[task]
    propensities = np.full((MANY, MANY_MODELS), 0.1 / MANY_MODELS, np.float32)
    propensities[np.arange(MANY), best] += np.float32(0.9)
    explored = rng.random(MANY) < 0.1
    chosen = np.where(explored, rng.integers(0, MANY_MODELS, MANY), best).astype(np.int32)
    log = DecisionLog(
        source="a large log",
        task_types=tuple(f"type-{number}" for number in range(20)),
        models=tuple(f"model-{number}" for number in range(MANY_MODELS)),
        made_ms=np.arange(MANY),
        ended_ms=np.arange(MANY) + 1,
        task=task,
        chosen=chosen,
        success=(rng.random(MANY) < rates[task, chosen]).astype(np.float64),
        score=np.full(MANY, np.nan),
        cost_usd=np.full(MANY, np.nan),
        offered=np.ones((MANY, MANY_MODELS), bool),
        propensities=propensities,
        status=np.zeros((MANY, MANY_MODELS), np.int8),
        position=np.zeros((MANY, MANY_MODELS), np.int16),
        left_out={},
    )
    singles = [constant(log, model_id) for model_id in log.models]
    return _Large(log, [*singles, uniform(log), log.propensities])
