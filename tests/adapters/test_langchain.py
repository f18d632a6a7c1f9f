"""The runnable of the LangChain adapter: it is called as a chat model is, and learns which model to call."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import MissingExtraError
from tests.recorder.world import IN_ORDER, Recorded, recorded, verdicts

pytest.importorskip("langchain_core")

from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from modelperf_plugin.adapters.langchain import learned, ticket_of
from tests.adapters.langchain_models import Scripted

Runner = Callable[..., Any]

REPORT = """
import sys
import modelperf_plugin as mp
with mp.ModelPerf(store=sys.argv[1]) as perf:
    assert perf.report(sys.argv[2], success=False)
"""


def _invoke(runnable: Any, given: Any = "hello", config: Any = None, **kwargs: Any) -> Any:
    return runnable.invoke(given, config, **kwargs)


def _ainvoke(runnable: Any, given: Any = "hello", config: Any = None, **kwargs: Any) -> Any:
    return asyncio.run(runnable.ainvoke(given, config, **kwargs))


def _stream(runnable: Any, given: Any = "hello", config: Any = None, **kwargs: Any) -> Any:
    return _sum(list(runnable.stream(given, config, **kwargs)))


def _astream(runnable: Any, given: Any = "hello", config: Any = None, **kwargs: Any) -> Any:
    async def collect() -> list[Any]:
        return [chunk async for chunk in runnable.astream(given, config, **kwargs)]

    return _sum(asyncio.run(collect()))


def _sum(chunks: list[Any]) -> Any:
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk if hasattr(total, "__add__") else chunk
    return total


@pytest.fixture(params=[_invoke, _ainvoke, _stream, _astream], ids=["invoke", "ainvoke", "stream", "astream"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Return each way to call a runnable."""
    runner: Runner = request.param
    return runner


def models_with(**answers: Any) -> dict[str, Any]:
    """Return models with these answers."""
    return {name: Scripted(answer=answer) for name, answer in answers.items()}


def test_the_first_good_answer_is_returned(perf: mp.ModelPerf, run: Runner) -> None:
    """A model that fails is followed by the next; the answer is a message as that model returns it, with a ticket."""
    answer = run(learned(perf, models_with(a=TimeoutError(), b="it is b", c="c")))
    assert isinstance(answer, AIMessage)
    assert answer.content in {"it is b", "itisb"}
    assert answer.usage_metadata is not None
    assert recorded(perf) == [Recorded("a", "timeout"), Recorded("b", "good", 17)]
    assert (ticket_of(answer) or "").startswith("mpt1.")


def test_the_last_error_is_raised_as_it_was(perf: mp.ModelPerf, run: Runner) -> None:
    """If all models fail, the user gets the last exception: the same object, with nothing added."""
    last = ConnectionResetError("it broke")
    with pytest.raises(ConnectionResetError) as raised:
        run(learned(perf, models_with(a=TimeoutError(), b=last)))
    assert raised.value is last
    assert (last.__cause__, last.__context__) == (None, None)
    assert verdicts(perf) == [("a", "timeout"), ("b", "network")]


@pytest.mark.parametrize("runner", [_invoke, _ainvoke])
def test_a_parser_behind_the_model_is_a_verdict(perf: mp.ModelPerf, runner: Runner) -> None:
    """Offered as chains, models whose answer cannot be parsed have failed; what the model behind it used is counted."""
    models = {name: model | JsonOutputParser() for name, model in models_with(a="no json", b='{"x": 1}').items()}
    assert runner(learned(perf, models)) == {"x": 1}
    assert recorded(perf) == [Recorded("a", "other", 17), Recorded("b", "good", 17)]


