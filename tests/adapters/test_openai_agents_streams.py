"""openai-agents: streamed runs whose models are chosen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.adapters.provider import Provider
from tests.recorder.world import recorded, verdicts

pytest.importorskip("agents")

from agents import Agent, Model, ModelBehaviorError, ModelSettings, RunConfig, Runner
from agents.testing import ModelStep, assistant_message, function_call
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseOutputItemDoneEvent,
    ResponseTextDeltaEvent,
)
from openai.types.responses.response_error import ResponseError

from modelperf_plugin.adapters.openai_agents import ticket_of
from tests.adapters.test_openai_agents import DownError, config, down, look_up, saying, served

USAGE = ModelSettings(include_usage=True)


async def read(agent: Any, using: RunConfig, *, most: int = 1_000) -> tuple[list[str], Any, Any]:
    """Return the pieces of a streamed answer, of which only so many are read; its result, and its exception."""
    pieces: list[str] = []
    result = Runner.run_streamed(agent, "hello", run_config=using)
    try:
        async for event in result.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                pieces.append(event.data.delta)
                if len(pieces) == most:
                    result.cancel()
    except Exception as error:  # noqa: BLE001 - that is the question
        return pieces, result, error
    return pieces, result, None


class Streaming(Model):
    """A model whose stream has the given events, raises those that are exceptions, and waits for those many seconds."""

    def __init__(self, *events: Any) -> None:
        self._events = events

    async def get_response(self, *_args: Any, **_kwargs: Any) -> Any:
        """Do nothing."""
        raise NotImplementedError

    async def stream_response(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[Any]:
        """Yield the events."""
        for event in self._events:
            if isinstance(event, Exception):
                raise event
            if isinstance(event, float):
                await asyncio.sleep(event)
            yield event


def response(**fields: Any) -> Response:
    """Return a response without output."""
    common: dict[str, Any] = {"parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "output": []}
    return Response(id="r", created_at=0, model="m", object="response", **common, **fields)


CREATED = ResponseCreatedEvent(response=response(), sequence_number=0, type="response.created")


def failed(code: Any) -> ResponseFailedEvent:
    """Return an event that says that a response has failed."""
    error = ResponseError.model_construct(code=code, message="no")
    return ResponseFailedEvent(response=response(error=error), sequence_number=1, type="response.failed")


def test_a_stream_falls_back_until_its_first_event(perf: mp.ModelPerf, provider: Provider) -> None:
    """The user reads the stream of a model that answers, piece by piece, with its tokens and a ticket."""
    provider.behaviours["a"] = "server_error"
    provider.answers["b"] = "four"

    async def main() -> tuple[list[str], Any, Any]:
        async with served(provider, "a", "b") as models:
            return await read(Agent("x", model_settings=USAGE), config(perf, models))

    pieces, result, error = asyncio.run(main())
    assert ("".join(pieces), error, result.final_output) == ("four", None, "four")
    assert [each[:3] for each in recorded(perf)] == [("a", "server_error", 0), ("b", "good", 17)]
    assert perf.report(ticket_of(result) or "", score=0.1)
    assert recorded(perf)[1].verdict == "failed"


@pytest.mark.parametrize(
    ("behaviour", "kind"), [("break", "network"), ("event", "server_error"), ("filter", "refused"), ("cut", "good")]
)
def test_a_stream_that_ends_badly_is_a_failure(
    perf: mp.ModelPerf, provider: Provider, behaviour: str, kind: str
) -> None:
    """The user reads and catches the same as without the adapter.

    Only of a chat completion that is cut off nothing is said, unless it is OpenAI's own.
    """
    provider.behaviours["a"] = behaviour
    provider.answers["a"] = "four"

    async def main() -> tuple[Any, Any]:
        async with served(provider, "a") as models:
            bare = await read(Agent("x", model=models["a"]), RunConfig(tracing_disabled=True))
            return bare, await read(Agent("x"), config(perf, models))

    bare, ours = asyncio.run(main())
    assert ours[0] == bare[0]
    assert (type(ours[2]), str(ours[2])) == (type(bare[2]), str(bare[2]))
    assert verdicts(perf) == [("a", kind)]


def test_events_are_as_without(perf: mp.ModelPerf) -> None:
    """A run with tools has the same events, one try, and the ticket of the whole."""

    async def kinds(agent: Any, using: RunConfig) -> tuple[list[str], Any]:
        result = Runner.run_streamed(agent, "hello", run_config=using)
        return [event.type async for event in result.stream_events()], result

    script = ([function_call("look_up", {}, call_id="1")], "done")
    bare, _ = asyncio.run(kinds(Agent("x", tools=[look_up], model=saying(*script)), RunConfig(tracing_disabled=True)))
    ours, result = asyncio.run(kinds(Agent("x", tools=[look_up]), config(perf, {"a": down(), "b": saying(*script)})))
    assert ours == bare
    assert verdicts(perf) == [("a", "server_error"), ("b", "good")]
    assert perf.report(ticket_of(result) or "", success=False)


def test_a_stream_that_is_cancelled_is_cancelled(perf: mp.ModelPerf) -> None:
    """A reader who has seen enough says nothing of the model, and does not wait for it."""
    piece = ResponseTextDeltaEvent(
        content_index=0, delta="fo", item_id="1", output_index=0, sequence_number=1, type="response.output_text.delta",
        logprobs=[],
    )  # fmt: skip

    async def main() -> Any:
        found = await read(Agent("x"), config(perf, {"a": Streaming(CREATED, piece, 30.0)}), most=1)
        await asyncio.sleep(0.1)  # the runner ends in a task of its own
        return found[0]

    assert asyncio.run(main()) == ["fo"]
    assert verdicts(perf) == [("a", "cancelled")]


def test_errors_in_the_stream_bring_in_the_next_model_before_the_answer(perf: mp.ModelPerf) -> None:
    """What says that the answer is coming is not yet an answer; the kind is that of the provider's code."""
    said = ResponseErrorEvent(code="rate_limit_exceeded", message="no", param=None, sequence_number=1, type="error")
    cases: list[tuple[tuple[Any, ...], str]] = [
        ((CREATED, failed("server_error")), "server_error"),
        ((CREATED, failed("rate_limit_exceeded")), "rate_limit"),
        ((CREATED, said), "rate_limit"),
        ((CREATED, DownError()), "server_error"),
    ]
    for events, kind in cases:
        with mp.ModelPerf({"exploration": {"strategy": "never"}}, store=":memory:", seed=1) as engine:
            using = config(engine, {"a": Streaming(*events), "b": saying("fine")})
            _, result, error = asyncio.run(read(Agent("x"), using))
            assert (result.final_output, error) == ("fine", None)
        using = config(perf, {"a": Streaming(*events)})
        assert isinstance(asyncio.run(read(Agent("x"), using))[2], ModelBehaviorError | DownError)
        assert verdicts(perf)[-1] == ("a", kind)


