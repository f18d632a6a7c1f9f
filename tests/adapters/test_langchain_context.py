"""The runnable of the LangChain adapter among others: task types, graphs, callbacks, tickets, and what it is given."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import MissingExtraError
from tests.recorder.world import IN_ORDER, verdicts

pytest.importorskip("langchain_core")

from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage

from modelperf_plugin.adapters.langchain import learned, ticket_of
from tests.adapters.langchain_models import WAYS, Runner, Scripted, invoke, models_with

REPORT = """
import sys
import modelperf_plugin as mp
with mp.ModelPerf(store=sys.argv[1]) as perf:
    assert perf.report(sys.argv[2], success=False)
"""


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def run(request: pytest.FixtureRequest) -> Runner:
    """Return each way to call a runnable."""
    runner: Runner = request.param
    return runner


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
        invoke(learned(perf, models_with(a="a"), task_type=said), config=config)
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


def test_a_graph_streams_the_words_of_its_model_once(perf: mp.ModelPerf) -> None:
    """Whoever streams the messages of a graph sees each word as it comes, though the node waits for the answer."""
    graphs = pytest.importorskip("langgraph.graph")
    runnable = learned(perf, models_with(a=TimeoutError(), b="it is b"))
    graph = graphs.StateGraph(graphs.MessagesState)
    graph.add_node("plan", lambda state: {"messages": [runnable.invoke(state["messages"])]})
    graph.add_edge(graphs.START, "plan")
    parts = graph.compile().stream({"messages": [("human", "hello")]}, stream_mode="messages")
    assert [message.content for message, _ in parts if message.content] == ["it", "is", "b"]
    assert verdicts(perf) == [("a", "timeout"), ("b", "good")]


def test_an_interrupt_of_a_graph_is_no_failure(perf: mp.ModelPerf) -> None:
    """An agent that waits for a person has not failed: no other one is asked instead."""
    errors = pytest.importorskip("langgraph.errors")
    with pytest.raises(errors.GraphInterrupt):
        invoke(learned(perf, models_with(a=errors.GraphInterrupt(), b="b")))
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
    answer = invoke(learned(perf, models_with(a=message, b="b")))
    assert verdicts(perf)[0] == ("a", verdict)
    assert answer.content == (message.content if verdict == "good" else "b")


def test_a_cached_answer_has_a_ticket_of_its_own(perf: mp.ModelPerf) -> None:
    """A ticket is put into a copy: a message in a cache stays as it is."""
    runnable = learned(perf, {"a": Scripted(answer="a", cache=InMemoryCache())})
    answers = [invoke(runnable) for _ in range(2)]
    assert len({ticket_of(answer) for answer in answers}) == 2


def test_a_verdict_from_another_process(perf: mp.ModelPerf, path: Path) -> None:
    """Whoever has an answer can report it by its ticket; the first verdict is replaced, and its tokens are kept."""
    ticket = ticket_of(invoke(learned(perf, models_with(a="a")))) or ""
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
    assert invoke(runnable).content == "a"


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
