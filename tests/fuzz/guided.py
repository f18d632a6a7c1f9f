"""Fuzzes one way in, guided by coverage of the package: ``python -m tests.fuzz.guided WAY SECONDS SEED FOLDER``.

An input that does harm is written to FOLDER.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["modelperf_plugin"]):
    from tests.fuzz.seeds import starting_points
    from tests.fuzz.ways_in import run

MEMORY_MB: Final = 2_048
SECONDS_PER_INPUT: Final = 60


def main(name: str, seconds: str, seed: str, folder: str) -> None:
    """Fuzz until an input does harm or the time is over, and end the process."""
    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(starting_points(name)):
            Path(corpus, str(number)).write_bytes(data)
        options = {
            "max_total_time": seconds,
            "seed": seed,
            "timeout": SECONDS_PER_INPUT,
            "rss_limit_mb": MEMORY_MB,
            "max_len": 200_000,
            "len_control": 0,
            "artifact_prefix": f"{folder}/",
        }
        arguments = [sys.argv[0], *(f"-{option}={value}" for option, value in options.items()), corpus]
        atheris.Setup(arguments, lambda data: run(name, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