def test_a_check_is_a_verdict(perf: mp.ModelPerf, run: Runner) -> None:
    """A check gets the whole answer, also of a stream; another model follows, unless its answer was streamed."""
    seen: list[str] = []

    def check(answer: AIMessage) -> bool:
        seen.append(str(answer.content).replace(" ", ""))
        return "yes" in answer.content

    run(learned(perf, models_with(a="oh no", b="oh yes"), check=check))
    if run in (_stream, _astream):
        assert (seen, verdicts(perf)) == (["ohno"], [("a", "failed")])
    else:
        assert (seen, verdicts(perf)) == (["ohno", "ohyes"], [("a", "failed"), ("b", "good")])


def test_a_parser_as_a_check(perf: mp.ModelPerf, run: Runner) -> None:
    """What it raises is a failure, and raised if no model is left; what it returns is not asked for."""
    if run in {_invoke, _ainvoke}:
        assert run(learned(perf, models_with(a="no json", b="{}"), check=JsonOutputParser())).content == "{}"
        assert verdicts(perf) == [("a", "other"), ("b", "good")]
    with pytest.raises(ValueError, match="Invalid json output"):
        run(learned(perf, models_with(c="no json"), check=JsonOutputParser()))
    assert verdicts(perf)[-1] == ("c", "other")


@pytest.mark.parametrize(("runner", "scores"), [(_ainvoke, [0.2, 0.9]), (_astream, [0.2])])
def test_an_asynchronous_check(perf: mp.ModelPerf, runner: Runner, scores: list[float]) -> None:
    """Asynchronous calls may have an asynchronous check; a score is one."""

    async def check(answer: AIMessage) -> float:
        await asyncio.sleep(0)
        return 0.2 if "bad" in answer.content else 0.9

    runner(learned(perf, models_with(a="bad", b="b"), check=check))
    assert [each.score for each in recorded(perf)] == scores


def test_a_stream_is_passed_on_chunk_by_chunk(perf: mp.ModelPerf) -> None:
    """A chunk is produced when it is asked for, in a chain, too; the ticket is in an empty chunk behind the last."""
    model = Scripted(answer="one two three")
    chunks = (learned(perf, {"a": model}) | StrOutputParser()).stream("hello")
    assert (next(chunks), model.streamed) == ("one", 1)
    assert (next(chunks), model.streamed) == ("two", 2)
    assert "".join(chunks) == "three"
    last = list(learned(perf, {"a": model}).stream("hello"))[-1]
    assert (last.content, ticket_of(last) is not None) == ("", True)


def test_a_stream_that_is_closed_early(perf: mp.ModelPerf) -> None:
    """It is recorded as cancelled when it is closed, and the stream of the model is closed, too."""
    model = Scripted(answer="one two three")
    with closing(learned(perf, {"a": model}).stream("hello")) as chunks:
        next(chunks)
    assert (verdicts(perf), model.streamed) == ([("a", "cancelled")], 1)

    async def leave() -> None:
        async with aclosing(learned(perf, {"a": model}).astream("hello")) as chunks:
            await anext(chunks)

    asyncio.run(leave())
    assert verdicts(perf) == [("a", "cancelled")] * 2


def test_calls_in_parallel(perf: mp.ModelPerf) -> None:
    """A batch makes one choice for each input, in threads or tasks, and returns exceptions if that is wanted."""
    runnable = learned(perf, models_with(a=[TimeoutError()], b="it is b"))
    answers = runnable.batch(["hello"] * 20, {"max_concurrency": 8})
    answers += asyncio.run(runnable.abatch(["hello"] * 20))
    assert len({ticket_of(answer) for answer in answers}) == 40
    assert sorted(verdicts(perf)).count(("b", "good")) == 40
    (error,) = learned(perf, models_with(a=ZeroDivisionError())).batch(["hello"], return_exceptions=True)
    assert isinstance(error, ZeroDivisionError)


def test_a_cancelled_call(perf: mp.ModelPerf) -> None:
    """A caller that gives up is recorded as such, and nothing else is tried."""

    async def hang(_: Any) -> None:
        await asyncio.sleep(60)

    async def give_up() -> None:
        runnable = learned(perf, {"a": RunnableLambda(hang), "b": Scripted(answer="b")})
        call = asyncio.ensure_future(runnable.ainvoke("hello"))
        await asyncio.sleep(0.05)
        call.cancel()
        await call

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(give_up())
    assert verdicts(perf) == [("a", "cancelled")]


