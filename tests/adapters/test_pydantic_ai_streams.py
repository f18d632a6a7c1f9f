"""pydantic-ai: streams of an agent whose models are chosen, and what other processes and the file see of it."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.adapters.checks import judged_by_another_process, stored_beside
from tests.adapters.provider import Provider
from tests.recorder.world import recorded, verdicts

pytest.importorskip("pydantic_ai")
pytest.importorskip("openai")

from pydantic_ai import Agent, AgentRunResultEvent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.test import TestModel

from modelperf_plugin.adapters.pydantic_ai import learned, ticket_of
from tests.adapters.test_pydantic_ai import raising, run, served


async def read(agent: Any, *, most: int = 1_000) -> tuple[list[str], Any, Any]:
    """Return the pieces of a streamed answer, of which only so many are read; its ticket, and its exception."""
    pieces: list[str] = []
    result = None
    try:
        async with agent.run_stream("hello") as result:
            async for piece in result.stream_text(delta=True, debounce_by=None):
                pieces.append(piece)
                if len(pieces) == most:
                    break
    except Exception as error:  # noqa: BLE001 - that is the question
        return pieces, None, error
    return pieces, ticket_of(result), None


def test_a_stream_falls_back_until_its_first_chunk(perf: mp.ModelPerf, provider: Provider) -> None:
    """The user reads the stream of a model that answers, chunk by chunk, with its tokens and a ticket."""
    provider.behaviours["a"] = "server_error"
    provider.answers["b"] = "four"

    async def main() -> tuple[list[str], Any, Any]:
        async with served(provider, "a", "b") as models:
            return await read(Agent(capabilities=[learned(perf, models)]))

    pieces, ticket, error = asyncio.run(main())
    assert (pieces, error) == (["fo", "ur"], None)
    assert [each[:3] for each in recorded(perf)] == [("a", "server_error", 0), ("b", "good", 17)]
    assert perf.report(ticket, score=0.1)
    assert recorded(perf)[1].verdict == "failed"


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [("cut", "server_error"), ("break", "network"), ("event", "server_error"), ("filter", "refused")],
)
def test_a_stream_that_ends_badly_is_a_failure(
    perf: mp.ModelPerf, provider: Provider, behaviour: str, kind: str
) -> None:
    """The user reads and catches the same as without the adapter; no other model follows."""
    provider.behaviours["a"] = behaviour
    provider.answers["a"] = "four"

    async def main() -> tuple[Any, Any]:
        async with served(provider, "a", "b") as models:
            return await read(Agent(models["a"])), await read(Agent(capabilities=[learned(perf, models)]))

    bare, ours = asyncio.run(main())
    assert ours[0] == bare[0]
    assert (type(ours[2]), type(getattr(ours[2], "__cause__", None))) == (
        type(bare[2]), type(getattr(bare[2], "__cause__", None)),
    )  # fmt: skip
    assert verdicts(perf) == [("a", kind)]
    assert provider.asked == ["a", "a"]


def test_a_stream_that_is_read_by_a_synchronous_program(perf: mp.ModelPerf) -> None:
    """Its outcome is recorded, and its ticket known, at the end of the block."""
    agent = Agent(capabilities=[learned(perf, {"a": TestModel(custom_output_text="two words")})])
    with closing(asyncio.new_event_loop()) as loop:  # pydantic-ai leaves its own one open
        asyncio.set_event_loop(loop)
        with agent.run_stream_sync("hello") as result:
            assert "".join(result.stream_text(delta=True, debounce_by=None)) == "two words"
            assert ticket_of(result) is None
        asyncio.set_event_loop(None)
    assert ticket_of(result) is not None
    assert verdicts(perf) == [("a", "good")]


def test_a_stream_that_is_left_is_cancelled(perf: mp.ModelPerf, provider: Provider) -> None:
    """A reader who has seen enough says nothing of the model."""
    provider.answers["a"] = "four"

    async def main() -> list[str]:
        async with served(provider, "a", "b") as models:
            return (await read(Agent(capabilities=[learned(perf, models)]), most=1))[0]

    assert asyncio.run(main()) == ["fo"]
    assert verdicts(perf) == [("a", "cancelled")]


def test_an_exception_of_the_reader_is_not_the_models(perf: mp.ModelPerf, provider: Provider) -> None:
    """It passes as it is."""
    mistake = KeyError("of the reader")

    async def main() -> None:
        async with (
            served(provider, "a") as models,
            Agent(capabilities=[learned(perf, models)]).run_stream("hello") as it,
        ):
            async for _ in it.stream_text(delta=True, debounce_by=None):
                raise mistake

    with pytest.raises(KeyError) as caught:
        asyncio.run(main())
    assert caught.value is mistake
    assert verdicts(perf) == [("a", "caller_error")]


def test_events_and_nodes_are_as_without(perf: mp.ModelPerf) -> None:
    """Other ways to follow a run see the same events and nodes, and the result has a ticket."""

    def agent_of(**options: Any) -> Any:
        agent = Agent(**options)

        @agent.tool_plain
        def look_up() -> str:
            return "found"

        return agent

    async def follow(agent: Any) -> tuple[list[type], Any]:
        async with agent.run_stream_events("hello") as stream:
            events = [event async for event in stream]
        async with agent.iter("hello") as steps:
            nodes = [type(node) async for node in steps]
        assert isinstance(events[-1], AgentRunResultEvent)
        return [*map(type, events), *nodes], (events[-1].result, steps.result)

    bare, _ = asyncio.run(follow(agent_of(model=TestModel())))
    models = {"a": raising(ModelHTTPError(500, "a")), "b": TestModel()}
    ours, results = asyncio.run(follow(agent_of(capabilities=[learned(perf, models)])))
    assert ours == bare
    assert all(perf.report(ticket_of(result) or "", success=False) for result in results)
    assert [each for each in verdicts(perf) if each[0] == "b"] == [("b", "failed")] * 2


def test_another_process_judges_by_the_ticket(perf: mp.ModelPerf, path: Path) -> None:
    """The ticket is all it needs; a verdict counts once."""
    ticket = ticket_of(run(Agent(capabilities=[learned(perf, {"a": TestModel()})])))
    assert judged_by_another_process(path, ticket) == "True False\n"
    assert verdicts(perf) == [("a", "failed")]


def test_neither_prompts_nor_answers_are_stored(perf: mp.ModelPerf, provider: Provider, path: Path) -> None:
    """No file of the store has them, nor what a provider says in its errors."""
    provider.behaviours["a"] = "server_error"
    provider.answers["b"] = "a-secret-answer"

    async def main() -> None:
        async with served(provider, "a", "b") as models:
            agent = Agent(capabilities=[learned(perf, models)], instructions="a-secret-instruction")
            assert (await agent.run("a-secret-prompt")).output == "a-secret-answer"

    asyncio.run(main())
    perf.close()
    stored = stored_beside(path)
    assert b"server_error" in stored
    assert b"a-secret" not in stored
    assert b"it says" not in stored
