"""Which page of a file belongs to which table, as far as that can be told.

In order of trust: what is reached from the root of a table; what the pointer map assigns to it; and, where neither
helps, what its rows look like. Pages that are not in use are left out: they hold rows that were deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from modelperf_plugin.store.sqlite.pages import (
    INDEX_INTERIOR,
    INDEX_LEAF,
    TABLE_INTERIOR,
    TABLE_LEAF,
    TREE_PAGE,
    TREE_ROOT,
    Cell,
    Image,
    Value,
)
from modelperf_plugin.store.sqlite.shapes import Shape, shape_of

_LEAF_OF: Final = {
    TABLE_INTERIOR: TABLE_LEAF,
    TABLE_LEAF: TABLE_LEAF,
    INDEX_INTERIOR: INDEX_LEAF,
    INDEX_LEAF: INDEX_LEAF,
}
_SCHEMA_ROOT: Final = 1
_SCHEMA_COLUMNS: Final = 5
_SCHEMA_TYPES: Final = frozenset({"table", "index", "view", "trigger"})
_MAX_DEPTH: Final = 40


class SchemaEntry(NamedTuple):
    """A table or index in the schema of the file."""

    type: str
    name: str
    table: str
    root: int
    sql: Value


class Trees:
    """The tables of a file and their pages."""

    def __init__(self, image: Image, shapes: Mapping[str, Shape]) -> None:
        """Assign every page of ``image`` to a table."""
        self._image = image
        self._shapes = shapes
        self._owners: dict[int, int] = {}
        self._pages: dict[int, list[int]] = {}
        self._incomplete: set[int] = set()
        self._walk(_SCHEMA_ROOT, TABLE_LEAF)
        self.schema: dict[str, SchemaEntry] = {}
        """The tables and indexes of the file, by name."""
        self._read_schema()
        for entry in self.schema.values():
            self._walk(entry.root, TABLE_LEAF if self._has_row_ids(entry) else INDEX_LEAF)
        self._strays = self._assign_the_rest()

    def is_complete(self, name: str) -> bool:
        """Return whether every page of a table or index was found; rows may be damaged all the same."""
        entry = self.schema.get(name)
        return entry is not None and entry.root not in self._incomplete

    def may_have(self, table: str) -> bool:
        """Return whether the file has a table, or may have had one: its schema is damaged."""
        return table in self.schema or _SCHEMA_ROOT in self._incomplete

    def is_table(self, name: str) -> bool:
        """Return whether the file has a table of this name, and not a view."""
        return name in self.schema and self.schema[name].type == "table"

    def shape(self, table: str) -> Shape | None:
        """Return the shape of a table in this file, which may be of an older version; None if it is not known."""
        entry = self.schema.get(table)
        stated = None if entry is None else shape_of(table, entry.sql)
        return stated or self._shapes.get(table)

    def cells(self, name: str) -> Iterator[Cell | None]:
        """Yield the rows of a table or index; None for each that cannot be read."""
        entry = self.schema.get(name)
        for number in self._pages.get(entry.root, ()) if entry else ():
            yield from self._image.cells(number)
        shape = self.shape(name)
        if shape is not None and not self.is_complete(name):
            for number in self._strays:
                if self._is_certainly(shape, number):
                    yield from self._image.cells(number)

    def _has_row_ids(self, entry: SchemaEntry) -> bool:
        if entry.type == "index":
            return False
        shape = shape_of(entry.name, entry.sql) or self._shapes.get(entry.name)
        return shape is None or shape.has_row_ids

    def _read_schema(self) -> None:
        """Read the schema from its tree and, if that is damaged, from every page that looks like a part of it."""
        pages = self._pages[_SCHEMA_ROOT]
        if _SCHEMA_ROOT in self._incomplete:
            pages = [*pages, *(number for number in range(2, self._image.count + 1) if number not in self._owners)]
        for number in pages:
            node = self._image.node(number)
            if node is None or node.kind != TABLE_LEAF:
                continue
            entries = [schema_entry(cell) for cell in self._image.cells(number)]
            if number in self._owners or all(entries):
                for entry in entries:
                    if entry is not None and entry.root > 0:
                        self.schema.setdefault(entry.name, entry)

    def _walk(self, root: int, leaf: int) -> None:
        """Assign to a tree what is reached from its root."""
        pages = self._pages.setdefault(root, [])
        waiting = [(root, 0)]
        while waiting:
            number, depth = waiting.pop()
            node = self._image.node(number)
            if node is None or number in self._owners or depth > _MAX_DEPTH or _LEAF_OF[node.kind] != leaf:
                self._incomplete.add(root)
                continue
            self._owners[number] = root
            pages.append(number)
            waiting.extend((child, depth + 1) for child in reversed(node.children))

    def _assign_the_rest(self) -> list[int]:
        """Assign to damaged trees what the pointer map says; return the pages of which it says nothing."""
        strays = []
        free = self._image.free_pages()
        roots = {entry.root for entry in self.schema.values()}
        for number in range(2, self._image.count + 1):
            if number in self._owners or number in free:
                continue
            node = self._image.node(number)
            if node is None:
                continue
            kind, _ = self._image.parent(number)
            if kind == 0:
                strays.append(number)
            elif kind in {TREE_ROOT, TREE_PAGE}:
                root = self._root_of(number, roots)
                if root is None:
                    strays.append(number)
                elif root in self._incomplete:
                    self._owners[number] = root
                    self._pages[root].append(number)
        return strays

    def _root_of(self, number: int, roots: set[int]) -> int | None:
        """Return the root above a page by the pointer map, which covers pages that are gone themselves."""
        for _ in range(_MAX_DEPTH):
            if number in roots:
                return number
            kind, parent = self._image.parent(number)
            if kind != TREE_PAGE:
                return None
            number = parent
        return None

    def _is_certainly(self, shape: Shape, number: int) -> bool:
        """Return whether the rows of a page fit this table and no other."""
        node = self._image.node(number)
        if node is None or node.kind not in shape.kinds:
            return False
        cells = [cell for cell in self._image.cells(number) if cell is not None]
        if not cells or not all(map(shape.fits, cells)):
            return False
        others = [each for each in self._shapes.values() if each.table != shape.table and all(map(each.fits, cells))]
        return not others or (
            all(map(shape.is_valid, cells)) and not any(all(map(each.is_valid, cells)) for each in others)
        )


def schema_entry(cell: Cell | None) -> SchemaEntry | None:
    """Return a row of the schema; None if it is not one."""
    if cell is None or len(cell.values) != _SCHEMA_COLUMNS:
        return None
    kind, name, table, root, sql = cell.values
    if (
        kind not in _SCHEMA_TYPES
        or not isinstance(name, str)
        or not isinstance(table, str)
        or not isinstance(root, int)
    ):
        return None
    return SchemaEntry(str(kind), name, table, root, sql)
