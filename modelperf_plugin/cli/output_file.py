"""Write a file completely, or not at all."""

from __future__ import annotations

import sys
from pathlib import Path

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Refusal
from modelperf_plugin.files import PRIVATE, write_whole


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
