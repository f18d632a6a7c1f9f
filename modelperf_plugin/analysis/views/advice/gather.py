"""Reads what findings are made from, and makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from math import sqrt
from typing import Final

from modelperf_plugin.analysis.views.ab_tests import trials
from modelperf_plugin.analysis.views.advice import models, policies, questions, recorded
from modelperf_plugin.analysis.views.advice.values import Advice, Estimate, Facts, TaskFacts
from modelperf_plugin.analysis.views.trends import Period
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.store import DecisionSums, TrendStep
from modelperf_plugin.values import to_milliseconds

DAYS: Final = 30
MAX_TASK_TYPES: Final = 50
"""Findings about models and policies are made for the task types with the most outcomes."""
NEWEST: Final = 20
"""Decisions whose candidates are what hosts offer."""
MIN_PRICED: Final = 20
MIN_DAYS: Final = 5
"""Days with costs from which a mean has an interval."""
_Z: Final = 2.5
"""Larger than the normal quantile, because there are few days."""

Rule = Callable[[Facts], Iterator[Advice]]
RULES: Final[tuple[Rule, ...]] = (
    recorded.empty_verdicts,
    recorded.unreported,
    recorded.missing_costs,
    recorded.ids,
    recorded.spellings,
    recorded.single,
    recorded.aliases,
    policies.decided_tests,
    models.cheaper,
    models.unneeded,
    policies.settled,
    questions.open_questions,
    policies.idle_threshold,
)
"""In the order of the answer: what spoils the evidence comes before what the evidence says."""


def advise(engine: ModelPerf, task_type: str | None = None, *, now: datetime | None = None) -> tuple[Advice, ...]:
    """Return what an operator should change, the most important first; of one task type, or of all.

    Nothing is changed. The condition of each finding is in the docstring of its rule, in :data:`RULES`.
    """
    found = findings(facts_of(engine, now=now))
    return tuple(each for each in found if task_type is None or not each.task_types or task_type in each.task_types)


def findings(facts: Facts) -> Iterator[Advice]:
    """Yield the findings of all rules."""
    for rule in RULES:
        yield from rule(facts)


def facts_of(engine: ModelPerf, *, now: datetime | None = None) -> Facts:
    """Read what findings are made from: all counts, and the last :data:`DAYS` days in detail."""
    now = now or datetime.now(UTC)
    store, period = engine.store, Period.last(DAYS, now=now)
    totals = {tally.task_type: tally.samples for tally in store.trends.totals_of_task_types(period.days)}
    names = sorted(totals, key=lambda name: (-totals[name], name))[:MAX_TASK_TYPES]
    sums = {each.task_type: each for each in store.trends.decision_sums(period.days, to_milliseconds(now))
            if each.mode == "apply"}  # fmt: skip
    return Facts(
        config=engine.config,
        tallies=tuple(store.tallies.all()),
        tasks=tuple(_tasks(engine, names, period, sums)),
        trials=trials(engine, now=now),
        days=DAYS,
    )


def _tasks(
    engine: ModelPerf, names: Iterable[str], period: Period, sums: dict[str, DecisionSums]
) -> Iterator[TaskFacts]:
    trends = engine.store.trends
    for name in names:
        try:
            decision = engine.explain(name)
        except InvalidValueError:
            continue  # not a name of a task type: another program has written it past all checks
        steps = trends.series(period.days, name)
        recent: dict[str, int] = {}
        for step in steps:
            recent[step.tally.model_id] = recent.get(step.tally.model_id, 0) + step.tally.samples
        newest = trends.decisions(period.days, name, limit=NEWEST)
        offered = frozenset(each.model_id for logged in newest for each in logged.candidates)
        counts = sums.get(name)
        yield TaskFacts(
            task_type=name,
            policy=engine.config.policy_for(name),
            models=() if decision is None else decision.ranking.rows,
            recent=recent,
            costs=dict(mean_costs(steps)),
            offered=offered or None,
            decisions=0 if counts is None else counts.decisions,
            overdue=0 if counts is None else counts.overdue,
            with_outcome=0 if counts is None else counts.with_outcome,
        )


def mean_costs(steps: Sequence[TrendStep]) -> Iterator[tuple[str, Estimate]]:
    """Yield the mean cost of a try of each model, with an interval from how much it differs between days.

    Source: W. G. Cochran, "Sampling Techniques", 1977, section 6.3 (the variance of a ratio).
    """
    by_model: dict[str, list[tuple[float, int]]] = {}
    for step in steps:
        if step.tally.priced:
            by_model.setdefault(step.tally.model_id, []).append((step.tally.total_cost_usd, step.tally.priced))
    for model_id, days in by_model.items():
        priced = sum(number for _, number in days)
        if priced < MIN_PRICED:
            continue
        mean = sum(cost for cost, _ in days) / priced
        interval = None
        if (size := len(days)) >= MIN_DAYS:
            spread = sum((cost - mean * number) ** 2 for cost, number in days) * size / (size - 1)
            half = _Z * sqrt(spread) / priced
            interval = (max(0.0, mean - half), mean + half)
        yield model_id, Estimate(mean, interval)
