"""Fuzzing guided by coverage: ``python -m tests.fuzz [--seconds N] [--seed N] [WAY...]``; needs the extra ``fuzz``.

An input that does harm is kept in ``tests/fuzz/seeds``, where the quick tests try it from then on.
"""

from __future__ import annotations

import argparse
import gzip
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.seeds import FOLDER
from tests.fuzz.ways_in import WAYS


def main() -> int:
    """Fuzz each way in, in a process of its own; return how many did harm."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"one of {', '.join(WAYS)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="how long to try each way in (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="what inputs to begin with (default: others each time)")
    arguments = parser.parse_args()
    names = arguments.ways or list(WAYS)
    if unknown := sorted(set(names) - set(WAYS)):
        parser.error(f"no way in is called {', '.join(unknown)}")
    failed = [name for name in names if not _fuzz_in_process(name, arguments.seconds, arguments.seed)]
    print(f"harmed by: {', '.join(failed)}" if failed else f"{len(names)} ways in, no harm")
    return 1 if failed else 0


def _fuzz_in_process(name: str, seconds: int, seed: int) -> bool:
    """Fuzz one way in; return whether no input did harm. One that did is kept."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.fuzz.guided", name, str(seconds), str(seed), folder]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
        if done.returncode == 0:
            print(f"{name}: {next((line for line in lines if line.startswith('Done')), 'done')}")
            return True
        print(f"{name}: harmed", *lines[-60:], sep="\n")
        for file in Path(folder).iterdir():
            kept = FOLDER / name / f"{file.name}.gz"
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes(gzip.compress(file.read_bytes(), mtime=0))
            print(f"kept as {kept}")
    return False


if __name__ == "__main__":
    sys.exit(main())
