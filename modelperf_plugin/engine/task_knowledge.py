"""What is known of one task type, with the tallies and weights that it is based on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from modelperf_plugin.engine.table_fit import FEW_SETS, TableFit
from modelperf_plugin.engine.weighing import WeighedCounts
from modelperf_plugin.policy.belief import NO_CELL, Belief
from modelperf_plugin.policy.pooling import Cell
from modelperf_plugin.policy.quality import later_counts
from modelperf_plugin.values import Tally

NO_COUNTS: Final = (0, 0, 0, 0)


class TaskKnowledge:
    """The beliefs of one task type, carried forward outcome by outcome until the fit changes."""

    def __init__(self, fit: TableFit, task_type: str, tallies: Mapping[str, Tally], weighed: WeighedCounts) -> None:
        self.edition = fit.pool.edition
        self.tallies = tallies
        self.weighed = weighed
        self.beliefs = fit.beliefs(task_type, tallies, weighed)
        self.takes_turns = self.beliefs.sets > FEW_SETS
        """Whether deriving these beliefs takes so long that a choice which advances the fit leaves it to the next."""
        self._fit = fit
        self._task_type = task_type
        self.known: dict[str, Belief] = {}
        """The posteriors computed so far; a new mapping whenever one of them may have changed."""

    @property
    def row(self) -> Mapping[str, Cell]:
        """The cells of the task type."""
        return self.beliefs.cells

    def update(self, tallies: Mapping[str, Tally]) -> int:
        """Update the beliefs to ``tallies``; return how many outcomes are new."""
        new = 0
        for model_id, tally in tallies.items():
            before = self.tallies.get(model_id)
            if tally is not before and tally != before:
                new += tally.samples - (0 if before is None else before.samples)
                later = None
                if later_counts(tally) != (NO_COUNTS if before is None else later_counts(before)):
                    later = self._fit.later(self._task_type, {model_id: tally}, self.weighed).get(model_id)
                is_alone = self.beliefs.update(model_id, self.weighed.cell(tally), later)
                kept = self.known.copy() if is_alone else {}
                kept.pop(model_id, None)
                self.known = kept
        self.tallies = tallies
        return new

    def _belief(self, model_id: str) -> Belief:
        tally, weighed = self.tallies.get(model_id), self.weighed
        belief = self.beliefs.belief(model_id, None if tally is None else weighed.weight(tally))
        later = self.beliefs.later_part(model_id, belief) if self.beliefs.sets else NO_CELL
        return belief._replace(evidence=weighed.evidence(tally or Tally(self._task_type, model_id), later))

    def know(self, candidates: Iterable[str]) -> dict[str, Belief]:
        """Return the posteriors of at least ``candidates``."""
        known = self.known
        for model_id in candidates:
            if model_id not in known:
                known[model_id] = self._belief(model_id)
        return known
