"""A decision as tables and text, for ``explain``, ``why`` and ``decisions``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.tables import Cell, Column, named, number, prose
from modelperf_plugin.text import UNKNOWN, count, dollars, ordinal, percent, seconds, short, span
from modelperf_plugin.values import Exclusion, RankedModel
from modelperf_plugin.values.names import likely_meant

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.tasks import LoggedTask, State, Step, Try
    from modelperf_plugin.config import LogConfig
    from modelperf_plugin.store import LoggedCandidate, LoggedDecision

STATE_STYLES: Final[Mapping[State, str]] = {"solved": "green", "failed": "red", "open": "yellow"}
_Candidate = TypeVar("_Candidate", bound="RankedModel | LoggedCandidate")


def print_candidates(
    answer: Answer,
    candidates: Iterable[_Candidate],
    propensity: Callable[[_Candidate], float],
    samples: Callable[[_Candidate], int],
    causes: Mapping[str, str | None] | None = None,
) -> None:
    """Print the ranking of a decision; expected costs only if any is known."""
    candidates = list(candidates)
    columns: list[Column[_Candidate]] = [
        named("model", lambda row: row.model_id, "bold"),
        number("chosen", lambda row: percent(propensity(row))),
        number("score", lambda row: percent(row.score)),
        number("interval", lambda row: span(row.interval)),
        number("outcomes", lambda row: f"{samples(row):,}", optional=True),
        Column("status", lambda row: row.status),
        prose("reason", lambda row: row.reason),
    ]
    if causes:
        columns.insert(2, Column("because", lambda row: causes.get(row.model_id) or ""))
    if any(row.expected_cost_usd is not None for row in candidates):
        columns.insert(len(columns) - 2, number("$/task", lambda row: dollars(row.expected_cost_usd)))
    answer.print_table(columns, candidates)


def print_excluded(answer: Answer, excluded: Sequence[Exclusion]) -> None:
    """Print which candidates were not permitted, if any."""
    if excluded:
        answer.print_line()
        answer.print_table(
            [named("excluded", lambda row: row.model_id, "bold"), prose("reason", lambda row: row.reason)], excluded
        )


def log_retention(log: LogConfig) -> str:
    """Return which decisions the decision log keeps, and for how long."""
    share = "all" if log.share == 1 else percent(log.share)
    return (
        f"the decision log keeps {share} of the decisions (log.share) for {count(log.keep_days, 'day')} "
        "(log.keep_days); a running host writes them within seconds"
    )


def task_cell(task: LoggedTask, decision: LoggedDecision) -> Cell:
    """Return how the task of a decision ended and what it cost in all, or why that is not known."""
    now_ms = time.time_ns() // 1_000_000
    if not task.tries:
        return _missing(decision, now_ms)
    state, last = task.state(now_ms), task.solved_by or task.tries[-1]
    several = task.has_several or state == "open"
    parts = [task.ending(now_ms) if several else last.ending]
    if several and task.solved_by is not None:
        parts[0] += f" with {last.outcome.model_id}"
    elif not several and last.outcome.model_id != decision.model_id:
        parts[0] += f" with {last.outcome.model_id}, {_role_of(last.outcome.model_id, decision)}"
    if task.usage:
        parts.append(f"{task.usage} in all" if several else task.usage)
    if decision.retry_of is not None:
        parts.append(f"retry of {decision.retry_of}")
    return ", ".join(parts), STATE_STYLES[state]


def _role_of(model_id: str, decision: LoggedDecision) -> str:
    """Return what a model was in a decision that chose another one."""
    offered = [row.model_id for row in decision.candidates]
    if model_id in offered:
        return "a fallback"
    if any(each.model_id == model_id for each in decision.excluded):
        return "a candidate that was excluded"
    meant = likely_meant(model_id, [decision.model_id, *offered])
    return "which was not offered" if meant is None else f"which was not offered: another name of {meant}?"


def print_tries(answer: Answer, task: LoggedTask, decision: LoggedDecision) -> None:
    """Print every try of a task, in order."""
    columns: list[Column[Try]] = [
        number("try", lambda row: ordinal(row.number)),
        named("model", lambda row: row.outcome.model_id, "bold"),
        Column("outcome", _ended),
        number("duration", lambda row: seconds(row.outcome.duration_ms)),
        number("tokens", lambda row: short(row.outcome.tokens_used) if row.outcome.tokens_used else UNKNOWN),
        number("cost", lambda row: dollars(row.outcome.cost_usd or None)),
    ]
    if len(task.decisions) > 1:
        own = decision.decision_id
        columns.append(named("decision", lambda row: "this one" if row.decision_id == own else row.decision_id, "dim"))
    answer.print_line()
    answer.print_table(columns, task.tries)
    if not task.is_complete:
        answer.print_line(("other decisions of this task are not shown: they left the log, or are too many", "dim"))


def print_plan(answer: Answer, steps: Sequence[Step], *, is_logged: bool = True) -> None:
    """Print the plan of a decision; of a logged one also what became of each step."""
    from modelperf_plugin.analysis.views.tasks import plan_text

    columns: list[Column[tuple[int, Step]]] = [
        number("planned try", lambda row: ordinal(row[0])),
        named("model", lambda row: row[1].planned.model_id, "bold"),
        number("reached", lambda row: percent(row[1].planned.chance_reached)),
        number("solves", lambda row: percent(row[1].planned.chance_solved)),
        number("expected", lambda row: dollars(row[1].planned.expected_usd)),
    ]
    if is_logged:
        columns.append(Column("outcome", lambda row: UNKNOWN if row[1].done is None else _ended(row[1].done)))
    answer.print_line()
    answer.print_table(columns, list(enumerate(steps, 1)))
    answer.print_line((plan_text([each.planned for each in steps]), "dim"))


def _ended(each: Try) -> Cell:
    return each.ending, "green" if each.outcome.success else "red"


def _missing(decision: LoggedDecision, now_ms: int) -> Cell:
    if decision.mode == "observe":
        return "observed only: the host was answered None", "dim"
    if decision.is_overdue(now_ms):
        return "no outcome for more than an hour", "yellow"
    return "no outcome yet", "dim"
