"""``stream`` and ``astream``: fall back until the first chunk, pass on one chunk at a time, record at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.recorder.world import MODELS, ProviderError, Recorded, recorded, verdicts

Reader = Callable[..., list[Any]]
FIRST = {"pin": "a"}
"""Lets the same model begin, whatever happened before."""


class Source:
    """Models that stream: chunks, and exceptions to raise between them. Notes what was read and closed."""

    def __init__(self, **scripts: list[Any]) -> None:
        self.scripts = scripts
        self.read: list[Any] = []
        self.closed: list[str] = []

    def __call__(self, model: str) -> Iterator[Any]:
        try:
            for step in self.scripts[model]:
                if isinstance(step, BaseException):
                    raise step
                self.read.append(step)
                yield step
        finally:
            self.closed.append(model)

    async def asynchronous(self, model: str) -> AsyncIterator[Any]:
        try:
            for step in self.scripts[model]:
                await asyncio.sleep(0)
                if isinstance(step, BaseException):
                    raise step
                self.read.append(step)
                yield step
        finally:
            await asyncio.sleep(0)
            self.closed.append(model)


def _stream(perf: mp.ModelPerf, source: Source, most: int | None = None, **options: Any) -> list[Any]:
    chunks = perf.stream("qa", MODELS, source, context=FIRST, **options)
    received = []
    for chunk in chunks:
        received.append(chunk)
        if len(received) == most:
            break
    chunks.close()
    return received


def _astream(perf: mp.ModelPerf, source: Source, most: int | None = None, **options: Any) -> list[Any]:
    async def host() -> list[Any]:
        received = []
        async with aclosing(perf.astream("qa", MODELS, source.asynchronous, context=FIRST, **options)) as chunks:
            async for chunk in chunks:
                received.append(chunk)
                if len(received) == most:
                    break
        return received

    return asyncio.run(host())


@pytest.fixture(params=[_stream, _astream], ids=["stream", "astream"])
def read(request: pytest.FixtureRequest) -> Reader:
    """Return what reads a stream, all of it or so many chunks, and closes it."""
    reader: Reader = request.param
    return reader


def chunk(text: str = "", finish: str | None = None, tokens: int | None = None) -> SimpleNamespace:
    """Return a chunk as openai's client yields it; one with usage has no choices."""
    if tokens is not None:
        return SimpleNamespace(choices=[], usage=SimpleNamespace(total_tokens=tokens))
    delta = SimpleNamespace(content=text)
    return SimpleNamespace(choices=[SimpleNamespace(delta=delta, finish_reason=finish)], usage=None)


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_a_stream_falls_back_until_its_first_chunk(perf: mp.ModelPerf, read: Reader, timeout: float | None) -> None:
    """A model that fails before its first chunk is followed by the next; the stream is recorded at its end."""
    source = Source(a=[ProviderError(503)], b=["x", "y"])
    assert read(perf, source, timeout=timeout) == ["x", "y"]
    assert verdicts(perf) == [("a", "server_error"), ("b", "good")]
    assert source.closed == ["a", "b"]


def test_an_error_after_the_first_chunk_is_raised(perf: mp.ModelPerf, read: Reader) -> None:
    """Once a chunk was passed on, no other model can follow: the error is recorded and raised as it was."""
    error = ProviderError(500)
    with pytest.raises(ProviderError) as raised:
        read(perf, Source(a=["x", error], b=["y"]))
    assert raised.value is error
    assert verdicts(perf) == [("a", "server_error")]


def test_the_last_error_of_a_stream_is_raised(perf: mp.ModelPerf, read: Reader) -> None:
    """If no model has a first chunk, the last exception is raised; a wrong request at once."""
    last = ProviderError(500)
    with pytest.raises(ProviderError) as raised:
        read(perf, Source(a=[ProviderError(503)], b=[ProviderError(503)], c=[last]))
    assert raised.value is last
    with pytest.raises(ProviderError):
        read(perf, Source(a=[ProviderError(400)], b=[ProviderError(400)], c=[ProviderError(400)]))
    assert [kind for _, kind in verdicts(perf)] == ["server_error"] * 3 + ["caller_error"]


@pytest.mark.parametrize("timeout", [None, 30.0])
def test_a_chunk_is_read_when_it_is_asked_for(perf: mp.ModelPerf, read: Reader, timeout: float | None) -> None:
    """Nothing is read ahead, and closing early closes the stream and is recorded as cancelled."""
    source = Source(a=["1", "2", "3"])
    assert read(perf, source, most=2, timeout=timeout) == ["1", "2"]
    assert source.read == ["1", "2"]
    assert source.closed == ["a"]
    assert verdicts(perf) == [("a", "cancelled")]


def test_a_stream_that_is_not_begun_asks_nobody(perf: mp.ModelPerf) -> None:
    """Without a first read there is neither a call nor an outcome; an invalid argument raises all the same."""
    source = Source(a=["1"])
    perf.stream("qa", MODELS, source).close()
    assert source.read == []
    assert verdicts(perf) == []
    with pytest.raises(mp.InvalidValueError):
        perf.stream("qa", [], source)
    with pytest.raises(mp.InvalidValueError):
        perf.astream("qa", MODELS, source.asynchronous, timeout=-1)


def test_a_plain_iterator_is_refused_by_astream(perf: mp.ModelPerf) -> None:
    """``astream`` needs an asynchronous iterator; another one is the caller's error, not the model's."""

    async def host() -> None:
        async for _ in perf.astream("qa", MODELS, lambda _: iter("x")):  # type: ignore[arg-type, return-value]
            pass

    with pytest.raises(mp.InvalidValueError, match="asynchronous iterator"):
        asyncio.run(host())
    assert verdicts(perf) == [("a", "caller_error")]


