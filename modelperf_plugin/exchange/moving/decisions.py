"""The log of decisions: each with its outcomes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from modelperf_plugin.exchange.moving.rows import Numbers
from modelperf_plugin.exchange.moving.state import State
from modelperf_plugin.exchange.moving.sums import name_of
from modelperf_plugin.store.moving.session import DecisionRow, OutcomeRow, Row, Session

RANGE: Final = 1_000
"""So many numbers of decisions are moved, and compared later on, at a time."""
_ALL: Final = 2**62
_WIDTH: Final = len(DecisionRow._fields)
_NO_NUMBER: Final = -1
_Outcomes = dict[str, list[tuple[int, OutcomeRow]]]
"""By decision: the outcomes with their numbers, the one in the decision first."""


def changed_ranges(source: Session, target: Session, *, after: int = 0) -> list[int]:
    """Return the ranges of which a decision is new, or has other outcomes than when it was moved."""
    kept = target.kept("decision")
    first = after // RANGE * RANGE
    found = source.rows("decision_digests", size=RANGE, first=first, last=_ALL)
    return [number for number, digest in found if kept.get(str(number)) != digest]


def move_range(source: Session, target: Session, state: State, number: int, numbers: Numbers, *, is_last: bool) -> int:
    """Move the new decisions of a range; with ``is_last`` also new outcomes of those that were moved before.

    Returns:
        How many decisions were new.
    """
    bounds = {"first": number * RANGE, "last": (number + 1) * RANGE - 1}
    decisions, outcomes = _read(source, bounds, state)
    old = [each for each in decisions if each.number <= state.decision]
    new = decisions[len(old) :]
    if old and is_last:
        _change(target, old, outcomes)
    if new:
        newest = target.value("last_decision")
        target.run_many(
            "add_decision",
            [
                {
                    **each._asdict(),
                    "number": each.number if not state.is_complete and each.number > newest else None,
                    "ab_test_id": None if each.ab_test_id is None else numbers.of("ab_test", each.ab_test_id),
                }
                for each in new
            ],
        )
        _write(target, {each.id: outcomes.get(each.id, []) for each in new}, ())
        state.decision = new[-1].number
    if is_last or not old:
        (digest,) = [row[1] for row in source.rows("decision_digests", size=RANGE, **bounds)] or [""]
        is_pending = any(each.event_id == _NO_NUMBER for all_of in outcomes.values() for _, each in all_of)
        target.keep("decision", {str(number): "" if is_pending else digest})
    return len(new)


def _read(source: Session, bounds: dict[str, int], state: State | None) -> tuple[list[DecisionRow], _Outcomes]:
    """Return decisions and their outcomes; events have the numbers of the target, or of the source without a state."""
    decisions, outcomes = [], {}
    for row in source.run("decisions", **bounds):
        decision = DecisionRow._make(row[:_WIDTH])
        decisions.append(decision)
        outcomes[decision.id] = _outcome_in(row, state)
    for decision_id, number, *rest in source.run("tries", **bounds):
        outcomes[decision_id].append((number, _outcome(rest, state)))
    return decisions, outcomes


def _outcome_in(row: Row, state: State | None) -> list[tuple[int, OutcomeRow]]:
    number, model_id, *rest = row[_WIDTH:]
    return [] if model_id is None else [(number or 1, _outcome((model_id, *rest), state))]


def _outcome(row: Iterable[Any], state: State | None) -> OutcomeRow:
    outcome = OutcomeRow._make(row)
    if outcome.event_id is None or state is None:
        return outcome
    return outcome._replace(event_id=state.event_in_target(outcome.event_id))


def _change(target: Session, old: list[DecisionRow], outcomes: _Outcomes) -> None:
    """Add the outcomes that came since; those of the target's own hosts stay."""
    changed = {}
    for decision in old:
        there = _outcomes_of(target, decision.id)
        here = outcomes[decision.id]
        if there is not None and here != there:  # if it was not deleted there
            changed[decision.id] = _joined(target, decision.model_id, here, there)
    _write(target, changed, changed)


def _outcomes_of(target: Session, decision_id: str) -> list[tuple[int, OutcomeRow]] | None:
    """Return the outcomes of a decision in the target; None if it is not there."""
    found = target.run("decision_by_id", id=decision_id)
    if not found:
        return None
    number = found[0][0]
    tries = target.run("tries", first=number, last=number)
    return _outcome_in(found[0], None) + [(place, _outcome(rest, None)) for _, place, *rest in tries]


