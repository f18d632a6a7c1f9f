"""Write a file completely, or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Refusal


def write_file(answer: Answer, output: str, content: bytes) -> None:
    """Write a file in one step, or to standard output if it is ``-``; print its size.

    Raises:
        Refusal: the file cannot be written; an existing one is unchanged.
    """
    if output == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    file = Path(output)
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(name).chmod(0o644 if not file.exists() else file.stat().st_mode & 0o777)
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Refusal(f"cannot write {output}: {error.strerror or error}") from error
    answer.print_line("wrote ", (output, "bold"), f" ({len(content) / 1000:,.0f} kB)")
