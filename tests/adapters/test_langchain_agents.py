"""The middleware of the LangChain adapter: one model, and one outcome, for each run of an agent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.recorder.world import IN_ORDER, Recorded, recorded, verdicts

pytest.importorskip("langchain")

from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware, wrap_tool_call
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from modelperf_plugin.adapters.langchain import learned, middleware, ticket_of
from tests.adapters.langchain_models import USAGE, Scripted

Runner = Callable[..., Any]
HELLO = {"messages": [("human", "hello")]}
CALL = AIMessage("", tool_calls=[{"name": "look", "args": {"at": "it"}, "id": "1"}], usage_metadata=USAGE)
DONE = AIMessage("done", usage_metadata=USAGE)


def look(at: str) -> str:
    """Look at something."""
    return f"{at} is fine"


def _invoke(agent: Any, given: Any = None, config: Any = None) -> Any:
    return agent.invoke(HELLO if given is None else given, config)


def _ainvoke(agent: Any, given: Any = None, config: Any = None) -> Any:
    return asyncio.run(agent.ainvoke(HELLO if given is None else given, config))


@pytest.fixture(params=[_invoke, _ainvoke], ids=["invoke", "ainvoke"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Return both ways to run an agent."""
    runner: Runner = request.param
    return runner


def agent_of(perf: mp.ModelPerf, models: dict[str, Any], tools: Any = (look,), **options: Any) -> Any:
    """Return an agent that may use these models; what is no option of the middleware is one of the agent."""
    own = {name: options.pop(name) for name in ("task_type", "context", "check", "timeout") if name in options}
    more = options.pop("middleware", ())
    first = next(iter(models.values()))
    return create_agent(first, list(tools), middleware=[middleware(perf, models, **own), *more], **options)


def test_a_run_is_one_outcome(perf: mp.ModelPerf, run: Runner) -> None:
    """The model is chosen once, asked at every step, and what all steps used is recorded when the run has ended."""
    model = Scripted(answer=[CALL, CALL, DONE])
    state = run(agent_of(perf, {"a": model, "b": Scripted(answer=DONE)}))
    assert (state["messages"][-1].content, len(model.asked)) == ("done", 3)
    assert recorded(perf) == [Recorded("a", "good", 51)]
    assert len(perf.store.decisions.newest()) == 1
    assert perf.report(ticket_of(state) or "", success=False)
    assert perf.store.tallies.all()[0].failures == 1


def test_a_failing_model_is_replaced_for_the_rest_of_the_run(perf: mp.ModelPerf, run: Runner) -> None:
    """In the middle of a run, too: the next one continues with the messages so far, and keeps the run."""
    models = {"a": Scripted(answer=[CALL, TimeoutError()]), "b": Scripted(answer=[CALL, DONE])}
    state = run(agent_of(perf, models))
    assert state["messages"][-1].content == "done"
    assert [len(model.asked) for model in models.values()] == [2, 2]
    assert recorded(perf) == [Recorded("a", "timeout", 17), Recorded("b", "good", 34)]
    assert len(perf.store.decisions.newest()) == 1


def test_the_last_error_is_raised_as_it_was(perf: mp.ModelPerf, run: Runner) -> None:
    """If all models fail, the agent raises what the last one raised."""
    last = ConnectionResetError("it broke")
    with pytest.raises(ConnectionResetError) as raised:
        run(agent_of(perf, {"a": Scripted(answer=TimeoutError()), "b": Scripted(answer=last)}))
    assert raised.value is last
    assert last.__context__ is None
    assert verdicts(perf) == [("a", "timeout"), ("b", "network")]


def test_a_refusal_brings_in_the_next_model(perf: mp.ModelPerf, run: Runner) -> None:
    """An answer that a filter has ended is none; if all refuse, the last answer is the agent's."""
    refusal = AIMessage("", response_metadata={"finish_reason": "content_filter"})
    state = run(agent_of(perf, {"a": Scripted(answer=refusal), "b": Scripted(answer=DONE)}))
    assert state["messages"][-1].content == "done"
    assert verdicts(perf) == [("a", "refused"), ("b", "good")]
    state = run(agent_of(perf, {"c": Scripted(answer=refusal)}, task_type="other"))
    assert state["messages"][-1].content == ""
    assert (verdicts(perf)[2:], ticket_of(state) is None) == ([("c", "refused")], False)


def test_a_check_judges_the_final_state(perf: mp.ModelPerf, run: Runner) -> None:
    """It may return a score; if it raises, the run has failed, and the agent has its answer all the same."""
    models = {"a": Scripted(answer=DONE)}
    run(agent_of(perf, models, check=lambda state: 0.2 if state["messages"][-1].content == "done" else 0.9))
    assert run(agent_of(perf, models, check=lambda _: 1 / 0))["messages"][-1].content == "done"
    assert [(each.verdict, each.score) for each in recorded(perf)] == [("failed", 0.2), ("other", None)]


