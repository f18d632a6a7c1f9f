"""Worlds in which the true rates of success are known: the columns of the table of policies in policies.md.

The table says what happens in each of its columns, but not with which rates. The parameters here were chosen so that
``random`` and plain Thompson sampling (uniform priors, each task type alone) have the regret that the table gives for
them, within a tenth; the benchmark prints both beside the table's figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from math import exp, log
from random import Random
from typing import Final, NamedTuple

STEPS: Final = 2000
HALF: Final = STEPS // 2
TASK_TYPES: Final = tuple(f"type-{number}" for number in range(20))
LATE: Final = 20
"""How many choices are made before the outcome of one is known, where feedback is late."""

Rates = Mapping[str, float]


class Task(NamedTuple):
    """One task to be given to a model."""

    task_type: str
    """The class of work."""
    rates: Rates
    """The true probability of success of every model that is offered."""


class TableRow(NamedTuple):
    """What the table says of a scenario: cumulative regret."""

    random: float
    """A model drawn at random."""
    thompson: float
    """Thompson sampling, each task type alone."""
    pooled: float
    """The bold row: pooling, one z per decision, model-level change detection."""
    undetected: float
    """The same with ε = .01 and without the change detection."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One column of the table."""

    name: str
    """The head of the column."""
    table: TableRow
    """What the table says."""
    runs: int
    """Simulations that bring the standard error of the product's regret to about 3 %."""
    build: Callable[[Random], Iterator[Task]]
    """Returns a new world: its tasks in order."""
    delay: int = 0
    """How many choices are made before the outcome of one is known."""


def regret(choose: Callable[[Task], str], learn: Callable[[Task, str, bool], None], world: Scenario, run: int) -> float:
    """Return the expected successes lost against the best model offered, over all tasks of one simulation.

    The same ``run`` has the same rates and the same luck, whoever chooses.
    """
    tasks = world.build(Random(f"rates/{world.name}/{run}"))
    luck = Random(f"luck/{world.name}/{run}")
    waiting: list[tuple[Task, str, bool]] = []
    lost = 0.0
    for task in tasks:
        model_id = choose(task)
        rate = task.rates[model_id]
        lost += max(task.rates.values()) - rate
        waiting.append((task, model_id, luck.random() < rate))
        if len(waiting) > world.delay:
            learn(*waiting.pop(0))
    return lost


def random_regret(world: Scenario, run: int) -> float:
    """Return what a random choice is expected to lose in one simulation, exactly."""
    tasks = world.build(Random(f"rates/{world.name}/{run}"))
    return sum(max(task.rates.values()) - sum(task.rates.values()) / len(task.rates) for task in tasks)


def stationary(rng: Random, count: int = 8, low: float = 0.48, high: float = 0.96) -> Iterator[Task]:
    """One task type, rates from U(.48, .96) that stay (thirty models: U(.52, .975))."""
    return repeat(Task(TASK_TYPES[0], _uniform(rng, count, low, high)), STEPS)


def best_drops(rng: Random) -> Iterator[Task]:
    """Eight models, U(.46, .94); halfway the best one falls to half of its rate."""
    before = _uniform(rng, 8, 0.46, 0.94)
    best = max(before, key=before.__getitem__)
    return _halves(before, {**before, best: before[best] / 2})


def best_arrives(rng: Random) -> Iterator[Task]:
    """Eight models, U(.46, .94); the best one is offered from halfway on."""
    after = _uniform(rng, 8, 0.46, 0.94)
    best = max(after, key=after.__getitem__)
    return _halves({model_id: rate for model_id, rate in after.items() if model_id != best}, after)


def near_tie(rng: Random) -> Iterator[Task]:
    """Two models, .70 and .72."""
    return repeat(Task(TASK_TYPES[0], {"model-0": 0.70, "model-1": 0.72}), STEPS)


def poor_becomes_best(rng: Random) -> Iterator[Task]:
    """Eight models, U(.52, .88); halfway the worst one silently becomes the best: .95."""
    before = _uniform(rng, 8, 0.52, 0.88)
    worst = min(before, key=before.__getitem__)
    return _halves(before, {**before, worst: 0.95})


def four_of_eight(rng: Random) -> Iterator[Task]:
    """Eight models, U(.48, .96); each time four of them are offered."""
    rates = _uniform(rng, 8)
    names = list(rates)
    for _ in range(STEPS):
        yield Task(TASK_TYPES[0], {model_id: rates[model_id] for model_id in rng.sample(names, 4)})


