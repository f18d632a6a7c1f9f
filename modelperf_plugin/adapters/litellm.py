"""litellm: a callback that chooses the deployment of each request of a Router or the proxy, and records every try."""

from __future__ import annotations

import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from modelperf_plugin.adapters.common import TICKET_KEY, Perf, engine_of, task_type_of
from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.errors import MissingExtraError
from modelperf_plugin.recorder.judging import Judgement, Options, check_answer_async, examine
from modelperf_plugin.recorder.link import check_models
from modelperf_plugin.recorder.task import Attempt, Task
from modelperf_plugin.recorder.usage import cost_of, field
from modelperf_plugin.values import check_id

try:
    from litellm.integrations.custom_logger import CustomLogger
    from litellm.utils import get_order_filtered_deployments

    from modelperf_plugin.adapters.litellm_calls import (
        cost_of_answer,
        deployment_id,
        is_behind_wildcard,
        metadata_of,
        model_of,
        requested_group,
    )
except ImportError as error:
    raise MissingExtraError("litellm", "litellm") from error

__all__ = ["TICKET_HEADER", "learned", "ticket_of"]

TICKET_HEADER: Final = "x-modelperf-ticket"
"""The header in which the proxy returns the ticket of an answer."""
MAX_REQUESTS: Final = 2_000
"""Maximum number of requests that are remembered for their retries; the oldest are forgotten."""
_BEFORE_A_VERDICT: Final = timedelta(milliseconds=2)
"""A verdict must be later than what it replaces, and the store counts in milliseconds."""


def learned(
    perf: Perf,
    models: Iterable[str] | None = None,
    *,
    task_type: str | None = None,
    context: Mapping[str, Any] | None = None,
    check: Callable[[Any], Judgement | Awaitable[Judgement]] | None = None,
) -> LearnedRouting:
    """Return a callback for ``litellm.callbacks``, or for ``callbacks`` in the configuration of the proxy.

    For each request the Router asks it which of its healthy deployments to use. The retries and fallbacks of a request
    are tries of the same decision, each with the next model. How many there are remains the Router's business.

    Args:
        perf: the engine, or a function that returns it.
        models: the model groups (``model_name``) in which it chooses; by default all.
        task_type: by default ``modelperf_task_type`` in the metadata of the request, or else the name of the group.
        context: as for ``select``.
        check: gets the answer, of a stream the whole one, and says whether it is good: a bool, a score from 0 to 1, or
            None for no objection. It may be asynchronous. If it raises, the try counts as failed, and nothing is
            raised. What it says is recorded, but no other model follows.

    Raises:
        InvalidValueError: an argument is invalid.
    """
    options: Options[Any] = Options(context=context, check=check)
    return LearnedRouting(
        perf,
        None if models is None else frozenset(check_models(models)),
        None if task_type is None else check_id("task_type", task_type),
        options.checked(),
    )


def ticket_of(answer: Any) -> str | None:
    """Return the ticket of an answer or a stream of a Router with :func:`learned`; None if it has none.

    Ask a stream for it when you have read it.
    """
    hidden = field(answer, "_hidden_params")
    if isinstance(ticket := field(hidden, TICKET_KEY), str):
        return ticket
    running = _TRIES.get((field(hidden, "litellm_call_id"), field(hidden, "model_id")))
    return None if running is None else running.ticket()


