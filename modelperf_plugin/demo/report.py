"""The results of a demo: what it got, what it lived through, and what it learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Final, NamedTuple

from modelperf_plugin.analysis.simulation.play import parts_of
from modelperf_plugin.demo.comparison import Task, Way
from modelperf_plugin.demo.world import DAYS, SOURCES, Happening, World
from modelperf_plugin.values import Decision, Outcome

_PARTS: Final = 3


class Attempt(NamedTuple):
    model_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoTask:
    """One task with its attempts."""

    task: Task
    decision: Decision | None
    """None if the plugin had no opinion."""
    attempts: tuple[Attempt, ...]
    """All but the last met an outage."""

    @property
    def number(self) -> int:
        """Counted from 1."""
        return self.task.number

    @property
    def task_type(self) -> str:
        return self.task.task_type

    @property
    def success(self) -> bool:
        """Whether the last attempt succeeded."""
        return self.attempts[-1].outcome.success

    @property
    def cost_usd(self) -> float:
        """US dollars for all attempts."""
        return sum(attempt.outcome.cost_usd or 0.0 for attempt in self.attempts)


class Noticed(NamedTuple):
    """A model that was found to do worse."""

    model_id: str
    day: float
    """Days since the beginning of the run."""


@dataclass(frozen=True, slots=True)
class CurvePart:
    """A part of the run."""

    tasks: int
    success_rate: float
    expected_success: float
    """Mean true success rate of the chosen models: the quality of the choices, without luck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """Something that happened to a model, and what came of it."""

    day: float
    """Days since the beginning of the run."""
    model_id: str
    what: str
    share_before: float
    """Share of the tasks that the model did from the last happening to this one."""
    share_after: float
    """Share of the tasks that it did while an outage lasted, or from then to the next happening."""
    noticed_day: float | None
    """When the plugin found that the model does worse; None if it did not, or that is not what happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTypeSummary:
    """The plugin's final belief about one task type, and the truth at the end."""

    task_type: str
    benchmark: str
    """The benchmark behind its success rates."""
    tasks: int
    success_rate: float
    learned_model: str | None
    """The model ranked first at the last task of this type; None if the plugin had no opinion."""
    estimate: float | None
    """The plugin's estimate of its success rate; ``interval`` is the 95 % interval."""
    interval: tuple[float, float] | None
    learned_success: float | None
    """Its true success rate."""
    best_model: str
    """The truly best model; ``best_success`` is its true success rate."""
    best_success: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """The results of a run."""

    tasks: int
    attempts: int
    """Calls of models, retries included."""
    outages: int
    timeouts: int
    explored: int
    """Tasks given to a model other than the best-ranked one, to learn about it."""
    success_rate: float
    cost_usd: float
    cost_per_success_usd: float | None
    """None without a success."""
    ways: tuple[Way, ...]
    """What other ways of choosing would have got, on the same tasks with the same luck."""
    happenings: tuple[Lived, ...]
    """What happened to the models, in the order of time."""
    curve: tuple[CurvePart, ...]
    """The run in three parts, first to last."""
    learned: tuple[TaskTypeSummary, ...]
    sources: tuple[str, ...] = SOURCES

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        values = asdict(self)
        for row in values["learned"]:
            row["interval"] = row["interval"] and list(row["interval"])
        for name in ("ways", "happenings", "curve", "learned", "sources"):
            values[name] = list(values[name])
        return values


def report_of(
    world: World, done: Sequence[DemoTask], noticed: Sequence[Noticed], ways: tuple[Way, ...]
) -> DemoReport:  # fmt: skip
    """Sum up a run."""
    outcomes = [attempt.outcome for each in done for attempt in each.attempts]
    successes = sum(each.success for each in done)
    cost_usd = sum(each.cost_usd for each in done)
    counts = {name: [each for each in done if each.task_type == name] for name in world.task_types}
    return DemoReport(
        tasks=len(done), attempts=len(outcomes), outages=sum(outcome.blame == "provider" for outcome in outcomes),
        timeouts=sum(outcome.timeout for outcome in outcomes),
        explored=sum(each.decision is not None and each.decision.explored for each in done),
        success_rate=successes / len(done), cost_usd=cost_usd,
        cost_per_success_usd=cost_usd / successes if successes else None, ways=ways,
        happenings=tuple(_lived(world, done, noticed)), curve=_curve(world, done),
        learned=tuple(_learned(world, name, own) for name, own in counts.items() if own),
    )  # fmt: skip


def _lived(world: World, done: Sequence[DemoTask], noticed: Sequence[Noticed]) -> Iterator[Lived]:
    """Yield what happened, with the model's share of the tasks before and after."""
    days = [each.day for each in world.happenings]
    for position, each in enumerate(world.happenings):
        begin = days[position - 1] if position else 0.0
        end = days[position + 1] if position + 1 < len(days) else float(DAYS)
        found = [day for model_id, day in noticed if model_id == each.model and each.day <= day]
        yield Lived(
            day=each.day, model_id=each.model, what=_what(each), share_before=_share(done, each.model, begin, each.day),
            share_after=_share(done, each.model, each.day, each.day + each.hours / 24 if each.hours else end),
            noticed_day=min(found) if found and each.do == "decline" else None,
        )  # fmt: skip


def _what(happening: Happening) -> str:
    return {
        "outage": f"answers no call for {happening.hours:g} hours",
        "price": f"costs {happening.factor:.0%} of what it did".replace("%", " %"),
        "decline": f"solves {happening.factor:.0%} of what it did".replace("%", " %"),
        "arrival": "arrives",
    }[happening.do]


def _share(done: Sequence[DemoTask], model_id: str, begin: float, end: float) -> float:
    """Return the share of the tasks from one day to another that a model did."""
    within = [each for each in done if begin <= DAYS * (each.number - 1) / len(done) < end]
    return fmean(each.attempts[-1].model_id == model_id for each in within) if within else 0.0


def _curve(world: World, done: Sequence[DemoTask]) -> tuple[CurvePart, ...]:
    """Return ``done`` in parts of nearly equal length; fewer if there are fewer tasks."""
    return tuple(
        CurvePart(
            len(done[part]),
            fmean(each.success for each in done[part]),
            fmean(world.rate(each.task_type, each.attempts[0].model_id, each.task.conditions) for each in done[part]),
        )
        for part in parts_of(len(done), _PARTS)
    )


def _learned(world: World, task_type: str, own: Sequence[DemoTask]) -> TaskTypeSummary:
    conditions, decision = own[-1].task.conditions, own[-1].decision
    first = None if decision is None else decision.ranking[0]
    best = world.best_now(task_type, conditions)
    return TaskTypeSummary(
        task_type=task_type, benchmark=world.task_types[task_type].benchmark, tasks=len(own),
        success_rate=fmean(each.success for each in own), learned_model=None if first is None else first.model_id,
        estimate=None if first is None else first.score, interval=None if first is None else first.interval,
        learned_success=None if first is None else world.rate(task_type, first.model_id, conditions), best_model=best,
        best_success=world.rate(task_type, best, conditions),
    )  # fmt: skip
