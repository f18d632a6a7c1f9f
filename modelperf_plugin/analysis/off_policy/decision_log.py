"""The decision log as columns, for estimators; read page by page."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modelperf_plugin.analysis.off_policy.estimators import Floats, Integers, Logged
from modelperf_plugin.analysis.simulation.play import Progress
from modelperf_plugin.json_text import parse_json
from modelperf_plugin.store import Store
from modelperf_plugin.store.decision_records import DecisionRecord
from modelperf_plugin.store.decisions import JoinedOutcome
from modelperf_plugin.values import NANO_USD, blame_of, check_id

Flags = npt.NDArray[np.bool_]

PAGE_SIZE: Final = 5_000
MAX_BLOCKS: Final = 2_500
"""In longer logs, knowledge is updated this many times instead of before every decision."""
AVAILABLE, DEMOTED, UNAVAILABLE, DOWN = 0, 1, 2, 3
_STATUS: Final = {"demoted": DEMOTED, "probe": DEMOTED, "unavailable": UNAVAILABLE}
_MAX_POSITION: Final = 2**15 - 1
_MODEL_PSEUDO_OUTCOMES, _PAIR_PSEUDO_OUTCOMES = 4.0, 4.0
"""Weight of all models' mean in one model's forecast, and of the model's mean in that of a pair."""
_MEMORY: Final = 50.0
"""About as many of the newest outcomes of a pair count in its forecast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLog:
    """n decisions with their outcomes, oldest first, over m models."""

    source: str
    task_types: tuple[str, ...]
    models: tuple[str, ...]
    made_ms: Integers
    """Time of each decision, in milliseconds since the Unix epoch; ``ended_ms`` is that of its outcome."""
    ended_ms: Integers
    task: Integers
    """Positions in ``task_types``."""
    chosen: Integers
    """Positions of the chosen models in ``models``."""
    success: Floats
    """1 for success, 0 for failure."""
    score: Floats
    """The hosts' scores; NaN where there is none."""
    cost_usd: Floats
    """US dollars; NaN if unknown."""
    offered: Flags
    """n × m: whether each model was permitted."""
    propensities: Floats
    """n × m: the probability with which each model was chosen."""
    status: Integers
    """n × m: available, demoted, unavailable, or down: unavailable and ranked behind demoted models."""
    position: Integers
    """n × m: the rank of each offered model, from 0 on."""
    left_out: Mapping[str, int]
    """Number of further decisions in the log, by the reason for leaving them out."""

    def __len__(self) -> int:
        return len(self.task)

    @property
    def grade(self) -> Floats:
        """The score where there is one, else success."""
        return np.where(np.isnan(self.score), self.success, self.score)

    @property
    def graded(self) -> int:
        """Number of decisions whose outcome has a score."""
        return int((~np.isnan(self.score)).sum())

    def of_success(self) -> Logged:
        """Return the log with success as the reward, or the score where there is one."""
        return self.with_rewards(self.grade)

    def of_cost(self) -> tuple[Logged, float] | None:
        """Return the log with cost as the reward, in units of the highest cost, and that cost; None without costs.

        Unknown costs, counted by :attr:`unpriced`, are taken as 0.
        """
        highest = float(np.nanmax(self.cost_usd)) if np.isfinite(self.cost_usd).any() else 0.0
        if highest <= 0.0:
            return None
        return self.with_rewards(np.nan_to_num(self.cost_usd) / highest), highest

    @property
    def unpriced(self) -> int:
        """Number of decisions without a known cost."""
        return int(np.isnan(self.cost_usd).sum())

    def only(self, rows: Flags) -> DecisionLog:
        """Return the decisions in ``rows``, a mask."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _COLUMNS})

    def but_left_out(self, left_out: Mapping[str, int]) -> DecisionLog:
        """Return the same with other numbers of decisions left out."""
        return replace(self, left_out=left_out)

    def blocks(self) -> list[slice]:
        """Return the slices of decisions that share the knowledge from before their first one."""
        size = max(1, len(self) // MAX_BLOCKS)
        return [slice(start, min(start + size, len(self))) for start in range(0, len(self), size)]

    def with_rewards(self, rewards: Floats) -> Logged:
        """Return the log with ``rewards``, from 0 to 1."""
        return Logged(
            rewards=rewards, chosen=self.chosen, propensities=self.propensities, forecasts=_forecasts(self, rewards)
        )


_COLUMNS: Final = (
    "made_ms", "ended_ms", "task", "chosen", "success", "score", "cost_usd", "offered", "propensities", "status",
    "position",
)  # fmt: skip


def read_log(
    store: Store,
    *,
    task_type: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    progress: Progress | None = None,
) -> DecisionLog:
    """Read the first tries of tasks: decisions that a host received and whose outcome is known.

    Leaves out, and counts by reason, those without an outcome of the chosen model, those with a pinned model, those
    that ended through the caller, and those of tasks that had failed before: later tries say something else.
    """
    reader = LogReader(task_type, since_ms, until_ms)
    number, seen = 0, 0
    while page := store.decisions.after(number, PAGE_SIZE):
        for number, record, outcome in page:  # noqa: B007 - the last one is where the next page starts
            reader.add(record, outcome)
        seen += len(page)
        if progress is not None:
            progress(seen, seen)
    return reader.log(store.location)


_Candidate = tuple[str, float, str]
"""A model, its propensity and its status."""


class LogReader:
    """Collects decisions, and puts them in order."""

    def __init__(self, task_type: str | None, since_ms: int | None, until_ms: int | None) -> None:
        self._task_type, self._since_ms, self._until_ms = task_type, since_ms, until_ms
        self._tasks: dict[str, int] = {}
        self._models: dict[str, int] = {}
        self._left_out: Counter[str] = Counter()
        self.counts_left_out = True
        """Whether what is left out now is counted."""
        wide = {"row": "i", "column": "i", "chance": "f", "status": "b", "position": "h"}
        self._wide: dict[str, array[Any]] = {name: array(kind) for name, kind in wide.items()}
        long = {"made": "q", "ended": "q", "task": "i", "chosen": "i", "success": "b", "score": "d", "cost": "d"}
        self._long: dict[str, array[Any]] = {name: array(kind) for name, kind in long.items()}

    def add(self, record: DecisionRecord, outcome: JoinedOutcome | None) -> int | None:
        """Add a decision with its outcome; return its number, or None if it is not wanted or cannot be used."""
        if not self._wanted(record):
            return None
        reason = _reason_to_leave_out(record, outcome)
        candidates = [] if reason else _candidates(record)
        if reason is None and record.model_id not in [each[0] for each in candidates]:
            reason = "it cannot be read"
        elif any(status == "pinned" for _, _, status in candidates):
            reason = "the host had pinned the model"
        if reason is not None or outcome is None:
            self._count(reason or "")
            return None
        return self._append(record, outcome, candidates)

    def leave_out(self, record: DecisionRecord, reason: str) -> None:
        """Count a decision as left out, if it is wanted."""
        if self._wanted(record):
            self._count(reason)

    def amend(self, row: int, *, success: bool, score: float | None, cost_usd: float) -> None:
        """Replace the outcome of the decision with this number."""
        self._long["success"][row] = success
        self._long["score"][row] = float("nan") if score is None else score
        self._long["cost"][row] = cost_usd

    def order(self) -> Integers:
        """Return the numbers of the decisions in the order of the log."""
        return np.argsort(np.array(self._long["made"]), kind="stable")

    def _count(self, reason: str) -> None:
        self._left_out[reason] += self.counts_left_out

    def _wanted(self, record: DecisionRecord) -> bool:
        return (
            self._task_type in {None, record.task_type}
            and (self._since_ms is None or record.made_ms >= self._since_ms)
            and (self._until_ms is None or record.made_ms < self._until_ms)
        )

    def _append(self, record: DecisionRecord, outcome: JoinedOutcome, candidates: list[_Candidate]) -> int:
        long, wide, models = self._long, self._wide, self._models
        row, is_behind = len(long["task"]), False
        for position, (model_id, propensity, status) in enumerate(candidates):
            kind = _STATUS.get(status, AVAILABLE)
            is_behind |= kind == DEMOTED
            wide["row"].append(row)
            wide["column"].append(models.setdefault(model_id, len(models)))
            wide["chance"].append(propensity)
            wide["status"].append(DOWN if is_behind and kind == UNAVAILABLE else kind)
            wide["position"].append(min(position, _MAX_POSITION))
        long["made"].append(record.made_ms)
        long["ended"].append(outcome.ended_ms)
        long["task"].append(self._tasks.setdefault(record.task_type, len(self._tasks)))
        long["chosen"].append(models[record.model_id])
        long["success"].append(outcome.success)
        long["score"].append(float("nan") if outcome.score is None else outcome.score)
        long["cost"].append(outcome.cost_nano_usd / NANO_USD if outcome.cost_nano_usd else float("nan"))
        return row

    def log(self, source: str) -> DecisionLog:
        long = {name: np.array(values) for name, values in self._long.items()}
        order = self.order()
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        rows = place[np.frombuffer(self._wide["row"], np.int32)] if len(order) else order
        columns = np.array(self._wide["column"])
        shape = (len(order), len(self._models))
        offered, propensities, status = np.zeros(shape, bool), np.zeros(shape, np.float32), np.zeros(shape, np.int8)
        position = np.zeros(shape, np.int16)
        offered[rows, columns] = True
        propensities[rows, columns] = np.array(self._wide["chance"], np.float32)
        status[rows, columns] = np.array(self._wide["status"], np.int8)
        position[rows, columns] = np.array(self._wide["position"], np.int16)
        return DecisionLog(
            source=source, task_types=tuple(self._tasks), models=tuple(self._models), made_ms=long["made"][order],
            ended_ms=long["ended"][order], task=long["task"][order], chosen=long["chosen"][order],
            success=long["success"][order].astype(np.float64), score=long["score"][order],
            cost_usd=long["cost"][order], offered=offered, propensities=propensities, status=status,
            position=position, left_out=dict(self._left_out),
        )  # fmt: skip


def _candidates(record: DecisionRecord) -> list[_Candidate]:
    """Return the candidates of a decision; none if the text of the record is not one of ours."""
    try:
        listed = parse_json(record.record)["candidates"]
        return [
            (check_id("model_id", each["model_id"]), float(each["propensity"]), str(each["status"])) for each in listed
        ]
    except (ValueError, TypeError, LookupError):
        return []


def _reason_to_leave_out(record: DecisionRecord, outcome: JoinedOutcome | None) -> str | None:
    if record.mode != "apply":
        return "the host was answered None"
    if record.retry_of is not None:
        return "it retries a task that had failed"
    return "no outcome has come" if outcome is None else _objection(record, outcome)


def _objection(record: DecisionRecord, outcome: JoinedOutcome) -> str | None:
    if outcome.model_id != record.model_id:
        return "only a fallback's outcome has come"
    if outcome.number > 1:
        return "a fallback was tried first"
    if blame_of(outcome.success, outcome.error_kind) == "caller":
        return "it ended by the caller's own doing"
    return None


def _forecasts(log: DecisionLog, rewards: Floats) -> Floats:
    """Return for each decision and model the pair's mean reward so far, shrunk towards the model's overall mean.

    Rewards count the less, the more of the same pair came later: models change.
    """
    shape = (len(log.task_types), len(log.models))
    sums, counts = np.zeros(shape), np.zeros(shape)
    forecasts = np.empty((len(log), len(log.models)), np.float32)
    for block in log.blocks():
        forecasts[block] = mean_rewards(sums, counts)[log.task[block]]
        new, number = np.zeros(shape), np.zeros(shape)
        np.add.at(new, (log.task[block], log.chosen[block]), rewards[block])
        np.add.at(number, (log.task[block], log.chosen[block]), 1.0)
        left = (1.0 - 1.0 / _MEMORY) ** number
        sums, counts = sums * left + new, counts * left + number
    return forecasts


def mean_rewards(sums: Floats, counts: Floats) -> Floats:
    """Return the mean reward of each pair, shrunk towards that of its model, by task type and model."""
    total, number = sums.sum(axis=0), counts.sum(axis=0)
    overall = (float(total.sum()) + 1.0) / (float(number.sum()) + 2.0)
    model = (total + _MODEL_PSEUDO_OUTCOMES * overall) / (number + _MODEL_PSEUDO_OUTCOMES)
    cells: Floats = (sums + _PAIR_PSEUDO_OUTCOMES * model) / (counts + _PAIR_PSEUDO_OUTCOMES)
    return cells
