"""Tries: several models on one task, one after another, until one succeeds."""

from __future__ import annotations

from collections.abc import Iterable
from operator import add
from typing import Any, Final, NamedTuple

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.values.ids import check_id
from modelperf_plugin.values.outcome import Outcome

Tried = tuple[str, ...]
"""The models that had failed on the same task before, sorted, with repeats; empty for a first try."""

MAX_TRIED: Final = 8
"""Maximum number of failed tries to keep; beyond it, the latest."""
MAX_SETS: Final = 48
"""Maximum number of sets of failed models by which the later tries of a pair are told apart: each takes a microsecond
or two, and up to a tenth of a millisecond if it was not used for long."""
MAX_ROW_SETS: Final = 480
"""The same for all pairs of a task type together, so that many models do not slow down a call."""
UNKNOWN_TRIED: Final[Tried] = ("",)
"""Stands for unknown models: a later try of which nothing else is known."""


def as_tried(model_ids: Iterable[str]) -> Tried:
    """Return the key of the next try from the models that failed, in the order of their tries."""
    return tuple(sorted(list(model_ids)[-MAX_TRIED:]))


def most_sets(pairs: int) -> int:
    """Return how many sets each pair may have, in a task type where so many ``pairs`` have later tries."""
    return max(1, min(MAX_SETS, MAX_ROW_SETS // max(1, pairs)))


def check_tried(name: str, value: Any) -> Tried:
    """Check a host's list of tried models and return it as a key.

    Raises:
        InvalidValueError: it is not a list of at most :data:`MAX_TRIED` model ids.
    """
    if not isinstance(value, (list, tuple)) or len(value) > MAX_TRIED:
        raise InvalidValueError(name, f"a list of at most {MAX_TRIED} model ids", value)
    if tuple(value) == UNKNOWN_TRIED:
        return UNKNOWN_TRIED
    return as_tried(check_id(f"{name}[{position}]", each) for position, each in enumerate(value))


class LaterTries(NamedTuple):
    """Counts of one task type and model after the same failures.

    Outages and the caller's errors are not counted: they say nothing about the model.
    """

    successes: int = 0
    failures: int = 0
    timeout_failures: int = 0
    """The failures that timed out, without a score."""
    score_shift: int = 0
    """The scores less the successes, summed up over the outcomes with a score, in millionths."""

    def plus(self, outcome: Outcome) -> LaterTries:
        """Return these counts plus an outcome."""
        shift = self.score_shift + outcome.score_shift
        if outcome.success:
            return LaterTries(self.successes + 1, self.failures, self.timeout_failures, shift)
        if outcome.blame != "model":
            return self
        timed_out = outcome.timeout and outcome.score is None
        return LaterTries(self.successes, self.failures + 1, self.timeout_failures + timed_out, shift)

    def combined(self, other: LaterTries) -> LaterTries:
        """Return the sums of both counts."""
        return LaterTries(*map(add, self, other))
