"""See a policy at work in a simulated world, before there is a log."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import sqrt
from random import Random
from statistics import fmean, stdev
from typing import Any, Final, NamedTuple, cast

from modelperf_plugin.analysis.simulation.replay import CURVE_PARTS
from modelperf_plugin.analysis.simulation.scenario import Scenario, Task
from modelperf_plugin.config import Config, LogConfig
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.values import Decision, Outcome, from_milliseconds

_STEP: Final = timedelta(seconds=60)
_START_MS: Final = 946_684_800_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """How one policy did, mean over the runs."""

    name: str
    """The policy."""
    success_rate: float
    """Share done well, expected from the true rates."""
    regret: float
    """Successes lost against the best model offered, over all decisions of a run."""
    standard_error: float | None
    """Standard error of the regret; None with one run."""
    cost_usd: float
    """Mean US dollars a task."""
    curve: tuple[float, ...]
    """The success rate in each tenth of a run."""
    shares: dict[str, float]
    """For every model the share of the decisions, most first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """How policies did in one scenario."""

    scenario: str
    """Its name."""
    description: str
    """What happens in it."""
    decisions: int
    """Decisions in a run."""
    runs: int
    """How many runs, each with rates of its own."""
    seed: int
    """The same seed gives the same simulation."""
    best_success_rate: float
    """What the best model offered each time would have got."""
    random_success_rate: float
    """What a random choice would have got, exactly."""
    random_regret: float
    """What a random choice would have lost."""
    policies: tuple[Simulated, ...]
    """The policies, in the order given."""

    def as_dict(self) -> dict[str, Any]:
        """Return the simulation as plain JSON values."""
        return {**asdict(self), "policies": [{**asdict(each), "curve": list(each.curve)} for each in self.policies]}


class _Step(NamedTuple):
    model_id: str
    rate: float
    best: float
    cost_usd: float


def simulate(
    scenario: Scenario,
    policies: dict[str, Config],
    *,
    runs: int = 5,
    seed: int = 0,
    progress: Any = None,
) -> Simulation:
    """Let each of ``policies`` decide all tasks of ``scenario``, ``runs`` times; all meet the same rates and luck."""
    found: dict[str, list[list[_Step]]] = {name: [] for name in policies}
    chance, best = [], []
    for run in range(runs):
        tasks = [Task(each.task_type, dict(each.rates)) for each in scenario.tasks(Random(f"rates/{seed}/{run}"))]
        chance.append(fmean(fmean(each.rates.values()) for each in tasks))
        best.append(fmean(max(each.rates.values()) for each in tasks))
        for position, (name, config) in enumerate(policies.items()):
            found[name].append(_run(scenario, tasks, config, f"{seed}/{run}"))
            if progress is not None:
                progress(run * len(policies) + position + 1, runs * len(policies))
    return Simulation(
        scenario=scenario.name,
        description=scenario.description,
        decisions=scenario.decisions,
        runs=runs,
        seed=seed,
        best_success_rate=fmean(best),
        random_success_rate=fmean(chance),
        random_regret=scenario.decisions * (fmean(best) - fmean(chance)),
        policies=tuple(_simulated(name, own) for name, own in found.items()),
    )


class _Clock:
    def __init__(self) -> None:
        self.now = from_milliseconds(_START_MS)

    def __call__(self) -> datetime:
        return self.now


def _run(scenario: Scenario, tasks: list[Task], config: Config, seed: str) -> list[_Step]:
    clock, luck = _Clock(), Random(f"luck/{seed}")
    applied = config.model_copy(update={"mode": "apply", "log": LogConfig(share=0.0)})
    steps: list[_Step] = []
    waiting: list[tuple[Task, Decision, bool]] = []
    with ModelPerf(applied, store=":memory:", clock=clock, seed=Random(f"policy/{seed}").getrandbits(32)) as engine:
        for task in tasks:
            decision = cast("Decision", engine.select(task.task_type, list(task.rates)))
            rate, cost = task.rates[decision.model_id], scenario.cost_usd(decision.model_id)
            steps.append(_Step(decision.model_id, rate, max(task.rates.values()), cost))
            waiting.append((task, decision, luck.random() < rate))
            if len(waiting) > scenario.feedback_delay:
                then, chosen, success = waiting.pop(0)
                outcome = Outcome(success=success, cost_usd=scenario.cost_usd(chosen.model_id))
                engine.record(then.task_type, chosen.model_id, outcome, chosen)
            clock.now += _STEP
    return steps


def _simulated(name: str, runs: list[list[_Step]]) -> Simulated:
    regrets = [sum(step.best - step.rate for step in run) for run in runs]
    steps = [step for run in runs for step in run]
    counts = Counter(step.model_id for step in steps)
    length = len(runs[0])
    edges = sorted({length * part // CURVE_PARTS for part in range(CURVE_PARTS + 1)})
    return Simulated(
        name=name,
        success_rate=fmean(step.rate for step in steps),
        regret=fmean(regrets),
        standard_error=stdev(regrets) / sqrt(len(runs)) if len(runs) > 1 else None,
        cost_usd=fmean(step.cost_usd for step in steps),
        curve=tuple(fmean(step.rate for run in runs for step in run[start:end]) for start, end in pairwise(edges)),
        shares={model_id: count / len(steps) for model_id, count in counts.most_common()},
    )
