"""Outcomes: events with what counts them, the verdicts that were replaced, and the ids by which they are known."""

from __future__ import annotations

from typing import Any, Final

from modelperf_plugin.exchange.moving import sums
from modelperf_plugin.exchange.moving.state import State
from modelperf_plugin.store.moving.session import EventRow, Row, Session

RANGE: Final = 10_000
"""So many numbers of events are moved, and compared later on, at a time."""
PAGE: Final = 5_000
_ALL: Final = 2**62


def changed_ranges(source: Session, target: Session, *, after: int = 0) -> list[int]:
    """Return the ranges of which an event is new, or another one than when it was moved."""
    kept = target.kept("event")
    first = after // RANGE * RANGE
    found = source.rows("event_digests", size=RANGE, first=first, last=_ALL)
    return [number for number, digest in found if kept.get(str(number)) != digest]


def move_range(source: Session, target: Session, state: State, number: int, *, is_last: bool) -> int:
    """Move the new events of a range; with ``is_last`` also what changed in those that were moved before.

    Returns:
        How many events were new.
    """
    bounds = {"first": number * RANGE, "last": (number + 1) * RANGE - 1}
    events = [EventRow._make(row) for row in source.rows("events", **bounds)]
    old = [event for event in events if event.id <= state.event]
    new = events[len(old) :]
    if old and is_last:
        _change(source, target, state, old)
    if new:
        _add(source, target, state, new)
    if is_last or not old:
        (digest,) = [row[1] for row in source.rows("event_digests", size=RANGE, **bounds)] or [""]
        target.keep("event", {str(number): digest})
    return len(new)


def _add(source: Session, target: Session, state: State, new: list[EventRow]) -> None:
    state.make_room(new[0].id, target.value("last_event"))
    moved = [event._replace(id=state.event_in_target(event.id)) for event in new]
    target.add_events(moved)
    served = [
        {"event_id": event.id, "served_id": target.served(event.served_model)}
        for event in moved
        if event.served_model is not None
    ]
    target.run_many("set_served", served)
    sums.add_events(source, target, new[0].id, new[-1].id)
    state.event = new[-1].id


def _change(source: Session, target: Session, state: State, old: list[EventRow]) -> None:
    """Write events that differ. Their sums are settled at the end of the step."""
    bounds = {"first": old[0].id, "last": old[-1].id}
    replaced: dict[int, list[Row]] = {}
    for event_id, *row in source.rows("revisions_in", after=state.revision, **bounds):
        replaced.setdefault(event_id, []).append(tuple(row))
    first, last = (state.event_in_target(each) for each in bounds.values())
    there = {row[0]: EventRow._make(row) for row in target.rows("events", first=first, last=last)}
    for event in old:
        moved = event._replace(id=state.event_in_target(event.id))
        known = there.get(moved.id)
        since = replaced.get(event.id, []) if event.id <= state.settled else []
        if known is None:
            if since:
                _ignore(target, _with_verdict(moved, since[0][1:]), moved)
        elif known != moved or since:
            is_new = event.id > state.settled
            target.run("change_event", **_changeable(moved if is_new else _in_force(target, moved, known, since)))
            if moved.served_model not in {None, known.served_model}:
                target.run("set_served", event_id=moved.id, served_id=target.served(str(moved.served_model)))


def _in_force(target: Session, moved: EventRow, known: EventRow, since: list[Row]) -> EventRow:
    """Return an event with the verdict that was given last: the target's own hosts may have given one as well.

    At the end, the sums are changed by what the event counts in the source more than it did at the last time; so here
    they are changed by what else is missing.
    """
    was = _with_verdict(known, since[0][1:] if since else _verdict(moved))
    if moved.duration_ms != known.duration_ms:  # it was not known at first
        was = was._replace(duration_ms=None)
    if known == was:
        return moved
    final = moved
    own_ms = max((row[1] for row in target.run("revisions_of", event_id=known.id)), default=0)
    if not since or own_ms >= since[-1][0]:
        final = _with_verdict(final, _verdict(known))
    if known.duration_ms is not None:
        final = final._replace(duration_ms=known.duration_ms, retry_after_ms=known.retry_after_ms)
    for event, times in ((was, 1), (known, -1), (moved, -1), (final, 1)):
        target.run("change_event", **_changeable(event))
        sums.add_events(target, target, known.id, known.id, times, is_kept=False)
    return final


def _ignore(target: Session, was: EventRow, moved: EventRow) -> None:
    """Let the sums stay as they are, although the verdict of an event was replaced that is gone in the target."""
    target.add_events([was])
    sums.add_events(target, target, was.id, was.id, 1, is_kept=False)
    target.run("change_event", **_changeable(moved))
    sums.add_events(target, target, was.id, was.id, -1, is_kept=False)
    target.run("delete_event", id=was.id)


def _verdict(event: EventRow) -> Row:
    return event.success, event.timeout, event.tokens, event.cost_nano_usd, event.error_kind, event.score


def _with_verdict(event: EventRow, verdict: Row) -> EventRow:
    names = "success", "timeout", "tokens", "cost_nano_usd", "error_kind", "score"
    return event._replace(**dict(zip(names, verdict, strict=True)))


def _changeable(event: EventRow) -> dict[str, Any]:
    fields = event._asdict()
    names = (
        "id", "success", "timeout", "tokens", "cost_nano_usd", "error_kind", "duration_ms", "score", "retry_after_ms"
    )  # fmt: skip
    return {name: fields[name] for name in names}


def move_revisions(source: Session, target: Session, state: State, until: int) -> int:
    """Move up to a page of the verdicts that were replaced, up to a number; return how many."""
    rows = source.run("revisions", after=state.revision, until=until, limit=PAGE)
    if not rows:
        return 0
    names = "revised_ms", "success", "timeout", "tokens", "cost_nano_usd", "error_kind", "score"
    target.run_many(
        "add_revision",
        [
            {
                "number": None if state.is_complete else number,
                "event_id": state.event_in_target(event_id),
                **dict(zip(names, rest, strict=True)),
            }
            for number, event_id, *rest in rows
        ],
    )
    state.revision = rows[-1][0]
    return len(rows)


def move_keys(source: Session, target: Session, state: State) -> int:
    """Move up to a page of the ids of events that were moved; return how many."""
    if state.keys_next <= state.keys_until:
        state.keys_next, state.number_next, state.key = state.event, source.value("last_number"), ""
    bounds = {"first": state.keys_until, "last": state.keys_next, "after": state.key, "number": state.number}
    rows = source.run("keys", limit=PAGE, **bounds)
    moved = {outcome_id: (state.event_in_target(event_id), event_id) for outcome_id, event_id, _ in rows}
    fields = [
        {"outcome_id": outcome_id, "event_id": moved[outcome_id][0], "decision_id": decision_id}
        for outcome_id, _, decision_id in rows
    ]
    if state.is_complete:
        for each in fields:
            _leave_known(source, target, *moved[each["outcome_id"]], each["outcome_id"])
    target.run_many("add_key", fields)
    target.refer(each["event_id"] for each in fields)
    if len(rows) < PAGE:
        state.keys_until, state.number = max(state.keys_next, 0), state.number_next
    else:
        state.key = rows[-1][0]
    return len(rows)


def _leave_known(source: Session, target: Session, moved: int, event_id: int, outcome_id: str) -> None:
    """Delete a moved event if the target's own hosts have recorded this outcome as well."""
    known = target.value("known_key", outcome_id=outcome_id)
    if known not in {None, moved} and event_id > 0:
        target.run("delete_event", id=moved)
        sums.add_events(source, target, event_id, event_id, -1, is_kept=False)
