"""The values of a fit over all (task type, model) cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, log
from typing import Final, NamedTuple, Self

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.intervals import expit

Cell = tuple[float, float]
"""Weighted successes and failures of one pair; fractional, because old outcomes are discounted."""
FitRow = tuple[str, str, Sequence[float]]
"""A stored part of a fit: the numbers of a task type, of a model or, with neither, of the whole."""

PRIOR_VARIANCE: Final = 0.2
"""Initial σa² and σb², and the value that two pseudo-observations shrink them towards."""
CELL_VARIANCE: Final = 0.2
"""The same for σe²."""
MIN_PRECISION: Final = 0.25
"""Minimum precision of a model prior: it keeps the log-odds finite."""
MIN_SPREAD: Final = 0.02
"""Minimum of p(1 − p): a rate near 0 or 1 is not known that well."""
MAX_STEP_LOGITS: Final = 3.0
"""Maximum of a single working residual."""


class ModelPrior(NamedTuple):
    """Prior belief about one model, from outside this store."""

    logit: float
    """Log-odds of success on an average task type."""
    precision: float
    """Inverse variance of ``logit``."""

    @classmethod
    def of(cls, success: float, strength: float) -> ModelPrior:
        """Return the prior that ``strength`` outcomes with a success rate of ``success`` amount to.

        >>> [round(each, 4) for each in ModelPrior.of(0.8, 10)]
        [1.3863, 1.6]
        """
        return cls(log(success / (1.0 - success)), max(MIN_PRECISION, strength * success * (1.0 - success)))


Priors = Mapping[str, ModelPrior]


class Share(NamedTuple):
    """Weight and weighted sum: a mean to which further shares can be added."""

    weight: float
    weighted: float


NO_SHARE: Final = Share(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Pool:
    """A fit over all cells. Without any, every prior is even odds."""

    intercept: float = 0.0
    """μ, in logits."""
    model_variance: float = PRIOR_VARIANCE
    """σa²."""
    task_variance: float = PRIOR_VARIANCE
    """σb²."""
    cell_variance: float = CELL_VARIANCE
    """σe²."""
    single: bool = True
    """Whether there is at most one task type: then b is 0."""
    models: Mapping[str, Share] = field(default_factory=dict)
    """Weight and weighted residuals of each model's cells."""
    shares: Mapping[tuple[str, str], Share] = field(default_factory=dict)
    """Contribution of each (task type, model) to ``models``."""
    tasks: Mapping[str, float] = field(default_factory=dict)
    """b, the starting point of the estimate for one task type."""
    priors: Priors = field(default_factory=dict)

    def rows(self) -> Iterator[FitRow]:
        """Yield the state from which a later fit of the same cells starts, for storage.

        μ and the three variances; weight and weighted residuals of each model; b of each task type.
        """
        yield "", "", (self.intercept, self.model_variance, self.task_variance, self.cell_variance)
        for model_id, share in self.models.items():
            yield "", model_id, tuple(share)
        for task_type, effect in self.tasks.items():
            yield task_type, "", (effect,)

    @classmethod
    def from_rows(cls, rows: Iterable[FitRow]) -> Self:
        """Restore the state that :meth:`rows` yielded, in any order.

        Raises:
            InvalidValueError: these are not the rows of a fit.
        """
        common: Sequence[float] = ()
        models: dict[str, Share] = {}
        tasks: dict[str, float] = {}
        for task_type, model_id, numbers in rows:
            expected = 1 if task_type else 2 if model_id else 4
            if len(numbers) != expected or not all(map(isfinite, numbers)):
                raise InvalidValueError("rows", f"the {expected} numbers of a fit", numbers)
            if task_type:
                tasks[task_type] = numbers[0]
            elif model_id:
                models[model_id] = Share(*numbers)
            else:
                common = numbers
        if not common or min(common[1:]) <= 0.0 or any(share.weight < 0.0 for share in models.values()):
            raise InvalidValueError("rows", "those of a fit", common)
        intercept, model_variance, task_variance, cell_variance = common
        return cls(intercept, model_variance, task_variance, cell_variance, len(tasks) < 2, models=models, tasks=tasks)

    def effect(self, task_type: str, model_id: str) -> tuple[float, float]:
        """Return mean and variance of a[m] + e[t,m], learned from the other task types alone."""
        total = self.models.get(model_id, NO_SHARE)
        own = self.shares.get((task_type, model_id), NO_SHARE)
        prior = prior_share(self.priors.get(model_id), self.intercept, self.model_variance)
        variance = 1.0 / (max(0.0, total.weight - own.weight) + prior.weight)
        return (total.weighted - own.weighted + prior.weighted) * variance, variance + self.cell_variance


def prior_share(prior: ModelPrior | None, intercept: float, variance: float) -> Share:
    """Return the prior of a model's effect, as a share to add to those of its cells."""
    if prior is None:
        return Share(1.0 / variance, 0.0)
    return Share(prior.precision, prior.precision * (prior.logit - intercept))


def working_residual(logit: float, successes: float, samples: float) -> tuple[float, float]:
    """Return the working residual of a cell at ``logit``, and its variance."""
    p = expit(logit)
    spread = max(p * (1.0 - p), MIN_SPREAD)
    residual = (successes / samples - p) / spread
    return max(-MAX_STEP_LOGITS, min(MAX_STEP_LOGITS, residual)), 1.0 / (samples * spread)
