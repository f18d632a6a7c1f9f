"""Simulation: policies at work in a simulated world."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from random import Random
from statistics import fmean
from typing import Any

from modelperf_plugin.analysis.simulation.play import Progress, Step, learning_curve, play, shares_of, standard_error
from modelperf_plugin.analysis.simulation.scenario import Scenario
from modelperf_plugin.analysis.simulation.world import Task
from modelperf_plugin.config import Config
from modelperf_plugin.values import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResult:
    """The results of one policy, mean over the runs; costs are those of a task."""

    name: str
    success_rate: float
    """Expected success rate, from the true rates of the chosen models."""
    regret: float
    """Successes lost against the best model offered, over all decisions of a run."""
    standard_error: float | None
    """Standard error of the regret; None with one run."""
    cost_usd: float
    curve: tuple[float, ...]
    """The success rate in each tenth of a run."""
    shares: dict[str, float]
    """Each model's share of the decisions, largest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """The results of policies in one scenario."""

    scenario: str
    description: str
    decisions: int
    """Decisions in a run."""
    runs: int
    """Number of runs, each with its own rates."""
    seed: int
    best_success_rate: float
    """Success rate of the best model offered each time."""
    random_success_rate: float
    """Exact success rate of a random choice."""
    random_regret: float
    """Successes that a random choice loses in a run."""
    policies: tuple[PolicyResult, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the simulation as plain JSON values."""
        return {**asdict(self), "policies": [{**asdict(each), "curve": list(each.curve)} for each in self.policies]}


def simulate(
    scenario: Scenario, policies: dict[str, Config], *, runs: int = 5, seed: int = 0, progress: Progress | None = None
) -> Simulation:
    """Let each of ``policies`` decide all tasks of ``scenario``, ``runs`` times, with the same rates and luck."""
    runs_of: dict[str, list[list[Step[Task]]]] = {name: [] for name in policies}
    chance, best = [], []
    for run in range(runs):
        tasks = [Task(each.task_type, dict(each.rates)) for each in scenario.tasks(Random(f"rates/{seed}/{run}"))]
        chance.append(fmean(fmean(each.rates.values()) for each in tasks))
        best.append(fmean(max(each.rates.values()) for each in tasks))
        for position, (name, config) in enumerate(policies.items()):
            runs_of[name].append(_run(scenario, tasks, config, f"{seed}/{run}"))
            if progress is not None:
                progress(run * len(policies) + position + 1, runs * len(policies))
    return Simulation(
        scenario=scenario.name, description=scenario.description, decisions=scenario.decisions, runs=runs, seed=seed,
        best_success_rate=fmean(best), random_success_rate=fmean(chance),
        random_regret=scenario.decisions * (fmean(best) - fmean(chance)),
        policies=tuple(_simulated(name, own) for name, own in runs_of.items()),
    )  # fmt: skip


def _run(scenario: Scenario, tasks: list[Task], config: Config, seed: str) -> list[Step[Task]]:
    luck = Random(f"luck/{seed}")

    def outcome_of(task: Task, model_id: str) -> Outcome:
        return scenario.outcome(luck, task.task_type, model_id, task.rates[model_id])

    engine_seed = Random(f"policy/{seed}").getrandbits(32)
    return play(config, tasks, outcome_of, seed=engine_seed, feedback_delay=scenario.feedback_delay)


def _rate(step: Step[Task]) -> float:
    return step.task.rates[step.model_id]


def _simulated(name: str, runs: list[list[Step[Task]]]) -> PolicyResult:
    regrets = [sum(max(step.task.rates.values()) - _rate(step) for step in run) for run in runs]
    steps = [step for run in runs for step in run]
    return PolicyResult(
        name=name, success_rate=fmean(map(_rate, steps)), regret=fmean(regrets), standard_error=standard_error(regrets),
        cost_usd=fmean(step.outcome.cost_usd or 0.0 for step in steps), curve=learning_curve(runs, _rate),
        shares=shares_of(steps),
    )  # fmt: skip
