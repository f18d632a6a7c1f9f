"""Sharing evidence between task types: an empirical-Bayes prior for every (task type, model).

The log-odds of success of model *m* on task type *t* are taken as

    logit p[t,m] = μ + a[m] + b[t] + e[t,m],   a ~ N(0, σa²), b ~ N(0, σb²), e ~ N(0, σe²):

how good models are, how hard task types are, and what is special about a pair. Where something is known of a model
from elsewhere, a[m] ~ N(logit(s) − μ, 1/(k s (1 − s))) instead: success s, known as well as from k outcomes.

:func:`fit` estimates μ, the a, the three variances and, as a by-product, the b, from all cells at once.
:class:`TaskBeliefs` then gives each candidate of a task type a Beta posterior: its own outcomes, on a prior that leaves
its own outcomes out, so that nothing counts twice. How hard the task type is (b) is carried forward with every outcome,
so that it is never stale.

Sources: P. McCullagh and J. Nelder, "Generalized Linear Models" (working response, iterative weighting);
N. Breslow and D. Clayton, "Approximate inference in generalized linear mixed models", 1993; G. Casella, "An
introduction to empirical Bayes data analysis", 1985. Standard library only; no step is longer than O(cells).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, log
from typing import Final, NamedTuple, Self

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.policy.belief import Belief
from modelperf_plugin.policy.intervals import expit

Cell = tuple[float, float]
"""Successes and failures that count; they need not be whole, because old ones fade."""
Cells = Mapping[str, Mapping[str, Cell]]
"""Cells by task type and model id."""

FitRow = tuple[str, str, Sequence[float]]
"""Some numbers of a fit: of a task type, of a model or, with neither, of all."""

NO_OUTCOMES: Final[Cell] = (0.0, 0.0)


MIN_PRECISION: Final = 0.25
"""What is known of a model never weighs less than this: nothing but that its log-odds are not endless."""
MAX_LOGIT: Final = 20.0
"""The log-odds of a prior lie within this."""


class ModelPrior(NamedTuple):
    """What is known of a model from elsewhere."""

    logit: float
    """Its log-odds of success on an average task type."""
    precision: float
    """One over the variance of that."""

    @classmethod
    def of(cls, success: float, strength: float) -> ModelPrior:
        """Return what ``strength`` outcomes with a rate of ``success`` tell.

        >>> [round(each, 4) for each in ModelPrior.of(0.8, 10)]
        [1.3863, 1.6]
        """
        return cls(log(success / (1.0 - success)), max(MIN_PRECISION, strength * success * (1.0 - success)))


Priors = Mapping[str, ModelPrior]
"""By model."""
NO_PRIORS: Final[Priors] = {}

SWEEPS: Final = 4
PRIOR_VARIANCE: Final = 0.2
"""Where σa² and σb² start, and what they are pulled towards by two pseudo-observations."""
CELL_VARIANCE: Final = 0.2
"""The same for σe²."""
PSEUDO_OBSERVATIONS: Final = 2.0
MIN_CELL_VARIANCE: Final = 0.02
INTERCEPT_VARIANCE: Final = 2.25
"""Prior variance of μ around even odds."""
MIN_SPREAD: Final = 0.02
"""p(1 − p) is never taken below this: a rate near 0 or 1 is not known that well."""
MAX_STEP_LOGITS: Final = 3.0
"""A single working residual never moves further than this many logits."""
MIN_STRENGTH, MAX_STRENGTH = 1.5, 60.0
"""A prior weighs as many outcomes as this at least and at most."""


class _Share(NamedTuple):
    """A weighted mean under way."""

    weight: float
    weighted: float


_NOTHING: Final = _Share(0.0, 0.0)


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
    """Whether there is one task type at most: then b is 0."""
    models: Mapping[str, _Share] = field(default_factory=dict)
    """For each model the weight of its cells, and their weighted residuals."""
    shares: Mapping[tuple[str, str], _Share] = field(default_factory=dict)
    """What each cell has contributed to that."""
    tasks: Mapping[str, float] = field(default_factory=dict)
    """b, where the estimate for one task type starts from."""
    priors: Priors = field(default_factory=dict)
    """What is known of models from elsewhere."""

    def parts(self) -> Iterator[FitRow]:
        """Yield what a later fit of the same cells begins with, for storage.

        That is μ and the three variances; for each model the weight of its cells and their weighted residuals; for each
        task type b.
        """
        yield "", "", (self.intercept, self.model_variance, self.task_variance, self.cell_variance)
        for model_id, share in self.models.items():
            yield "", model_id, tuple(share)
        for task_type, effect in self.tasks.items():
            yield task_type, "", (effect,)

    @classmethod
    def of_parts(cls, parts: Iterable[FitRow]) -> Self:
        """Return what to begin with from what :meth:`parts` gave, in any order.

        Raises:
            InvalidValueError: these are not the parts of a fit.
        """
        common: Sequence[float] = ()
        models: dict[str, _Share] = {}
        tasks: dict[str, float] = {}
        for task_type, model_id, numbers in parts:
            expected = 1 if task_type else 2 if model_id else 4
            if len(numbers) != expected or not all(map(isfinite, numbers)):
                raise InvalidValueError("parts", f"the {expected} numbers of a fit", numbers)
            if task_type:
                tasks[task_type] = numbers[0]
            elif model_id:
                models[model_id] = _Share(*numbers)
            else:
                common = numbers
        if not common or min(common[1:]) <= 0.0 or any(share.weight < 0.0 for share in models.values()):
            raise InvalidValueError("parts", "those of a fit", common)
        return cls(
            intercept=common[0],
            model_variance=common[1],
            task_variance=common[2],
            cell_variance=common[3],
            single=len(tasks) < 2,
            models=models,
            tasks=tasks,
        )

    def effect(self, task_type: str, model_id: str) -> tuple[float, float]:
        """Return mean and variance of a[m] + e[t,m], learned from the other task types alone."""
        total = self.models.get(model_id, _NOTHING)
        own = self.shares.get((task_type, model_id), _NOTHING)
        prior = _expected(self.priors.get(model_id), self.intercept, self.model_variance)
        variance = 1.0 / (max(0.0, total.weight - own.weight) + prior.weight)
        return (total.weighted - own.weighted + prior.weighted) * variance, variance + self.cell_variance


class TaskBeliefs:
    """What is believed of every model on one task type, carried forward outcome by outcome between two fits."""

    def __init__(self, pool: Pool, task_type: str, row: Mapping[str, Cell]) -> None:
        """Start from a fit and the cells of the task type."""
        self._pool = pool
        self._single, self._intercept = pool.single, pool.intercept  # looked up for every belief
        self._task_type = task_type
        self._cells: dict[str, Cell] = {}
        self._effects: dict[str, tuple[float, float]] = {}
        self._parts: dict[str, _Share] = {}
        self._weight = 1.0 / pool.task_variance
        self._weighted = 0.0
        self._task = 0.0 if pool.single else pool.tasks.get(task_type, 0.0)
        for _ in range(2):  # Newton steps for b, from where the fit left it
            start = self._task
            for model_id, cell in row.items():
                self._add(model_id, cell, start)
            self._estimate()

    def update(self, model_id: str, cell: Cell) -> None:
        """Take in the cell of one model after another outcome."""
        self._add(model_id, cell, self._task)
        self._estimate()

    def cell(self, model_id: str) -> Cell:
        """Return the cell of a model as last taken in."""
        return self._cells.get(model_id, NO_OUTCOMES)

    def belief(self, model_id: str, outcomes: float | None = None) -> Belief:
        """Return the posterior of one model: its own outcomes on a prior that leaves them out.

        ``outcomes`` is what :class:`~modelperf_plugin.policy.belief.Belief` says of it.
        """
        mean, variance = self._effects.get(model_id) or self._effect(model_id)
        logit = self._intercept + mean
        if not self._single:
            own = self._parts.get(model_id, _NOTHING)
            weight = self._weight - own[0]
            logit += (self._weighted - own[1]) / weight
            variance += 1.0 / weight
        prior = expit(max(-MAX_LOGIT, min(MAX_LOGIT, logit)))
        spread = prior * (1.0 - prior)
        strength = 1.0 / (variance * max(spread, MIN_SPREAD))
        if not MIN_STRENGTH <= strength <= MAX_STRENGTH:
            strength = MIN_STRENGTH if strength < MIN_STRENGTH else MAX_STRENGTH
        successes, failures = self._cells.get(model_id, NO_OUTCOMES)
        return Belief(successes + strength * prior, failures + strength * (1.0 - prior), outcomes)

    def _effect(self, model_id: str) -> tuple[float, float]:
        effect = self._effects.get(model_id)
        if effect is None:
            effect = self._effects[model_id] = self._pool.effect(self._task_type, model_id)
        return effect

    def _add(self, model_id: str, cell: Cell, task: float) -> None:
        self._cells[model_id] = cell
        successes, failures = cell
        if self._pool.single:
            return
        part = _NOTHING
        if successes + failures > 0.0:
            mean, spread = self._effect(model_id)
            residual, variance = _residual(self._pool.intercept + mean + task, successes, successes + failures)
            weight = 1.0 / (spread + variance)
            part = _Share(weight, weight * (residual + task))
        before = self._parts.get(model_id, _NOTHING)
        self._parts[model_id] = part
        self._weight += part.weight - before.weight
        self._weighted += part.weighted - before.weighted

    def _estimate(self) -> None:
        if not self._pool.single:
            self._task = self._weighted / self._weight


def fit(cells: Cells, previous: Pool | None = None, priors: Priors = NO_PRIORS, sweeps: int = SWEEPS) -> Pool:
    """Return the pool of ``cells``, starting from the ``previous`` fit: a few refits make it converge.

    Fewer ``sweeps`` are enough where the cells are still nearly those of the previous fit.
    """
    rows = [
        (task_type, model_id, successes, successes + failures)
        for task_type, row in cells.items()
        for model_id, (successes, failures) in row.items()
        if successes + failures > 0.0
    ]
    return _Fit(rows, previous or Pool(), priors).run(sweeps) if rows else Pool(priors=priors)


class _Fit:
    """Four sweeps of weighted means for μ, a and b; then one EM step for the variances."""

    def __init__(self, rows: list[tuple[str, str, float, float]], previous: Pool, priors: Priors) -> None:
        self.previous = previous
        self.priors = priors
        self.task_types = list(dict.fromkeys(row[0] for row in rows))
        self.model_ids = list(dict.fromkeys(row[1] for row in rows))
        self.single = len(self.task_types) == 1
        task_index = {task_type: index for index, task_type in enumerate(self.task_types)}
        model_index = {model_id: index for index, model_id in enumerate(self.model_ids)}
        self.rows = [(task_index[row[0]], model_index[row[1]], row[2], row[3]) for row in rows]
        self.intercept = previous.intercept
        self.tasks = [0.0 if self.single else previous.tasks.get(each, 0.0) for each in self.task_types]
        self.models = [self._start(model_id) for model_id in self.model_ids]

    def _start(self, model_id: str) -> float:
        return _mean(self.previous.models.get(model_id, _NOTHING), self._expected(model_id))

    def _expected(self, model_id: str) -> _Share:
        return _expected(self.priors.get(model_id), self.intercept, self.previous.model_variance)

    def run(self, sweeps: int) -> Pool:
        """Return the fit."""
        before = self.previous
        model_totals: list[_Share] = []
        task_totals: list[_Share] = []
        for _ in range(sweeps):
            cells = self._working_responses()
            total = sum([weight * (response - self.models[m] - self.tasks[t]) for t, m, response, weight in cells])
            self.intercept = total / (sum([cell[3] for cell in cells]) + 1.0 / INTERCEPT_VARIANCE)
            model_totals = self._totals([(m, weight, response - self.tasks[t]) for t, m, response, weight in cells])
            self.models = list(map(_mean, model_totals, map(self._expected, self.model_ids)))
            if not self.single:
                task_totals = self._totals([(t, weight, response - self.models[m]) for t, m, response, weight in cells])
                towards = _Share(1.0 / before.task_variance, 0.0)
                self.tasks = [_mean(total, towards) for total in task_totals]
        return Pool(
            intercept=self.intercept,
            model_variance=_variance(*self._unknown(model_totals), before.model_variance),
            task_variance=_variance(self.tasks, task_totals, before.task_variance),
            cell_variance=before.cell_variance if self.single else self._cell_variance(cells),
            single=self.single,
            models=dict(zip(self.model_ids, model_totals, strict=True)),
            shares={
                (self.task_types[t], self.model_ids[m]): _Share(
                    weight, weight * (response - self.intercept - self.tasks[t])
                )
                for t, m, response, weight in cells
            },
            tasks=dict(zip(self.task_types, self.tasks, strict=True)),
            priors=self.priors,
        )

    def _unknown(self, totals: list[_Share]) -> tuple[list[float], list[_Share]]:
        """Return the effects of the models of which nothing is known from elsewhere: only they say how models vary."""
        if not self.priors:
            return self.models, totals
        chosen = [n for n, model_id in enumerate(self.model_ids) if model_id not in self.priors]
        return [self.models[n] for n in chosen], [totals[n] for n in chosen]

    def _working_responses(self) -> list[tuple[int, int, float, float]]:
        """Return task type, model, working response and weight of every cell."""
        found = []
        cell_variance = self.previous.cell_variance
        for t, m, successes, samples in self.rows:
            logit = self.intercept + self.models[m] + self.tasks[t]
            residual, variance = _residual(logit, successes, samples)
            found.append((t, m, logit + residual, 1.0 / (variance + cell_variance)))
        return found

    def _totals(self, cells: list[tuple[int, float, float]]) -> list[_Share]:
        size = 1 + max(index for index, _, _ in cells)
        weights, weighted = [0.0] * size, [0.0] * size
        for index, weight, response in cells:
            weights[index] += weight
            weighted[index] += weight * (response - self.intercept)
        return list(map(_Share, weights, weighted))

    def _cell_variance(self, cells: list[tuple[int, int, float, float]]) -> float:
        before = self.previous.cell_variance
        total = 0.0
        for t, m, response, weight in cells:
            kept = before * weight  # σe² / (σe² + v): how much of the residual is the cell's own
            residual = kept * (response - self.intercept - self.models[m] - self.tasks[t])
            total += residual * residual + before * (1.0 - kept)
        pseudo = PSEUDO_OBSERVATIONS * CELL_VARIANCE
        return max(MIN_CELL_VARIANCE, (pseudo + total) / (PSEUDO_OBSERVATIONS + len(cells)))


def _expected(known: ModelPrior | None, intercept: float, variance: float) -> _Share:
    """Return what is expected of a model's effect without outcomes, as a share that is added to those of its cells."""
    if known is None:
        return _Share(1.0 / variance, 0.0)
    return _Share(known.precision, known.precision * (known.logit - intercept))


def _mean(total: _Share, prior: _Share) -> float:
    """Return a weighted mean, pulled towards what was expected."""
    return (total.weighted + prior.weighted) / (total.weight + prior.weight)


def _residual(logit: float, successes: float, samples: float) -> tuple[float, float]:
    """Return the working residual of a cell at ``logit``, and its variance."""
    p = expit(logit)
    spread = max(p * (1.0 - p), MIN_SPREAD)
    residual = (successes / samples - p) / spread
    return max(-MAX_STEP_LOGITS, min(MAX_STEP_LOGITS, residual)), 1.0 / (samples * spread)


def _variance(effects: list[float], totals: list[_Share], before: float) -> float:
    """Return the EM update of a variance, with a weak prior."""
    total = sum(
        [effect * effect + 1.0 / (share.weight + 1.0 / before) for effect, share in zip(effects, totals, strict=False)]
    )
    return (PSEUDO_OBSERVATIONS * PRIOR_VARIANCE + total) / (PSEUDO_OBSERVATIONS + len(totals))
