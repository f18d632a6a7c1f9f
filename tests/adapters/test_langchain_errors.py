"""The LangChain adapter in front of a provider: its errors, its filters and its streams, with langchain-openai."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import modelperf_plugin as mp
from tests.adapters.provider import Provider
from tests.recorder.world import Recorded, recorded, verdicts

pytest.importorskip("langchain_openai")

import httpx
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_openai import ChatOpenAI

from modelperf_plugin.adapters.langchain import learned, ticket_of

KINDS = {
    "rate_limit": "rate_limit", "quota": "unavailable", "unauthorized": "unavailable", "forbidden": "unavailable",
    "not_found": "unavailable", "gone": "unavailable", "server_error": "server_error", "unavailable": "server_error",
    "overloaded": "server_error", "bad_request": "caller_error", "unprocessable": "caller_error",
    "too_long": "context_overflow", "filtered": "refused", "reset": "network", "hang": "timeout",
}  # fmt: skip
"""What each way to fail is recorded as."""
STREAMS = {"event": "server_error", "break": "network", "cut": "server_error", "filter": "refused", "good": "good"}
"""What the ways to end a stream are recorded as."""


@pytest.fixture
def model(provider: Provider) -> Iterator[Any]:
    """Return a function that makes chat models of the provider; their connections are closed in the end."""
    with httpx.Client() as client:
        yield lambda name, timeout=30.0: ChatOpenAI(
            model=name, max_retries=0, timeout=timeout, http_client=client, stream_usage=True
        )


@pytest.mark.parametrize("behaviour", KINDS)
def test_an_error_is_that_of_the_model_and_recorded_by_its_kind(
    perf: mp.ModelPerf, provider: Provider, model: Any, behaviour: str
) -> None:
    """The user gets an exception of the same class, with the same text, as without the adapter."""
    provider.behaviours["a"] = behaviour
    alone = model("a", 0.3 if behaviour == "hang" else 30.0)
    with pytest.raises(Exception) as without:  # noqa: PT011 - that is what is compared
        alone.invoke("hello")
    with pytest.raises(Exception) as within:  # noqa: PT011
        learned(perf, {"a": alone}).invoke("hello")
    assert (type(within.value), str(within.value)) == (type(without.value), str(without.value))
    assert type(within.value.__cause__) is type(without.value.__cause__)
    assert recorded(perf) == [
        Recorded("a", KINDS[behaviour], retry_after_ms=7000 if behaviour == "rate_limit" else None)
    ]


@pytest.mark.parametrize("behaviour", KINDS)
def test_another_model_follows_unless_the_request_is_wrong(
    perf: mp.ModelPerf, provider: Provider, model: Any, behaviour: str
) -> None:
    """Every error but a caller's brings in the next model."""
    provider.behaviours["a"] = behaviour
    runnable = learned(perf, {"a": model("a", 0.3 if behaviour == "hang" else 30.0), "b": model("b")})
    if KINDS[behaviour] == "caller_error":
        with pytest.raises(Exception, match="it says"):
            runnable.invoke("hello")
        assert provider.asked == ["a"]
    else:
        assert runnable.invoke("hello").content == "b"
        assert recorded(perf)[1] == Recorded("b", "good", 17)


def test_asynchronous_calls_get_the_same_errors(perf: mp.ModelPerf, provider: Provider) -> None:
    """By class and text; of all models, the last one's error is raised."""

    async def error_of(runnable: Any) -> Exception:
        with pytest.raises(Exception) as raised:  # noqa: PT011
            await runnable.ainvoke("hello")
        return raised.value

    async def compare() -> None:
        async with httpx.AsyncClient() as client:
            for behaviour in KINDS:
                provider.behaviours[behaviour] = behaviour
                timeout = 0.3 if behaviour == "hang" else 30.0
                model = ChatOpenAI(model=behaviour, max_retries=0, timeout=timeout, http_async_client=client)
                alone, within = await error_of(model), await error_of(learned(perf, {behaviour: model}))
                assert (type(within), str(within)) == (type(alone), str(alone))

    asyncio.run(compare())
    assert verdicts(perf) == list(KINDS.items())


