"""The fit over all (task type, model) cells, carried forward row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import exp, isfinite, log
from typing import Final, NamedTuple, Self

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.difficulty import MAX_SPREAD, PRIOR_SPREAD
from modelperf_plugin.policy.intervals import expit
from modelperf_plugin.policy.pooling.sums import NOTHING, RowSums, Two

Cell = tuple[float, float]
"""Weighted successes and failures of one pair; fractional, because old outcomes are discounted."""
FitRow = tuple[str, Sequence[float]]
"""A stored part of a fit: the numbers of a model or, with an empty name, of the whole."""

MODEL_VARIANCE: Final = 1.0
"""Initial σa², and the value that two pseudo-observations shrink it towards: pools have weak and strong models."""
TASK_VARIANCE, CELL_VARIANCE = 0.2, 0.5
"""The same for σb² and σe²."""
SINGLE_CELL_VARIANCE: Final = 0.2
"""σe² with one task type, where it cannot be told from σa² and only adds to it."""
MIN_PRECISION: Final = 0.25
"""Minimum precision of a model prior: it keeps the log-odds finite."""
MIN_SPREAD: Final = 0.02
"""Minimum of p(1 − p): a rate near 0 or 1 is not known that well."""
MAX_STEP_LOGITS: Final = 3.0
"""Maximum of a single working residual."""
INTERCEPT_VARIANCE: Final = 2.25
"""Prior variance of μ around even odds."""
PSEUDO_OBSERVATIONS: Final = 2.0
MIN_CELL_VARIANCE: Final = 0.02
NOTICEABLE_LOGITS: Final = 0.01
"""Smaller movements of the fit are no reason to derive beliefs from it again."""


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


class _Moments:
    """What one pass over rows and models adds up for its EM step: squares of effects, with their uncertainty."""

    def __init__(self) -> None:
        self.tasks = self.cells = self.models = 0
        self.task_squares = self.cell_squares = self.model_squares = 0.0


class Pool:
    """The estimates over all cells. Without any, every prior is even odds.

    :meth:`visit` brings one row up to date, and the sums of its models by the difference; μ and every a follow from
    these sums, so that each visit starts from the newest estimates and costs as much as its row. A pass visits every
    row and every model once, in steps of any size, and ends with one EM step for the variances. Passes converge to
    the fixed point of the equations in :mod:`modelperf_plugin.policy.pooling`.
    """

    def __init__(self, priors: Priors | None = None) -> None:
        """Start with nothing but priors."""
        self.intercept = 0.0
        """μ, in logits."""
        self.model_variance = MODEL_VARIANCE
        """σa²."""
        self.task_variance = TASK_VARIANCE
        """σb²."""
        self.cell_variance = SINGLE_CELL_VARIANCE
        """σe²."""
        self.log_spread = log(PRIOR_SPREAD)
        """ln s: how much tasks of one type differ in difficulty, see :mod:`modelperf_plugin.policy.difficulty`."""
        self.priors: Priors = priors or {}
        """Priors of models from outside this store; may be replaced between two visits."""
        self.edition = 0
        """Changes whenever a pass has moved an estimate noticeably."""
        self.shares = RowSums()
        """Weight and weighted sum of response − b, for each cell and model. They do not contain μ."""
        self._tasks: dict[str, float] = {}
        self._inherited: dict[str, Two] = {}
        """The part of an earlier fit's sums whose rows have not been visited yet: weight and mean for each model."""
        self._pulls: dict[str, Two] = {}
        """The contribution of each model to the equation of μ: weight and weighted mean."""
        self._pull, self._pull_weight = 0.0, 1.0 / INTERCEPT_VARIANCE
        self._moments = _Moments()
        self._published: dict[str, float] = {}
        self._moved = 0.0

    @property
    def single(self) -> bool:
        """Whether there is at most one task type: then b is 0. A stored fit is taken for one of several."""
        return len(self._tasks) < 2 and not self._inherited

    def task(self, task_type: str) -> float:
        """Return b as of the last visit: the starting point of the estimate for one task type."""
        return 0.0 if self.single else self._tasks.get(task_type, 0.0)

    def effect(self, model_id: str, own: Two = NOTHING) -> Two:
        """Return mean and variance of a[m] + e[t,m], learned from all task types but one, whose share is ``own``."""
        weight, weighted = self._total(model_id)
        own_weight, own_weighted = own
        others = max(0.0, weight - own_weight)
        residuals = weighted - own_weighted - self.intercept * others
        prior = self.priors.get(model_id)
        if prior is None:
            variance = 1.0 / (others + 1.0 / self.model_variance)
            return residuals * variance, variance + self.cell_variance
        variance = 1.0 / (others + prior.precision)
        expected = prior.precision * (prior.logit - self.intercept)
        return (residuals + expected) * variance, variance + self.cell_variance

    def visit(self, task_type: str, row: Mapping[str, Cell], *, in_pass: bool = False) -> None:
        """Estimate b of one task type, and the shares of its cells, from ``row``; ``in_pass`` as part of a pass."""
        cells = [(model_id, won, won + lost) for model_id, (won, lost) in row.items() if won + lost > 0.0]
        if not cells:
            self._forget(task_type)
            return
        is_new = task_type not in self._tasks
        task = self._tasks.setdefault(task_type, 0.0)
        single = self.single
        means = [self.intercept + self._mean(model_id) for model_id, _, _ in cells]
        for _ in range(2 if is_new else 1):  # Newton steps for b
            start = task
            responses = self._responses(cells, means, start)
            total = 1.0 / self.task_variance + sum([weight for weight, _ in responses])
            task = 0.0 if single else sum([weight * response for weight, response in responses]) / total
        if in_pass:
            self._measure(task, total, responses)
        shares = {
            model_id: (weight, weight * (mean + response - task))
            for (model_id, _, _), mean, (weight, response) in zip(cells, means, responses, strict=True)
        }
        self._tasks[task_type] = task
        self._put(task_type, shares, is_new=is_new)

    def model_ids(self) -> list[str]:
        """Return the models with outcomes, in the order in which they were first visited."""
        return list(self.shares.totals | self._inherited)

    def revise(self, model_ids: Iterable[str]) -> None:
        """Visit models, as part of a pass: its second half, after all rows."""
        moments = self._moments
        for model_id in model_ids:
            self._pull_by(model_id)
            mean = self._mean(model_id)
            weight = self._total(model_id)[0]
            if weight > 0.0 and model_id not in self.priors:
                moments.models += 1
                moments.model_squares += mean * mean + 1.0 / (weight + 1.0 / self.model_variance)
            logit = self.intercept + mean
            self._moved = max(self._moved, abs(logit - self._published.get(model_id, 0.0)))
            self._published[model_id] = logit

    def begin_pass(self) -> None:
        """Begin a pass; one that has not ended is given up."""
        self._moments, self._moved = _Moments(), 0.0

    def end_pass(self) -> None:
        """Estimate the variances from a pass over all rows and all models."""
        moments = self._moments
        before = (self.model_variance, self.task_variance, self.cell_variance)
        self.model_variance = _shrunk(moments.model_squares, moments.models, MODEL_VARIANCE)
        if self.single:
            self.task_variance, self.cell_variance = TASK_VARIANCE, SINGLE_CELL_VARIANCE
        else:
            self.task_variance = _shrunk(moments.task_squares, moments.tasks, TASK_VARIANCE)
            cell_variance = _shrunk(moments.cell_squares, moments.cells, CELL_VARIANCE)
            begins = self.cell_variance == SINGLE_CELL_VARIANCE
            self.cell_variance = CELL_VARIANCE if begins else max(MIN_CELL_VARIANCE, cell_variance)
        self._inherited.clear()  # their rows are gone
        after = (self.model_variance, self.task_variance, self.cell_variance)
        moved = max([self._moved, *(abs(log(new / old)) for new, old in zip(after, before, strict=True))])
        if moved > NOTICEABLE_LOGITS:
            self.edition += 1
        self.begin_pass()

    def rows(self, model_ids: Iterable[str]) -> Iterator[FitRow]:
        """Yield the state from which a later process starts, for storage.

        μ, the three variances and s; weight and weighted residuals of each of the models.
        """
        common = (self.intercept, self.model_variance, self.task_variance, self.cell_variance)
        yield "", (*common, exp(self.log_spread))
        for model_id in model_ids:
            weight, weighted = self._total(model_id)
            yield model_id, (weight, weighted - self.intercept * weight)

    @classmethod
    def from_rows(cls, rows: Iterable[FitRow], priors: Priors | None = None) -> Self:
        """Restore the state that :meth:`rows` yielded, in any order.

        Raises:
            InvalidValueError: these are not the rows of a fit.
        """
        common: Sequence[float] = ()
        models: dict[str, Sequence[float]] = {}
        for model_id, numbers in rows:
            expected = 2 if model_id else 5
            if not model_id and len(numbers) == 4:  # of an earlier version
                numbers = (*numbers, PRIOR_SPREAD)  # noqa: PLW2901
            if len(numbers) != expected or not all(map(isfinite, numbers)):
                raise InvalidValueError("rows", f"the {expected} numbers of a fit", numbers)
            if model_id:
                models[model_id] = numbers
            else:
                common = numbers
        if not common or min(common[1:]) <= 0.0 or any(numbers[0] < 0.0 for numbers in models.values()):
            raise InvalidValueError("rows", "those of a fit", common)
        pool = cls(priors)
        pool.intercept, pool.model_variance, pool.task_variance, pool.cell_variance, spread = common
        pool.log_spread = log(min(MAX_SPREAD, spread))
        for model_id, (weight, residuals) in models.items():
            if weight > 0.0:
                pool._inherited[model_id] = (weight, residuals / weight + pool.intercept)
                pool._pull_by(model_id)
        return pool

    def _total(self, model_id: str) -> Two:
        """Return the sums of a model."""
        weight, weighted = self.shares.totals.get(model_id, NOTHING)
        if weight < 0.0:  # noqa: PLR1730 - differences leave a rounding error; max() takes three times as long
            weight = 0.0
        if self._inherited:
            inherited, mean = self._inherited.get(model_id, NOTHING)
            return weight + inherited, weighted + inherited * mean
        return weight, weighted

    def _mean(self, model_id: str) -> float:
        """Return a of a model."""
        weight, weighted = self._total(model_id)
        residuals = weighted - self.intercept * weight
        prior = self.priors.get(model_id)
        if prior is None:
            return residuals / (weight + 1.0 / self.model_variance)
        return (residuals + prior.precision * (prior.logit - self.intercept)) / (weight + prior.precision)

    def _responses(self, cells: Sequence[tuple[str, float, float]], means: Sequence[float], task: float) -> list[Two]:
        """Return for each cell its weight, and its working response at b = ``task`` less μ and a."""
        cell_variance = self.cell_variance
        responses = []
        for mean, (_, successes, samples) in zip(means, cells, strict=True):
            residual, variance = working_residual(mean + task, successes, samples)
            responses.append((1.0 / (variance + cell_variance), residual + task))
        return responses

    def _put(self, task_type: str, shares: Mapping[str, Two], *, is_new: bool) -> None:
        """Replace the shares of a row; μ follows."""
        for model_id in self.shares.replace(task_type, shares):
            if is_new and model_id in self._inherited:
                weight, mean = self._inherited[model_id]
                self._inherited[model_id] = (max(0.0, weight - shares[model_id][0]), mean)
            self._pull_by(model_id)
        self.intercept = self._pull / self._pull_weight

    def _forget(self, task_type: str) -> None:
        if self._tasks.pop(task_type, None) is not None:
            self._put(task_type, {}, is_new=False)

    def _pull_by(self, model_id: str) -> None:
        """Update what one model contributes to μ, once its a is put into the equation."""
        weight, weighted = self._total(model_id)
        prior = self.priors.get(model_id)
        if prior is None:
            share = 1.0 / (1.0 + weight * self.model_variance)
            new = (weight * share, weighted * share)
        else:
            new = (0.0, prior.precision * (weighted - weight * prior.logit) / (weight + prior.precision))
        before = self._pulls.get(model_id, NOTHING)
        self._pulls[model_id] = new
        self._pull_weight += new[0] - before[0]
        self._pull += new[1] - before[1]

    def _measure(self, task: float, weight: float, responses: Sequence[Two]) -> None:
        """Add a row to the moments of the pass; ``responses`` are weights and responses less μ and a."""
        moments, before = self._moments, self.cell_variance
        moments.tasks += 1
        moments.task_squares += task * task + 1.0 / weight
        moments.cells += len(responses)
        for cell_weight, response in responses:
            own = before * cell_weight  # σe² / (σe² + v): the fraction of the residual that is the cell's own
            residual = own * (response - task)
            moments.cell_squares += residual * residual + before * (1.0 - own)


def _shrunk(squares: float, count: int, initial: float) -> float:
    """Return the EM update of a variance, with a weak prior."""
    return (PSEUDO_OBSERVATIONS * initial + squares) / (PSEUDO_OBSERVATIONS + count)


def working_residual(logit: float, successes: float, samples: float) -> tuple[float, float]:
    """Return the working residual of a cell at ``logit``, and its variance."""
    p = expit(logit)
    spread = p * (1.0 - p)
    if spread < MIN_SPREAD:  # noqa: PLR1730 - runs for every cell, and max() takes three times as long
        spread = MIN_SPREAD
    residual = (successes / samples - p) / spread
    if not -MAX_STEP_LOGITS < residual < MAX_STEP_LOGITS:
        residual = MAX_STEP_LOGITS if residual > 0.0 else -MAX_STEP_LOGITS
    return residual, 1.0 / (samples * spread)
