"""Names and bars, as text for a terminal."""

from __future__ import annotations

import shlex
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from typing import Final

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_BARS: Final = "▁▂▃▄▅▆▇█"


def printable(text: str) -> str:
    """Return ``text`` with what would steer a terminal (control and direction characters) spelled out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each.encode("unicode_escape").decode() if unicodedata.category(each) in _HIDDEN else each for each in text
    )


def sparkline(values: Sequence[float]) -> str:
    """Return ``values`` as a row of bars, the lowest value the lowest bar."""
    low, high = min(values), max(values)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0
    return "".join(_BARS[round((value - low) * scale)] for value in values)


def bars(shares: Sequence[float | None]) -> str:
    """Return shares from 0 to 1 as a row of bars; a dot where there is none."""
    return "".join("·" if share is None else _BARS[round(share * (len(_BARS) - 1))] for share in shares)


def program() -> str:
    """Return how to call this command from where it was called."""
    if which("modelperf"):
        return "modelperf"
    called = Path(sys.argv[0])
    return (
        shlex.quote(str(called)) if called.stem == "modelperf" else f"{shlex.quote(sys.executable)} -m modelperf_plugin"
    )
