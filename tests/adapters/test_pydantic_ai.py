"""pydantic-ai: an agent whose models are chosen, on a provider that fails on demand and with models that need none."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.adapters.provider import Provider
from tests.recorder.world import MODELS, recorded, verdicts

pytest.importorskip("pydantic_ai")
pytest.importorskip("openai")

from openai import AsyncOpenAI
from pydantic_ai import Agent, ModelMessagesTypeAdapter, ModelRetry, UnexpectedModelBehavior, UsageLimits
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError, RunTimedOut, UsageLimitExceeded
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.providers.openai import OpenAIProvider

from modelperf_plugin.adapters.pydantic_ai import learned, ticket_of
from modelperf_plugin.recorder.ticket import Ticket

KINDS = {
    "rate_limit": "rate_limit", "quota": "unavailable", "unauthorized": "unavailable", "forbidden": "unavailable",
    "not_found": "unavailable", "gone": "unavailable", "server_error": "server_error", "unavailable": "server_error",
    "overloaded": "server_error", "bad_request": "caller_error", "unprocessable": "caller_error",
    "too_long": "context_overflow", "filtered": "refused", "reset": "network", "hang": "timeout",
}  # fmt: skip
"""What is recorded for each way to fail."""


@asynccontextmanager
async def served(provider: Provider, *names: str) -> AsyncIterator[dict[str, Any]]:
    """Yield models of the provider, by their names."""
    async with AsyncOpenAI(base_url=provider.url, api_key="sk-none", max_retries=0) as client:
        yield {name: OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client)) for name in names}


def raising(error: BaseException) -> Any:
    """Return a model that raises."""

    def respond(_messages: Any, _info: Any) -> ModelResponse:
        raise error

    return FunctionModel(respond)


def saying(*answers: str | ToolCallPart) -> Any:
    """Return a model that gives one answer after the other, the last one again and again."""
    left = list(answers)

    def respond(_messages: Any, _info: Any) -> ModelResponse:
        answer = left.pop(0) if len(left) > 1 else left[0]
        return ModelResponse(parts=[TextPart(answer) if isinstance(answer, str) else answer])

    return FunctionModel(respond)


def run(agent: Any, **options: Any) -> Any:
    """Return the result of a run; ``run_sync`` leaves an event loop open."""
    return asyncio.run(agent.run("hello", **options))


def rows(path: Path, query: str) -> list[Any]:
    """Return the first column of a query on the store."""
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute(query)]


async def error_of(agent: Any, **options: Any) -> Any:
    """Return the exception that a run ends with."""
    try:
        await agent.run("hello", **options)
    except Exception as error:  # noqa: BLE001 - that is the question
        return error
    return None


def test_the_next_models_follow_until_one_answers(perf: mp.ModelPerf, provider: Provider) -> None:
    """Each failed model is recorded with its kind, and the last one with the tokens that it has used."""
    provider.behaviours.update(a="rate_limit", b="server_error")

    async def main() -> None:
        async with served(provider, *MODELS) as models:
            result = await Agent(capabilities=[learned(perf, models)]).run("hello")
            assert result.output == "c"

    asyncio.run(main())
    assert provider.asked == ["a", "b", "c"]
    assert [each[:3] for each in recorded(perf)] == [
        ("a", "rate_limit", 0), ("b", "server_error", 0), ("c", "good", 17),
    ]  # fmt: skip
    assert recorded(perf)[0].retry_after_ms == 7_000


@pytest.mark.parametrize("behaviour", sorted(KINDS))
def test_errors_are_those_without_the_adapter(perf: mp.ModelPerf, provider: Provider, behaviour: str) -> None:
    """With the last model, the user gets the same exception with the same cause; the kind recorded is right."""
    provider.behaviours["a"] = behaviour
    settings = {"request_timeout": 0.2} if behaviour == "hang" else {}

    async def main() -> None:
        async with served(provider, "a") as models:
            bare = await error_of(Agent(models["a"]), model_settings=settings)
            ours = await error_of(Agent(capabilities=[learned(perf, models)]), model_settings=settings)
        assert (type(ours), str(ours), type(ours.__cause__)) == (type(bare), str(bare), type(bare.__cause__))

    asyncio.run(main())
    assert verdicts(perf) == [("a", KINDS[behaviour])]


def test_the_last_exception_is_the_same_object(perf: mp.ModelPerf) -> None:
    """Nothing is wrapped: who catches it gets what the last model has raised."""
    first, last = ModelHTTPError(503, "a"), ModelHTTPError(500, "b")
    agent = Agent(capabilities=[learned(perf, {"a": raising(first), "b": raising(last)})])
    assert asyncio.run(error_of(agent)) is last


def test_a_wrong_request_is_not_sent_to_another_model(perf: mp.ModelPerf) -> None:
    """An error of the caller is raised at once."""
    error = ModelHTTPError(400, "a")
    agent = Agent(capabilities=[learned(perf, {"a": raising(error), "b": TestModel()})])
    assert asyncio.run(error_of(agent)) is error
    assert verdicts(perf) == [("a", "caller_error")]


def test_a_refusal_without_an_exception_is_seen(perf: mp.ModelPerf, provider: Provider) -> None:
    """An answer that a content filter has emptied brings in the next model; the last one ends as without us."""
    provider.behaviours.update(a="filter")

    async def main() -> None:
        async with served(provider, "a", "b") as models:
            assert (await Agent(capabilities=[learned(perf, models)]).run("hello")).output == "b"
            bare = await error_of(Agent(models["a"]))
            ours = await error_of(Agent(capabilities=[learned(perf, {"a": models["a"]})]))
            assert (type(ours), ours.message) == (type(bare), bare.message)

    asyncio.run(main())
    assert verdicts(perf) == [("a", "refused"), ("b", "good"), ("a", "refused")]


def test_one_model_serves_all_steps_of_a_run(perf: mp.ModelPerf) -> None:
    """It is chosen once; a run with tools is one try with the tokens of all its requests."""
    agent = Agent(capabilities=[learned(perf, {"a": TestModel(), "b": TestModel()})])

    @agent.tool_plain
    def look_up() -> str:
        return "found"

    result = run(agent)
    assert result.usage.requests == 2
    assert [each[:3] for each in recorded(perf)] == [("a", "good", result.usage.total_tokens)]


def test_a_model_that_fails_midway_is_replaced_for_the_rest(perf: mp.ModelPerf) -> None:
    """The one that follows takes over the conversation as it is, and stays."""
    calls: list[str] = []

    def first(messages: Any, _info: Any) -> ModelResponse:
        calls.append("a")
        if len(messages) > 1:
            raise ModelHTTPError(503, "a")
        return ModelResponse(parts=[ToolCallPart("look_up")])

    def second(messages: Any, _info: Any) -> ModelResponse:
        calls.append("b")
        return ModelResponse(parts=[ToolCallPart("look_up") if len(messages) < 5 else TextPart("done")])

    agent = Agent(capabilities=[learned(perf, {"a": FunctionModel(first), "b": FunctionModel(second)})])

    @agent.tool_plain
    def look_up() -> str:
        return "found"

    assert run(agent).output == "done"
    assert calls == ["a", "a", "b", "b"]
    assert verdicts(perf) == [("a", "server_error"), ("b", "good")]


def test_the_time_of_tools_is_not_the_models(perf: mp.ModelPerf) -> None:
    """The duration is that of the requests."""
    agent = Agent(capabilities=[learned(perf, {"a": TestModel()})])

    @agent.tool_plain
    async def look_up() -> str:
        await asyncio.sleep(1.5)
        return "found"

    ticket = ticket_of(run(agent))
    assert ticket is not None
    assert 0.0 < Ticket.read(ticket).duration_seconds < 1.5


def test_validators_are_the_verdict(perf: mp.ModelPerf) -> None:
    """An output that is never accepted is a failure of the model; one that is accepted after a retry is a success."""

    def agent_of(model: Any) -> Any:
        agent = Agent(capabilities=[learned(perf, {"a": model})], retries=1)

        @agent.output_validator
        def is_right(output: str) -> str:
            if output != "right":
                raise ModelRetry("try again") from ConnectionError()
            return output

        return agent

    assert run(agent_of(saying("wrong", "right"))).output == "right"
    with pytest.raises(UnexpectedModelBehavior):
        run(agent_of(saying("wrong")))
    assert verdicts(perf) == [("a", "good"), ("a", "other")]


def test_errors_of_tools_do_not_count(perf: mp.ModelPerf) -> None:
    """Whatever a tool of the host raises, also if it looks like an error of a provider, says nothing of the model."""
    for error in (ValueError("bug"), TimeoutError(), ModelHTTPError(503, "another agent")):
        agent = Agent(capabilities=[learned(perf, {"a": TestModel()})])

        @agent.tool_plain
        def fail() -> str:
            raise error  # noqa: B023 - it is called before the loop goes on

        assert asyncio.run(error_of(agent)) is error
    assert verdicts(perf) == [("a", "caller_error")] * 3


def test_a_used_up_limit_is_a_failure(perf: mp.ModelPerf) -> None:
    """A model that does not get done within the limits of the run has failed, and no other follows."""
    models = {"a": saying(ToolCallPart("look_up")), "b": TestModel()}
    agent = Agent(capabilities=[learned(perf, models)])

    @agent.tool_plain
    def look_up() -> str:
        return "found"

    with pytest.raises(UsageLimitExceeded):
        run(agent, usage_limits=UsageLimits(request_limit=3))
    assert verdicts(perf) == [("a", "failed")]


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (lambda output: output == "x", ("failed", None)),
        (lambda _output: 0.25, ("failed", 0.25)),
        (lambda _output: 1 / 0, ("other", None)),
        (lambda _output: None, ("good", None)),
    ],
)
def test_a_check_judges_the_output(perf: mp.ModelPerf, check: Callable[[Any], Any], expected: Any) -> None:
    """It says whether the run was good, by a bool or a score; the user gets the output all the same."""

    async def later(output: Any) -> Any:
        return check(output)

    for each in (check, later):
        agent = Agent(capabilities=[learned(perf, {"a": saying("y")}, check=each)])
        assert run(agent).output == "y"
    assert [(each.verdict, each.score) for each in recorded(perf)] == [expected] * 2


def test_the_task_type_is_the_most_specific_name(perf: mp.ModelPerf, path: Path) -> None:
    """Explicit, then metadata, then the name of the agent, then "default"."""
    models = {"a": TestModel()}
    metadata = {"modelperf_task_type": "from-metadata"}
    named = Agent(capabilities=[learned(perf, models)], name="from-name")
    run(named)
    run(named, metadata=metadata)
    run(Agent(capabilities=[learned(perf, models, task_type="said")], name="n", metadata=metadata))
    run(Agent(capabilities=[learned(perf, models)]), infer_name=False)
    assert rows(path, "SELECT task_type FROM model_outcomes") == ["from-name", "from-metadata", "said", "default"]


def test_rules_see_the_name_of_the_agent(path: Path) -> None:
    """A rule of the configuration may name the task types of several agents, by their names or metadata."""
    rules = {"support": [{"agent": "help-*"}, {"team": "desk"}]}
    with mp.ModelPerf({"task_type_rules": rules}, store=path) as engine:
        capabilities = [learned(engine, {"a": TestModel()})]
        run(Agent(capabilities=capabilities, name="help-desk"))
        run(Agent(capabilities=capabilities, name="other"), metadata={"team": "desk"})
        run(Agent(capabilities=capabilities, name="other"))
    assert rows(path, "SELECT task_type FROM model_outcomes") == ["support", "support", "other"]


def test_a_run_that_names_its_model_is_left_alone(perf: mp.ModelPerf) -> None:
    """``model=`` and ``override`` win, as in tests of the host; nothing is chosen or recorded."""
    agent = Agent(capabilities=[learned(perf, {"a": raising(ModelHTTPError(500, "a"))})])
    assert run(agent, model=saying("x")).output == "x"
    with agent.override(model=saying("y")):
        result = run(agent)
    assert (result.output, ticket_of(result), recorded(perf)) == ("y", None, [])


def test_the_model_of_the_agent_is_replaced(perf: mp.ModelPerf) -> None:
    """An agent keeps its own ``model``: the one chosen is used."""
    agent = Agent(saying("own"), capabilities=[learned(perf, {"a": saying("ours")})])
    assert run(agent).output == "ours"


def test_models_may_be_names(perf: mp.ModelPerf) -> None:
    """They are those of pydantic-ai; "test" is one that needs no network. A capability may also be that of a run."""
    agent = Agent(saying("own"))
    result = run(agent, capabilities=[learned(perf, ["test"])])
    assert result.output == "success (no tool calls)"
    assert verdicts(perf) == [("test", "good")]
    assert ticket_of(result)


def test_a_model_that_another_capability_puts_in_is_left_alone(perf: mp.ModelPerf) -> None:
    """Neither its errors nor its answers count for the model that was chosen."""

    class Swap(AbstractCapability[Any]):
        async def before_model_request(self, _ctx: Any, request_context: Any) -> Any:
            request_context.model = saying("swapped")
            return request_context

    agent = Agent(capabilities=[learned(perf, {"a": saying("a")}), Swap()])
    assert run(agent).output == "swapped"
    assert recorded(perf) == []


def test_an_engine_may_be_made_later(perf: mp.ModelPerf) -> None:
    """``perf`` may be a function: agents are often made at import."""
    engines: list[mp.ModelPerf] = []
    agent = Agent(capabilities=[learned(lambda: engines[0], {"a": TestModel()})])
    engines.append(perf)
    run(agent)
    assert verdicts(perf) == [("a", "good")]


@pytest.mark.parametrize("models", [[], {}, "gpt", [""]])
def test_bad_models_are_refused_at_once(perf: mp.ModelPerf, models: Any) -> None:
    """The message names the argument."""
    with pytest.raises(mp.InvalidValueError, match=r"^models"):
        learned(perf, models)


def test_parallel_runs_are_apart(perf: mp.ModelPerf, provider: Provider) -> None:
    """Each run of one agent has its own choice, tries and ticket."""
    provider.behaviours["a"] = "server_error"

    async def main() -> set[str | None]:
        async with served(provider, "a", "b") as models:
            agent = Agent(capabilities=[learned(perf, models)])
            results = await asyncio.gather(*(agent.run("hello") for _ in range(20)))
            return {ticket_of(result) for result in results}

    assert len(asyncio.run(main())) == 20
    assert verdicts(perf).count(("b", "good")) == 20
    assert {verdict for model, verdict in verdicts(perf) if model == "a"} == {"server_error"}


def test_a_cancelled_run_is_cancelled(perf: mp.ModelPerf, provider: Provider) -> None:
    """It ends at once, and says nothing of the model."""
    provider.behaviours["a"] = "hang"

    async def main() -> None:
        async with served(provider, "a", "b") as models:
            running = asyncio.create_task(Agent(capabilities=[learned(perf, models)]).run("hello"))
            while not provider.asked:  # noqa: ASYNC110 - another thread answers
                await asyncio.sleep(0.01)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(main())
    assert verdicts(perf) == [("a", "cancelled")]


def test_a_time_limit_of_the_request_brings_in_the_next_model(perf: mp.ModelPerf, provider: Provider) -> None:
    """The framework's own limit is for each request to each model."""
    provider.behaviours["a"] = "hang"

    async def main() -> None:
        async with served(provider, "a", "b") as models:
            agent = Agent(capabilities=[learned(perf, models)], model_settings={"request_timeout": 0.2})
            assert (await agent.run("hello")).output == "b"

    asyncio.run(main())
    assert verdicts(perf) == [("a", "timeout"), ("b", "good")]


