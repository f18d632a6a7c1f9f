"""Tickets: what has to be known of a try to give it a verdict later, as text."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, NamedTuple, Self, TypeGuard
from zlib import crc32

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.values import Outcome, check_id, from_milliseconds

_PREFIX: Final = "mpt1."
_ANY_VERSION: Final = "mpt"
_CHECKSUM_BYTES: Final = 4
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class Ticket(NamedTuple):
    """A try and what was measured of it.

    As text it has letters, digits, ``.``, ``-`` and ``_`` only: safe in JSON, addresses and logs. A prompt or an answer
    is never in it.
    """

    decision_id: str | None
    task_type: str
    model_id: str
    outcome_id: str
    tokens_used: int
    cost_usd: float
    duration_seconds: float
    ended_ms: int
    """In milliseconds since the Unix epoch."""
    timeout: bool
    is_recorded: bool
    """Whether the store has its outcome already, so that a verdict replaces another one."""
    served_model: str | None = None
    """The model that has really answered, if that is known and another one."""

    def report(self, record: Callable[[Outcome], bool], success: bool | None, score: float | None) -> bool:
        """Record the verdict of the try by ``record``, which returns whether that changed the store; return whether.

        Its first verdict belongs to the time when it ended, further ones to now: an earlier one would not replace them.

        Raises:
            InvalidValueError: there is no verdict, or an invalid one.
        """
        if not self.is_recorded and record(self._outcome(success, score, from_milliseconds(self.ended_ms))):
            return True
        return record(self._outcome(success, score))

    def _outcome(self, success: bool | None, score: float | None, ended: datetime | None = None) -> Outcome:
        return Outcome(
            success=success,  # type: ignore[arg-type]  # then the score decides
            score=score,
            timeout=self.timeout,
            tokens_used=self.tokens_used,
            cost_usd=self.cost_usd,
            duration_seconds=self.duration_seconds,
            outcome_id=self.outcome_id,
            timestamp=ended,
            served_model=self.served_model,
        )

    def __str__(self) -> str:
        text = _encode(self[:-1] if self.served_model is None else self).encode()
        packed = crc32(text).to_bytes(_CHECKSUM_BYTES) + text
        return _PREFIX + urlsafe_b64encode(packed).rstrip(b"=").decode()

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the ticket in a text.

        Raises:
            InvalidValueError: it is damaged, or from a version that is not known.
        """
        if not text.startswith(_PREFIX):
            raise InvalidValueError("ticket", f"a ticket that begins with {_PREFIX} (it is of another version)", text)
        try:
            packed = urlsafe_b64decode(text[len(_PREFIX) :] + "=" * (-(len(text) - len(_PREFIX)) % 4))
            checksum, content = packed[:_CHECKSUM_BYTES], packed[_CHECKSUM_BYTES:]
            if crc32(content).to_bytes(_CHECKSUM_BYTES) != checksum:
                raise ValueError  # noqa: TRY301
            ticket = cls(*json.loads(content))
            ticket.check()
        except (ValueError, TypeError, RecursionError):
            requirement = "a whole and unchanged ticket, as task.ticket returned it"
            raise InvalidValueError("ticket", requirement, text) from None
        return ticket

    def check(self) -> None:
        """Raise a ValueError or TypeError unless all fields are possible."""
        for name in ("task_type", "model_id", "outcome_id"):
            check_id(name, getattr(self, name))
        if self.decision_id is not None:
            check_id("decision_id", self.decision_id)
        self._outcome(success=True, score=None, ended=from_milliseconds(self.ended_ms))


def is_ticket(text: Any) -> TypeGuard[str]:
    """Return whether a text is meant as a ticket, of whatever version: ids of decisions begin otherwise."""
    return isinstance(text, str) and text.startswith(_ANY_VERSION)