def test_a_time_limit(perf: mp.ModelPerf) -> None:
    """A try that takes too long is a timeout, and the next model is called, which sees the context of the caller."""
    release = asyncio.Event()

    async def hang(_: Any) -> None:
        await release.wait()

    runnable = learned(perf, {"a": RunnableLambda(hang), "b": Scripted(answer="b")}, timeout=0.05)
    assert _ainvoke(runnable).content == "b"
    assert _invoke(RunnableLambda(lambda _: learned(perf, models_with(b="b"), timeout=30).invoke("x"))).content == "b"
    assert verdicts(perf) == [("a", "timeout"), ("b", "good"), ("b", "good")]


def test_fakes_of_the_framework(perf: mp.ModelPerf, run: Runner) -> None:
    """LangChain's own offline models are called as any other."""
    models = {"a": FakeListChatModel(responses=["ab"]), "b": GenericFakeChatModel(messages=iter(["c d"]))}
    assert run(learned(perf, models)).content == "ab"
    assert run(learned(perf, {"b": models["b"]})).content == "c d"


def test_a_chain_around_it(perf: mp.ModelPerf, run: Runner) -> None:
    """It takes the place of a model between a prompt and a parser; arguments of a call go to the model."""
    model = Scripted(answer="yes")
    chain = ChatPromptTemplate.from_messages([("human", "is it {what}?")]) | learned(perf, {"a": model}).bind(
        stop=["."]
    )
    assert run(chain | StrOutputParser(), {"what": "good"}) == "yes"
    assert model.asked[0][0].content == "is it good?"


@pytest.mark.parametrize(
    ("said", "config", "expected"),
    [
        (None, None, "default"),
        ("explicit", {"metadata": {"modelperf_task_type": "m", "langgraph_node": "n"}}, "explicit"),
        (None, {"metadata": {"modelperf_task_type": "m", "langgraph_node": "n"}}, "m"),
        (None, {"metadata": {"langgraph_node": "n"}}, "n"),
        (None, {"metadata": {"langgraph_node": "n"}, "tags": ["review"]}, "of a rule"),
    ],
)
def test_the_task_type(path: Path, said: str | None, config: Any, expected: str) -> None:
    """It is what is said, what the metadata name, what a rule finds, the node of LangGraph, or "default"."""
    rules = {**IN_ORDER, "task_type_rules": {"of a rule": {"tag": "review"}}}
    with mp.ModelPerf(rules, store=path) as perf:
        _invoke(learned(perf, models_with(a="a"), task_type=said), config=config)
        assert [each.task_type for each in perf.store.decisions.newest()] == [expected]


def test_the_node_of_a_graph_is_its_task_type(perf: mp.ModelPerf) -> None:
    """Within a node of LangGraph nothing has to be said, nor passed on."""
    graphs = pytest.importorskip("langgraph.graph")
    runnable = learned(perf, models_with(a="a"))
    graph = graphs.StateGraph(graphs.MessagesState)
    graph.add_node("plan", lambda state: {"messages": [runnable.invoke(state["messages"])]})
    graph.add_edge(graphs.START, "plan")
    state = graph.compile().invoke({"messages": [("human", "hello")]})
    assert [each.task_type for each in perf.store.decisions.newest()] == ["plan"]
    assert ticket_of(state) == ticket_of(state["messages"][-1]) is not None


def test_an_interrupt_of_a_graph_is_no_failure(perf: mp.ModelPerf) -> None:
    """An agent that waits for a person has not failed: no other one is asked instead."""
    errors = pytest.importorskip("langgraph.errors")
    with pytest.raises(errors.GraphInterrupt):
        _invoke(learned(perf, models_with(a=errors.GraphInterrupt(), b="b")))
    assert verdicts(perf) == [("a", "cancelled")]


