"""Values of a store as they are once the aliases in them are replaced by canonical ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from operator import add
from typing import Any, TypeVar

from modelperf_plugin.json_text import parse_json
from modelperf_plugin.store.ab_tests import DrawnDecisions, StoredContest, StoredTest
from modelperf_plugin.store.decision_records import DecisionOutcome, DecisionRecord
from modelperf_plugin.store.decisions import JoinedOutcome, LoggedCandidate, LoggedDecision
from modelperf_plugin.store.watches import Baseline, CostSums, Event, Faded
from modelperf_plugin.values import LaterTries, PlannedTry, Tally, Tried, combine
from modelperf_plugin.values.names import CanonicalIds

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_Named = TypeVar("_Named", JoinedOutcome, DecisionOutcome, PlannedTry)


def merged(items: Iterable[tuple[_Key, _Value]], plus: Callable[[_Value, _Value], _Value]) -> dict[_Key, _Value]:
    """Return the values by key; those with the same key are added up."""
    sums: dict[_Key, _Value] = {}
    for key, value in items:
        known = sums.get(key)
        sums[key] = value if known is None else plus(known, value)
    return sums


def tallies(found: Mapping[str, Tally], ids: CanonicalIds) -> Mapping[str, Tally]:
    """Return the tallies of one task type by canonical id: the same mapping if it contains no alias."""
    if ids.keys().isdisjoint(found):
        return found
    return merged(((ids.get(name, name), tally(each, ids)) for name, each in found.items()), combine)


def tally(each: Tally, ids: CanonicalIds) -> Tally:
    """Return a tally under the canonical id of its model."""
    name = ids.get(each.model_id)
    return each if name is None else each._replace(model_id=name)


def tried(each: Tried, ids: CanonicalIds) -> Tried:
    """Return a set of failed models with their canonical ids."""
    return each if not each or ids.keys().isdisjoint(each) else tuple(sorted([ids.get(name, name) for name in each]))


def later(found: Mapping[str, Mapping[Tried, LaterTries]], ids: CanonicalIds) -> dict[str, dict[Tried, LaterTries]]:
    """Return later tries by canonical ids, those of the model and those of the models that had failed."""
    sums: dict[str, dict[Tried, LaterTries]] = {}
    for name, sets in found.items():
        own = sums.get(ids.get(name, name), {})
        renamed = [(tried(each, ids), tries) for each, tries in sets.items()]
        sums[ids.get(name, name)] = merged([*own.items(), *renamed], LaterTries.combined)
    return sums


def cost_sums(one: CostSums, other: CostSums) -> CostSums:
    """Return the costs under two names of a model; after a reset only those under names that were reset count."""
    if (one.reset_ms is None) != (other.reset_ms is None):
        return other if one.reset_ms is None else one
    resets = [each.reset_ms for each in (one, other) if each.reset_ms is not None]
    return CostSums(
        one.weighed_nano_usd + other.weighed_nano_usd, one.weighed + other.weighed, one.nano_usd + other.nano_usd,
        one.priced + other.priced, max(resets, default=None),
    )  # fmt: skip


def faded(one: Faded, other: Faded) -> Faded:
    """Return what the outcomes of two names of a model weigh together."""
    sums: list[Any] = [_plus(mine, theirs) for mine, theirs in zip(one, other, strict=True)]
    return Faded(*sums)


def baseline(one: Baseline, other: Baseline) -> Baseline:
    """Return the counts of two names of a model from before its last change; what is not a count is the newer one's."""
    newer = max(one, other, key=lambda each: each.since_ms)
    sums: dict[str, Any] = {
        name: _plus(mine, theirs)
        for name, mine, theirs in zip(Baseline._fields, one, other, strict=True)
        if name not in {"rate", "since_ms", "direction"}
    }
    return newer._replace(**sums)


