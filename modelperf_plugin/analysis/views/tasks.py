"""One task with all its tries, joined from the decisions that were made for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from modelperf_plugin.store import FormerVerdict, JoinedOutcome, LoggedDecision
from modelperf_plugin.store.decisions import OVERDUE_MS
from modelperf_plugin.store.roles import DecisionHistory
from modelperf_plugin.text import count, dollars, ordinal, percent, seconds, short
from modelperf_plugin.values import NANO_USD, PlannedTry, blame_of

MAX_DECISIONS: Final = 32
"""Maximum number of decisions that are joined to one task."""

State = Literal["solved", "failed", "open"]


class Try(NamedTuple):
    """One try of a task."""

    number: int
    """Which try of the task it is, as :attr:`Decision.attempt` counts: 1 plus the failures before it.

    An outage or an error of the caller uses up no try: the next outcome has the same number.
    """
    decision_id: str
    """The decision it was reported for."""
    outcome: JoinedOutcome

    @property
    def is_counted(self) -> bool:
        """Whether it is a try that was used up: neither an outage nor an error of the caller."""
        return blame_of(self.outcome.success, self.outcome.error_kind) in {None, "model"}

    @property
    def ending(self) -> str:
        """How it ended, in a few words: ``failed, score 0.4, timed out``.

        With the first verdict, if that was another one, and the model that served it, if that is another one.
        """
        words = _verdict(self.outcome)
        first = _verdict(self.outcome.former[0]) if self.outcome.former else words
        at_first = "" if first == words else f" (at first: {', '.join(first)})"
        served = self.outcome.served_model
        return ", ".join(words) + at_first + ("" if served is None else f", served by {served}")

    def as_dict(self) -> dict[str, Any]:
        """Return the try as plain JSON values."""
        return {**self.outcome.as_dict(), "number": self.number, "decision_id": self.decision_id}


def _verdict(given: JoinedOutcome | FormerVerdict) -> list[str]:
    words = ["succeeded" if given.success else "failed"]
    words += [] if given.score is None else [f"score {given.score:.3g}"]
    words += ["timed out"] if given.timeout else []
    return words + ([] if given.error_kind is None else [given.error_kind])


class Step(NamedTuple):
    """One step of a plan, with the try that it led to."""

    planned: PlannedTry
    done: Try | None
    """None if it was not reached, or has not been reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedTask:
    """One task: its decisions, each of which follows an earlier one by ``retry_of``, and the tries under them."""

    decisions: tuple[LoggedDecision, ...]
    """Oldest first, at least one."""
    is_complete: bool
    """Whether no decision of the task is missing: deleted from the log, or beyond :data:`MAX_DECISIONS`."""

    @property
    def tries(self) -> tuple[Try, ...]:
        """Every outcome, in order."""
        number, tries = self.decisions[0].attempt, []
        for decision in self.decisions:
            for outcome in decision.tries:
                tries.append(Try(number, decision.decision_id, outcome))
                number += tries[-1].is_counted
        return tuple(tries)

    @property
    def has_several(self) -> bool:
        """Whether it took more than one outcome."""
        return len(self.tries) > 1 or any(each.number > 1 for each in self.tries)

    @property
    def solved_by(self) -> Try | None:
        """The try that solved the task; None if none did."""
        return next((each for each in self.tries if each.outcome.success), None)

    @property
    def tokens_used(self) -> int:
        """The reported tokens of all tries."""
        return sum(each.outcome.tokens_used for each in self.tries)

    @property
    def cost_usd(self) -> float:
        """The reported cost of all tries in US dollars."""
        return sum(each.outcome.cost_nano_usd for each in self.tries) / NANO_USD

    @property
    def duration_ms(self) -> int | None:
        """The reported durations of all tries; None if none was reported."""
        known = [each.outcome.duration_ms for each in self.tries if each.outcome.duration_ms is not None]
        return sum(known) if known else None

    @property
    def usage(self) -> str:
        """Reported duration, tokens and cost of all tries as text: ``34.0 s, 3.4k tokens, $0.0450``."""
        parts = [] if self.duration_ms is None else [seconds(self.duration_ms)]
        parts += [f"{short(self.tokens_used)} tokens"] if self.tokens_used else []
        parts += [dollars(self.cost_usd)] if self.cost_usd else []
        return ", ".join(parts)

    def state(self, now_ms: int) -> State:
        """Return how the task ended at ``now_ms``; it is open while another try is due, for an hour at most."""
        if self.solved_by is not None:
            return "solved"
        last = self.decisions[-1]
        if not last.tries:
            return "failed" if self.tries and last.is_overdue(now_ms) else "open"
        is_due = self._has_planned_try(last) and last.tries[-1].ended_ms > now_ms - OVERDUE_MS
        return "open" if is_due else "failed"

    def _has_planned_try(self, decision: LoggedDecision) -> bool:
        """Return whether a try of its plan is left, and a model to make it: an outage leaves it to a substitute."""
        own = [each for each in self.tries if each.decision_id == decision.decision_id]
        listed = {step.model_id for step in decision.plan} | {row.model_id for row in decision.candidates}
        listed -= {each.model_id for each in decision.excluded}
        used_up = sum(each.is_counted for each in own)
        return used_up < len(decision.plan) and not listed.issubset(each.outcome.model_id for each in own)

    def ending(self, now_ms: int) -> str:
        """Return how the task ended in a few words."""
        tries, solved_by, state = self.tries, self.solved_by, self.state(now_ms)
        if solved_by is not None:
            return "succeeded" if tries[-1].number == 1 else f"solved by the {ordinal(solved_by.number)} try"
        used_up = tries[-1].number - (not tries[-1].is_counted) if tries else 0
        if used_up == 0 or (state == "failed" and used_up == 1):
            return state
        return f"{state} after {count(used_up, 'try', 'tries')}"

    def as_dict(self, now_ms: int) -> dict[str, Any]:
        """Return the task as plain JSON values."""
        solved_by, duration_ms = self.solved_by, self.duration_ms
        return {
            "state": self.state(now_ms),
            "solved_by": None if solved_by is None else solved_by.number,
            "decision_ids": [each.decision_id for each in self.decisions],
            "complete": self.is_complete,
            "tries": [each.as_dict() for each in self.tries],
            "tokens_used": self.tokens_used,
            "cost_usd": self.cost_usd,
            "duration_seconds": None if duration_ms is None else duration_ms / 1000,
        }


