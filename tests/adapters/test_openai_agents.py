"""openai-agents: runs whose models are chosen, on a provider that fails on demand and with scripted models."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.adapters.checks import judged_by_another_process, stored_beside
from tests.adapters.provider import Provider
from tests.recorder.world import MODELS, recorded, verdicts

pytest.importorskip("agents")

from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrailTripwireTriggered,
    MaxTurnsExceeded,
    ModelBehaviorError,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OutputGuardrailTripwireTriggered,
    RunConfig,
    Runner,
    function_tool,
    input_guardrail,
    output_guardrail,
)
from agents.exceptions import ModelRefusalError, ModelTimeoutError
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from openai import AsyncOpenAI, BadRequestError

from modelperf_plugin.adapters.openai_agents import learned, ticket_of
from modelperf_plugin.recorder.ticket import Ticket

KINDS = {
    "rate_limit": "rate_limit", "quota": "unavailable", "unauthorized": "unavailable", "forbidden": "unavailable",
    "not_found": "unavailable", "gone": "unavailable", "server_error": "server_error", "unavailable": "server_error",
    "overloaded": "server_error", "bad_request": "caller_error", "unprocessable": "caller_error",
    "too_long": "context_overflow", "filtered": "refused", "reset": "network", "filter": "refused",
    "hang": "timeout",
}  # fmt: skip
"""What is recorded for each way to fail."""


class DownError(Exception):
    """What a model raises that is down."""

    status_code = 503


@asynccontextmanager
async def served(provider: Provider, *names: str, patience: float = 60.0) -> AsyncIterator[dict[str, Any]]:
    """Yield models of the provider, by their names."""
    async with AsyncOpenAI(base_url=provider.url, api_key="sk-none", max_retries=0, timeout=patience) as client:
        yield {name: OpenAIChatCompletionsModel(name, client) for name in names}


def config(perf: Any, models: Any, **options: Any) -> RunConfig:
    """Return what a run needs, without tracing: that would go to a server."""
    return RunConfig(model_provider=learned(perf, models, **options), tracing_disabled=True)


def saying(*steps: Any) -> ScriptedModel:
    """Return a model that follows a script; a text is a message."""
    return ScriptedModel([[assistant_message(step)] if isinstance(step, str) else step for step in steps])


def down(times: int = 1) -> ScriptedModel:
    """Return a model that raises."""
    return ScriptedModel([ModelStep.raise_error(DownError()) for _ in range(times)])


async def run(agent: Any, using: RunConfig, text: str = "hello", **options: Any) -> Any:
    """Return the result of a run."""
    return await Runner.run(agent, text, run_config=using, **options)


async def error_of(agent: Any, using: RunConfig, **options: Any) -> Any:
    """Return the exception that a run ends with."""
    try:
        await run(agent, using, **options)
    except Exception as error:  # noqa: BLE001 - that is the question
        return error
    return None


@function_tool
def look_up() -> str:
    """Look something up."""
    return "found"


def test_the_next_models_follow_until_one_answers(perf: mp.ModelPerf, provider: Provider) -> None:
    """Each failed model is recorded with its kind, and the last one with the tokens that it has used."""
    provider.behaviours.update(a="rate_limit", b="server_error")

    async def main() -> None:
        async with served(provider, *MODELS) as models:
            result = await run(Agent("helper", model="auto/qa"), config(perf, models))
            assert result.final_output == "c"

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

    async def main() -> None:
        async with served(provider, "a", patience=2.0 if behaviour == "hang" else 60.0) as models:
            bare = await error_of(Agent("bare", model=models["a"]), RunConfig(tracing_disabled=True))
            ours = await error_of(Agent("ours", model="auto"), config(perf, models))
        assert (type(ours), str(ours), type(ours.__cause__)) == (type(bare), str(bare), type(bare.__cause__))

    asyncio.run(main())
    assert verdicts(perf) == [("a", KINDS[behaviour])]


def test_the_last_exception_is_the_same_object(perf: mp.ModelPerf) -> None:
    """Nothing is wrapped: who catches it gets what the last model has raised."""
    last = DownError("b")
    models = {"a": down(), "b": ScriptedModel([ModelStep.raise_error(last)])}
    assert asyncio.run(error_of(Agent("x"), config(perf, models))) is last


def test_a_wrong_request_is_not_sent_to_another_model(perf: mp.ModelPerf, provider: Provider) -> None:
    """An error of the caller is raised at once."""
    provider.behaviours["a"] = "bad_request"

    async def main() -> None:
        async with served(provider, "a", "b") as models:
            assert isinstance(await error_of(Agent("x"), config(perf, models)), BadRequestError)

    asyncio.run(main())
    assert provider.asked == ["a"]


def test_a_refusal_without_an_exception_is_seen(perf: mp.ModelPerf, provider: Provider) -> None:
    """An answer that a content filter has emptied brings in the next model."""
    provider.behaviours["a"] = "filter"

    async def main() -> None:
        async with served(provider, "a", "b") as models:
            assert (await run(Agent("x"), config(perf, models))).final_output == "b"
            assert isinstance(await error_of(Agent("x"), config(perf, {"a": models["a"]})), ModelRefusalError)

    asyncio.run(main())
    assert verdicts(perf) == [("a", "refused"), ("b", "good"), ("a", "refused")]


def test_one_model_serves_all_turns_of_a_run(perf: mp.ModelPerf) -> None:
    """It is chosen once; a run with tools is one try with the tokens of all its requests."""
    models = {"a": saying([function_call("look_up", {}, call_id="1")], "done"), "b": saying()}
    result = asyncio.run(run(Agent("x", tools=[look_up]), config(perf, models)))
    assert (result.final_output, len(result.raw_responses)) == ("done", 2)
    assert verdicts(perf) == [("a", "good")]
    assert recorded(perf)[0].tokens == result.context_wrapper.usage.total_tokens


def test_a_model_that_fails_midway_is_replaced_for_the_rest(perf: mp.ModelPerf) -> None:
    """The one that follows takes over the conversation as it is, and stays."""
    first = ScriptedModel([[function_call("look_up", {}, call_id="1")], ModelStep.raise_error(DownError())])
    models = {"a": first, "b": saying([function_call("look_up", {}, call_id="2")], "done")}
    result = asyncio.run(run(Agent("x", tools=[look_up]), config(perf, models)))
    assert result.final_output == "done"
    assert verdicts(perf) == [("a", "server_error"), ("b", "good")]


def test_agents_that_hand_over_have_their_own_tasks(perf: mp.ModelPerf, path: Path) -> None:
    """A handoff works as before; each agent's model is chosen for its own task type."""
    refunds = Agent("refunds", model="auto/refund")
    triage = Agent("triage", model="auto/triage", handoffs=[refunds])
    models = {"a": saying([function_call("transfer_to_refunds", {}, call_id="1")], "refunded")}
    result = asyncio.run(run(triage, config(perf, models)))
    assert (result.final_output, result.last_agent) == ("refunded", refunds)
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT task_type, success FROM model_outcomes ORDER BY id").fetchall()
    assert found == [("triage", 1), ("refund", 1)]