class LearnedRouting(CustomLogger):
    """The callback that :func:`learned` returns. None of its methods raises."""

    # ruff: noqa: ARG002 - litellm passes arguments by name

    def __init__(self, perf: Perf, groups: frozenset[str] | None, task_type: str | None, options: Options[Any]) -> None:
        super().__init__()
        self.key = uuid4().hex
        """Litellm ignores a callback whose class and public attributes are those of another one."""
        self._perf = perf
        self._groups = groups
        self._task_type = task_type
        self._options = options
        self._errors = BackgroundErrors()
        self._requests: OrderedDict[str, _Request] = OrderedDict()
        self._lost: deque[_Try] = deque()
        """Tries of which litellm says nothing: their stream was closed, or their caller cancelled."""

    async def async_filter_deployments(
        self,
        model: str,
        healthy_deployments: list[dict[str, Any]],
        messages: Any,
        request_kwargs: dict[str, Any] | None = None,
        parent_otel_span: Any = None,
    ) -> list[dict[str, Any]]:
        """Return the deployments of one model, the one to try now."""
        if not healthy_deployments or not (self._groups is None or model in self._groups):
            return healthy_deployments
        try:
            await self._record_lost()
            return await self._choose(model, healthy_deployments, request_kwargs or {})
        except Exception as error:  # noqa: BLE001 - a choice is help, and litellm can do without
            self._errors.report("litellm chooses by itself", error)
        return healthy_deployments

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> None:
        """Begin a try."""
        try:
            self._begin(kwargs)
        except Exception as error:  # noqa: BLE001 - the call is made without it
            self._errors.report("a try is not recorded", error)

    async def async_post_call_success_deployment_hook(self, request_data: Any, response: Any, call_type: Any) -> None:
        """End a try with an answer, before the caller gets it."""
        running = self._running(request_data)
        if running is None:
            return
        running.attempt.stop()
        cost_usd = cost_of_answer(request_data, response)
        await self._succeed(running, response, cost_usd)
        if isinstance(hidden := field(response, "_hidden_params"), dict):
            hidden |= {"response_cost": cost_usd, TICKET_KEY: running.ticket()}  # litellm calculates no cost twice

    async def async_post_call_failure_deployment_hook(
        self, request_data: Mapping[str, Any], exception: Exception, call_type: Any, fallback_depth: int | None = None
    ) -> None:
        """End a try with an error, before anything else is tried."""
        running = self._running(request_data)
        if running is not None:
            await self._end(running, exception)

    async def async_log_success_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """End the try of a stream that was read to its end; all others have ended before."""
        running = self._running(kwargs)
        if running is None:
            return
        if kwargs.get("cache_hit"):  # no model was asked
            running.is_over = True
            return
        running.attempt.stop()
        await self._succeed(running, response_obj, kwargs.get("response_cost"))

    async def async_log_failure_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """End the try of a stream that broke; all others have ended before."""
        request = self._requests.get(kwargs.get("litellm_call_id", ""))
        running = (request and request.broken()) or self._running(kwargs)
        if running and isinstance(failure := kwargs.get("exception"), Exception):
            running.attempt.failure = None
            await self._end(running, failure)

    async def async_post_call_response_headers_hook(
        self,
        data: Any,
        user_api_key_dict: Any,
        response: Any,
        request_headers: Any = None,
        litellm_call_info: Any = None,
    ) -> dict[str, str] | None:
        """Return the ticket of an answer, for the headers of the proxy."""
        ticket = ticket_of(response)
        return None if ticket is None else {TICKET_HEADER: ticket}

    async def _choose(
        self, group: str, deployments: list[dict[str, Any]], kwargs: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        group, offered = requested_group(group, kwargs), dict[str, list[dict[str, Any]]]()
        for deployment in get_order_filtered_deployments(deployments, kwargs.get("_target_order")):
            offered.setdefault(model_of(deployment, group), []).append(deployment)
        if any("*" in model for model in offered):  # an alias of a name behind a wildcard
            return deployments
        request = await self._request(group, tuple(offered), kwargs)
        for model, own in offered.items():
            request.models.update((deployment_id(each.get("model_info")), model) for each in own)
        return offered.get(request.following(offered), [])

    async def _request(self, group: str, offered: tuple[str, ...], kwargs: Mapping[str, Any]) -> _Request:
        """Return what is known of a request; a new one is decided."""
        key = kwargs.get("litellm_call_id") or kwargs.get("litellm_trace_id")
        metadata = metadata_of(kwargs)
        retried = metadata.get("previous_models") or metadata.get("attempted_retries")
        is_new = not (retried or kwargs.get("fallback_depth"))
        before = None if is_new else self._requests.get(key or "")
        if before is not None and before.offered.issuperset(offered):
            return before
        perf, context = engine_of(self._perf), dict(self._options.context or {})
        if before is None:
            task_type = task_type_of(perf, self._task_type, metadata, group)
        else:  # a fallback to another group
            task_type = before.task_type
            context["retry_of"] = before.task.decision
        task = perf.task(task_type, offered, context)
        await task.__aenter__()
        request = _Request(task, task_type, frozenset(offered), None if before is None else before.last)
        self._requests[key or ""] = request
        if len(self._requests) > MAX_REQUESTS:
            self._requests.popitem(last=False)
        return request

    def _running(self, kwargs: Mapping[str, Any]) -> _Try | None:
        """Return the try that a call of litellm is, if it is one of ours and has not ended."""
        model_info = kwargs.get("model_info") or field(kwargs.get("litellm_params"), "model_info")
        running = _TRIES.get((kwargs.get("litellm_call_id"), deployment_id(model_info)))
        return None if running is None or running.is_over or running.lost is not self._lost else running

    def _begin(self, kwargs: Mapping[str, Any]) -> None:
        call_id, log = kwargs.get("litellm_call_id"), kwargs.get("litellm_logging_obj")
        request = self._requests.get(call_id or "") or self._requests.get(kwargs.get("litellm_trace_id") or "")
        deployed = deployment_id(kwargs.get("model_info"))
        model = None if request is None else request.models.get(deployed)
        if request is None or model is None or log is None or self._running(kwargs) is not None:
            return
        if is_behind_wildcard(kwargs) and kwargs.get("model") != model:  # a fallback to a name that was not told
            return
        attempt = request.task.attempt(model).__enter__()
        running = _TRIES[call_id, deployed] = _Try(request.task, attempt, call_id, self._lost)
        request.begin(running)
        weakref.finalize(log, running.on_gone).atexit = False

    async def _succeed(self, running: _Try, answer: Any, cost_usd: Any) -> None:
        attempt, link = running.attempt, running.task.link
        attempt.failure = None
        examine(link, attempt, answer, None)
        attempt.cost_usd = cost_of(cost_usd) or attempt.cost_usd
        try:
            await check_answer_async(link, attempt, self._options.check, answer)
        except Exception:  # noqa: BLE001 - the check has failed the attempt; the caller gets the answer
            attempt.fail("other")
        await self._end(running, None)

    async def _end(self, running: _Try, error: Exception | None) -> None:
        if running.is_over:
            return
        running.is_over = True
        try:
            await running.attempt.__aexit__(type(error) if error else None, error, None)
        except Exception as failure:  # noqa: BLE001 - the caller has its answer, or its error
            self._errors.report("a try was not recorded", failure)

    async def _record_lost(self) -> None:
        while self._lost:
            running = self._lost.popleft()
            if running.attempt.failure is None:
                running.attempt.fail("cancelled")
            await self._end(running, None)


class _Request:
    """One request to a Router: its task, and how often each model was tried."""

    def __init__(self, task: Task, task_type: str, offered: frozenset[str], last: _Try | None) -> None:
        self.task = task
        self.task_type = task_type
        self.offered = offered
        self.models: dict[str, str] = {}
        """The model of each deployment."""
        self._tried: Counter[str] = Counter()
        self.last = last
        """The try that began last, also under an earlier decision."""
        self._broken: _Try | None = None

    def following(self, healthy: Iterable[str]) -> str:
        """Return the model to try now: the first one in the order that was tried least; "" if none is permitted."""
        permitted = [model for model in self.task.models if model in healthy]
        model = min(permitted, key=self._tried.__getitem__, default="")
        self._tried[model] += 1
        return model

    def begin(self, running: _Try) -> None:
        """Note a new try. In the proxy all have one id, and of a stream that broke litellm says so only after this."""
        last, self.last = self.last, running
        if last is not None and not last.is_over and last.call_id == running.call_id:
            last.attempt.stop()
            last.attempt.fail("server_error")
            self._broken = last

    def broken(self) -> _Try | None:
        """Return the try that broke before the running one began, until that is recorded."""
        return None if self._broken is None or self._broken.is_over else self._broken


class _Try:
    """One call of a deployment. It lives as long as litellm's own object for the call."""

    def __init__(self, task: Task, attempt: Attempt, call_id: Any, lost: deque[_Try]) -> None:
        self.task = task
        self.attempt = attempt
        self.call_id = call_id
        self.lost = lost
        """The list of its callback for tries of which litellm says nothing."""
        self.is_over = False

    def ticket(self) -> str:
        """Return the ticket; if the try still runs, its outcome will be older than any verdict by the ticket."""
        if not self.is_over and self.attempt.timestamp is None:
            self.attempt.timestamp = datetime.now(UTC) - _BEFORE_A_VERDICT
        return self.task.ticket_of(self.attempt)

    def on_gone(self) -> None:
        """Note that litellm has dropped the call. Any thread may be interrupted by this, so nothing is recorded."""
        if not self.is_over:
            self.attempt.stop()
            self.lost.append(self)


_TRIES: Final[weakref.WeakValueDictionary[tuple[Any, Any], _Try]] = weakref.WeakValueDictionary()
"""By litellm's id of the call, and the id of the deployment."""