def event(each: Event, ids: CanonicalIds) -> Event:
    """Return an outcome as the outcome of the canonical model."""
    return each._replace(model_id=ids.get(each.model_id, each.model_id), tried=tried(each.tried, ids))


def decision(each: LoggedDecision, ids: CanonicalIds) -> LoggedDecision:
    """Return a logged decision with canonical ids; what was excluded keeps the names that the host gave."""
    rows = merged(((ids.get(row.model_id, row.model_id), row) for row in each.candidates), _both)
    return replace(
        each,
        model_id=ids.get(each.model_id, each.model_id),
        candidates=tuple(row._replace(model_id=name) for name, row in rows.items()),
        outcome=None if each.outcome is None else named(each.outcome, ids),
        tries=tuple(named(one, ids) for one in each.tries),
        tried=tried(each.tried, ids),
        plan=tuple(named(step, ids) for step in each.plan),
    )


def record(each: DecisionRecord, ids: CanonicalIds) -> DecisionRecord:
    """Return a row of the decision log with canonical ids."""
    if not any(alias in each.record or alias == each.model_id for alias in ids):
        return each
    restored = decision(LoggedDecision.restore(each, None), ids)
    rest = parse_json(each.record, well_formed=True)
    rest["candidates"] = [row.as_record() for row in restored.candidates]
    rest |= {key: getattr(restored, key) for key in ("plan", "tried") if key in rest}
    propensity = next(row.propensity for row in restored.candidates if row.model_id == restored.model_id)
    return each._replace(model_id=restored.model_id, propensity=propensity, record=json.dumps(rest, ensure_ascii=False))


def named(each: _Named, ids: CanonicalIds) -> _Named:
    """Return a value that names a model, with its canonical id."""
    name = ids.get(each.model_id)
    return each if name is None else each._replace(model_id=name)


def test(each: StoredTest, ids: CanonicalIds) -> StoredTest:
    """Return an A/B test between canonical models.

    A contest of a model with itself, or with the same challenger as another one, has ended without a winner.
    """
    incumbent = ids.get(each.incumbent, each.incumbent)
    names = [incumbent, *[ids.get(contest.challenger, contest.challenger) for contest in each.contests]]
    contests = [
        contest._replace(challenger=name)
        if names.count(name) == 1
        else StoredContest(name, contest.state, contest.verdict or "none", contest.decided_ms or each.started_ms)
        for name, contest in zip(names[1:], each.contests, strict=True)
    ]
    return replace(each, incumbent=incumbent, contests=tuple(contests))


def stored_test(each: StoredTest, stored: StoredTest, ids: CanonicalIds) -> StoredTest:
    """Return an A/B test between canonical models under the names of the ``stored`` one, as far as it has them."""
    names = {ids.get(name, name): name for name in [stored.incumbent, *[own.challenger for own in stored.contests]]}
    contests = [
        contest._replace(challenger=names.get(contest.challenger, contest.challenger)) for contest in each.contests
    ]
    return replace(each, incumbent=names.get(each.incumbent, each.incumbent), contests=tuple(contests))


def drawn(each: DrawnDecisions, ids: CanonicalIds) -> DrawnDecisions:
    """Return decisions of a test between canonical models."""
    shares: dict[str, float] = {}
    for name, share in each.shares.items():
        shares[ids.get(name, name)] = shares.get(ids.get(name, name), 0.0) + share
    return each._replace(model_id=ids.get(each.model_id, each.model_id), shares=shares)


def _both(one: LoggedCandidate, other: LoggedCandidate) -> LoggedCandidate:
    """Return the row of a model that was a candidate under two names: the first row, chosen if either was."""
    return one._replace(propensity=one.propensity + other.propensity, cause=one.cause or other.cause)


def _plus(mine: Any, theirs: Any) -> Any:
    """Return the sum of two numbers, or of two tuples of numbers, element by element."""
    return tuple(map(add, mine, theirs)) if isinstance(mine, tuple) else mine + theirs