def test_the_runner_is_the_verdict(perf: mp.ModelPerf) -> None:
    """Exceptions of the runner about what a model has done count against it, those of the host do not."""

    @function_tool(failure_error_function=None)
    def fail() -> str:
        """Fail."""
        raise TimeoutError

    async def think(_call: Any) -> Any:
        await asyncio.sleep(30)

    @input_guardrail
    async def no_input(_context: Any, _agent: Any, _input: Any) -> GuardrailFunctionOutput:
        await asyncio.sleep(0.1)
        return GuardrailFunctionOutput(None, tripwire_triggered=True)

    @output_guardrail
    def no_output(_context: Any, _agent: Any, _output: Any) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, tripwire_triggered=True)

    calls: Any = [function_call("look_up", {}, call_id="1")]
    cases: list[tuple[Any, Any, type[BaseException], str]] = [
        (Agent("loops", tools=[look_up]), calls, MaxTurnsExceeded, "failed"),
        (Agent("has no tool"), calls, ModelBehaviorError, "other"),
        (Agent("wants a number", output_type=int), "no number", ModelBehaviorError, "other"),
        (Agent("may not say", output_guardrails=[no_output]), "x", OutputGuardrailTripwireTriggered, "failed"),
        (
            Agent("may not ask", input_guardrails=[no_input]),
            ModelStep.respond(think),
            InputGuardrailTripwireTriggered,
            "cancelled",
        ),
        (Agent("has a bad tool", tools=[fail]), [function_call("fail", {}, call_id="1")], Exception, "caller_error"),
    ]
    for agent, step, error, _ in cases:
        found = asyncio.run(error_of(agent, config(perf, {"a": saying(step)}), max_turns=1))
        assert isinstance(found, error), agent.name
    assert verdicts(perf) == [("a", kind) for *_, kind in cases]