def test_an_asynchronous_check_needs_an_asynchronous_run(perf: mp.ModelPerf) -> None:
    """Otherwise that is an error."""

    async def check(_: Any) -> bool:
        return False

    agent = agent_of(perf, {"a": Scripted(answer=DONE)}, check=check)
    with pytest.raises(mp.InvalidValueError, match="check"):
        _invoke(agent)
    assert _ainvoke(agent)["messages"][-1].content == "done"
    assert verdicts(perf) == [("a", "failed")]


def test_a_time_limit(perf: mp.ModelPerf) -> None:
    """A request that takes too long is a timeout."""

    class Slow(Scripted):
        """Answers much too late."""

        async def _agenerate(self, *_: Any, **__: Any) -> Any:
            await asyncio.sleep(60)

    state = _ainvoke(agent_of(perf, {"a": Slow(answer=""), "b": Scripted(answer=DONE)}, timeout=0.05))
    assert state["messages"][-1].content == "done"
    assert verdicts(perf) == [("a", "timeout"), ("b", "good")]
    assert _invoke(agent_of(perf, {"b": Scripted(answer=DONE)}, timeout=30.0))["messages"][-1].content == "done"


def test_a_cancelled_run(perf: mp.ModelPerf) -> None:
    """A caller that gives up is recorded as such."""

    class Slow(Scripted):
        """Answers much too late."""

        async def _agenerate(self, *_: Any, **__: Any) -> Any:
            await asyncio.sleep(60)

    async def give_up() -> None:
        agent = agent_of(perf, {"a": Slow(answer=""), "b": Scripted(answer=DONE)})
        call = asyncio.ensure_future(agent.ainvoke(HELLO))
        await asyncio.sleep(0.2)
        call.cancel()
        await call

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(give_up())
    assert verdicts(perf) == [("a", "cancelled")]


def test_runs_in_parallel(perf: mp.ModelPerf) -> None:
    """Each run of an agent has its own choice and its own outcome."""

    async def run_all(agent: Any) -> list[Any]:
        return await asyncio.gather(*(agent.ainvoke(HELLO) for _ in range(10)))

    agent = agent_of(perf, {"a": Scripted(answer=DONE), "b": Scripted(answer=DONE)})
    states = agent.batch([HELLO] * 10) + asyncio.run(run_all(agent))
    assert len({ticket_of(state) for state in states}) == 20
    assert [verdict for _, verdict in verdicts(perf)] == ["good"] * 20


@pytest.mark.parametrize(
    ("said", "name", "config", "expected"),
    [
        (None, None, None, "default"),
        (None, "planner", None, "planner"),
        (None, "planner", {"metadata": {"modelperf_task_type": "m"}}, "m"),
        ("explicit", "planner", {"metadata": {"modelperf_task_type": "m"}}, "explicit"),
    ],
)
def test_the_task_type(
    perf: mp.ModelPerf, run: Runner, said: str | None, name: str | None, config: Any, expected: str
) -> None:
    """It is what is said, what the metadata name, the name of the agent, or "default"."""
    run(agent_of(perf, {"a": Scripted(answer=DONE)}, task_type=said, name=name), config=config)
    assert [each.task_type for each in perf.store.decisions.newest()] == [expected]


