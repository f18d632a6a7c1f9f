"""Simulation: policies at work in a simulated world."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from random import Random
from statistics import fmean
from typing import Any

from modelperf_plugin.analysis.simulation.difficulty import random_solved_chance, solved_chance
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
    """Expected success rate of the first tries, from the true rates of the chosen models."""
    regret: float
    """Successes lost against the best model offered, over all decisions of a run."""
    standard_error: float | None
    """Standard error of the regret; None with one run."""
    cost_usd: float
    """US dollars a task, all its tries together."""
    curve: tuple[float, ...]
    """The success rate in each tenth of a run."""
    shares: dict[str, float]
    """Each model's share of the decisions, largest first."""
    solved_rate: float
    """Expected share of the tasks that one of the tries solves."""
    solved_regret: float
    """Solved tasks lost against trying the best models offered, over all decisions of a run."""
    solved_standard_error: float | None
    """Standard error of that regret; None with one run."""
    tries: float
    """Tries a task."""


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
    attempts: int
    """Maximum number of tries at a task."""
    best_solved_rate: float
    """Share of the tasks that the best models offered solve."""
    random_solved_rate: float
    """Exact share of the tasks that models tried at random solve."""

    def as_dict(self) -> dict[str, Any]:
        """Return the simulation as plain JSON values."""
        return {**asdict(self), "policies": [{**asdict(each), "curve": list(each.curve)} for each in self.policies]}


def simulate(
    scenario: Scenario, policies: dict[str, Config], *, runs: int = 5, attempts: int | None = None, seed: int = 0,
    progress: Progress | None = None,
) -> Simulation:  # fmt: skip
    """Let each of ``policies`` decide all tasks of ``scenario``, ``runs`` times, with the same rates and luck.

    A task is tried with the models of its decision until one succeeds, ``attempts`` of them at most; by default as many
    as the policy says whose ``[retries] attempts`` is the highest.
    """
    if attempts is None:
        attempts = max((config.retries.attempts for config in policies.values()), default=1)
    runs_of: dict[str, list[list[Step[Task]]]] = {name: [] for name in policies}
    chance, best, chance_solved, best_solved = [], [], [], []
    spread = scenario.rates.spread
    for run in range(runs):
        tasks = [each._replace(rates=dict(each.rates)) for each in scenario.tasks(Random(f"rates/{seed}/{run}"))]
        chance.append(fmean(fmean(each.rates.values()) for each in tasks))
        best.append(fmean(max(each.rates.values()) for each in tasks))
        best_solved.append(fmean(_best_solved(each, spread, attempts) for each in tasks))
        chance_solved.append(fmean(random_solved_chance(list(each.rates.values()), spread, attempts) for each in tasks))
        for position, (name, config) in enumerate(policies.items()):
            runs_of[name].append(_run(scenario, tasks, config, attempts, f"{seed}/{run}"))
            if progress is not None:
                progress(run * len(policies) + position + 1, runs * len(policies))
    return Simulation(
        scenario=scenario.name, description=scenario.description, decisions=scenario.decisions, runs=runs, seed=seed,
        best_success_rate=fmean(best), random_success_rate=fmean(chance),
        random_regret=scenario.decisions * (fmean(best) - fmean(chance)),
        policies=tuple(_simulated(name, own, spread, attempts) for name, own in runs_of.items()), attempts=attempts,
        best_solved_rate=fmean(best_solved), random_solved_rate=fmean(chance_solved),
    )  # fmt: skip


def _run(scenario: Scenario, tasks: list[Task], config: Config, attempts: int, seed: str) -> list[Step[Task]]:
    luck = Random(f"luck/{seed}")

    def outcome_of(task: Task, model_id: str) -> Outcome:
        return scenario.outcome(luck, task.task_type, model_id, scenario.chance(task, model_id))

    engine_seed = Random(f"policy/{seed}").getrandbits(32)
    return play(config, tasks, outcome_of, seed=engine_seed, attempts=attempts, feedback_delay=scenario.feedback_delay)


def _rate(step: Step[Task]) -> float:
    return step.task.rates[step.model_id]


def _best_solved(task: Task, spread: float, attempts: int) -> float:
    return solved_chance(sorted(task.rates.values())[-attempts:], spread)


def _solved(step: Step[Task], spread: float) -> float:
    return solved_chance([step.task.rates[model_id] for model_id in step.order], spread)


def _simulated(name: str, runs: list[list[Step[Task]]], spread: float, attempts: int) -> PolicyResult:
    regrets = [sum(max(step.task.rates.values()) - _rate(step) for step in run) for run in runs]
    unsolved = [sum(_best_solved(step.task, spread, attempts) - _solved(step, spread) for step in run) for run in runs]
    steps = [step for run in runs for step in run]
    return PolicyResult(
        name=name, success_rate=fmean(map(_rate, steps)), regret=fmean(regrets), standard_error=standard_error(regrets),
        cost_usd=fmean(sum(each.outcome.cost_usd or 0.0 for each in step.tries) for step in steps),
        curve=learning_curve(runs, _rate), shares=shares_of(steps),
        solved_rate=fmean(_solved(step, spread) for step in steps), solved_regret=fmean(unsolved),
        solved_standard_error=standard_error(unsolved), tries=fmean(len(step.tries) for step in steps),
    )  # fmt: skip
