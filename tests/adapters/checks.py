"""What is checked of every adapter, whatever the framework."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import modelperf_plugin as mp

_JUDGE = (
    "import sys, modelperf_plugin as mp\n"
    "with mp.ModelPerf(store=sys.argv[1]) as perf:\n"
    "    print(perf.report(sys.argv[2], success=False), perf.report(sys.argv[2], success=False))\n"
)


def judged_by_another_process(path: Path, ticket: str | None) -> str:
    """Return what another process prints that reports a failure twice: whether each report counted."""
    folder = Path(mp.__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-c", _JUDGE, str(path), str(ticket)], cwd=folder, capture_output=True, text=True, check=True
    )
    return result.stdout


def stored_beside(path: Path) -> bytes:
    """Return the content of all files in the folder of a store."""
    return b"".join(file.read_bytes() for file in path.parent.iterdir() if file.is_file())
