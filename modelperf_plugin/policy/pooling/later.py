"""Later tries as evidence, expressed as an equivalent number of first tries.

A try after the models in A have failed succeeds with probability g = expit(c·η + d), where η is the model's log-odds on
any task, and c and d come from :mod:`modelperf_plugin.policy.difficulty`. With y successes in n such tries, the score
and the expected information of η are

    U = c (y − n g),    I = c² n g (1 − g).

At the present estimate p = expit(η) they equal those of I / (p (1 − p)) first tries, of which that many times p + U
succeeded: the equivalent counts. They are not whole numbers and may lie outside of 0 and n, because
solving a hard task says more than solving an easy one. Estimating η again from them, and them from η, is Fisher
scoring.

Source: P. McCullagh and J. Nelder, "Generalized Linear Models", section 2.5.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import log
from typing import Final, NamedTuple

from modelperf_plugin.policy.difficulty import Harder, piece_of
from modelperf_plugin.policy.intervals import expit

MAX_STEPS: Final = 8
MAX_STEP: Final = 1.0
"""Maximum step in logits: far from the mode, its information is only a rough guide."""
CLOSE: Final = 0.002
"""Steps smaller than this, in logits, end the iteration."""
MAX_LOGIT: Final = 7.0


class Group(NamedTuple):
    """The later tries of a model after the same failures."""

    harder: Harder
    won: float
    lost: float


def equivalent(groups: Iterable[Group], logit: float) -> tuple[float, float]:
    """Return the equivalent successes and failures of first tries for a model at ``logit``.

    >>> from modelperf_plugin.policy.difficulty import Difficulty
    >>> alike = Difficulty.of(0.0).after([1.0])
    >>> [round(each, 3) for each in equivalent([Group(alike, 3.0, 2.0)], 0.5)]
    [3.0, 2.0]
    """
    p, piece = expit(logit), piece_of(logit)
    score = information = 0.0
    for harder, won, lost in groups:
        slope, offset = harder.line_in(piece)
        chance = expit(slope * logit + offset)
        tries = won + lost
        score += slope * (won - tries * chance)
        information += slope * slope * tries * chance * (1.0 - chance)
    first_tries = information / (p * (1.0 - p))
    successes = first_tries * p + score
    return successes, first_tries - successes


def settled(alpha: float, beta: float, groups: Collection[Group], logit: float) -> tuple[float, float, float]:
    """Return the Beta distribution of a model after its later tries, and its log-odds.

    ``alpha`` and ``beta`` are those of the prior and its first tries, ``logit`` is where to start. The mean is where
    the score of all evidence is zero, the weight is its information there.
    """
    logit = max(-MAX_LOGIT, min(MAX_LOGIT, logit))
    for _ in range(MAX_STEPS):
        successes, failures = equivalent(groups, logit)
        p = expit(logit)
        total = alpha + beta + successes + failures
        step = (alpha + successes - total * p) / (total * p * (1.0 - p))
        step = max(-MAX_STEP, min(MAX_STEP, step))
        logit = max(-MAX_LOGIT, min(MAX_LOGIT, logit + step))
        if -CLOSE < step < CLOSE:
            break
    p = expit(logit)
    return total * p, total * (1.0 - p), logit


def log_evidence(alpha: float, beta: float, groups: Collection[Group], logit: float) -> float:
    """Return the log-probability of later tries, up to what does not depend on how hard they were.

    It is integrated over the rate of the model, by Laplace's method: ``alpha`` and ``beta`` are what its prior and its
    first tries say, ``logit`` is where to start. At the most likely rate alone, few first tries would be taken for
    certain, and a weak model for hard tasks.
    """
    known_alpha, known_beta, logit = settled(alpha, beta, groups, logit)
    p = expit(logit)
    total = alpha * log(p) + beta * log(1.0 - p) - 0.5 * log((known_alpha + known_beta) * p * (1.0 - p))
    for harder, won, lost in groups:
        chance = harder.chance(logit)
        total += won * log(max(chance, 1e-9)) + lost * log(max(1.0 - chance, 1e-9))
    return total
