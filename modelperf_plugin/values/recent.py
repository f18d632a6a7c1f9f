"""A mapping that keeps what was used last, so that memory does not grow with the number of keys."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class Recent(Generic[_K, _V]):
    """Keeps the entries that were used last, up to a total size.

    There are two generations. An entry that is used joins the young one; once that is full it becomes the old one, and
    the old one is dropped. So a hit costs one look-up, with nothing to reorder; what was used last is kept up to
    ``limit``, and never more than twice as much.

    >>> recent = Recent(2)
    >>> for number in range(5):
    ...     recent.put(number, str(number))
    >>> recent.get(4), recent.get(3), recent.get(0)
    ('4', '3', None)
    """

    __slots__ = ("_limit", "_old", "_room", "_young")

    def __init__(self, limit: int) -> None:
        """Start empty; ``limit`` is in the unit of the sizes that entries are added with."""
        self._limit = self._room = limit
        self._young: dict[_K, tuple[_V, int]] = {}
        self._old: dict[_K, tuple[_V, int]] = {}

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._young.keys() | self._old.keys())

    def __iter__(self) -> Iterator[_K]:
        """Iterate over the keys at this moment."""
        young = self._young
        return iter([*young, *(key for key in self._old if key not in young)])

    def get(self, key: _K) -> _V | None:
        """Return the value of ``key``; None if it is not there."""
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is None:
                return None
            self.put(key, *entry)
        return entry[0]

    def discard(self, key: _K) -> None:
        """Remove an entry, if it is there."""
        entry = self._young.pop(key, None)
        if entry is not None:
            self._room += entry[1]
        self._old.pop(key, None)

    def put(self, key: _K, value: _V, size: int = 1) -> None:
        """Add an entry or replace it."""
        before = self._young.get(key)
        self._room -= size if before is None else size - before[1]
        if self._room < 0 and self._young:
            self._old, self._young, self._room = self._young, {}, self._limit - size
        self._young[key] = (value, size)

    def clear(self) -> None:
        """Remove all entries."""
        self._young, self._old, self._room = {}, {}, self._limit
