"""Evaluate the first tries of policies on the decision log, beside the actual success and the usual baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog
from modelperf_plugin.analysis.off_policy.judgement import MIN_DECISIONS, Judge, Judgement
from modelperf_plugin.analysis.off_policy.plan import Plan, plan
from modelperf_plugin.analysis.off_policy.replay_log import LearningEstimate, replay_log
from modelperf_plugin.analysis.off_policy.targets import Configured, constant, uniform
from modelperf_plugin.analysis.simulation.play import MIGRATION_GUIDE_RULE, Progress
from modelperf_plugin.config import Config, load
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.store import Store
from modelperf_plugin.values import from_milliseconds

Stage = Callable[[str], Progress | None]
"""Called with the name of the next stage; returns its progress callback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A policy to evaluate."""

    name: str
    config: Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Estimates for the first tries of policies from one decision log."""

    source: str
    """The location of the store."""
    decisions: int
    """Number of decisions with a known outcome."""
    since: datetime
    until: datetime
    left_out: Mapping[str, int]
    """Number of unusable decisions, by reason."""
    models: tuple[str, ...]
    happened: float
    """Actual success rate of first tries, where an outcome with a score counts by it; so do all other rates."""
    graded: int
    """Number of decisions whose outcome has a score."""
    happened_cost_usd: float | None
    """Actual mean US dollars of a first try, unknown costs taken as 0; None without any known cost."""
    unpriced: int
    """Number of decisions without a known cost."""
    made_the_log: Judgement
    policies: tuple[Judgement, ...]
    """The candidates, each with the knowledge of the time."""
    learning: tuple[LearningEstimate, ...]
    """The candidates, each starting with nothing and learning by itself."""
    document_rule: Judgement
    """The migration guide's rule, with the knowledge of the time."""
    plans: tuple[tuple[Plan, ...], ...]
    """For each candidate the cost of an answer; empty unless requested."""
    random: Judgement
    best_single: Judgement | None
    """The single model with the highest lower bound; its interval allows for the selection among all models."""

    def as_dict(self) -> dict[str, Any]:
        """Return the evaluation as plain JSON values."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values["since"], values["until"] = self.since.isoformat(), self.until.isoformat()
        values["left_out"], values["models"] = dict(self.left_out), list(self.models)
        for name in ("made_the_log", "document_rule", "random", "best_single"):
            values[name] = None if values[name] is None else values[name].as_dict()
        values["policies"] = [each.as_dict() for each in self.policies]
        values["plans"] = [[asdict(each) for each in plans] for plans in self.plans]
        values["learning"] = [asdict(each) for each in self.learning]
        return values


def evaluate(
    log: DecisionLog,
    store: Store,
    candidates: Sequence[Candidate],
    *,
    by_task_type: bool = False,
    planned: bool = False,
    seed: int = 0,
    stage: Stage = lambda _: None,
) -> Evaluation:
    """Evaluate ``candidates`` on ``log``, which was read from ``store``; with ``planned`` add the cost of an answer.

    Raises:
        InvalidValueError: the log has too few decisions.
    """
    if len(log) < MIN_DECISIONS:
        raise InvalidValueError("the log", f"{MIN_DECISIONS} decisions or more with a known outcome", len(log))
    judge = Judge(log)
    rule = Candidate(name="the migration guide's rule", config=load(MIGRATION_GUIDE_RULE).config)
    configs = [*candidates, rule]
    progress = stage("applying each policy to the knowledge of the time")
    shares = Configured(log, store).shares_of([each.config for each in configs], progress)
    judged = [judge.judge(each.name, own, by_task_type=by_task_type) for each, own in zip(configs, shares, strict=True)]
    plans = [plan(log, judge.logged, own) for own in shares[:-1]] if planned else []
    learning = [
        replay_log(log, each.config, seed=seed, progress=stage(f"{each.name}, learning")) for each in candidates
    ]
    cost = None if log.of_cost() is None else float(log.cost_usd[log.cost_usd > 0.0].sum() / len(log))
    return Evaluation(
        source=log.source, decisions=len(log), since=from_milliseconds(int(log.made_ms[0])),
        until=from_milliseconds(int(log.made_ms[-1])), left_out=log.left_out, models=log.models,
        happened=float(log.grade.mean()), graded=log.graded, happened_cost_usd=cost, unpriced=log.unpriced,
        made_the_log=judge.judge("what made the log", log.propensities, by_task_type=by_task_type),
        policies=tuple(judged[:-1]), learning=tuple(learning), document_rule=judged[-1], plans=tuple(plans),
        random=judge.judge("random", uniform(log)), best_single=best_single(judge, log),
    )  # fmt: skip


def best_single(judge: Judge, log: DecisionLog) -> Judgement | None:
    """Return the single model with the highest lower bound; None if the log is not sufficient for any."""
    alpha = 0.05 / len(log.models)
    judged = [judge.judge(model_id, constant(log, model_id), alpha) for model_id in log.models]
    answers = [each for each in judged if each.success is not None]
    return max(answers, key=lambda each: each.success.low if each.success else 0.0, default=None)
