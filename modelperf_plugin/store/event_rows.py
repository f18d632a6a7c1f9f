"""From rows of events to values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from modelperf_plugin.store.rows import numbers
from modelperf_plugin.store.tried import tried_of
from modelperf_plugin.store.watches import Event, Revision
from modelperf_plugin.values import BLAMES, WHOLE_SCORE


def revisions_of(rows: Iterable[Sequence[Any]]) -> list[Revision]:
    """Return the verdicts that were replaced, each row with that and the one that replaced it."""
    return [
        Revision(
            each,
            _event((event_id, task_type, model_id, *was[:2], ended, was[2], tried, was[3], None)),
            _event((event_id, task_type, model_id, *now[:2], ended, now[2], tried, now[3], None)),
        )
        for each, event_id, task_type, model_id, ended, tried, *verdicts in rows
        for was, now in [(verdicts[:4], verdicts[4:])]
    ]


def events_of(rows: Iterable[Sequence[Any]]) -> list[Event]:
    """Return the outcomes in some rows."""
    return [_event(row) for row in rows]


def _event(row: Sequence[Any]) -> Event:
    number, task_type, model_id, won, kind, ended, late, tried, score, retry_after = row
    return Event(
        number,
        task_type,
        model_id,
        bool(won),
        None if won else BLAMES.get(kind, "model"),
        ended,
        bool(late),
        () if tried is None else tried_of(tried),
        None if score is None else score / WHOLE_SCORE,
        retry_after,
        None if won else kind,
    )


def back_of(row: Any) -> tuple[str, int]:
    """Return a model that was declared available, and the newest outcome then."""
    model_id, state = row
    (event_id,) = numbers(state)
    return model_id, int(event_id)
