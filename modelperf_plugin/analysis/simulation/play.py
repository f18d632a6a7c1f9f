"""Let a policy that starts with nothing decide tasks in simulated time, and sum up how it went."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import sqrt
from statistics import fmean, stdev
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from modelperf_plugin.config import Config, LogConfig
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.quality import Timeouts, is_verdict
from modelperf_plugin.values import Decision, Outcome

MIGRATION_GUIDE_RULE: Final[Mapping[str, Any]] = {
    "ranking": {"strategy": "success_rate", "min_samples": 3},
    "demotion": {"strategy": "never"},
    "exploration": {"strategy": "never"},
}
"""The migration guide's rule: the best success rate among models with three outcomes or more."""
Progress = Callable[[int, int], None]
"""Called with the number of steps done and in all."""
CURVE_PARTS: Final = 10


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(
        self, now: datetime = datetime(2000, 1, 1, tzinfo=UTC), step: timedelta = timedelta(minutes=1)
    ) -> None:
        self.now = now
        self._step = step

    def __call__(self) -> datetime:
        return self.now

    def advance(self) -> None:
        """Move on by one step."""
        self.now += self._step


@contextmanager
def fresh_engine(config: Config, seed: int) -> Iterator[tuple[ModelPerf, Clock]]:
    """Open an engine without outcomes that applies ``config``, logs no decisions, and runs on the clock beside it."""
    clock = Clock()
    applied = config.model_copy(update={"mode": "apply", "log": LogConfig(share=0.0)})
    with ModelPerf(applied, store=":memory:", clock=clock, seed=seed) as engine:
        yield engine, clock


class Offer(Protocol):
    """A task, and the models that may do it."""

    @property
    def task_type(self) -> str: ...

    @property
    def candidates(self) -> Sequence[str]: ...


OfferT = TypeVar("OfferT", bound=Offer)


class Try(NamedTuple):
    """What one model did on a task."""

    model_id: str
    outcome: Outcome


class Step(NamedTuple, Generic[OfferT]):
    """One decision and the tries that it led to."""

    task: OfferT
    model_id: str
    """The model chosen, which made the first try."""
    explored: bool
    outcome: Outcome
    """That of the first try."""
    later: tuple[Try, ...] = ()
    """The tries after the first one failed, in order."""
    order: tuple[str, ...] = ()
    """The models that would be tried until one succeeds, except those that met an outage."""

    @property
    def tries(self) -> tuple[Try, ...]:
        """Every try of the task, in order."""
        return (Try(self.model_id, self.outcome), *self.later)

    @property
    def solved(self) -> bool:
        """Whether any try succeeded: the last one did."""
        return self.tries[-1].outcome.success


def play(
    config: Config,
    tasks: Iterable[OfferT],
    outcome_of: Callable[[OfferT, str], Outcome],
    *,
    seed: int,
    attempts: int = 1,
    feedback_delay: int = 0,
    on_step: Callable[[], None] = lambda: None,
) -> list[Step[OfferT]]:
    """Let ``config`` decide ``tasks`` a minute apart, learning only the outcomes of its own choices.

    The models of a decision are tried in its order until one succeeds, ``attempts`` of them at most; outages and the
    caller's own errors use up no try, as elsewhere. Outcomes are recorded after ``feedback_delay`` further choices.
    """
    steps: list[Step[OfferT]] = []
    waiting: deque[tuple[Step[OfferT], Decision]] = deque()
    with fresh_engine(config, seed) as (engine, clock):
        for task in tasks:
            decision = engine.select(task.task_type, task.candidates, {"attempts": attempts})
            if decision is None:  # the mode is apply, so nothing was offered
                raise InvalidValueError("candidates", "one model or more", task.candidates)
            first, *later = _tries(task, decision.order, outcome_of, attempts, config.quality.timeouts)
            lost = [each.model_id for each in (first, *later) if not is_verdict(each.outcome, config.quality.timeouts)]
            order = tuple([model_id for model_id in decision.order if model_id not in lost][:attempts])
            step = Step(task, first.model_id, decision.explored, first.outcome, tuple(later), order)
            steps.append(step)
            waiting.append((step, decision))
            if len(waiting) > feedback_delay:
                known, choice = waiting.popleft()
                for model_id, outcome in known.tries:
                    engine.record(known.task.task_type, model_id, outcome, choice)
            clock.advance()
            on_step()
    return steps


def _tries(
    task: OfferT, models: Sequence[str], outcome_of: Callable[[OfferT, str], Outcome], attempts: int, timeouts: Timeouts
) -> Iterator[Try]:
    used = 0
    for model_id in models:
        outcome = outcome_of(task, model_id)
        yield Try(model_id, outcome)
        used += is_verdict(outcome, timeouts)
        if outcome.success or used == attempts:
            return


def standard_error(values: Sequence[float]) -> float | None:
    """Return the standard error of the mean; None for a single value."""
    return stdev(values) / sqrt(len(values)) if len(values) > 1 else None


def parts_of(length: int, parts: int) -> list[slice]:
    """Divide ``length`` items into ``parts`` of nearly equal length; fewer if there are fewer items."""
    return [slice(*edges) for edges in pairwise(sorted({length * part // parts for part in range(parts + 1)}))]


def learning_curve(
    runs: Sequence[Sequence[Step[OfferT]]], reward: Callable[[Step[OfferT]], float]
) -> tuple[float, ...]:
    """Return the mean reward over all runs in each tenth of a run."""
    return tuple(
        fmean(reward(step) for run in runs for step in run[part]) for part in parts_of(len(runs[0]), CURVE_PARTS)
    )


def shares_of(steps: Sequence[Step[OfferT]], models: Iterable[str] = ()) -> dict[str, float]:
    """Return the share of the steps that each model got, largest first, then by name; 0 for unused ``models``."""
    counts = Counter(dict.fromkeys(models, 0))
    counts.update(step.model_id for step in steps)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {model_id: count / len(steps) for model_id, count in ordered}
