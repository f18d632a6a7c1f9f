"""What a committed transaction survives."""

from __future__ import annotations

from typing import Literal

Durability = Literal["normal", "full"]
"""The death of the process; with ``full`` also a loss of power."""
