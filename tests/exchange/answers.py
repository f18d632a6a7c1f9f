"""Everything that the roles of a store answer, to compare two stores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    ids = [f"{model_id}-{number}" for model_id in "abxy" for number in range(3)]
    ids += [f"decision:{each.decision_id}" for _, each, _ in decisions]
    return {
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
        "changes": store.changes.all(),
        "demotions": store.demotions.all(),
        "watch states": _sorted(store.watch_states.load()),
        "decisions": [(number, decision, _unnumbered(joined)) for number, decision, joined in decisions],
        "explained": [_explained(log.get(each.decision_id)) for _, each, _ in decisions],
        "follow-ups": [[_explained(one) for one in log.follow_ups(each.decision_id)] for _, each, _ in decisions],
        "summary": {
            mode: each._replace(exploring=round(each.exploring, 9)) for mode, each in log.summary(NOW_MS).modes.items()
        },
        "unmatched": [store.unmatched.of(each) for each in ("not-logged", "nothing")],
        "verdicts": dict(store.outcomes.verdicts_of(ids)),
        "A/B tests": store.ab_tests.all(ended=True),
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
        "imports": store.imports.all(),
        "attached": store.attachments.all(),
        "merged": (
            store.merged.origin(),
            store.merged.all(),
            store.merged.priors(),
            store.merged.task_types((0, ""), 9),
        ),
        "problems": store.problems.all(),
    }


def _unnumbered(outcome: JoinedOutcome | None) -> JoinedOutcome | None:
    """Return an outcome without the number by which an outcome without an id is known: that is the store's own."""
    return outcome._replace(ref=None) if outcome is not None and isinstance(outcome.ref, int) else outcome


def _explained(decision: LoggedDecision | None) -> Any:
    return decision and repr(
        [_unnumbered(each) if isinstance(each, JoinedOutcome) else each for each in _flat(decision)]
    )


def _flat(value: Any) -> Iterator[Any]:
    for each in value if isinstance(value, tuple) else (getattr(value, name) for name in value.__slots__):
        if isinstance(each, tuple) and not isinstance(each, JoinedOutcome):
            yield from each
        else:
            yield each


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