def test_a_stream_that_was_cut_is_not_a_success(perf: mp.ModelPerf, read: Reader) -> None:
    """Chunks with choices end with a finish_reason; without one the stream was cut, which raises nothing anywhere."""
    read(perf, Source(a=[chunk("x"), chunk(finish="stop"), chunk(tokens=7)]))
    assert recorded(perf) == [Recorded("a", "good", 7)]
    assert len(read(perf, Source(a=[chunk("x"), chunk("y")], b=["never"]))) == 2
    assert len(read(perf, Source(a=[chunk("x"), chunk(finish="content_filter")], b=["never"]))) == 2
    assert [kind for _, kind in verdicts(perf)] == ["good", "server_error", "refused"]


def test_chunks_may_be_mappings(perf: mp.ModelPerf, read: Reader) -> None:
    """A client that yields plain JSON is understood as well."""
    read(
        perf,
        Source(
            a=[
                {"choices": [{"finish_reason": None}]},
                {"choices": [{"finish_reason": "stop"}], "usage": {"total_tokens": 3}},
            ]
        ),
    )
    read(perf, Source(a=[{"choices": [{"finish_reason": None}]}]))
    assert recorded(perf) == [Recorded("a", "good", 3), Recorded("a", "server_error")]


def test_an_empty_stream_is_not_a_success(perf: mp.ModelPerf, read: Reader) -> None:
    """A stream that ends without a chunk is followed by the next model."""
    assert read(perf, Source(a=[], b=["x"])) == ["x"]
    assert verdicts(perf) == [("a", "server_error"), ("b", "good")]


def test_a_check_gets_all_chunks(perf: mp.ModelPerf, read: Reader) -> None:
    """``check`` judges the whole text; what it says is recorded, and nothing follows what was passed on."""
    seen: list[list[str]] = []

    def check(chunks: list[str]) -> float:
        seen.append(chunks)
        return 0.25

    assert read(perf, Source(a=["x", "y"], b=["never"]), check=check, usage=lambda last: {"y": 5}[last]) == ["x", "y"]
    assert seen == [["x", "y"]]
    assert recorded(perf) == [Recorded("a", "failed", 5, 0.0, 0.25)]


def test_a_check_that_raises_at_the_end_is_raised(perf: mp.ModelPerf, read: Reader) -> None:
    """A parser that cannot use the whole text is heard: recorded as a failure, and raised after the last chunk."""
    with pytest.raises(ZeroDivisionError):
        read(perf, Source(a=["x"], b=["never"]), check=lambda chunks: bool(1 / (len(chunks) - 1)))
    assert verdicts(perf) == [("a", "other")]


def test_a_stream_that_stalls_is_abandoned(perf: mp.ModelPerf) -> None:
    """The time limit holds for the first chunk, after which the next model is tried, and for each further one."""
    release = threading.Event()

    def call(model: str) -> Iterator[str]:
        if model == "a":
            release.wait(30)
        yield "1"
        release.wait(30)
        yield "2"

    async def acall(model: str) -> AsyncIterator[str]:
        if model == "a":
            await asyncio.sleep(30)
        yield "1"
        await asyncio.sleep(30)

    async def host() -> list[str]:
        return [chunk async for chunk in perf.astream("qa", MODELS, acall, context=FIRST, timeout=0.1)]

    with pytest.raises(TimeoutError):
        list(perf.stream("qa", MODELS, call, context=FIRST, timeout=0.1))
    with pytest.raises(TimeoutError):
        asyncio.run(host())
    release.set()
    assert [kind for _, kind in verdicts(perf)] == ["timeout"] * 4
    assert [model for model, _ in verdicts(perf)][::2] == ["a", "a"]


def test_a_cancelled_stream_is_closed(perf: mp.ModelPerf) -> None:
    """A cancellation while a chunk is awaited passes unchanged, closes the stream, and is recorded as such."""
    closed = []

    async def call(model: str) -> AsyncIterator[str]:
        try:
            yield "1"
            await asyncio.sleep(30)
        finally:
            closed.append(model)

    async def read_all() -> None:
        async for _ in perf.astream("qa", MODELS, call, timeout=20):
            pass

    async def host() -> None:
        task = asyncio.create_task(read_all())
        await asyncio.sleep(0.02)
        task.cancel("by the user")
        with pytest.raises(asyncio.CancelledError, match="by the user"):
            await task

    asyncio.run(host())
    assert closed == ["a"]
    assert verdicts(perf) == [("a", "cancelled")]


def test_streams_of_clients_are_closed_by_their_own_method(perf: mp.ModelPerf) -> None:
    """A client's stream has a ``close`` of its own, which ends the request; one that is awaited is taken as well."""

    class Client:
        def __init__(self) -> None:
            self.closed = 0

        def __iter__(self) -> Iterator[str]:
            return iter(["1", "2"])

        async def __aiter__(self) -> AsyncIterator[str]:
            for each in ("1", "2"):
                yield each

        def close(self) -> None:
            self.closed += 1

    client, another = Client(), Client()

    async def opened(_model: str) -> Client:
        return another

    async def host() -> None:
        async with aclosing(perf.astream("qa", ["a"], opened)) as chunks:
            async for _ in chunks:
                break

    chunks = perf.stream("qa", ["a"], lambda _: client)
    next(chunks)
    chunks.close()
    asyncio.run(host())
    assert (client.closed, another.closed) == (1, 1)
    assert verdicts(perf) == [("a", "cancelled")] * 2
