"""Lines of a text file, plain or gzipped, read within bounds of memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Generator, Iterator
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Final

from modelperf_plugin.errors import OutcomesFileError
from modelperf_plugin.exchange.parsing import unreadable
from modelperf_plugin.files import open_regular

MAX_LINE_CHARACTERS: Final = 1 << 20
"""A longer line means that the file does not hold outcomes."""
GZIP_MAGIC: Final = b"\x1f\x8b"


def read_lines(path: Path, *, limit: int | None = None, pipes: bool = False) -> Generator[str]:
    """Yield the lines of a file in UTF-8, each with its end.

    Args:
        path: the file, plain or gzipped.
        limit: the maximum number of characters in all lines together.
        pipes: whether the file may be a pipe.

    Raises:
        OutcomesFileError: the file cannot be read, is not text, has a line without end, or exceeds the limit.
    """
    name = str(path)
    try:
        with open_regular(path, pipes=pipes) as raw, _text(name, raw) as text:
            yield from _lines(name, text, limit)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise OutcomesFileError(name, None, f"is a damaged gzip file ({error})") from error
    except OSError as error:
        raise unreadable(name, error) from error


def _text(name: str, raw: BufferedReader) -> TextIOWrapper:
    start = raw.peek(len(GZIP_MAGIC))
    is_gzip = start.startswith(GZIP_MAGIC)
    if start and not is_gzip and name.endswith(".gz"):
        raise OutcomesFileError(name, None, "is named .gz, but is not a gzip file")
    content = gzip.GzipFile(fileobj=raw) if is_gzip else raw
    # bytes that are not UTF-8 are kept as surrogates, so that their line can be named
    return TextIOWrapper(content, "utf-8-sig", errors="surrogateescape", newline="")


def _lines(name: str, text: TextIOWrapper, limit: int | None) -> Iterator[str]:
    number = length = 0
    while line := text.readline(MAX_LINE_CHARACTERS + 1):
        number += 1
        length += len(line)
        if len(line) > MAX_LINE_CHARACTERS:
            raise OutcomesFileError(
                name, number, f"is longer than {MAX_LINE_CHARACTERS:,} characters; not a text file?"
            )
        if limit is not None and length > limit:
            raise OutcomesFileError(name, None, f"holds more than {limit:,} characters: use a part of it")
        if not line.isascii() and not _is_utf8(line):
            raise OutcomesFileError(name, number, "is not UTF-8 text, so this is not a file of outcomes")
        yield line


def _is_utf8(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True
