"""What the watches compare outcomes with: beliefs, chances after failures, and thresholds."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from math import floor
from typing import Final

from modelperf_plugin.config import Config
from modelperf_plugin.engine.learner import Learner
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.intervals import beta_interval
from modelperf_plugin.policy.sequential import LaterTry, later_try
from modelperf_plugin.store import Event
from modelperf_plugin.store.roles import Tallies
from modelperf_plugin.values import Tally, Tried

Z_LOWER: Final = 1.2815515655446004
"""The success rate of a model is compared with the rate that the best one exceeds with a probability of 0.9."""


class Expectations:
    """What is read of a task type is kept for a batch of outcomes, until it is cleared."""

    def __init__(self, learner: Learner, tallies: Tallies, config: Callable[[], Config]) -> None:
        self._learner = learner
        self._tallies = tallies
        self._config = config
        self._evidence: dict[str, tuple[Mapping[str, Tally], Mapping[str, Belief]]] = {}
        self._later_tries: dict[tuple[str, Tried], LaterTry] = {}
        self._lower_of: Mapping[str, Belief] | None = None
        self._lower: dict[str, float] = {}

    def __len__(self) -> int:
        """Return the number of task types that are kept."""
        return len(self._evidence)

    def clear(self) -> None:
        """Keep nothing: outcomes or changes have come since."""
        self._evidence.clear()
        self._later_tries.clear()

    def of(self, task_type: str) -> tuple[Mapping[str, Tally], Mapping[str, Belief]]:
        """Return the evidence of a task type and the beliefs that follow from it."""
        known = self._evidence.get(task_type)
        if known is None:
            evidence = self._tallies.of(task_type)
            known = (evidence, self._learner.know(task_type, evidence, evidence, advance=False))
            self._evidence[task_type] = known
        return known

    def later_try(self, event: Event, beliefs: Mapping[str, Belief]) -> LaterTry | None:
        """Return what to expect of a model after the failures before this outcome; None if there were none."""
        if not event.tried:
            return None
        key = (event.task_type, event.tried)
        if key not in self._later_tries:
            difficulty = self._learner.difficulty(event.task_type)
            self._later_tries[key] = later_try(difficulty, event.tried, beliefs)
        return self._later_tries[key]

    def threshold(
        self, event: Event, beliefs: Mapping[str, Belief], tried: Container[str], *, is_demoted: bool
    ) -> float | None:
        """Return the rate below which the model of this outcome is demoted; None if it is not to be watched."""
        demotion = self._config().policy_for(event.task_type).demotion
        if beliefs is not self._lower_of:
            self._lower_of = beliefs
            self._lower = {
                model_id: beta_interval(belief.alpha, belief.beta, Z_LOWER)[0]
                for model_id, belief in beliefs.items()
                if model_id in tried
            }
        best = max([rate for model_id, rate in self._lower.items() if model_id != event.model_id], default=None)
        threshold = demotion.effective_threshold(best)
        rounded = None if threshold is None else floor(threshold * 100) / 100 or None
        if rounded is None and demotion.alpha > 0 and is_demoted:
            return 0.0  # the threshold was removed: probe and reinstate models demoted under it
        return rounded
