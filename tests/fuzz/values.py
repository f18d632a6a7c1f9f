"""From bytes to the values that a host may hand over, right and wrong ones."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Final

_WORDS: Final = (
    "", "a", "b", "code", "success", "timeout", "tokens_used", "cost_usd", "duration_seconds", "error_kind",
    "outcome_id", "tokensUsed", "costUsd", "ended_at", "pin", "exclude", "max_cost_usd", "unit_id", "maxCostUsd",
    "rate_limit", "server_error", "\x00", "\ud800", "模型", "é", "e\u0301", " a ", "x" * 300, "1e400", "true", "NaN",
)  # fmt: skip
_NUMBERS: Final = (
    0, 1, -1, 2, 0.5, 1e-320, 1e308, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**400, math.inf, -math.inf,
    math.nan,
)  # fmt: skip
_OTHERS: Final[tuple[Any, ...]] = (
    None, True, False, b"a", ..., object, datetime(2026, 1, 1, tzinfo=UTC), datetime(1, 1, 1), ["a", "b"], {"a"},  # noqa: DTZ001
)  # fmt: skip
_CHOICES: Final[tuple[tuple[Any, ...], ...]] = (_WORDS, _WORDS, _NUMBERS, _OTHERS)
_MAX_DEPTH: Final = 8


class Values:
    """Builds values out of bytes; when they are used up, the rest is None."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def next_value(self, depth: int = 0) -> Any:
        """Return a value of any kind."""
        kind = self._next_byte() % 8
        if kind < len(_CHOICES):
            return _CHOICES[kind][self._next_byte() % len(_CHOICES[kind])]
        if kind == 4:
            return self._next_text()
        if depth >= _MAX_DEPTH:
            return None
        if kind == 5:
            return [self.next_value(depth + 1) for _ in range(self._next_byte() % 5)]
        return self.next_mapping(depth + 1)

    def next_mapping(self, depth: int = 0) -> dict[Any, Any]:
        """Return a mapping, most of its keys among those that mean something."""
        return {self._next_key(): self.next_value(depth + 1) for _ in range(self._next_byte() % 6)}

    def _next_key(self) -> Any:
        number = self._next_byte()
        return _WORDS[number % len(_WORDS)] if number < 250 else (None, 1, True, b"a", ("a", 1), 0.5)[number - 250]

    def _next_text(self) -> str:
        size = self._next_byte() % 32
        text = self._data[self._at : self._at + size]
        self._at += size
        return text.decode("utf-8", "surrogateescape")

    def _next_byte(self) -> int:
        if self._at >= len(self._data):
            return 3
        self._at += 1
        return self._data[self._at - 1]
