"""What models cost in merged sources, on the scale of the store's own tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import exp, log
from statistics import fmean
from typing import Final

from modelperf_plugin.policy.cost.base import ExpectedCost, ModelCosts
from modelperf_plugin.policy.pooling import RowSums
from modelperf_plugin.store import Prior
from modelperf_plugin.values import NANO_USD

MAX_COMPARED: Final = 256
"""Up to so many models are compared for the scale of a source."""
_OUTCOMES: Final = 1
"""As of how many outcomes such a cost counts: tasks elsewhere may be longer or shorter."""

Means = Mapping[str, float]


class MergedCosts:
    """The mean cost of a task with each model in merged sources.

    Tasks elsewhere may cost ten times as much. So the costs of a source are multiplied by how much more or less the
    models that have costs both there and here cost here. A source without such a model counts as it is, as long as
    nothing is known of the costs here at all.
    """

    def __init__(self) -> None:
        self._sums: dict[str, RowSums] = {}
        self._costs: dict[str, ExpectedCost] = {}

    def __iter__(self) -> Iterator[str]:
        """Yield the models with a cost."""
        return iter(self._costs)

    def get(self, model_id: str) -> ExpectedCost | None:
        """Return the cost of a model as of the last :meth:`rescale`; None if it is unknown."""
        return self._costs.get(model_id)

    def take(self, priors: Iterable[Prior]) -> None:
        """Replace the costs of the task types of ``priors``, which are all that there are of these."""
        rows: dict[tuple[str, str], dict[str, tuple[float, float]]] = {}
        for tally, source, _ in priors:
            if tally.priced and tally.total_cost_nano_usd:
                row = rows.setdefault((source, tally.task_type), {})
                row[tally.model_id] = (float(tally.total_cost_nano_usd), float(tally.priced))
        for (source, task_type), row in rows.items():
            self._sums.setdefault(source, RowSums()).replace(task_type, row)

    def rescale(self, costs: ModelCosts) -> list[str]:
        """Compare the sources with what models cost here; return the models with a cost."""
        here = {model_id: cost.usd for model_id, cost in costs.items() if cost.source != "merged"}
        found: dict[str, list[float]] = {}
        for sums in self._sums.values():
            theirs = {model_id: cost / NANO_USD / priced for model_id, (cost, priced) in sums.totals.items()}
            scale = _scale(theirs, here)
            for model_id, usd in theirs.items() if scale else ():
                found.setdefault(model_id, []).append(scale * usd)
        self._costs = {model_id: ExpectedCost(fmean(usd), "merged", _OUTCOMES) for model_id, usd in found.items()}
        return list(self._costs)


def _scale(theirs: Means, here: Means) -> float:
    """Return how many times more tasks cost here; 0 if it cannot be told."""
    both = [model_id for model_id in theirs if here.get(model_id, 0.0) > 0.0][:MAX_COMPARED]
    if not both:
        return 0.0 if here else 1.0
    return exp(fmean([log(here[model_id] / theirs[model_id]) for model_id in both]))