def _joined(
    target: Session, model_id: str, here: list[tuple[int, OutcomeRow]], there: list[tuple[int, OutcomeRow]]
) -> list[tuple[int, OutcomeRow]]:
    """Return the outcomes of both sides with the verdicts that are in force in the target."""
    ours, theirs = ({(each.model_id, each.ended_ms) for _, each in side} for side in (there, here))
    if ours <= theirs:
        return [(number, _in_force(target, each)) for number, each in here]
    if theirs <= ours:
        return [(number, _in_force(target, each)) for number, each in there]
    more = [each for _, each in here if (each.model_id, each.ended_ms) not in ours]
    all_of = [each for _, each in sorted(there, key=lambda item: item[0])] + more
    first = next((place for place, each in enumerate(all_of, 1) if each.model_id == model_id), 1)
    numbered = list(enumerate(all_of, 1))
    return [numbered.pop(first - 1), *numbered]


def _in_force(target: Session, outcome: OutcomeRow) -> OutcomeRow:
    event_id = outcome.event_id
    if outcome.outcome_id is not None:
        event_id = target.value("known_key", outcome_id=outcome.outcome_id)
    rows = target.run("events", first=event_id, last=event_id) if event_id else []
    if not rows:
        return outcome
    success, timeout, tokens, cost_nano_usd, error_kind, _, score = rows[0][4:11]
    return outcome._replace(
        success=success, timeout=timeout, tokens=tokens, cost_nano_usd=cost_nano_usd, error_kind=error_kind, score=score
    )


def _write(target: Session, outcomes: _Outcomes, known: Iterable[str]) -> None:
    target.run_many("forget_tries", [{"decision_id": each} for each in known])
    first = {decision_id: each[0] for decision_id, each in outcomes.items() if each}
    target.run_many(
        "join_decision",
        [
            {**_fields(outcome), "decision_id": decision_id, "outcome_number": None if number == 1 else number}
            for decision_id, (number, outcome) in first.items()
        ],
    )
    target.run_many(
        "add_try",
        [
            {**_fields(outcome), "decision_id": decision_id, "number": number}
            for decision_id, each in outcomes.items()
            for number, outcome in each[1:]
        ],
    )
    target.refer(_events(outcome for each in outcomes.values() for _, outcome in each))


def _fields(outcome: OutcomeRow) -> dict[str, Any]:
    """Return an outcome to be written; one without a number yet is as one whose event is gone, until the next step."""
    fields = outcome._asdict()
    if outcome.event_id == _NO_NUMBER:
        fields["event_id"] = 0
    return fields


def _events(outcomes: Iterable[OutcomeRow]) -> list[int]:
    """Return the events by which outcomes are known."""
    return [each.event_id for each in outcomes if each.event_id is not None and each.event_id > 0]


def sync_unmatched(source: Session, target: Session, state: State) -> None:
    """Bring the outcomes that wait for their decision to the target, where the decision may be."""
    here = {name_of(row[:3]): (row[0], _outcome(row[1:], state)) for row in source.rows("unmatched")}
    kept = target.kept("unmatched")
    changed = {name: each for name, each in here.items() if kept.get(name) != [each[0], *each[1]]}
    waiting = []
    for decision_id, outcome in changed.values():
        there = _outcomes_of(target, decision_id)
        if there is None:
            waiting.append({"decision_id": decision_id, **_fields(outcome)})
        else:
            model_id = target.run("decision_by_id", id=decision_id)[0][4]
            _write(target, {decision_id: _joined(target, model_id, [(1, outcome)], there)}, [decision_id])
    target.run_many("add_unmatched", waiting)
    target.refer(_events(outcome for _, outcome in changed.values()))
    target.keep("unmatched", {name: [decision_id, *outcome] for name, (decision_id, outcome) in changed.items()})
    gone = {name: values for name, values in kept.items() if name not in here}
    target.run_many(
        "delete_unmatched",
        [dict(zip(("decision_id", "model_id", "ended_ms"), values[:3], strict=True)) for values in gone.values()],
    )
    target.forget("unmatched", gone)
