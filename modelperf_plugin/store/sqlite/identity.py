"""What a file is: one of ours, whole or damaged, or something that must be left alone."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from modelperf_plugin.files import open_regular
from modelperf_plugin.store.beside import JOURNAL, LOG, beside, has_content
from modelperf_plugin.store.sqlite.logs import read_journal, read_log
from modelperf_plugin.store.sqlite.pages import INDEX_LEAF, MAGIC, TABLE_LEAF, Image
from modelperf_plugin.store.sqlite.schema import APPLICATION_ID, GUIDE_TABLES
from modelperf_plugin.store.sqlite.shapes import our_shapes
from modelperf_plugin.store.sqlite.trees import schema_entry

_APPLICATION_ID_AT: Final = slice(68, 72)
_SAMPLED_PAGES: Final = 256
_SAMPLED_BYTES: Final = 4096
_CORE_TABLES: Final = ("tally", "event", "daily")
_BEGINNINGS: Final = {
    MAGIC: "is a database of another program",
    b"\x1f\x8b": "is not an SQLite database but a gzip file",
    b"PK\x03\x04": "is not an SQLite database but a zip file",
    b"%PDF": "is not an SQLite database but a PDF file",
    b"PAR1": "is not an SQLite database but a Parquet file",
    b"\x89PNG": "is not an SQLite database but an image",
}


@contextmanager
def opened_image(path: Path) -> Iterator[Image]:
    """Yield the pages of the file at ``path`` as they are after recovery from its log or journal."""
    recovered = read_journal(beside(path, JOURNAL))
    if not recovered.pages:
        recovered = read_log(beside(path, LOG))
    if not has_content(path):
        yield Image(b"", recovered.pages, page_size=recovered.page_size)
        return
    with open_regular(path) as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        image = Image(content, {})
        yield Image(content, recovered.pages) if recovered.page_size == image.page_size else image


def is_ours(path: Path) -> bool:
    """Return whether a file is or was a database of ours, by its header or some of its pages.

    No other connection of this process may have the file open: SQLite's locks on it would be lost.
    """
    try:
        with opened_image(path) as image:
            return image.page(1)[_APPLICATION_ID_AT] == APPLICATION_ID.to_bytes(4, "big") or _has_our_pages(image)
    except OSError:
        return False


def describe(path: Path) -> str:
    """Return what a file that is not ours seems to be, as the rest of a sentence."""
    try:
        with open_regular(path) as file:
            sample = file.read(_SAMPLED_BYTES)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if not sample:
        return "is empty"
    for beginning, kind in _BEGINNINGS.items():
        if sample.startswith(beginning):
            return kind
    if not sample.strip(b"\0"):
        return "is not an SQLite database: it holds only zeros"
    text = sample.decode("utf-8", "ignore")
    if len(text.encode()) > len(sample) - 4 and all(char.isprintable() or char.isspace() for char in text):
        return "is not an SQLite database but a text file"
    return "is not an SQLite database"


def _has_our_pages(image: Image) -> bool:
    """Return whether our tables are in the schema or, if that cannot be read, pages hold rows like ours."""
    if not image.is_plausible:
        return False
    step = max(1, image.count // _SAMPLED_PAGES)
    numbers = sorted({*range(1, min(image.count, _SAMPLED_PAGES) + 1), *range(1, image.count + 1, step)})
    shapes = [shape for table, shape in our_shapes().items() if table in _CORE_TABLES]
    tables: set[str] = set()
    like_ours = False
    for number in numbers:
        node = image.node(number)
        if node is None or node.kind not in {TABLE_LEAF, INDEX_LEAF}:
            continue
        cells = [cell for cell in image.cells(number) if cell is not None]
        entries = [entry for entry in map(schema_entry, cells) if entry is not None]
        tables |= {entry.name for entry in entries if entry.type == "table"}
        like_ours = like_ours or (bool(cells) and any(all(map(shape.is_valid, cells)) for shape in shapes))
    if tables:
        return tables >= GUIDE_TABLES.keys() or len(tables.intersection(_CORE_TABLES)) > 1
    return like_ours