def test_what_the_caller_is_handling_is_not_the_runs_error(perf: mp.ModelPerf) -> None:
    """A run within an ``except`` is judged by itself."""

    async def main() -> None:
        for settings in (ModelSettings(), ModelSettings(timeout=5.0)):
            try:
                raise KeyError  # noqa: TRY301
            except KeyError:
                await run(Agent("x", model_settings=settings), config(perf, {"a": saying("fine")}))

    asyncio.run(main())
    assert verdicts(perf) == [("a", "good")] * 2


def test_the_task_type_is_the_most_specific_name(perf: mp.ModelPerf, path: Path) -> None:
    """The model's name, then the option, then metadata, which are not sent, then "default"."""
    model = saying("x", "x", "x", "x")
    metadata = ModelSettings(metadata={"modelperf_task_type": "from-metadata", "other": "1"})

    async def main() -> None:
        await run(Agent("x", model="auto/from-name"), config(perf, {"a": model}, task_type="said"))
        await run(Agent("x", model="auto"), config(perf, {"a": model}, task_type="said"))
        await run(Agent("x", model_settings=metadata), config(perf, {"a": model}))
        await run(Agent("x"), config(perf, {"a": model}))

    asyncio.run(main())
    with closing(sqlite3.connect(path)) as connection:
        found = [row[0] for row in connection.execute("SELECT task_type FROM model_outcomes ORDER BY id")]
    assert found == ["from-name", "said", "from-metadata", "default"]
    assert [call.model_settings.metadata for call in model.calls] == [None, None, {"other": "1"}, None]


def test_other_names_are_left_alone(perf: mp.ModelPerf) -> None:
    """An agent that names a model gets that one, of the provider that looks up names; nothing is recorded."""
    inner = learned(perf, {"z": saying("inner")}, task_type="inner")
    using = config(perf, {"a": "auto/names-may-be-looked-up"}, provider=inner)
    result = asyncio.run(run(Agent("x", model=saying("its own")), using))
    assert (result.final_output, ticket_of(result), recorded(perf)) == ("its own", None, [])
    assert asyncio.run(run(Agent("x", model="auto/outer"), using)).final_output == "inner"


def test_an_engine_may_be_made_later(perf: mp.ModelPerf) -> None:
    """``perf`` may be a function: providers are often made at import."""
    engines: list[mp.ModelPerf] = []
    using = config(lambda: engines[0], {"a": saying("x")})
    engines.append(perf)
    asyncio.run(run(Agent("x"), using))
    assert verdicts(perf) == [("a", "good")]


@pytest.mark.parametrize(
    ("models", "options", "field"),
    [([], {}, "models"), ({}, {}, "models"), ("gpt", {}, "models"), (["a"], {"timeout": 0}, "timeout"),
     (["a"], {"task_type": ""}, "task_type")],
)  # fmt: skip
def test_bad_arguments_are_refused_at_once(perf: mp.ModelPerf, models: Any, options: Any, field: str) -> None:
    """The message names the argument."""
    with pytest.raises(mp.InvalidValueError, match=rf"^{field}"):
        learned(perf, models, **options)


def test_parallel_runs_are_apart(perf: mp.ModelPerf, provider: Provider) -> None:
    """Each run has its own choice, tries and ticket."""
    provider.behaviours["a"] = "server_error"

    async def main() -> set[str | None]:
        async with served(provider, "a", "b") as models:
            using = config(perf, models)
            results = await asyncio.gather(*(run(Agent("x", model="auto/qa"), using) for _ in range(20)))
            return {ticket_of(result) for result in results}

    assert len(asyncio.run(main()) - {None}) == 20
    assert verdicts(perf).count(("b", "good")) == 20