class Seen(BaseCallbackHandler):
    """Notes what starts and ends: the event, its run and its parent."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any, Any]] = []
        self.tags: list[list[str]] = []
        self.outputs: list[Any] = []

    def on_chain_start(self, *_: Any, run_id: Any, parent_run_id: Any, **__: Any) -> None:
        self.events.append(("start", run_id, parent_run_id))

    def on_chain_end(self, output: Any, *, run_id: Any, parent_run_id: Any, **_: Any) -> None:
        self.events.append(("end", run_id, parent_run_id))
        self.outputs.append(output)

    def on_chain_error(self, *_: Any, run_id: Any, parent_run_id: Any, **__: Any) -> None:
        self.events.append(("error", run_id, parent_run_id))

    def on_chat_model_start(self, *_: Any, run_id: Any, parent_run_id: Any, tags: Any, **__: Any) -> None:
        self.events.append(("model", run_id, parent_run_id))
        self.tags.append(tags)


def test_callbacks_see_one_run_with_its_tries(perf: mp.ModelPerf, run: Runner) -> None:
    """As with LangChain's own fallbacks: the call is a run, and each try a child of it, with the tags of the call."""
    seen, run_id = Seen(), uuid4()
    config = {"callbacks": [seen], "tags": ["t"], "run_id": run_id}
    answer = run(learned(perf, models_with(a=TimeoutError(), b="b")), config=config)
    assert [event for event, *_ in seen.events] == ["start", "model", "model", "end"]
    assert [parent for *_, parent in seen.events] == [None, run_id, run_id, None]
    assert (seen.tags, ticket_of(seen.outputs[0])) == ([["t"]] * 2, ticket_of(answer))
    failing = Seen()
    with pytest.raises(TimeoutError):
        run(learned(perf, models_with(a=TimeoutError())), config={"callbacks": [failing]})
    assert [event for event, *_ in failing.events] == ["start", "model", "error"]


def test_events_are_streamed_once(perf: mp.ModelPerf) -> None:
    """``astream_events`` has the chunks of the model, and those of the whole, also after another one has failed."""

    async def collect() -> list[tuple[str, str]]:
        runnable = learned(perf, models_with(a=TimeoutError(), b="it is b"))
        events = runnable.astream_events("hello", version="v2")
        return [(each["event"], each["data"]["chunk"].content) async for each in events if "chunk" in each["data"]]

    events = asyncio.run(collect())
    for kind in ("on_chat_model_stream", "on_chain_stream"):
        assert "".join(text for event, text in events if event == kind) == "itisb"


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        (AIMessage("", response_metadata={"finish_reason": "content_filter"}), "refused"),
        (AIMessage("", response_metadata={"finish_reason": "SAFETY"}), "refused"),
        (AIMessage("", response_metadata={"stop_reason": "refusal"}), "refused"),
        (AIMessage("", response_metadata={"incomplete_details": {"reason": "content_filter"}}), "refused"),
        (AIMessage("", additional_kwargs={"refusal": "I will not"}), "refused"),
        (AIMessage([{"type": "refusal", "refusal": "I will not"}]), "refused"),
        (AIMessage("", response_metadata={"model_provider": "openai"}), "server_error"),
        (AIMessage("", response_metadata={"model_provider": "anthropic", "stop_reason": None}), "server_error"),
        (AIMessage("a", response_metadata={"model_provider": "openai", "finish_reason": "stop"}), "good"),
        (AIMessage("a", response_metadata={"model_provider": "openai", "status": "completed"}), "good"),
        (AIMessage("a", response_metadata={"model_provider": "anthropic", "stop_reason": "end_turn"}), "good"),
        (AIMessage("a", response_metadata={"model_provider": "another", "finish_reason": ["odd"]}), "good"),
        (AIMessage("a", additional_kwargs={"refusal": None}), "good"),
    ],
)
def test_an_answer_that_is_none(perf: mp.ModelPerf, message: AIMessage, verdict: str) -> None:
    """A refusal, or an answer whose provider does not say why it has ended, brings in the next model."""
    answer = _invoke(learned(perf, models_with(a=message, b="b")))
    assert verdicts(perf)[0] == ("a", verdict)
    assert answer.content == (message.content if verdict == "good" else "b")