def test_a_run_that_waits_for_a_person(perf: mp.ModelPerf, run: Runner) -> None:
    """It is resumed with the model that it had, whatever the policy thinks by then, and recorded at its end."""

    def ask(at: str) -> str:
        """Ask somebody."""
        return str(interrupt(at))

    call = AIMessage("", tool_calls=[{"name": "ask", "args": {"at": "it"}, "id": "1"}], usage_metadata=USAGE)
    models = {"a": Scripted(answer=TimeoutError()), "b": Scripted(answer=[call, DONE])}
    agent = agent_of(perf, models, tools=(ask,), checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    state = run(agent, config=config)
    assert (state["__interrupt__"][0].value, ticket_of(state)) == ("it", None)
    for model in "ab":
        perf.record("default", model, mp.Outcome(success=model == "a"))
    state = run(agent, Command(resume="go on"), config)
    assert [each.content for each in state["messages"][-2:]] == ["go on", "done"]
    assert verdicts(perf) == [("a", "timeout"), ("a", "good"), ("b", "failed"), ("b", "good")]
    assert perf.report(ticket_of(state) or "", success=False)


def test_a_conversation_names_its_model(path: Path, run: Runner) -> None:
    """The next run of a thread is a new choice, which knows the model before it, and has a ticket of its own."""
    switching = {**IN_ORDER, "cost": {"switch_usd": 100.0}}
    with mp.ModelPerf(switching, store=path, seed=1) as perf:
        models = {"a": Scripted(answer=[ValueError(), DONE]), "b": Scripted(answer=DONE)}
        agent = agent_of(perf, models, checkpointer=InMemorySaver())
        tickets = [ticket_of(run(agent, config={"configurable": {"thread_id": "1"}}))]
        for success in [True] * 10 + [False]:
            perf.record("default", "a" if success else "b", mp.Outcome(success=success))
        tickets += [ticket_of(run(agent, config={"configurable": {"thread_id": name}})) for name in "12"]
        assert len(set(tickets)) == 3
        assert [model for model, _ in verdicts(perf)] == ["a", "b", *["a"] * 10, "b", "b", "a"]


@pytest.mark.parametrize("mode", ["updates", "values", "messages", "debug", "checkpoints", "tasks"])
def test_what_an_agent_streams_can_be_encoded(perf: mp.ModelPerf, mode: str) -> None:
    """All that the middleware keeps in the state is text, and the run under way is in no checkpoint."""
    agent = agent_of(perf, {"a": Scripted(answer=[CALL, DONE])}, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    parts = list(agent.stream(HELLO, config, stream_mode=mode))
    assert json.dumps(parts, default=lambda value: type(value).__name__)
    assert "_Run" not in json.dumps(parts, default=lambda value: type(value).__name__)
    assert set(agent.get_state(config).values) == {"messages", "modelperf_model", "modelperf_ticket"}
    assert verdicts(perf) == [("a", "good")]


def test_a_run_that_a_tool_ends_is_not_counted(perf: mp.ModelPerf, run: Runner) -> None:
    """The model has done its part; offered as whole agents, models are judged by all that a run does."""

    def fail(at: str) -> str:
        """Fail."""
        raise ZeroDivisionError(at)

    call = AIMessage("", tool_calls=[{"name": "fail", "args": {"at": "it"}, "id": "1"}], usage_metadata=USAGE)
    with pytest.raises(ZeroDivisionError):
        run(agent_of(perf, {"a": Scripted(answer=call)}, tools=(fail,)))
    assert recorded(perf) == []
    agents = {
        "a": create_agent(Scripted(answer=call), [fail]),
        "b": create_agent(Scripted(answer=[CALL, DONE]), [look]),
    }
    state = run(learned(perf, agents, context={"pin": "a"}, check=lambda state: ticket_of(state) is None))
    assert state["messages"][-1].content == "done"
    assert ticket_of(state) == ticket_of(state["messages"][-1]) is not None
    assert recorded(perf) == [Recorded("a", "other", 17), Recorded("b", "good", 34)]


def test_beside_other_middleware(perf: mp.ModelPerf, run: Runner) -> None:
    """A retry around a model is seen as one try of it, and a wrapper of tools changes nothing."""

    @wrap_tool_call
    def shout(request: Any, handler: Any) -> Any:
        message = handler(request)
        message.content = message.content.upper()
        return message

    retrying = ModelRetryMiddleware(max_retries=1, on_failure="error", initial_delay=0.0)
    model = Scripted(answer=[TimeoutError(), CALL, DONE])
    more = (retrying, shout) if run is _invoke else (retrying,)
    state = run(agent_of(perf, {"a": model}, middleware=more))
    assert state["messages"][-1].content == "done"
    assert verdicts(perf) == [("a", "good")]


def test_a_retry_around_it_is_another_run(perf: mp.ModelPerf, run: Runner) -> None:
    """When all models have failed, whoever asks again gets a new choice."""
    models = {"a": Scripted(answer=[TimeoutError(), DONE])}
    retrying = ModelRetryMiddleware(max_retries=1, on_failure="error", initial_delay=0.0)
    agent = create_agent(models["a"], [look], middleware=[retrying, middleware(perf, models)])
    assert run(agent)["messages"][-1].content == "done"
    assert verdicts(perf) == [("a", "timeout"), ("a", "good")]
    assert len(perf.store.decisions.newest()) == 2


def test_the_runnable_as_the_model_of_an_agent(perf: mp.ModelPerf, run: Runner) -> None:
    """It is possible, and chooses at every step."""
    models = {"a": Scripted(answer=[CALL, DONE]), "b": Scripted(answer=DONE)}
    state = run(create_agent(learned(perf, models, context={"pin": "a"}), [look]))
    assert state["messages"][-1].content == "done"
    assert verdicts(perf) == [("a", "good")] * 2
    assert {each.task_type for each in perf.store.decisions.newest()} == {"model"}
