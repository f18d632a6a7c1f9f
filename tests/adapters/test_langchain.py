"""The runnable of the LangChain adapter: it is called as a chat model is, and learns which model to call."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, closing
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.recorder.world import Recorded, recorded, verdicts

pytest.importorskip("langchain_core")

from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from modelperf_plugin.adapters.langchain import learned, ticket_of
from tests.adapters.langchain_models import WAYS, Runner, Scripted, ainvoke, astream, invoke, models_with, stream


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def run(request: pytest.FixtureRequest) -> Runner:
    """Return each way to call a runnable."""
    runner: Runner = request.param
    return runner


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


@pytest.mark.parametrize("runner", [invoke, ainvoke])
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
    if run in (stream, astream):
        assert (seen, verdicts(perf)) == (["ohno"], [("a", "failed")])
    else:
        assert (seen, verdicts(perf)) == (["ohno", "ohyes"], [("a", "failed"), ("b", "good")])


def test_a_parser_as_a_check(perf: mp.ModelPerf, run: Runner) -> None:
    """What it raises is a failure, and raised if no model is left; what it returns is not asked for."""
    if run in {invoke, ainvoke}:
        assert run(learned(perf, models_with(a="no json", b="{}"), check=JsonOutputParser())).content == "{}"
        assert verdicts(perf) == [("a", "other"), ("b", "good")]
    with pytest.raises(ValueError, match="Invalid json output"):
        run(learned(perf, models_with(c="no json"), check=JsonOutputParser()))
    assert verdicts(perf)[-1] == ("c", "other")


@pytest.mark.parametrize(("runner", "scores"), [(ainvoke, [0.2, 0.9]), (astream, [0.2])])
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
    assert ainvoke(runnable).content == "b"
    assert invoke(RunnableLambda(lambda _: learned(perf, models_with(b="b"), timeout=30).invoke("x"))).content == "b"
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
