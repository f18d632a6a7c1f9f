"""The decorator: functions of all kinds get their model, and keep their signature."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.recorder.world import MODELS, ProviderError, verdicts


def test_a_function_gets_its_model(perf: mp.ModelPerf) -> None:
    """The function is called with ``model`` by keyword, with one model after the other."""

    @perf.learned("qa", MODELS, check=lambda answer: answer != "b: hello")
    def answer(question: str, *, model: str = "") -> str:
        """Answer a question."""
        if model == "a":
            raise ProviderError(503)
        return f"{model}: {question}"

    assert answer("hello") == "c: hello"
    assert verdicts(perf) == [("a", "server_error"), ("b", "failed"), ("c", "good")]
    assert answer.__doc__ == "Answer a question."
    assert list(inspect.signature(answer).parameters) == ["question", "model"]


def test_a_coroutine_function_stays_one(perf: mp.ModelPerf) -> None:
    """An asynchronous function is run as by ``arun``."""

    @perf.learned("qa", MODELS)
    async def answer(question: str, *, model: str = "") -> str:
        await asyncio.sleep(0)
        return f"{model}: {question}"

    assert inspect.iscoroutinefunction(answer)
    assert asyncio.run(answer("hello")) == "a: hello"
    assert verdicts(perf) == [("a", "good")]


def test_a_generator_stays_one(perf: mp.ModelPerf) -> None:
    """A generator is run as by ``stream``: it falls back until the first chunk, and is closed early as itself."""
    closed = []

    @perf.learned("qa", MODELS)
    def answer(question: str, *, model: str = "") -> Generator[str, None, None]:
        if model == "a":
            raise ProviderError(503)
        try:
            yield model
            yield question
        finally:
            closed.append(model)

    assert inspect.isgeneratorfunction(answer)
    assert list(answer("hello")) == ["b", "hello"]
    chunks = answer("hello")
    next(chunks)
    chunks.close()
    assert len(closed) == 2
    assert [kind for _, kind in verdicts(perf)][-1] == "cancelled"


def test_an_asynchronous_generator_stays_one(perf: mp.ModelPerf) -> None:
    """An asynchronous generator is run as by ``astream``."""

    @perf.learned("qa", MODELS)
    async def answer(question: str, *, model: str = "") -> AsyncIterator[str]:
        if model == "a":
            raise ProviderError(503)
        yield model
        yield question

    async def host() -> list[str]:
        return [chunk async for chunk in answer("hello")]

    assert inspect.isasyncgenfunction(answer)
    assert asyncio.run(host()) == ["b", "hello"]
    assert verdicts(perf) == [("a", "server_error"), ("b", "good")]


def test_a_caller_may_name_the_model(perf: mp.ModelPerf) -> None:
    """A caller that passes ``model`` gets that one and no other; it is recorded as well."""

    @perf.learned("qa", MODELS)
    def answer(*, model: str = "") -> str:
        if model == "b":
            raise ProviderError(503)
        return model

    assert answer(model="c") == "c"
    with pytest.raises(ProviderError):
        answer(model="b")
    assert verdicts(perf) == [("c", "good"), ("b", "server_error")]


def test_a_method_can_be_learned(perf: mp.ModelPerf) -> None:
    """The decorated function binds to its object."""

    class Agent:
        name = "agent"

        @perf.learned("qa", MODELS)
        def answer(self, *, model: str = "") -> str:
            return f"{self.name} with {model}"

    assert Agent().answer() == "agent with a"


def test_invalid_arguments_are_raised_where_it_is_applied(perf: mp.ModelPerf) -> None:
    """A mistake is found when the module is imported, not by the first call."""
    wrong: list[tuple[Any, Any]] = [("", MODELS), ("qa", "gpt-4o"), ("qa", [])]
    for arguments in wrong:
        with pytest.raises(mp.InvalidValueError):
            perf.learned(*arguments)
