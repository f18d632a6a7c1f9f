"""Sums over (task type, model) pairs that follow the rows of a table as they change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Final

Two = tuple[float, float]
NOTHING: Final[Two] = (0.0, 0.0)
_TWO: Final = Struct("dd")
_MAX_SHARED_NAMES: Final = 1000


class RowSums:
    """Two numbers for each (task type, model), and their sums for each model.

    A row is replaced as a whole, and the sums change by the difference: no step looks at other rows. Rows are packed,
    because a store may have hundreds of thousands of pairs, and the host collects garbage.
    """

    def __init__(self) -> None:
        self.totals: dict[str, Two] = {}
        """The sums for each model."""
        self._rows: dict[str, tuple[tuple[str, ...], bytes]] = {}
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __contains__(self, task_type: str) -> bool:
        """Return whether there is a row of ``task_type``."""
        return task_type in self._rows

    def row(self, task_type: str) -> dict[str, Two]:
        """Return the numbers of one task type by model."""
        row = self._rows.get(task_type)
        if row is None:
            return {}
        pairs = zip(row[0], _TWO.iter_unpack(row[1]), strict=True)
        return {model_id: (first, second) for model_id, (first, second) in pairs}

    def replace(self, task_type: str, numbers: Mapping[str, Two]) -> list[str]:
        """Replace the numbers of one task type; return the models whose sums have changed. No numbers remove the row.

        >>> sums = RowSums()
        >>> sums.replace("plan", {"a": (1.0, 2.0)}), sums.replace("fix", {"a": (3.0, 4.0), "b": (5.0, 6.0)})
        (['a'], ['a', 'b'])
        >>> sums.replace("plan", {"b": (1.0, 1.0)}), sums.totals
        (['b', 'a'], {'a': (3.0, 4.0), 'b': (6.0, 7.0)})
        """
        totals = self.totals
        before = self.row(task_type)
        for model_id, (first, second) in numbers.items():
            total = totals.get(model_id, NOTHING)
            if before:
                old = before.pop(model_id, NOTHING)
                first, second = first - old[0], second - old[1]  # noqa: PLW2901 - runs for every cell
            totals[model_id] = (total[0] + first, total[1] + second)
        for model_id, old in before.items():
            total = totals[model_id]
            totals[model_id] = (total[0] - old[0], total[1] - old[1])
        if numbers:
            packed = b"".join([_TWO.pack(*pair) for pair in numbers.values()])
            self._rows[task_type] = (self._shared(tuple(numbers)), packed)
        else:
            self._rows.pop(task_type, None)
        return [*numbers, *before]

    def _shared(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the same object for the same names: most rows have the same models."""
        if len(self._names) >= _MAX_SHARED_NAMES:
            self._names.clear()
        return self._names.setdefault(names, names)


class PackedRows:
    """Some numbers for each (task type, model), packed for the same reason."""

    def __init__(self, numbers: int) -> None:
        """Keep so many ``numbers`` for each pair."""
        self._struct = Struct("d" * numbers)
        self._rows: dict[str, tuple[tuple[str, ...], bytes]] = {}

    def put(self, task_type: str, row: Mapping[str, Sequence[float]]) -> None:
        """Replace the numbers of one task type. No numbers remove the row.

        >>> rows = PackedRows(3)
        >>> rows.put("plan", {"a": (1.0, 2.0, 3.0)})
        >>> rows.get("plan"), rows.get("fix")
        ({'a': (1.0, 2.0, 3.0)}, {})
        """
        if row:
            self._rows[task_type] = (tuple(row), b"".join([self._struct.pack(*numbers) for numbers in row.values()]))
        else:
            self._rows.pop(task_type, None)

    def get(self, task_type: str) -> dict[str, tuple[float, ...]]:
        """Return the numbers of one task type by model."""
        names, packed = self._rows.get(task_type, ((), b""))
        return dict(zip(names, self._struct.iter_unpack(packed), strict=True))
