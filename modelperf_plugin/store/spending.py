"""Values for what outcomes have cost over time."""

from __future__ import annotations

from typing import NamedTuple


class CostEvent(NamedTuple):
    """The cost of one recorded outcome."""

    event_id: int
    task_type: str
    model_id: str
    ended_ms: int
    """In milliseconds since the Unix epoch."""
    cost_nano_usd: int


class Correction(NamedTuple):
    """A verdict that was replaced, and with it perhaps the cost of its outcome."""

    number: int
    """In the order of correcting."""
    event: CostEvent
    """With its cost since then."""
    former_nano_usd: int
    """Its cost before."""


class CostSums(NamedTuple):
    """What the outcomes of some steps of time have cost."""

    position: int
    """The newest recorded outcome, whenever it ended: all up to it are included, and none after it."""
    corrected: int
    """The newest correction: all up to it are included, and none after it."""
    steps: list[tuple[int, int, int]]
    """Number of the step since the Unix epoch, number of outcomes and their cost in nano-dollars; in no order."""
