"""What a host without the plugin would have got: other ways of choosing, on the same tasks with the same luck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from modelperf_plugin.demo.world import Conditions, World
from modelperf_plugin.values import Outcome

MAX_ATTEMPTS: Final = 3
"""Maximum number of calls for one task while providers fail."""
FIRST_TASKS: Final = 20
MIN_SAMPLES, THRESHOLD = 3, 0.5
"""The migration guide's rule: outcomes before a success rate counts, and the rate below which a model is demoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way of choosing models, and its result on the tasks of a run."""

    name: str
    model_id: str | None
    """The model, if it is always the same one."""
    success_rate: float
    cost_per_success_usd: float | None
    """US dollars for a solved task; None without one."""
    is_hindsight: bool = False
    """Whether nobody could have known beforehand."""


class Task(NamedTuple):
    """One task of a run."""

    number: int
    """Counted from 1."""
    task_type: str
    conditions: Conditions


class Luck:
    """The outcomes of a run: the same for the same task, model and call, whoever makes it."""

    def __init__(self, world: World, seed: object) -> None:
        """Draw by ``seed``."""
        self._world = world
        self._seed = seed
        self._known: dict[tuple[int, str, int], Outcome] = {}

    def outcome(self, task: Task, model_id: str, call: int = 1) -> Outcome:
        """Return the outcome of the ``call``-th call of a model for a task."""
        key = (task.number, model_id, call)
        if key not in self._known:
            text = "/".join(map(str, (self._seed, *key)))
            self._known[key] = self._world.attempt(text, task.task_type, model_id, task.conditions)
        return self._known[key]

    def tries(self, task: Task, order: Sequence[str]) -> Iterator[tuple[str, Outcome]]:
        """Yield each model in turn with its outcome, until one is answered, :data:`MAX_ATTEMPTS` at most."""
        calls: Counter[str] = Counter()
        for model_id in order[:MAX_ATTEMPTS]:
            calls[model_id] += 1
            outcome = self.outcome(task, model_id, calls[model_id])
            yield model_id, outcome
            if outcome.blame != "provider":
                return


def other_ways(world: World, luck: Luck, tasks: Sequence[Task], before: Sequence[Task], seed: object) -> Iterator[Way]:
    """Yield a random model, constants chosen beforehand, the migration guide's rule, and the best constant.

    ``before`` are tasks of the day before, on which all models have been tried.
    """
    start = tasks[0].conditions.offered
    earlier = Luck(world, f"{seed}/before")
    price = {model_id: _list_price(world, model_id) for model_id in world.models}
    rng = Random(f"{seed}/random")

    def best_on(trials: Sequence[Task], trial_luck: Luck) -> str:
        solved = {model_id: _solved(trial_luck, trials, model_id) for model_id in start}
        return max(start, key=lambda model_id: (solved[model_id], price[model_id]))

    def always(name: str, model_id: str, *, is_hindsight: bool = False) -> Way:
        return _way(luck, tasks, name, lambda _: [model_id] * MAX_ATTEMPTS, model_id, is_hindsight=is_hindsight)

    yield _way(luck, tasks, "a random model", lambda task: rng.sample(task.conditions.offered, len(start)))
    yield always("the most expensive", max(start, key=lambda model_id: price[model_id]))
    yield always(f"the best in the first {FIRST_TASKS} tasks", best_on(tasks[:FIRST_TASKS], luck))
    yield always("the best on the day before", best_on(before, earlier))
    yield _guide(luck, tasks, Random(f"{seed}/guide"))
    ways = [always("the best constant", model_id, is_hindsight=True) for model_id in start]
    yield max(ways, key=lambda way: way.success_rate)


def _list_price(world: World, model_id: str) -> float:
    """Return the US dollars for one task of each type at the beginning."""
    return sum(world.expected_cost_usd(task_type, model_id) for task_type in world.task_types)


def _solved(luck: Luck, tasks: Sequence[Task], model_id: str) -> int:
    return sum(luck.outcome(task, model_id).success for task in tasks)


def _way(
    luck: Luck, tasks: Sequence[Task], name: str, order: Callable[[Task], Sequence[str]],
    model_id: str | None = None, on_outcome: Callable[[Task, str, bool], None] = lambda *_: None, *,
    is_hindsight: bool = False,
) -> Way:  # fmt: skip
    solved, cost = 0, 0.0
    for task in tasks:
        for tried, outcome in luck.tries(task, order(task)):
            cost += outcome.cost_usd or 0.0
            solved += outcome.success
            on_outcome(task, tried, outcome.success)
    per_success = cost / solved if solved else None
    return Way(
        name=name, model_id=model_id, success_rate=solved / len(tasks), cost_per_success_usd=per_success,
        is_hindsight=is_hindsight,
    )  # fmt: skip


def _guide(luck: Luck, tasks: Sequence[Task], rng: Random) -> Way:
    """Return the result of the migration guide's tracker: the best success rate first, demoted models last."""
    outcomes: Counter[tuple[str, str]] = Counter()
    successes: Counter[tuple[str, str]] = Counter()

    def order(task: Task) -> list[str]:
        def rank(model_id: str) -> tuple[bool, float]:
            pair = (task.task_type, model_id)
            if outcomes[pair] < MIN_SAMPLES:
                return False, 0.0
            rate = successes[pair] / outcomes[pair]
            return rate < THRESHOLD, -rate

        return sorted(rng.sample(task.conditions.offered, len(task.conditions.offered)), key=rank)

    def on_outcome(task: Task, model_id: str, success: bool) -> None:
        outcomes[task.task_type, model_id] += 1
        successes[task.task_type, model_id] += success

    return _way(luck, tasks, "the migration guide's rule", order, on_outcome=on_outcome)
