"""One task: the models to try, and the tries."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Literal, Self

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.recorder.classifying import RAISED_AT_ONCE, FailureKind, failure, failure_by
from modelperf_plugin.recorder.link import EngineLink, Order, check_models
from modelperf_plugin.recorder.ticket import Ticket
from modelperf_plugin.recorder.turns import Turns
from modelperf_plugin.recorder.usage import cost_of, output_of, tokens_of
from modelperf_plugin.values import Decision, Failure, Outcome, check_amount, check_id

Verdict = Literal["call", "later"]
"""Who says whether a try has succeeded: the call, by not raising; or the host, later."""

_ID_BYTES: Final = 10


class Attempt:
    """One try of a task with one model, and a context manager around its call, also for ``async with``.

    It takes the time and is recorded at its end. An exception is recorded and, if another model follows, suppressed;
    otherwise it is raised as it was.
    """

    def __init__(
        self, model: str, number: int, turns: Turns, on_end: Callable[[Attempt, BaseException | None], bool]
    ) -> None:
        """Try ``model``; ``on_end`` is called at the end with the exception, and returns whether to suppress it."""
        self.model = model
        """The model to call."""
        self.tokens_used = 0
        self.cost_usd = 0.0
        self.output_tokens: int | None = None
        """How many of the tokens are output, if that is known."""
        self.served_model: str | None = None
        """The name under which a model has answered, if that is known."""
        self.graded: float | None = None
        """The score, if there is one."""
        self.failure: Failure | None = None
        """Why it has failed; None if it has not."""
        self.is_committed = False
        """Whether no other model follows, whatever happens."""
        self.duration_seconds = 0.0
        self.number = number
        """Its place among the attempts of its task, from 1."""
        self.timestamp: datetime | None = None
        """When it ended, if that is not when it is recorded."""
        self._turns = turns
        self._on_end = on_end
        self._started: float | None = None
        self._has_ended = False

    def usage(self, usage: Any, cost_usd: float | None = None) -> None:
        """Say what the call has used: a usage object of a client library or a number of tokens, and the cost.

        None means unknown, and so does what is not understood.
        """
        if tokens := tokens_of(usage):
            self.tokens_used, self.output_tokens = tokens, output_of(usage)
        self.cost_usd = cost_of(cost_usd) or self.cost_usd

    def fail(self, kind: FailureKind | None = None) -> None:
        """Say that the try has failed, although nothing was raised: the answer is no good, or for the reason given."""
        if kind is not None and kind != "timeout":
            Outcome(success=False, error_kind=kind)  # raises if it is not known
        self.failure = failure_by(kind)

    def score(self, score: float) -> None:
        """Say how good the answer is, from 0 to 1: below ``[quality] pass_score`` the try has failed."""
        self.graded = check_amount("score", score, 1.0)

    def commit(self) -> None:
        """Let no other model follow: the caller has received a part of the answer. Exceptions are raised."""
        self.is_committed = True

    def stop(self, *, excluding: float = 0.0) -> None:
        """Stop the time, before the answer is judged for example; ``excluding`` seconds are left out."""
        if self._started is not None:
            self.duration_seconds = max(0.0, time.perf_counter() - self._started - excluding)
            self._started = None

    def __enter__(self) -> Self:
        if self._has_ended:
            raise InvalidValueError("attempt", "a new one for each try", "one that has ended", typed=True)
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        self.stop()
        self._has_ended = True
        if error is not None and self.failure is None:
            self.failure = failure(error)
        return self._on_end(self, error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self.stop()
        try:
            if error is None or isinstance(error, Exception):  # a cancellation is recorded at once
                await self._turns.take()
        finally:
            is_suppressed = self.__exit__(kind, error, traceback)
        return is_suppressed


class Task:
    """One task, and a context manager: chooses once, yields the models to try, and records each attempt.

    For one thread at a time. Iterate over it for the models: it ends when an attempt has succeeded, when the tries of
    the plan are used up, or after the last model. Outages use up no try of a plan. With ``async with`` nothing blocks
    the event loop.
    """

    def __init__(
        self,
        link: EngineLink,
        task_type: str,
        models: Iterable[str],
        context: Mapping[str, Any] | None = None,
        verdict: Verdict = "call",
        *,
        has_tickets: bool = True,
    ) -> None:
        """Prepare the task; the choice is made when it is entered.

        Raises:
            InvalidValueError: an argument is invalid.
        """
        if verdict not in {"call", "later"}:
            raise InvalidValueError("verdict", '"call" or "later"', verdict)
        self._link = link
        self._task_type = check_id("task_type", task_type)
        self._models = check_models(models)
        self._context = context
        self._verdict = verdict
        self._has_tickets = has_tickets
        self._waits = True
        self._order: Order | None = None
        self._id = ""
        self._next = 0
        self._is_iterated = False
        self._tries = 0
        self._used_tries = 0
        self._is_over = False
        """Whether an attempt has succeeded, or was committed."""
        self._last: Attempt | None = None
        self._last_uses_try = False
        self._ticket: Ticket | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """The models to try, in their order."""
        return self._begun().models

    @property
    def link(self) -> EngineLink:
        """The way to the engine, for adapters."""
        return self._link

    @property
    def decision(self) -> Decision | None:
        """The decision; None if the engine has no opinion, and the models are tried in the host's own order."""
        return self._begun().decision

    @property
    def ticket(self) -> str:
        """The last attempt as text, for :meth:`modelperf_plugin.ModelPerf.report` in any process.

        Raises:
            InvalidValueError: no attempt has ended yet.
        """
        ticket = self._last_ticket()
        if ticket.decision_id is not None and not ticket.is_recorded:
            self._link.hand_out(ticket.decision_id, waits=self._waits)
        return str(ticket)

    def attempt(self, model: str) -> Attempt:
        """Return an attempt with a model, to be entered around its call."""
        self._begun()
        self._tries += 1
        return Attempt(check_id("model", model), self._tries, self._link.turns, self._on_end)

    def ticket_of(self, attempt: Attempt) -> str:
        """Return the ticket of an attempt that may still be running: for an answer that is sent before its end."""
        return str(self._ticket_of(attempt, is_recorded=True))

    def report(self, success: bool | None = None, *, score: float | None = None) -> bool:
        """Give the last attempt its verdict, or another one; return whether that changed the store.

        A failed one lets the iteration continue with the next model.

        Raises:
            InvalidValueError: no attempt has ended yet, an argument is invalid, or there is none.
        """
        ticket = self._last_ticket()
        has_changed = ticket.report(self._record_verdict, success, score)
        self._ticket = ticket._replace(is_recorded=True)
        return has_changed

    def __iter__(self) -> Iterator[str]:
        models = self._begun().models
        self._is_iterated = True
        try:
            while self._goes_on:
                self._next += 1
                yield models[self._next - 1]
        finally:
            self._is_iterated = False

    def __enter__(self) -> Self:
        self._begun()
        return self

    def __exit__(self, *_: object) -> None:
        return

    async def __aenter__(self) -> Self:
        self._waits = False
        await self._link.turns.take()
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        return

    @property
    def _goes_on(self) -> bool:
        """Whether another model follows."""
        order = self._begun()
        return not self._is_over and self._used_tries < order.tries and self._next < len(order.models)

    def _begun(self) -> Order:
        if self._order is None:
            self._order = self._link.choose(self._task_type, self._models, self._context, waits=self._waits)
            if self._has_tickets:
                decision = self._order.decision
                self._id = os.urandom(_ID_BYTES).hex() if decision is None else decision.decision_id
        return self._order

    def _on_end(self, attempt: Attempt, error: BaseException | None) -> bool:
        """Record an attempt; return whether its exception is suppressed, because another model follows."""
        self._last, self._last_uses_try = attempt, False
        if attempt.tokens_used and not attempt.cost_usd:
            attempt.cost_usd = self._link.cost_of(
                attempt.model, attempt.tokens_used, attempt.output_tokens, attempt.served_model
            )
        outcome = self._outcome(attempt)
        is_awaited = outcome.success and self._verdict == "later"
        if self._has_tickets:
            self._ticket = self._ticket_of(attempt, is_recorded=not is_awaited)
        if is_awaited:
            self._is_over = True
            return False
        self._take(outcome)
        self._record(outcome)
        is_raised = not isinstance(error, Exception) or outcome.error_kind in RAISED_AT_ONCE
        return not is_raised and self._is_iterated and self._goes_on

    def _outcome(self, attempt: Attempt) -> Outcome:
        """Return the outcome of an attempt, by what is known at its end."""
        failed, score = attempt.failure, attempt.graded
        outcome_id = self._outcome_id(attempt) if self._has_tickets else None
        if failed is None and score is None:
            return Outcome(
                success=True,
                tokens_used=attempt.tokens_used,
                cost_usd=attempt.cost_usd,
                duration_seconds=attempt.duration_seconds,
                timestamp=attempt.timestamp,
                outcome_id=outcome_id,
                served_model=attempt.served_model,
            )
        kind, timeout, retry_after = failed or Failure(None)
        outcome = Outcome(
            success=None if failed is None else False,  # type: ignore[arg-type]  # then the score decides
            score=score,
            timeout=timeout,
            error_kind=kind,
            retry_after_seconds=retry_after,
            tokens_used=attempt.tokens_used,
            cost_usd=attempt.cost_usd,
            duration_seconds=attempt.duration_seconds,
            timestamp=attempt.timestamp,
            outcome_id=outcome_id,
            served_model=attempt.served_model,
        )
        return outcome if score is None else outcome.passing(self._link.pass_score)

    def _ticket_of(self, attempt: Attempt, *, is_recorded: bool) -> Ticket:
        decision = self._begun().decision
        return Ticket(
            decision_id=None if decision is None else decision.decision_id,
            task_type=self._task_type,
            model_id=attempt.model,
            outcome_id=self._outcome_id(attempt),
            tokens_used=attempt.tokens_used,
            cost_usd=attempt.cost_usd,
            duration_seconds=attempt.duration_seconds,
            ended_ms=self._link.now_ms(),
            timeout=attempt.failure is not None and attempt.failure.timeout,
            is_recorded=is_recorded,
            served_model=None if attempt.served_model == attempt.model else attempt.served_model,
        )

    def _outcome_id(self, attempt: Attempt) -> str:
        return f"{self._id}-{attempt.number}"

    def _last_ticket(self) -> Ticket:
        if self._ticket is None:
            raise InvalidValueError("ticket", "asked for after an attempt has ended", "no attempt", typed=True)
        return self._ticket

    def _record_verdict(self, outcome: Outcome) -> bool:
        if outcome.score is not None:
            outcome = outcome.passing(self._link.pass_score)
        self._take(outcome)
        return self._record(outcome)

    def _take(self, outcome: Outcome) -> None:
        """Note whether the last attempt has succeeded, and whether it has used up a try."""
        uses_try = outcome.blame == "model"
        self._used_tries += uses_try - self._last_uses_try
        self._last_uses_try = uses_try
        self._is_over = outcome.success or (self._last is not None and self._last.is_committed)

    def _record(self, outcome: Outcome) -> bool:
        model = "" if self._last is None else self._last.model
        return self._link.record(self._task_type, model, outcome, self._begun().decision, waits=self._waits)
