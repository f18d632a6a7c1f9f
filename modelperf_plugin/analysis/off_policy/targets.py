"""Target policies: for every decision of a log the probability with which each model would have been chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from modelperf_plugin.analysis.off_policy.decision_log import DEMOTED, PAUSED, DecisionLog, Flags
from modelperf_plugin.analysis.off_policy.estimators import Floats, Integers
from modelperf_plugin.analysis.off_policy.store_as_of import Cost, StoreAsOf
from modelperf_plugin.config import Config
from modelperf_plugin.engine.learner import Learner
from modelperf_plugin.policy import Knowledge, assess, choose
from modelperf_plugin.policy.quality import classified
from modelperf_plugin.store import Store
from modelperf_plugin.values import NANO_USD, NO_CONTEXT, Tally

Progress = Callable[[int, int], None]
_Row = tuple[tuple[int, ...], tuple[float, ...]]


def uniform(log: DecisionLog) -> Floats:
    """Return the policy that draws one of the models offered."""
    shares: Floats = log.offered / log.offered.sum(axis=1, keepdims=True)
    return shares.astype(np.float32)


def constant(log: DecisionLog, model_id: str) -> Floats:
    """Return the policy that always uses one model; where it was not offered, what the log did."""
    return per_task_type(log, dict.fromkeys(log.task_types, model_id))


def per_task_type(log: DecisionLog, choices: Mapping[str, str]) -> Floats:
    """Return the policy with one model for each task type; where it was not offered, or none is named, the log's."""
    named = [choices.get(task_type) for task_type in log.task_types]
    column = np.array([log.models.index(each) if each in log.models else -1 for each in named])
    wanted = column[log.task]
    rows = np.arange(len(log))
    there = (wanted >= 0) & log.offered[rows, wanted]
    shares = np.where(there[:, None], np.float32(0), log.propensities)
    shares[rows[there], wanted[there]] = 1.0
    return shares


class Configured:
    """A configuration, applied at each decision of a log to what was known then.

    That is the evidence that the policy which made the log had gathered, with the demotions and pauses that were in
    force. So it is a policy that does not learn by itself, and its estimate says what it makes of the same knowledge.
    Long logs are brought up to date in blocks (:meth:`DecisionLog.blocks`); what it knows is never newer than the
    decision.
    """

    def __init__(self, log: DecisionLog, store: Store) -> None:
        self._log = log
        self._store = store

    def shares(self, config: Config, progress: Progress | None = None) -> Floats:
        """Return the probabilities that ``config`` gives to each model at each decision."""
        return self.shares_of([config], progress)[0]

    def shares_of(self, configs: Sequence[Config], progress: Progress | None = None) -> list[Floats]:
        """Return the same for several configurations, in one pass over what was known."""
        log = self._log
        then = StoreAsOf(self._store, _costs(log), _not_before(log))
        learners: dict[str, Learner] = {}
        deciding = [_Deciding(each, then, learners, log.models) for each in configs]
        found = [np.zeros((len(log), len(log.models)), np.float32) for _ in configs]
        for block in log.blocks():
            then.advance(int(log.made_ms[block.start]))
            for one, shares in zip(deciding, found, strict=True):
                one.bring_up_to_date()
                self._fill(one, block, shares)
            if progress is not None:
                progress(block.stop, len(log))
        return found

    def _fill(self, deciding: _Deciding, block: slice, shares: Floats) -> None:
        log = self._log
        for row in range(block.start, block.stop):
            columns, chances = deciding.decide(log.task_types[log.task[row]], log.offered[row], log.status[row])
            shares[row, columns] = chances


class _Deciding:
    """One configuration, over evidence that moves forward; what is learned alike is learned once."""

    def __init__(self, config: Config, then: StoreAsOf, learners: dict[str, Learner], models: tuple[str, ...]) -> None:
        self._config = config
        self._then = then
        self._models = models
        key = repr((config.quality, config.drift, config.models))
        if key not in learners:
            learners[key] = Learner(then, then.merged, lambda: config, lambda: then.now)
        self._learner = learners[key]
        self._changes = 0
        self._choices: dict[tuple[str, bytes, bytes], _Row] = {}

    def bring_up_to_date(self) -> None:
        self._choices.clear()
        if self._changes != self._then.changes_noticed:
            self._changes = self._then.changes_noticed
            self._learner.start_afresh()

    def decide(self, task_type: str, offered: Flags, status: Integers) -> _Row:
        key = (task_type, offered.tobytes(), status.tobytes())
        known = self._choices.get(key)
        if known is None:
            known = self._choices[key] = self._decide(task_type, offered, status)
        return known

    def _decide(self, task_type: str, offered: Flags, status: Integers) -> _Row:
        columns = np.flatnonzero(offered).tolist()
        names = tuple([self._models[column] for column in columns])
        evidence: Mapping[str, Tally] = self._then.of(task_type)
        beliefs = self._learner.know(task_type, evidence, names)
        knowledge = Knowledge(
            classified(evidence, self._config.quality.timeouts),
            beliefs,
            {self._models[column]: "demoted then" for column in columns if status[column] == DEMOTED},
            {self._models[column]: "paused then" for column in columns if status[column] == PAUSED},
            self._learner.model_costs,
        )
        assessment = assess(self._config.policy_for(task_type), task_type, names, knowledge, NO_CONTEXT)
        chances = choose(assessment, NO_CONTEXT, None).probabilities
        place = dict(zip(names, columns, strict=True))
        return tuple([place[model_id] for model_id in assessment.ranking.model_ids]), chances


def _costs(log: DecisionLog) -> list[Cost]:
    known = np.flatnonzero(np.isfinite(log.cost_usd)).tolist()
    return [
        Cost(
            int(log.ended_ms[row]),
            log.task_types[log.task[row]],
            log.models[log.chosen[row]],
            round(float(log.cost_usd[row]) * NANO_USD),
        )
        for row in known
    ]


def _not_before(log: DecisionLog) -> dict[tuple[str, str, int], int]:
    early = np.flatnonzero(log.ended_ms < log.made_ms).tolist()
    return {
        (log.task_types[log.task[row]], log.models[log.chosen[row]], int(log.ended_ms[row])): int(log.made_ms[row])
        for row in early
    }