def test_a_cached_answer_has_a_ticket_of_its_own(perf: mp.ModelPerf) -> None:
    """A ticket is put into a copy: a message in a cache stays as it is."""
    runnable = learned(perf, {"a": Scripted(answer="a", cache=InMemoryCache())})
    answers = [_invoke(runnable) for _ in range(2)]
    assert len({ticket_of(answer) for answer in answers}) == 2


def test_a_verdict_from_another_process(perf: mp.ModelPerf, path: Path) -> None:
    """Whoever has an answer can report it by its ticket; the first verdict is replaced, and its tokens are kept."""
    ticket = ticket_of(_invoke(learned(perf, models_with(a="a")))) or ""
    subprocess.run([sys.executable, "-c", REPORT, path, ticket], check=True, timeout=60)
    with mp.ModelPerf(IN_ORDER, store=path) as later:
        assert [(each.successes, each.failures, each.total_tokens) for each in later.store.tallies.all()] == [
            (0, 1, 17)
        ]


def test_nothing_of_prompts_and_answers_is_stored(perf: mp.ModelPerf, path: Path, run: Runner) -> None:
    """Neither prompt, answer nor metadata are in any file of the store."""
    run(
        learned(perf, models_with(a=ValueError("of-an-error"), b="of-an-answer")),
        "of-a-prompt",
        {"metadata": {"k": "of-metadata"}, "tags": ["of-a-tag"]},
    )
    perf.close()
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"default" in content
    assert b"of-a" not in content
    assert b"of-metadata" not in content


def test_the_engine_may_come_later(perf: mp.ModelPerf) -> None:
    """A function that returns the engine is asked when there is a call."""
    engines: list[mp.ModelPerf] = []
    runnable = learned(engines.pop, models_with(a="a"))
    engines.append(perf)
    assert _invoke(runnable).content == "a"


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ({}, {}, "models"),
        ({"": None}, {}, "models"),
        ({"a": None}, {"task_type": ""}, "task_type"),
        ({"a": None}, {"timeout": -1}, "timeout"),
        ({"a": None}, {"check": "yes"}, "check"),
    ],
)
def test_an_invalid_argument_is_an_error_at_once(
    perf: mp.ModelPerf, models: Any, options: dict[str, Any], message: str
) -> None:
    """Before anything is called."""
    with pytest.raises(mp.InvalidValueError, match=message):
        learned(perf, models, **options)


def test_models_by_their_names(perf: mp.ModelPerf) -> None:
    """Names are those of LangChain's ``init_chat_model``."""
    pytest.importorskip("langchain")
    pytest.importorskip("langchain_openai")
    with pytest.raises(ValueError, match="nobody"):
        learned(perf, ["nobody:gpt-0"])


def test_other_answers_have_no_ticket() -> None:
    """Whatever is no message, or has none, has no ticket, and nothing raises."""
    answers: list[Any] = [None, "text", 7, {}, {"messages": []}, {"raw": None}, [], AIMessage("a")]
    for answer in answers:
        assert ticket_of(answer) is None


@pytest.mark.parametrize("module", ["langchain", "langchain_agents"])
def test_without_the_framework_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """The error names the extra."""
    missing = "langchain_core.messages" if module == "langchain" else "langchain.agents.middleware"
    monkeypatch.delitem(sys.modules, f"modelperf_plugin.adapters.{module}", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"modelperf-plugin\[langchain\]"):
        importlib.import_module(f"modelperf_plugin.adapters.{module}")
