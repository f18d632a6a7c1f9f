"""Search for a better configuration, and test the best one on held-out decisions.

Successive halving on the first part of the log: all candidates are judged on a quarter of it, the better half on half
of it, the best quarter on all of it. Only the best one is judged on the rest of the log, so its interval needs no
allowance for the search. Each candidate, and the present configuration that it is compared with, is applied to the
knowledge from before each decision.

Exploration is not searched: with the knowledge that another policy has gathered, none would seem to be needed.

Source: K. Jamieson and A. Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", 2016.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from modelperf_plugin.analysis.off_policy.bounds import gain_interval
from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog
from modelperf_plugin.analysis.off_policy.judgement import Estimate
from modelperf_plugin.analysis.off_policy.targets import Configured
from modelperf_plugin.analysis.simulation.play import Progress
from modelperf_plugin.config import Config, load
from modelperf_plugin.store import Store

Change = Mapping[str, Mapping[str, Any]]
"""Sections with keys to set; a section with another strategy replaces the present one."""

RUNGS: Final = (0.25, 0.5, 1.0)
"""Shares of the searched part on which candidates are judged, one after another."""
CANDIDATES_PER_PASS: Final = 8
SURVIVING_SHARE: Final = 0.5
"""Share of the candidates that reach the next rung."""

RANKINGS: Final[tuple[Change, ...]] = (
    {},
    {"ranking": {"strategy": "posterior", "pooled": False}},
    {"ranking": {"strategy": "posterior", "pooled": False, "prior_success": 0.8, "prior_strength": 4.0}},
    {"ranking": {"strategy": "success_rate", "min_samples": 3}},
    {"ranking": {"strategy": "success_rate", "min_samples": 10}},
)
DEMOTIONS: Final[tuple[Change, ...]] = (
    {},
    {"demotion": {"strategy": "never"}},
    {"demotion": {"strategy": "evidence", "margin": 0.1}},
    {"demotion": {"strategy": "evidence", "margin": 0.3}},
)
DRIFTS: Final[tuple[Change, ...]] = ({}, *({"drift": {"half_life_days": days}} for days in (7.0, 90.0, 0.0)))
SPACE: Final[tuple[Change, ...]] = tuple(
    {**ranking, **demotion, **drift} for ranking in RANKINGS for demotion in DEMOTIONS for drift in DRIFTS
)[1:]
"""Every combination of a ranking, a demotion and a half-life, including the present ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The result of a search among ``searched`` candidates."""

    searched: int
    searched_decisions: int
    kept_back: int
    """Number of later decisions, on which the best candidate was tested."""
    change: Change
    """The best candidate's change; empty if no candidate gains anything on the searched part."""
    gain: Estimate | None
    """Gain in success rate over the present configuration on the later decisions."""
    better: bool
    """Whether the whole interval of the gain is above 0."""

    def as_dict(self) -> dict[str, Any]:
        """Return the proposal as plain JSON values."""
        return asdict(self)


def tune(
    log: DecisionLog,
    store: Store,
    present: Config,
    *,
    searched_share: float = 0.5,
    space: Sequence[Change] = SPACE,
    progress: Progress | None = None,
) -> Proposal:
    """Search ``space`` on the first part of ``log``, and judge the best candidate on the rest."""
    edge = int(len(log) * searched_share)
    rows = np.arange(len(log))
    first, rest = log.only(rows < edge), log.only(rows >= edge)
    best = _search(first, store, present, space, progress)
    gain = None
    if best:
        base, shares = Configured(rest, store).shares_of([present, changed(present, best)])
        gain = Estimate.within(gain_interval(rest.of_success(), shares, base=base))
    return Proposal(
        searched=len(space), searched_decisions=len(first), kept_back=len(rest), change=best, gain=gain,
        better=gain is not None and gain.low > 0.0,
    )  # fmt: skip


def changed(config: Config, change: Change) -> Config:
    """Return ``config`` with ``change``."""
    values = config.model_dump(mode="json", exclude_none=True)
    for section, keys in change.items():
        same = keys.get("strategy") in {None, values[section].get("strategy")}
        values[section] = {**values[section], **keys} if same else dict(keys)
    return load(values).config


def _search(
    log: DecisionLog, store: Store, present: Config, space: Sequence[Change], progress: Progress | None
) -> Change:
    """Return the change with the largest gain on ``log``; empty if none gains anything."""
    left: list[Change] = [each for each in space if changed(present, each) != present]
    sizes = [max(1, round(len(left) * SURVIVING_SHARE**rung)) for rung in range(len(RUNGS))]
    done, total = 0, sum(sizes)
    scores: list[tuple[float, int]] = []
    for share, size in zip(RUNGS, sizes, strict=True):
        left = [left[position] for _, position in scores[:size]] if scores else left
        part = log.only(np.arange(len(log)) < int(len(log) * share))
        configured, logged = Configured(part, store), part.of_success()
        scores = []
        for start in range(0, len(left), CANDIDATES_PER_PASS):
            some = left[start : start + CANDIDATES_PER_PASS]
            base, *shares = configured.shares_of([present, *[changed(present, each) for each in some]])
            for position, own in enumerate(shares, start):
                interval = gain_interval(logged, own, base=base)
                scores.append((interval.low + interval.high, position))
            done += len(some)
            if progress is not None:
                progress(done, total)
        scores.sort(key=lambda score: (-score[0], score[1]))
    return left[scores[0][1]] if scores and scores[0][0] > 0.0 else {}
