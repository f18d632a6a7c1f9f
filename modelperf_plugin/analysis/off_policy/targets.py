"""Target policies: the probability of each model at every decision of a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from modelperf_plugin.analysis.off_policy.decision_log import DEMOTED, DOWN, UNAVAILABLE, DecisionLog, Flags
from modelperf_plugin.analysis.off_policy.estimators import Floats, Integers
from modelperf_plugin.analysis.off_policy.store_as_of import Cost, StoreAsOf
from modelperf_plugin.analysis.simulation.play import Progress
from modelperf_plugin.config import Config
from modelperf_plugin.engine.learner import Learner
from modelperf_plugin.policy import Knowledge, assess, choose
from modelperf_plugin.policy.quality import classified
from modelperf_plugin.store import Store
from modelperf_plugin.values import NANO_USD, NO_CONTEXT, Tally

_Chances = tuple[tuple[int, ...], tuple[float, ...]]


def uniform(log: DecisionLog) -> Floats:
    """Return the policy that draws one of the offered models at random."""
    shares: Floats = log.offered / log.offered.sum(axis=1, keepdims=True)
    return shares.astype(np.float32)


def constant(log: DecisionLog, model_id: str) -> Floats:
    """Return the policy that always uses one model; where it was not offered, the log's own choice."""
    return per_task_type(log, dict.fromkeys(log.task_types, model_id))


def per_task_type(log: DecisionLog, choices: Mapping[str, str]) -> Floats:
    """Return the policy with one model for each task type; without one, or where it was not offered, the log's own."""
    named = [choices.get(task_type) for task_type in log.task_types]
    column = np.array([log.models.index(each) if each in log.models else -1 for each in named])
    wanted = column[log.task]
    rows = np.arange(len(log))
    there = (wanted >= 0) & log.offered[rows, wanted]
    shares = np.where(there[:, None], np.float32(0), log.propensities)
    shares[rows[there], wanted[there]] = 1.0
    return shares


class Configured:
    """A configuration, applied at each decision of a log to the knowledge of that time.

    That is the evidence gathered by the policy that made the log, with the demotions and back-offs in force. So it does
    not learn by itself: its estimate shows what it makes of the same knowledge. Long logs are updated in blocks
    (:meth:`DecisionLog.blocks`); knowledge is never newer than the decision.
    """

    def __init__(self, log: DecisionLog, store: Store) -> None:
        self._log, self._store = log, store

    def shares(self, config: Config, progress: Progress | None = None) -> Floats:
        """Return the probabilities that ``config`` gives to each model at each decision."""
        return self.shares_of([config], progress)[0]

    def shares_of(self, configs: Sequence[Config], progress: Progress | None = None) -> list[Floats]:
        """Return the same for several configurations, in one pass over the log."""
        log = self._log
        past = StoreAsOf(self._store, _costs(log), _not_before(log))
        learners: dict[str, Learner] = {}
        deciders = [_Decider(each, past, learners, log.models) for each in configs]
        chances = [np.zeros((len(log), len(log.models)), np.float32) for _ in configs]
        for block in log.blocks():
            past.advance(int(log.made_ms[block.start]))
            for decider, shares in zip(deciders, chances, strict=True):
                decider.refresh()
                for row in range(block.start, block.stop):
                    columns, own = decider.decide(log, row)
                    shares[row, columns] = own
            if progress is not None:
                progress(block.stop, len(log))
        return chances


class _Decider:
    """One configuration on a store that moves forward; configurations that learn alike share a learner."""

    def __init__(self, config: Config, past: StoreAsOf, learners: dict[str, Learner], models: tuple[str, ...]) -> None:
        self._config, self._past, self._models = config, past, models
        key = repr((config.quality, config.drift, config.models))
        if key not in learners:
            learners[key] = Learner(past, past.merged, lambda: config, lambda: past.now)
        self._learner = learners[key]
        self._changes = 0
        self._choices: dict[tuple[str, bytes, bytes, tuple[int, ...]], _Chances] = {}

    def refresh(self) -> None:
        self._choices.clear()
        if self._changes != self._past.changes_noticed:
            self._changes = self._past.changes_noticed
            self._learner.reset()

    def decide(self, log: DecisionLog, row: int) -> _Chances:
        task_type, offered, status = log.task_types[log.task[row]], log.offered[row], log.status[row]
        unavailable = np.flatnonzero(offered & (status >= UNAVAILABLE))
        ordered = unavailable[np.argsort(log.position[row][unavailable])].tolist()
        key = (task_type, offered.tobytes(), status.tobytes(), tuple(ordered))
        if key not in self._choices:
            self._choices[key] = self._decide(task_type, offered, status, ordered)
        return self._choices[key]

    def _decide(self, task_type: str, offered: Flags, status: Integers, unavailable: Sequence[int]) -> _Chances:
        columns = np.flatnonzero(offered).tolist()
        names = tuple([self._models[column] for column in columns])
        evidence: Mapping[str, Tally] = self._past.of(task_type)
        beliefs = self._learner.know(task_type, evidence, names)
        costs = self._learner.costs(task_type, evidence)
        knowledge = Knowledge(
            classified(evidence, self._config.quality.timeouts),
            beliefs,
            {self._models[column]: "demoted at the time" for column in columns if status[column] == DEMOTED},
            {self._models[column]: "unavailable at the time" for column in unavailable},
            costs.models,
            recent_costs=costs.records,
            waiting=costs.waiting,
            difficulty=self._learner.difficulty(task_type),
            down=[self._models[column] for column in unavailable if status[column] == DOWN],
        )
        assessment = assess(self._config.policy_for(task_type), task_type, names, knowledge, NO_CONTEXT)
        chances = choose(assessment, NO_CONTEXT, None).probabilities
        place = dict(zip(names, columns, strict=True))
        return tuple([place[model_id] for model_id in assessment.ranking.model_ids]), chances


def _costs(log: DecisionLog) -> list[Cost]:
    costs = []
    for row in np.flatnonzero(np.isfinite(log.cost_usd)).tolist():
        task_type, model_id = log.task_types[log.task[row]], log.models[log.chosen[row]]
        costs.append(Cost(int(log.ended_ms[row]), task_type, model_id, round(float(log.cost_usd[row]) * NANO_USD)))
    return costs


def _not_before(log: DecisionLog) -> dict[tuple[str, str, int], int]:
    early = np.flatnonzero(log.ended_ms < log.made_ms).tolist()
    return {
        (log.task_types[log.task[row]], log.models[log.chosen[row]], int(log.ended_ms[row])): int(log.made_ms[row])
        for row in early
    }
