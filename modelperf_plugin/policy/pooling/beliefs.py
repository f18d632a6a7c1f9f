"""Posteriors of the models of one task type, updated with every outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import log
from typing import Final, NamedTuple

from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.difficulty import Difficulty, Harder
from modelperf_plugin.policy.intervals import expit
from modelperf_plugin.policy.pooling.later import Group, equivalent, log_evidence, settled
from modelperf_plugin.policy.pooling.pool import MIN_SPREAD, Cell, Pool, working_residual
from modelperf_plugin.policy.pooling.sums import NOTHING, Two
from modelperf_plugin.values import Tried

LaterRow = Mapping[str, Mapping[Tried, Cell]]
"""Weighted later tries of one task type, by model and by what had failed before."""

NO_OUTCOMES: Final[Cell] = (0.0, 0.0)
NO_LATER: Final[LaterRow] = {}
NO_SETS: Final[Mapping[Tried, Cell]] = {}
NEGLIGIBLE_OUTCOMES: Final = 0.1
NEGLIGIBLE_TRIES: Final = 0.001
SWEEPS: Final = 2
"""How often beliefs are derived in turn, because what a later try says depends on the rates of the models before."""
_UNIFORM: Final = Difficulty.of(0.0)
NEAR_LOGITS: Final = 0.05
"""What later tries say is worked out again once the estimate has moved by this much, and the posteriors of models
without new outcomes once the effect of the task type has."""


class Equivalent(NamedTuple):
    """The first tries that say the same as the later tries of a model at some estimate."""

    logit: float
    won: float
    lost: float
    tries: float
    """How many later tries these were."""


NOTHING_KNOWN: Final[Mapping[str, Equivalent]] = {}


MAX_LOGIT: Final = 20.0
"""Log-odds of a prior are clipped to ± this."""
MIN_STRENGTH, MAX_STRENGTH = 1.5, 60.0
"""Bounds of the weight of a prior, in outcomes."""


class TaskBeliefs:
    """The posterior of every model on one task type, carried forward outcome by outcome between two fits.

    Later tries count as the first tries that say the same (see :mod:`modelperf_plugin.policy.pooling.later`).
    """

    def __init__(
        self, pool: Pool, task_type: str, row: Mapping[str, Cell], later: LaterRow = NO_LATER,
        difficulty: Difficulty = _UNIFORM, known: Mapping[str, Equivalent] = NOTHING_KNOWN, sweeps: int = SWEEPS,
    ) -> None:  # fmt: skip
        """Start from a fit, the cells of the task type, which are first tries, and its later tries.

        ``known`` is what was :attr:`known` at an earlier time. Without it what later tries say is derived ``sweeps``
        times; if never, it is left to :meth:`revise`.
        """
        self._pool = pool
        self._single, self._intercept = pool.single, pool.intercept  # looked up for every belief
        self._in_fit = pool.shares.row(task_type)
        self.cells: dict[str, Cell] = {}
        """The current cell of each model, with its later tries."""
        self._first: dict[str, Cell] = {}
        self._later = dict(later)
        self._difficulty = difficulty
        self._before_later: dict[str, Two] = {}
        """Alpha and beta of prior and first tries, where there are later tries."""
        self._logits: dict[str, float] = {}
        self._equivalents: dict[str, Equivalent] = {}
        self._known_groups: dict[str, dict[Tried, Group]] = {}
        self._effects: dict[str, Two] = {}
        self._shares: dict[str, Two] = {}
        self._weight = 1.0 / pool.task_variance
        self._weighted = 0.0
        self._task = pool.task(task_type)
        self._settle(row)
        self._settled_task = self._task
        if later:
            self._resume(known)
            for _ in range(0 if known else sweeps):
                for _ in self.revise():
                    pass

    def update(self, model_id: str, cell: Cell, later: Mapping[Tried, Cell] | None = None) -> bool:
        """Replace the counts of one model after another outcome; return whether the other posteriors still serve."""
        if later and later != self._later.get(model_id):
            self._replace(model_id, later)
        if self._later:
            self._first[model_id] = cell
            cell = self._with_later(model_id)
        self._add(model_id, cell, self._task)
        self._estimate()
        if abs(self._task - self._settled_task) < NEAR_LOGITS:
            return True
        self._settled_task = self._task
        return False

    def belief(self, model_id: str, outcomes: float | None = None) -> Belief:
        """Return the posterior of one model: its own outcomes on a prior that leaves them out.

        ``outcomes`` is passed on to :class:`~modelperf_plugin.policy.belief.Belief`.
        """
        mean, variance = self._effects.get(model_id) or self._effect(model_id)
        logit = self._intercept + mean
        if not self._single:
            own = self._shares.get(model_id, NOTHING)
            weight = self._weight - own[0]
            logit += (self._weighted - own[1]) / weight
            variance += 1.0 / weight
        prior = expit(max(-MAX_LOGIT, min(MAX_LOGIT, logit)))
        spread = prior * (1.0 - prior)
        strength = 1.0 / (variance * max(spread, MIN_SPREAD))
        if not MIN_STRENGTH <= strength <= MAX_STRENGTH:
            strength = MIN_STRENGTH if strength < MIN_STRENGTH else MAX_STRENGTH
        if self._later:
            return self._belief_with_later(model_id, strength * prior, strength * (1.0 - prior), outcomes)
        successes, failures = self.cells.get(model_id, NO_OUTCOMES)
        return Belief(successes + strength * prior, failures + strength * (1.0 - prior), outcomes)

    def later_part(self, model_id: str, belief: Belief) -> Cell:
        """Return what the later tries of a model add to its posterior."""
        alpha, beta = self._before_later.get(model_id, belief[:2])
        return belief.alpha - alpha, belief.beta - beta

    @property
    def known(self) -> Mapping[str, Equivalent]:
        """What the later tries of each model say at the present rates, as far as it was derived."""
        return self._equivalents

    @property
    def later_tries(self) -> float:
        """The number of later tries, weighed."""
        return sum(map(_tries, self._later.values()))

    @property
    def sets(self) -> int:
        """The number of sets of failed models that later tries are told apart by, of all models together."""
        return sum(map(len, self._later.values()))

    def revise(self) -> Iterator[int]:
        """Derive anew what later tries say, because the rates of the models before may have moved.

        In steps, a model each; every step yields how many sets of failed models it has looked at.
        """
        for model_id in self.cells.keys() - self._later.keys():
            self.belief(model_id)
        for model_id, sets in list(self._later.items()):
            self._equivalents.pop(model_id, None)
            self._known_groups.pop(model_id, None)
            self.belief(model_id)
            yield len(sets)
        self._settle({model_id: self._with_later(model_id) for model_id in {**self._first, **self._later}})

    def resembles(self, row: Mapping[str, Cell]) -> bool:
        """Return whether ``row`` differs from the cells by no more than later tries do between two derivations."""
        return (
            bool(self._later)
            and row.keys() == self.cells.keys()
            and all(
                abs(won - row[model_id][0]) + abs(lost - row[model_id][1]) < NEGLIGIBLE_OUTCOMES
                for model_id, (won, lost) in self.cells.items()
            )
        )

    def log_evidences(self, difficulties: Sequence[Difficulty]) -> Iterator[tuple[int, Sequence[float]]]:
        """Yield for each model how many sets of later tries it has, and the log-probability of these tries.

        The latter for each of ``difficulties``, if the difficulty were this, up to a constant.
        """
        for model_id, (alpha, beta) in self._before_later.items():
            logit = self._logits.get(model_id, 0.0)
            groups = [self._groups_at(model_id, difficulty).values() for difficulty in difficulties]
            yield len(groups[0]), [log_evidence(alpha, beta, each, logit) for each in groups]

    def _belief_with_later(self, model_id: str, alpha: float, beta: float, outcomes: float | None) -> Belief:
        successes, failures = self._first.get(model_id, NO_OUTCOMES)
        alpha, beta = successes + alpha, failures + beta
        if model_id not in self._later:
            self._logits[model_id] = log(alpha / beta)
            return Belief(alpha, beta, outcomes)
        self._before_later[model_id] = (alpha, beta)
        known = self._equivalents.get(model_id)
        if known is not None:
            more_alpha, more_beta = alpha + known.won, beta + known.lost
            if min(more_alpha, more_beta) > 0.0 and abs(log(more_alpha / more_beta) - known.logit) < NEAR_LOGITS:
                return Belief(more_alpha, more_beta, outcomes)
        groups = self._groups(model_id)
        start = self._logits.get(model_id, log(alpha / beta))
        alpha, beta, logit = settled(alpha, beta, groups.values(), start)
        self._logits[model_id] = logit
        self._keep(model_id, groups, logit)
        return Belief(alpha, beta, outcomes)

    def _groups(self, model_id: str) -> dict[Tried, Group]:
        """Return the later tries of a model, by what they were like when this was looked at."""
        groups = self._known_groups.get(model_id)
        if groups is None:
            groups = self._known_groups[model_id] = self._groups_at(model_id, self._difficulty)
        return groups

    def _groups_at(self, model_id: str, difficulty: Difficulty) -> dict[Tried, Group]:
        sets = self._later.get(model_id, NO_SETS)
        return {tried: Group(self._harder(tried, difficulty), won, lost) for tried, (won, lost) in sets.items()}

    def _harder(self, tried: Tried, difficulty: Difficulty) -> Harder:
        logits = self._logits
        return difficulty.after([logits.get(failed, 0.0) for failed in tried])

    def _keep(self, model_id: str, groups: Mapping[Tried, Group], logit: float) -> Equivalent:
        tries = _tries(self._later.get(model_id, NO_SETS))
        known = self._equivalents[model_id] = Equivalent(logit, *equivalent(groups.values(), logit), tries)
        return known

    def _with_later(self, model_id: str) -> Cell:
        """Return the first tries of a model, and those that say the same as its later tries."""
        successes, failures = self._first.get(model_id, NO_OUTCOMES)
        if model_id not in self._later:
            return successes, failures
        more = self._equivalents.get(model_id)
        if more is None:
            more = self._keep(model_id, self._groups(model_id), self._logits.get(model_id, 0.0))
        return successes + more.won, failures + more.lost

    def _replace(self, model_id: str, later: Mapping[Tried, Cell]) -> None:
        """Replace the later tries of a model; what they say changes by the sets that have changed."""
        before = self._later.get(model_id, NO_SETS)
        self._later[model_id] = later
        known = self._equivalents.get(model_id)
        if known is None:
            self._known_groups.pop(model_id, None)
            return
        groups = self._known_groups.get(model_id, {})
        won, lost = known.won, known.lost
        for tried in {**before, **later}:
            old, new = before.get(tried, NO_OUTCOMES), later.get(tried, NO_OUTCOMES)
            if old != new:
                group = groups.get(tried)
                harder = self._harder(tried, self._difficulty) if group is None else group.harder
                less, more = (equivalent([Group(harder, *cell)], known.logit) for cell in (old, new))
                won, lost = won + more[0] - less[0], lost + more[1] - less[1]
                if model_id in self._known_groups:
                    groups[tried] = Group(harder, *new)
        self._equivalents[model_id] = Equivalent(known.logit, won, lost, _tries(later))

    def _resume(self, known: Mapping[str, Equivalent]) -> None:
        """Start from rates by first tries and, where later tries are those of an earlier time, from what they said."""
        later, self._later = self._later, {}
        for model_id in {**self._first, **later}:
            alpha, beta, _, _ = self.belief(model_id)
            self._logits[model_id] = known[model_id].logit if model_id in known else log(alpha / beta)
        self._later = later
        if known:
            for model_id, sets in later.items():
                equal = known.get(model_id)
                if equal is not None and abs(equal.tries - _tries(sets)) < NEGLIGIBLE_TRIES:
                    self._equivalents[model_id] = equal
            self._settle({model_id: self._with_later(model_id) for model_id in {**self._first, **later}})

    def _settle(self, row: Mapping[str, Cell]) -> None:
        """Estimate b by two Newton steps, from where the fit left it."""
        if self._later and not self._first:
            self._first = dict(row)
        for _ in range(2):
            start = self._task
            for model_id, cell in row.items():
                self._add(model_id, cell, start)
            self._estimate()

    def _effect(self, model_id: str) -> tuple[float, float]:
        effect = self._effects.get(model_id)
        if effect is None:
            effect = self._effects[model_id] = self._pool.effect(model_id, self._in_fit.get(model_id, NOTHING))
        return effect

    def _add(self, model_id: str, cell: Cell, task: float) -> None:
        self.cells[model_id] = cell
        successes, failures = cell
        if self._single:
            return
        share = NOTHING
        if successes + failures > 0.0:
            mean, spread = self._effect(model_id)
            residual, variance = working_residual(self._intercept + mean + task, successes, successes + failures)
            weight = 1.0 / (spread + variance)
            share = (weight, weight * (residual + task))
        before = self._shares.get(model_id, NOTHING)
        self._shares[model_id] = share
        self._weight += share[0] - before[0]
        self._weighted += share[1] - before[1]

    def _estimate(self) -> None:
        if not self._single:
            self._task = self._weighted / self._weight


def _tries(sets: Mapping[Tried, Cell]) -> float:
    return sum([won + lost for won, lost in sets.values()])
