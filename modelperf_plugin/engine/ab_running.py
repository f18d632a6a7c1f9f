"""The A/B test of one task type, as choices use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from modelperf_plugin.engine.ab_draws import Draws
from modelperf_plugin.engine.ab_verdicts import progress
from modelperf_plugin.policy import ABTest, Assessment, Choice, Policy
from modelperf_plugin.policy.exploration import NeverExplore
from modelperf_plugin.policy.exploration.ab_test import unit_position
from modelperf_plugin.store import StoredTest
from modelperf_plugin.values import Assignment

_NO_EXPLORATION: Final = NeverExplore()
_UNIT_NUMBERS: Final = 2**53


class RunningTest:
    """The A/B test configured for one task type: all that a choice needs of it."""

    def __init__(self, configured: Policy, exploration: ABTest, stored: StoredTest | None, draws: Draws) -> None:
        self.configured = configured
        self.exploration = exploration
        self.stored = stored
        """The test in the store; None until it begins."""
        self._has_terms = False
        self.split = None if stored is None else progress(exploration, stored)
        self.policy = configured if self.split is None else replace(configured, exploration=self.split)
        """The configured policy, with the sides and the progress of the test once it has begun."""
        self.draws = draws
        self._on_trial = frozenset() if self.split is None else self.split.on_trial
        self._exempted: tuple[Mapping[str, str], Mapping[str, str]] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it has begun on the terms that are configured, with a contest for each challenger."""
        return self._has_terms

    def settle(self, has_terms: bool) -> None:
        """Note whether it has begun on the terms that are configured."""
        self._has_terms = has_terms and self._has_contests()

    def _has_contests(self) -> bool:
        if self.stored is None:
            return False
        return {contest.challenger for contest in self.stored.contests}.issuperset(self.exploration.challengers)

    def without_sides(self, demotions: Mapping[str, str]) -> Mapping[str, str]:
        """Return ``demotions`` without the sides on trial; the same object as long as nothing changes."""
        if not demotions or not self._on_trial:
            return demotions
        known = self._exempted
        if known is None or known[0] is not demotions:
            rest = {model_id: reason for model_id, reason in demotions.items() if model_id not in self._on_trial}
            known = self._exempted = (demotions, rest)
        return known[1]

    @property
    def policy_of_retries(self) -> Policy:
        """The policy for a task that has failed before, which is not part of the test: it may only be over."""
        if self.split is not None and self.split.final is not None:
            return self.policy
        return replace(self.configured, exploration=_NO_EXPLORATION)

    def assignment(self, assessment: Assessment, choice: Choice, unit_id: str | None) -> Assignment | None:
        """Return the assignment of a choice that was left to the test; None for any other choice."""
        split = self.split
        if self.stored is None or split is None or split.final is not None or assessment.pin is not None:
            return None
        shares = dict(zip(assessment.ranking.model_ids, choice.probabilities, strict=True))
        sides = [side for side in (split.incumbent, *split.challengers) if side is not None and shares.get(side)]
        if len(sides) < 2 or split.incumbent not in sides or choice.order[0] not in sides:
            return None
        position = None if unit_id is None else unit_position(split.salt, assessment.task_type, unit_id)
        return Assignment(self.stored.test_id, None if position is None else int(position * _UNIT_NUMBERS))
