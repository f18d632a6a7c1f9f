"""What operators take out of a store or rename, and what came of it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Selection(NamedTuple):
    """Outcomes that fulfil all of the conditions that are given; without any, all."""

    task_type: str | None = None
    model_id: str | None = None
    since_ms: int | None = None
    """The first time that is meant, in milliseconds since the Unix epoch."""
    until_ms: int | None = None
    """The first time that is not meant any more."""
    outcome_ids: tuple[str, ...] | None = None
    import_id: int | None = None
    """Outcomes that this import has brought."""

    @property
    def is_whole(self) -> bool:
        """Whether pairs are meant as a whole: with all that is known about them, not only with single outcomes."""
        return self[2:] == (None,) * 4

    @property
    def may_be_sums(self) -> bool:
        """Whether outcomes are meant that are known as sums only, and those of an import."""
        return self.import_id is not None and self[2:5] == (None,) * 3

    def values(self) -> dict[str, Any]:
        """Return the conditions as parameters of statements."""
        outcome_ids = None if self.outcome_ids is None else json.dumps(self.outcome_ids)
        return {**self._asdict(), "outcome_ids": outcome_ids}


class Edited(NamedTuple):
    """What an edit has changed, or would change."""

    outcomes: int
    """Outcomes, including those that are known as sums only."""
    pairs: int
    """Pairs of task type and model that these belong to."""
    decisions: int
    """Decisions that left the log, or belong to another name."""
    tests: tuple[str, ...] = ()
    """Task types whose running A/B test has counted such outcomes, and keeps them."""
