"""The difficulty of tasks: how much it varies within a task type, and the chance of a try after failures.

A later try meets tasks that others have failed, which are mostly hard. The chance of model *m* on a task of difficulty
*u* is modelled as

    logit P(m solves the task | u) = θ[m] + s·u,    u ~ N(0, 1), the same for every model,

with the *spread* s ≥ 0 of the task type. Everywhere else a model is described by its chance on any task of the type,
p = E[expit(θ + s·u)], on the logit scale η = logit p; θ follows from η and s. Then

    P(m solves | the models in A have failed) = E[expit(θ[m] + s·u) F(u)] / E[F(u)],    F(u) = Π (1 − expit(θ[a] + s·u))

with the product over A. Expectations are sums over 21 equally spaced values of u. As a function of η the logit of that
chance is close to a line in pieces: a later try is then a try like any other, at log-odds slope·η + offset.

Sources: G. Rasch, "Probabilistic Models for Some Intelligence and Attainment Tests", 1960; D. Bock and M. Aitkin,
"Marginal maximum likelihood estimation of item parameters", 1981 (integration over a latent normal variable);
L. Trefethen and J. Weideman, "The exponentially convergent trapezoidal rule", 2014.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import exp, log, sqrt
from operator import mul
from typing import Final

from modelperf_plugin.policy.intervals import expit

PRIOR_SPREAD: Final = 3.0
"""The prior spread; tasks of agents have spreads between 2 and 4."""
MAX_SPREAD: Final = 6.0
"""Beyond it the means of profiles would be off by more than .001."""
SPREADS_PER_UNIT: Final = 16
"""Spreads are rounded to this, because each has its own tables; later tries cannot tell smaller differences."""

NODES: Final = tuple(-4.5 + 0.45 * index for index in range(21))
"""The values of u at which integrals are evaluated."""
_TOTAL: Final = sum(exp(-0.5 * node * node) for node in NODES)
WEIGHTS: Final = tuple(exp(-0.5 * node * node) / _TOTAL for node in NODES)
"""Their probabilities."""

MAX_LOGIT: Final = 8.0
_KNOT_STEP: Final = 0.5
_KNOTS: Final = tuple(-MAX_LOGIT + _KNOT_STEP * index for index in range(round(2 * MAX_LOGIT / _KNOT_STEP) + 1))
_PIECES: Final = 20
_PIECES_PER_LOGIT: Final = 2.0
_FIRST_PIECE: Final = -5.0
"""Between these η the chance of a later try is one line: .01 from the exact one at most, for spreads up to 4."""
_LOGITS_PER_KEY: Final = 0.05
"""Log-odds of failed models are rounded to this, so that cached results are reused."""
_MIN_CHANCE: Final = 1e-9
_SMALL: Final = 1e-30
"""Products of chances below this are rescaled, to avoid underflow."""

Profile = tuple[float, ...]
"""The chance of a model at each of :data:`NODES`."""


Line = tuple[float, float]
"""Slope and offset."""


def piece_of(logit: float) -> int:
    """Return the number of the piece that a model's log-odds on any task are in; it is the same for every line."""
    piece = int((logit - _FIRST_PIECE) * _PIECES_PER_LOGIT) if logit > _FIRST_PIECE else 0
    return piece if piece < _PIECES else _PIECES - 1


class Harder:
    """The chance of a try on tasks that some models have failed, from the model's chance on any task.

    Pieces are computed on demand, because few of them are ever used.
    """

    __slots__ = ("_difficulty", "_lines", "_remaining")

    def __init__(self, difficulty: Difficulty, remaining: Profile) -> None:
        """Take the probability of each node, given what has failed."""
        self._difficulty = difficulty
        self._remaining = remaining
        self._lines: dict[int, Line] = {}

    def line(self, logit: float) -> Line:
        """Return slope and offset at ``logit``, the log-odds on any task: the try is one at slope · logit + offset."""
        return self.line_in(piece_of(logit))

    def line_in(self, piece: int) -> Line:
        """Return slope and offset in a piece that :func:`piece_of` returned."""
        return self._lines.get(piece) or self._line(piece)

    def chance(self, logit: float) -> float:
        """Return the probability of success of a model whose log-odds on any task are ``logit``."""
        slope, offset = self.line(logit)
        return expit(slope * logit + offset)

    def _line(self, piece: int) -> Line:
        below, above = (
            _logit(sum(map(mul, self._remaining, _line_profile(self._difficulty, number))))
            for number in (piece, piece + 1)
        )
        slope = (above - below) * _PIECES_PER_LOGIT
        line = self._lines[piece] = (slope, below - slope * (_FIRST_PIECE + piece / _PIECES_PER_LOGIT))
        return line


