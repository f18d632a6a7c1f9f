"""Everything that the roles of a store answer, to compare two stores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.store import Store
from modelperf_plugin.store.decisions import JoinedOutcome, LoggedDecision
from modelperf_plugin.store.roles import EVERYTHING
from modelperf_plugin.store.trends import Days

NOW_MS = 1_767_355_200_000
DAYS = Days(20_000, 1_000, 7)


def answers(store: Store) -> dict[str, Any]:
    """Return what every role answers, by the name of the question."""
    tallies, events, log = store.tallies.all(), store.events, store.decisions
    task_types = sorted({each.task_type for each in tallies})
    decisions = log.after(0, 10_000)
    ids = [each for number in range(300) for each in (f"a-{number}", f"outcome-{number}", f"try-{number}")]
    found: dict[str, Any] = {
        "tallies": tallies,
        "of": {each: dict(store.tallies.of(each)) for each in task_types},
        "later": {
            each: {model: dict(sets) for model, sets in store.tallies.later(each).items()} for each in task_types
        },
        "faded": store.tallies.faded(EVERYTHING, 20_500, 30.0),
        "durations": store.tallies.durations(EVERYTHING, 20_500, 30.0),
        "costs": {each: store.tallies.costs(each, 20_500, 30.0, {}) for each in task_types},
        "baselines": store.tallies.baselines(),
        "events": events.after(0, 10_000),
        "last event": events.last_id(),
        "revisions": events.revised_after(0, 10_000),
        "long outages": events.long_outages(0, events.last_id(), NOW_MS),
        "back": events.back(),
        "changes": [each._replace(change_id=0) for each in store.changes.all()],
        "demotions": [each._replace(demotion_id=0) for each in store.demotions.all()],
        "watch states": _sorted(store.watch_states.load()),
        "decisions": [(number, decision, _unnumbered(joined)) for number, decision, joined in decisions],
        "explained": [_explained(log.get(each.decision_id)) for _, each, _ in decisions],
        "follow-ups": [[_explained(one) for one in log.follow_ups(each.decision_id)] for _, each, _ in decisions],
        "summary": log.summary(NOW_MS),
        "unmatched": [store.unmatched.of(each) for each in ("not-logged", "nothing")],
        "verdicts": dict(store.outcomes.verdicts_of(ids)),
        "A/B tests": [replace(each, test_id=0) for each in store.ab_tests.all(ended=True)],
        "trends": (store.trends.totals(DAYS), store.trends.series(DAYS)),
        "trends of task types": (
            store.trends.totals_of_task_types(DAYS),
            _sorted(store.trends.series_of_task_types(DAYS)),
        ),
        "decision sums": _sorted(store.trends.decision_sums(DAYS, NOW_MS)),
        "costs by day": store.spending.by_day(0),
        "cost events": store.spending.after(0, 10_000, events.last_revision()),
        "corrections": store.spending.corrections(0, 10_000),
        "estimated": store.spending.estimated(),
        "served models": store.served_models.counts(),
        "imports": [each._replace(import_id=0) for each in store.imports.all()],
        "attached": store.attachments.all(),
        "merged": [each._replace(merged_id=0) for each in store.merged.all()],
        "priors": store.merged.priors(),
        "task types of priors": [name for _, name in store.merged.task_types((0, ""), 9)],
        "problems": sorted(store.problems.all()),
    }
    return {question: _rounded(answer) for question, answer in found.items()}


def _rounded(value: Any) -> Any:
    """Return a value with the digits that do not depend on the order in which numbers were added up."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: _rounded(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    if is_dataclass(value):
        return [_rounded(getattr(value, each.name)) for each in fields(value)]
    return value


def _unnumbered(outcome: JoinedOutcome | None) -> JoinedOutcome | None:
    """Return an outcome without the number by which an outcome without an id is known: that is the store's own."""
    return outcome._replace(ref=None) if outcome is not None and isinstance(outcome.ref, int) else outcome


def _explained(decision: LoggedDecision | None) -> LoggedDecision | None:
    if decision is None:
        return None
    tries = tuple(each for each in map(_unnumbered, decision.tries) if each is not None)
    return replace(decision, outcome=_unnumbered(decision.outcome), tries=tries)


def _sorted(values: Any) -> Any:
    if isinstance(values, tuple):
        return tuple(_sorted(each) if isinstance(each, list) else each for each in values)
    return sorted(values, key=repr) if isinstance(values, Iterable) else values


def ranks(location: str, task_types: Iterable[str], models: list[str]) -> list[Any]:
    """Return what the engine says about models on a store."""
    with ModelPerf({"log": {"share": 0.0}}, store=location, seed=1) as engine:
        explained = [engine.explain(each, models) for each in task_types]
        return [
            each and [(row.model_id, row.score, row.status, row.reason) for row in each.ranking] for each in explained
        ]
