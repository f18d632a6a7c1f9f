"""Write a file completely, or not at all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Refusal
from modelperf_plugin.files import PRIVATE, write_whole


def format_of(output: str | None, formats: Sequence[str], given: str | None) -> str:
    """Return the format that is ``given``, or else the one that the suffix of the file names; by default the first.

    Raises:
        click.UsageError: the suffix names no format.
    """
    suffix = "" if output is None else Path(output).suffix.lower().removeprefix(".")
    if given is None and suffix and suffix not in formats:
        known = " or ".join(f".{each}" for each in formats)
        raise click.UsageError(f"{output} must end in {known}: the suffix says what to write")
    return given or suffix or formats[0]


def named_file(file: Path | None, output: str | None) -> Path | None:
    """Return the file that is named as an argument or by ``--output``.

    Raises:
        click.UsageError: both name one.
    """
    if file is not None and output is not None:
        raise click.UsageError("the file is named twice: by FILE and by --output")
    return file if output is None else Path(output)


def write_file(answer: Answer, output: str, content: bytes) -> None:
    """Write a file in one step, or to standard output if it is ``-``; print its size.

    Raises:
        Refusal: the file cannot be written; an existing one is unchanged.
    """
    if output == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    save(Path(output), content)
    answer.print_line("wrote ", (output, "bold"), f" ({len(content) / 1000:,.0f} kB)")


def save(file: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Write a file in one step; a new one gets ``mode``, an existing one keeps its own.

    Raises:
        Refusal: the file cannot be written; an existing one is unchanged.
    """
    try:
        write_whole(file, content, mode=mode)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refusal(f"cannot write {file}: {error.strerror or error}") from error