def test_a_cancelled_run_is_cancelled(perf: mp.ModelPerf, provider: Provider) -> None:
    """It ends at once, and says nothing of the model."""
    provider.behaviours["a"] = "hang"

    async def main() -> None:
        async with served(provider, "a", "b") as models:
            running = asyncio.create_task(run(Agent("x"), config(perf, models)))
            while not provider.asked:  # noqa: ASYNC110 - another thread answers
                await asyncio.sleep(0.01)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(main())
    assert verdicts(perf) == [("a", "cancelled")]


def test_a_time_limit_brings_in_the_next_model(perf: mp.ModelPerf, provider: Provider) -> None:
    """``timeout`` is for each request; with the last model it raises TimeoutError."""
    provider.behaviours["a"] = "hang"

    async def main() -> None:
        async with served(provider, "a", "b") as models:
            assert (await run(Agent("x"), config(perf, models, timeout=0.2))).final_output == "b"
            error = await error_of(Agent("x"), config(perf, {"a": models["a"]}, timeout=0.2))
            assert type(error) is TimeoutError

    asyncio.run(main())
    assert verdicts(perf) == [("a", "timeout"), ("b", "good"), ("a", "timeout")]


def test_a_time_limit_of_the_runner_is_a_timeout(perf: mp.ModelPerf, provider: Provider) -> None:
    """It includes all models, so no other follows; it is no cancellation."""
    provider.behaviours["a"] = "hang"

    async def main() -> None:
        async with served(provider, "a", "b") as models:
            agent = Agent("x", model_settings=ModelSettings(timeout=0.2))
            assert isinstance(await error_of(agent, config(perf, models)), ModelTimeoutError)

    asyncio.run(main())
    assert verdicts(perf) == [("a", "timeout")]


def test_a_request_without_a_runner_is_a_task(perf: mp.ModelPerf) -> None:
    """Who asks the model directly has its outcome recorded at once."""
    from agents import ModelTracing

    async def ask(model: Any) -> Any:
        return await model.get_response(
            None, "hello", ModelSettings(), [], None, [], ModelTracing.DISABLED,
            previous_response_id=None, conversation_id=None, prompt=None,
        )  # fmt: skip

    async def main() -> None:
        response = await ask(learned(perf, {"a": down(), "b": saying("x")}).get_model("auto/qa"))
        assert Ticket.read(ticket_of(response) or "").model_id == "b"
        with pytest.raises(DownError):
            await ask(learned(perf, {"a": down()}).get_model("auto/qa"))

    asyncio.run(main())
    assert verdicts(perf) == [("a", "server_error"), ("b", "good"), ("a", "server_error")]


def test_another_process_judges_by_the_ticket(perf: mp.ModelPerf, path: Path) -> None:
    """The ticket is all it needs; a verdict counts once."""
    ticket = ticket_of(asyncio.run(run(Agent("x"), config(perf, {"a": saying("x")}))))
    assert judged_by_another_process(path, ticket) == "True False\n"
    assert verdicts(perf) == [("a", "failed")]


def test_neither_prompts_nor_answers_are_stored(perf: mp.ModelPerf, provider: Provider, path: Path) -> None:
    """No file of the store has them, nor what a provider says in its errors."""
    provider.behaviours["a"] = "server_error"
    provider.answers["b"] = "a-secret-answer"

    async def main() -> None:
        async with served(provider, "a", "b") as models:
            agent = Agent("x", instructions="a-secret-instruction")
            assert (await run(agent, config(perf, models), "a-secret-prompt")).final_output == "a-secret-answer"

    asyncio.run(main())
    perf.close()
    stored = stored_beside(path)
    assert b"server_error" in stored
    assert b"a-secret" not in stored
    assert b"it says" not in stored


def test_errors_of_the_engine_stay_inside(perf: mp.ModelPerf) -> None:
    """A store that is closed neither stops a run nor changes its result."""
    using = config(perf, {"a": down(), "b": saying("x")})
    perf.close()
    assert asyncio.run(run(Agent("x"), using)).final_output == "x"