def test_an_answer_that_came_in_parts_only_has_its_ticket(perf: mp.ModelPerf) -> None:
    """Some providers send the items of an answer, and leave them out at the end."""
    item = ResponseOutputItemDoneEvent(
        item=assistant_message("x"), output_index=0, sequence_number=1, type="response.output_item.done"
    )
    end = ResponseCompletedEvent(response=response(), sequence_number=2, type="response.completed")
    _, result, error = asyncio.run(read(Agent("x"), config(perf, {"a": Streaming(CREATED, item, end)})))
    assert (result.final_output, error) == ("x", None)
    assert perf.report(ticket_of(result) or "", success=False)


def test_a_stream_without_an_end_is_a_failure(perf: mp.ModelPerf) -> None:
    """The runner raises, as without the adapter."""
    error = asyncio.run(read(Agent("x"), config(perf, {"a": Streaming(CREATED)})))[2]
    assert isinstance(error, ModelBehaviorError)
    assert verdicts(perf) == [("a", "server_error")]


def test_a_stream_that_hangs_brings_in_the_next_model(perf: mp.ModelPerf, provider: Provider) -> None:
    """``timeout`` is the longest wait for each event."""
    provider.behaviours["a"] = "hang"

    async def main() -> Any:
        async with served(provider, "a", "b") as models:
            return await read(Agent("x"), config(perf, models, timeout=0.3))

    assert asyncio.run(main())[1].final_output == "b"
    assert verdicts(perf) == [("a", "timeout"), ("b", "good")]


def test_a_retry_of_the_runner_is_another_try(perf: mp.ModelPerf) -> None:
    """A request that the runner has given up and repeats goes to the next model."""
    from agents import ModelRetrySettings, retry_policies

    async def think(_call: Any) -> Any:
        await asyncio.sleep(30)

    retry = ModelRetrySettings(max_retries=1, policy=retry_policies.network_error(), backoff={"initial_delay": 0.0})
    settings = ModelSettings(timeout=0.2, retry=retry)
    using = config(perf, {"a": saying(ModelStep.respond(think)), "b": saying("fine")})
    result = asyncio.run(Runner.run(Agent("x", model_settings=settings), "hello", run_config=using))
    assert result.final_output == "fine"
    assert verdicts(perf) == [("a", "timeout"), ("b", "good")]