class DecisionRow(NamedTuple):
    """A decision with its task."""

    decision: LoggedDecision
    task: LoggedTask


def task_of(log: DecisionHistory, decision: LoggedDecision) -> LoggedTask:
    """Return the task of ``decision``, with the decisions before it and after it."""
    earlier, is_complete = _before(log, decision)
    decisions = [*earlier, decision]
    seen = {each.decision_id for each in decisions}
    for each in decisions:  # grows while it is read: a retry may be retried
        if any(outcome.success for outcome in each.tries):
            continue
        for follow_up in log.follow_ups(each.decision_id):
            if follow_up.decision_id in seen:
                continue
            if len(decisions) == MAX_DECISIONS:
                is_complete = False
                break
            seen.add(follow_up.decision_id)
            decisions.append(follow_up)
    ordered = sorted(decisions, key=lambda each: each.made_ms)
    return LoggedTask(decisions=tuple(ordered), is_complete=is_complete)


def with_tasks(log: DecisionHistory, decisions: Iterable[LoggedDecision]) -> list[DecisionRow]:
    """Return each decision with its task; decisions of one task share it."""
    known: dict[str, LoggedTask] = {}
    rows = []
    for decision in decisions:
        task = known.get(decision.decision_id)
        if task is None:
            task = task_of(log, decision)
            known |= dict.fromkeys((each.decision_id for each in task.decisions), task)
        rows.append(DecisionRow(decision, task))
    return rows


def plan_text(plan: Sequence[PlannedTry]) -> str:
    """Return the chance that a plan solves the task, and its expected cost."""
    solved = sum(each.chance_reached * each.chance_solved for each in plan)
    costs = [each.chance_reached * each.expected_usd for each in plan if each.expected_usd is not None]
    cost = f", at an expected cost of {dollars(sum(costs))}" if len(costs) == len(plan) else ""
    return f"in all: the task is solved with a probability of {percent(solved)}{cost}"


def steps_of(decision: LoggedDecision, task: LoggedTask) -> list[Step]:
    """Return the plan of ``decision``, each step with the try that it led to."""
    own = [each for each in task.tries if each.decision_id == decision.decision_id]
    steps = []
    for planned in decision.plan:
        done = next((each for each in own if each.outcome.model_id == planned.model_id), None)
        if done is not None:
            own.remove(done)
        steps.append(Step(planned, done))
    return steps


def _before(log: DecisionHistory, decision: LoggedDecision) -> tuple[list[LoggedDecision], bool]:
    """Return the decisions that ``decision`` follows, oldest first, and whether these are all."""
    earlier: list[LoggedDecision] = []
    seen, wanted = {decision.decision_id}, decision.retry_of
    if wanted == decision.decision_id:  # another program wrote that it follows itself: nothing is missing
        return earlier, True
    while wanted is not None:
        found = log.get(wanted) if wanted not in seen and len(earlier) < MAX_DECISIONS // 2 else None
        if found is None:
            return earlier, False
        seen.add(wanted)
        earlier.insert(0, found)
        wanted = found.retry_of
    return earlier, True
