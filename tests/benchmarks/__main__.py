"""Runs benchmarks: ``python -m tests.benchmarks [NAME …]``, all of them if none is named.

Each benchmark is a module of this package with a function ``main() -> None`` that prints its figures beside the
goals. Times are ratios in one run, medians of several rounds, because machines differ and are shared.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path


def names() -> list[str]:
    """Return the names of all benchmarks."""
    folder = str(Path(__file__).parent)
    found = (module.name for module in pkgutil.iter_modules([folder]))
    return sorted(name for name in found if not name.startswith(("_", "test_")) and name != "timing")


def main(wanted: list[str]) -> int:
    """Run the benchmarks named, or all; return 2 for an unknown name."""
    known = names()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"unknown benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    for name in wanted or known:
        print(f"\n== {name} ==")
        importlib.import_module(f"tests.benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