def drifting(rng: Random) -> Iterator[Task]:
    """Eight models, U(.48, .96) at first; every rate walks at random, .025 logits (standard deviation) a step."""
    logits = {model_id: _logit(rate) for model_id, rate in _uniform(rng, 8).items()}
    for _ in range(STEPS):
        logits = {model_id: value + rng.gauss(0.0, 0.025) for model_id, value in logits.items()}
        yield Task(TASK_TYPES[0], {model_id: _expit(value) for model_id, value in logits.items()})


def unrelated(rng: Random) -> Iterator[Task]:
    """Twenty task types, equally frequent, eight models, every rate on its own: U(.5, .96)."""
    tasks = [Task(task_type, _uniform(rng, 8, 0.5, 0.96)) for task_type in TASK_TYPES]
    return (rng.choice(tasks) for _ in range(STEPS))


def related(rng: Random) -> Iterator[Task]:
    """Twenty task types, equally frequent, eight models, whose logits are sums.

    1.5 + N(0, .7²) of the model + N(0, 1²) of the task type + N(0, .4²) of the pair.
    """
    skills = [rng.gauss(0.0, 0.7) for _ in range(8)]
    tasks = [_related_task(rng, task_type, skills) for task_type in TASK_TYPES]
    return (rng.choice(tasks) for _ in range(STEPS))


def all_at_once(rng: Random) -> Iterator[Task]:
    """6,000 tasks of twenty related types (as above), every model present for 80 % of them, feedback 20 late.

    After a third the model with the highest skill falls by 2 logits everywhere; after two thirds a ninth arrives,
    whose skill is .3 logits above the highest one there was.
    """
    skills = [rng.gauss(0.0, 0.7) for _ in range(8)]
    tasks = [_related_task(rng, task_type, [*skills, max(skills) + 0.3]) for task_type in TASK_TYPES]
    best, new = f"model-{skills.index(max(skills))}", "model-8"
    length = 3 * STEPS
    for position in range(length):
        task_type, rates = rng.choice(tasks)
        if position >= length // 3:
            rates = {**rates, best: _expit(_logit(rates[best]) - 2.0)}
        there = {model_id: rate for model_id, rate in rates.items() if position >= 2 * length // 3 or model_id != new}
        present = {model_id: rate for model_id, rate in there.items() if rng.random() < 0.8}
        yield Task(task_type, present or there)


SCENARIOS: Final = (
    Scenario("stationary, 8 models", TableRow(370, 34, 27, 32), 300, stationary),
    Scenario("best one drops halfway", TableRow(370, 132, 45, 115), 300, best_drops),
    Scenario("new best arrives", TableRow(342, 41, 33, 33), 300, best_arrives),
    Scenario("20 task types, related", TableRow(272, 161, 61, 62), 100, related),
    Scenario("near tie", TableRow(20, 13, 11, 12), 300, near_tie),
    Scenario("feedback 20 late", TableRow(370, 38, 40, 42), 300, stationary, LATE),
    Scenario("poor one becomes best", TableRow(355, 140, 90, 95), 300, poor_becomes_best),
    Scenario("4 of 8 offered", TableRow(286, 35, 26, 28), 300, four_of_eight),
    Scenario("all at once", TableRow(861, 409, 144, 215), 30, all_at_once, LATE),
    Scenario("drifting", TableRow(452, 56, 46, 52), 300, drifting),
    Scenario("20 types, unrelated", TableRow(357, 175, 137, 139), 50, unrelated),
    Scenario("30 models", TableRow(423, 78, 58, 62), 100, partial(stationary, count=30, low=0.52, high=0.975)),
)


def _uniform(rng: Random, count: int, low: float = 0.48, high: float = 0.96) -> dict[str, float]:
    return {f"model-{number}": rng.uniform(low, high) for number in range(count)}


def _halves(before: Rates, after: Rates) -> Iterator[Task]:
    return chain(repeat(Task(TASK_TYPES[0], before), HALF), repeat(Task(TASK_TYPES[0], after), HALF))


def _related_task(rng: Random, task_type: str, skills: list[float]) -> Task:
    ease = 1.5 + rng.gauss(0.0, 1.0)
    rates = {f"model-{number}": _expit(ease + skill + rng.gauss(0.0, 0.4)) for number, skill in enumerate(skills)}
    return Task(task_type, rates)


def _logit(rate: float) -> float:
    return log(rate / (1.0 - rate))


def _expit(logit: float) -> float:
    return 1.0 / (1.0 + exp(-logit))
