"""How far a move has come. It is kept in the target, and written together with what was moved."""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import asdict, dataclass, field
from typing import Any

from modelperf_plugin.store.moving.session import Session


@dataclass(kw_only=True, slots=True)
class State:
    """What was moved so far, in the numbers of the source."""

    origin: str
    """The id of the source."""
    token: str
    """Written at the beginning of a run: a source that has it is the target itself."""
    event: int = 0
    """The last event."""
    settled: int = 0
    """The last event at the end of the last run."""
    offsets: list[tuple[int, int]] = field(default_factory=list)
    """What is added to the numbers of events from one on, in order."""
    revision: int = 0
    """The last verdict that was replaced."""
    keys_until: int = -1
    """The ids of events up to this one were moved; 0 stands for events that are gone."""
    keys_next: int = -1
    """Those up to this one are being moved,"""
    key: str = ""
    """and have been up to this id."""
    number: int = 0
    """The last number of an outcome when their ids were moved,"""
    number_next: int = 0
    """and when it was begun to move them once more."""
    decision: int = 0
    """The last decision."""
    is_complete: bool = False
    """Whether everything was moved at one time, so that hosts may have begun to use the target."""
    totals: list[int] = field(default_factory=list)
    """What was in the target at the end of the last run."""

    @classmethod
    def load(cls, session: Session) -> State | None:
        """Return the state that is kept in a store; None if nothing was moved into it."""
        if not session.value("is_created"):
            return None
        text = session.value("state")
        if text is None:
            return None
        fields: dict[str, Any] = json.loads(text)
        fields["offsets"] = [(first, offset) for first, offset in fields["offsets"]]
        return cls(**fields)

    def save(self, session: Session) -> None:
        """Keep the state in the store, once the transaction is committed."""
        session.run("set_state", state=json.dumps(asdict(self)))

    def event_in_target(self, event_id: int) -> int:
        """Return the number that an event of the source has in the target."""
        place = bisect_right(self.offsets, (event_id, 2**63)) - 1
        return event_id + (self.offsets[place][1] if place >= 0 and event_id > 0 else 0)

    def last_in_row(self, event_id: int) -> int:
        """Return the last event of the source up to which numbers follow each other in the target as well."""
        place = bisect_right(self.offsets, (event_id, 2**63))
        return self.offsets[place][0] - 1 if place < len(self.offsets) else 2**63 - 1

    def make_room(self, first: int, newest: int) -> None:
        """Let the events from ``first`` on follow ``newest``, the last one of the target."""
        offset = self.offsets[-1][1] if self.offsets else 0
        if first + offset <= newest:
            self.offsets.append((first, newest + 1 - first))