class Difficulty:
    """The distribution of difficulty in one task type. Immutable; :meth:`of` returns the same object for a spread."""

    __slots__ = ("_thetas", "spread")

    def __init__(self, spread: float) -> None:
        """Take the spread s, 0 for tasks that are all equally hard."""
        self.spread = spread
        self._thetas: dict[int, float] = {}

    @staticmethod
    def of(spread: float) -> Difficulty:
        """Return the difficulty with about this spread."""
        return _shared(round(max(0.0, min(MAX_SPREAD, spread)) * SPREADS_PER_UNIT))

    def profile(self, logit: float) -> Profile:
        """Return the chance at each node of a model whose log-odds on any task are ``logit``."""
        spread = self.spread
        theta = self._theta(logit)
        return tuple([expit(theta + spread * node) for node in NODES])

    def after(self, logits: Iterable[float]) -> Harder:
        """Return the chances of a try on tasks that models with these log-odds have all failed."""
        keys = sorted([round(max(-MAX_LOGIT, min(MAX_LOGIT, logit)) / _LOGITS_PER_KEY) for logit in logits])
        return _after(self, tuple(keys))

    def remaining(self, logits: Iterable[float]) -> Profile:
        """Return the probability of each node, given that models with these log-odds have failed."""
        return _remaining([_failures(self.profile(logit)) for logit in logits])

    def _theta(self, logit: float) -> float:
        position = (max(-MAX_LOGIT, min(MAX_LOGIT, logit)) + MAX_LOGIT) / _KNOT_STEP
        index = min(int(position), len(_KNOTS) - 2)
        below, above = self._theta_at(index), self._theta_at(index + 1)
        return below + (position - index) * (above - below)

    def _theta_at(self, index: int) -> float:
        """Return θ at a knot of η; all of them at once would take milliseconds."""
        theta = self._thetas.get(index)
        if theta is None:
            theta = self._thetas[index] = _theta(self.spread, _KNOTS[index])
        return theta


@lru_cache(maxsize=128)
def _shared(sixteenths: int) -> Difficulty:
    return Difficulty(sixteenths / SPREADS_PER_UNIT)


def _theta(spread: float, logit: float) -> float:
    theta = logit * sqrt(1.0 + 0.35 * spread * spread)
    for _ in range(50):
        chances = [expit(theta + spread * node) for node in NODES]
        chance = _mean(chances)
        slope = _mean([each * (1.0 - each) for each in chances])
        # Newton on the logit scale, where the function is nearly a line
        step = (logit - _logit(chance)) * chance * (1.0 - chance) / max(slope, 1e-12)
        theta += max(-4.0, min(4.0, step))
        if abs(step) < 1e-9:
            break
    return theta


@lru_cache(maxsize=1024)
def _line_profile(difficulty: Difficulty, number: int) -> Profile:
    """Return the profile at an end of a piece."""
    return difficulty.profile(_FIRST_PIECE + number / _PIECES_PER_LOGIT)


@lru_cache(maxsize=4096)
def _failures_at(difficulty: Difficulty, key: int) -> Profile:
    """Return the chance to fail at each node; cached, because many sets share a model."""
    return _failures(difficulty.profile(key * _LOGITS_PER_KEY))


def _failures(profile: Profile) -> Profile:
    return tuple([1.0 - chance for chance in profile])


def _remaining(failures: Iterable[Profile]) -> Profile:
    weights = WEIGHTS
    for profile in failures:
        weights = tuple(map(mul, weights, profile))
        if max(weights) < _SMALL:
            weights = _normalised(weights)
    return _normalised(weights)


def _normalised(weights: Profile) -> Profile:
    total = sum(weights)
    return tuple([weight / total for weight in weights])


@lru_cache(maxsize=4096)
def _after(difficulty: Difficulty, keys: tuple[int, ...]) -> Harder:
    return Harder(difficulty, _remaining([_failures_at(difficulty, key) for key in keys]))


def _mean(values: Sequence[float]) -> float:
    return sum([weight * value for weight, value in zip(WEIGHTS, values, strict=True)])


def _logit(chance: float) -> float:
    chance = max(_MIN_CHANCE, min(1.0 - _MIN_CHANCE, chance))
    return log(chance / (1.0 - chance))