@pytest.mark.parametrize("behaviour", STREAMS)
def test_a_stream_is_judged_by_its_end(perf: mp.ModelPerf, provider: Provider, model: Any, behaviour: str) -> None:
    """A stream that was cut or filtered raises nothing in LangChain, and is a failure; the user sees the same."""
    provider.behaviours["a"] = behaviour

    def read(runnable: Any) -> tuple[list[str], type[Exception] | None]:
        texts: list[str] = []
        try:
            texts.extend(chunk.content for chunk in runnable.stream("hello"))
        except Exception as error:  # noqa: BLE001
            return texts, type(error)
        return texts, None

    alone = read(model("a"))
    texts, raised = read(learned(perf, {"a": model("a")}))
    assert ([text for text in texts if text], raised) == ([text for text in alone[0] if text], alone[1])
    assert verdicts(perf) == [("a", STREAMS[behaviour])]
    assert recorded(perf)[0].tokens == (17 if behaviour in {"good", "filter"} else 0)


def test_a_stream_falls_back_before_its_first_chunk(perf: mp.ModelPerf, provider: Provider, model: Any) -> None:
    """A model that refuses the request has sent nothing yet; asynchronously, too."""
    provider.behaviours["a"] = "server_error"
    models = {name: model(name) for name in "ab"}
    assert "".join(chunk.content for chunk in learned(perf, models).stream("hello")) == "b"
    assert verdicts(perf) == [("a", "server_error"), ("b", "good")]


def test_an_answer_that_a_filter_has_emptied(perf: mp.ModelPerf, provider: Provider, model: Any) -> None:
    """It looks like an answer, and is refused: alone, and before a parser that cannot read it."""
    provider.behaviours["a"] = "filter"
    provider.answers["b"] = "{}"
    assert learned(perf, {name: model(name) for name in "ab"}).invoke("hello").content == "{}"
    assert (
        learned(perf, {name: model(name) | JsonOutputParser() for name in "ab"}, context={"pin": "a"}).invoke("x") == {}
    )
    assert verdicts(perf) == [("a", "refused"), ("b", "good")] * 2


class Point(BaseModel):
    """What answers have to be."""

    x: int


@pytest.mark.parametrize("is_async", [False, True])
def test_structured_output_is_a_verdict(perf: mp.ModelPerf, provider: Provider, model: Any, is_async: bool) -> None:
    """An answer that is not of the schema is a failure of its model, and the next one is asked."""
    provider.answers.update(a="no json", b='{"x": 1}')
    runnable = learned(perf, {name: model(name) for name in "ab"}).with_structured_output(Point, method="json_mode")
    answer = asyncio.run(runnable.ainvoke("hello")) if is_async else runnable.invoke("hello")
    assert (answer, ticket_of(answer)) == (Point(x=1), None)
    assert recorded(perf) == [Recorded("a", "other", 17), Recorded("b", "good", 17)]


def test_structured_output_with_the_raw_message(perf: mp.ModelPerf, provider: Provider, model: Any) -> None:
    """An error that is returned counts as one that is raised; the last answer is returned with it, and has a ticket."""
    provider.answers.update(a="no json", b="none either")
    runnable = learned(perf, {name: model(name) for name in "ab"})
    answer = runnable.with_structured_output(Point, method="json_mode", include_raw=True).invoke("hello")
    assert answer["raw"].content == "none either"
    assert answer["parsing_error"] is not None
    assert ticket_of(answer) == ticket_of(answer["raw"]) is not None
    assert verdicts(perf) == [("a", "other"), ("b", "other")]


def test_tools_are_bound_to_every_model(perf: mp.ModelPerf, provider: Provider, model: Any) -> None:
    """Whichever model is called gets them."""
    provider.behaviours["a"] = "server_error"

    def weather(city: str) -> str:
        """Return the weather."""
        return city

    answer = learned(perf, {name: model(name) for name in "ab"}).bind_tools([weather]).invoke("hello")
    assert isinstance(answer, AIMessage)
    assert [request["tools"][0]["function"]["name"] for request in provider.requests] == ["weather"] * 2
