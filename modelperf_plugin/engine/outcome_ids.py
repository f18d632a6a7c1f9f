"""Refuses outcomes whose id was given to an outcome of another model or task type: they would not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.store.entries import Entry, Recorded, decision_of
from modelperf_plugin.store.roles import Outcomes

_RULE: Final = "unique: an outcome of another model or task type was recorded with it, and this one would not count"


def refuse_taken(outcomes: Outcomes, entry: Entry, recorded: Recorded) -> None:
    """Raise InvalidValueError if an outcome changed nothing because its id is that of another one."""
    if recorded is Recorded.NOTHING and find_taken(outcomes, [entry]) is not None:
        raise InvalidValueError("outcome_id", _RULE, entry.outcome.outcome_id)


def refuse_any_taken(outcomes: Outcomes, entries: Sequence[Entry]) -> None:
    """Raise InvalidValueError if one of many outcomes has the id of another one, among them or recorded before."""
    position = find_taken(outcomes, entries)
    if position is not None:
        raise InvalidValueError(f"outcomes[{position}].outcome_id", _RULE, entries[position].outcome.outcome_id)


def find_taken(outcomes: Outcomes, entries: Sequence[Entry]) -> int | None:
    """Return the position of the first outcome whose id is that of another one; None if there is none."""
    named = [
        (position, entry.outcome.outcome_id, entry[:2])
        for position, entry in enumerate(entries)
        if entry.outcome.outcome_id is not None and decision_of(entry.outcome.outcome_id) is None
    ]
    if not named:
        return None
    pairs = {outcome_id: each[:2] for outcome_id, each in outcomes.verdicts_of({each[1] for each in named}).items()}
    return next((position for position, outcome_id, pair in named if pairs.setdefault(outcome_id, pair) != pair), None)