def test_a_time_limit_of_the_run_is_a_timeout(perf: mp.ModelPerf, provider: Provider) -> None:
    """It ends the run, and counts as running out of time, not as a user who gave up."""
    provider.behaviours["a"] = "hang"

    async def main() -> None:
        async with served(provider, "a", "b") as models:
            with pytest.raises(RunTimedOut):
                await Agent(capabilities=[learned(perf, models)]).run("hello", timeout=0.2)

    asyncio.run(main())
    assert verdicts(perf) == [("a", "timeout")]


def test_an_old_history_still_has_its_ticket(perf: mp.ModelPerf) -> None:
    """The ticket is in the messages, which hosts store as JSON, and is not sent to a model."""
    result = run(Agent(capabilities=[learned(perf, {"a": TestModel()})]))
    stored = result.all_messages_json()
    assert ticket_of(ModelMessagesTypeAdapter.validate_json(stored)) == ticket_of(result) == ticket_of(result.response)
    assert json.loads(stored)[-1]["metadata"] == {"modelperf_ticket": ticket_of(result)}
    assert ticket_of([]) is None


def test_errors_of_the_engine_stay_inside(perf: mp.ModelPerf) -> None:
    """A store that is closed neither stops a run nor changes its result."""
    agent = Agent(capabilities=[learned(perf, {"a": raising(ModelAPIError("a", "no")), "b": saying("x")})])
    perf.close()
    assert run(agent).output == "x"
