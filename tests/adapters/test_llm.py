"""A model of llm that chooses among others, with llm's own client of OpenAI and a provider that fails on demand."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.adapters.provider import Provider
from tests.recorder.world import IN_ORDER, recorded, verdicts

pytest.importorskip("llm")

import llm
from llm.default_plugins.openai_models import AsyncChat, Chat

from modelperf_plugin.adapters.llm import learned, learned_async, ticket_of

pytestmark = pytest.mark.filterwarnings(
    # its client is left to the garbage collector, and so is a stream that breaks
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning",
)  # fmt: skip

NAMES = ("a", "b", "c")
ERRORS = {
    "rate_limit": "rate_limit", "quota": "unavailable", "unauthorized": "unavailable", "forbidden": "unavailable",
    "not_found": "unavailable", "gone": "unavailable", "server_error": "server_error", "unavailable": "server_error",
    "overloaded": "server_error", "bad_request": "caller_error", "unprocessable": "caller_error",
    "too_long": "context_overflow", "filtered": "refused", "reset": "network", "event": "server_error",
    "hang": "timeout",
}  # fmt: skip
"""The kind that is recorded for each way in which a call raises."""


LIMIT = 5.0


class Sync(Chat):
    """A model of the provider whose client does not try again, for which llm has no option."""

    def get_client(self, key: str | None, *, async_: bool = False) -> Any:
        """Return a client."""
        return super().get_client(key, async_=async_).with_options(max_retries=0, timeout=LIMIT)


class Async(AsyncChat):
    """The same, asynchronously."""

    def get_client(self, key: str | None, *, async_: bool = False) -> Any:
        """Return a client."""
        return super().get_client(key, async_=async_).with_options(max_retries=0, timeout=LIMIT)


def models_of(provider: Provider, kind: Any = Sync, names: tuple[str, ...] = NAMES, **options: Any) -> dict[str, Any]:
    """Return models of the provider."""
    return {name: kind(name, key="sk-none", model_name=name, api_base=provider.url, **options) for name in names}


@pytest.fixture(autouse=True)
def user_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep llm away from the directory of whoever runs the tests."""
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "llm"))
    monkeypatch.setenv("LLM_LOAD_PLUGINS", "")
    yield tmp_path / "llm"
    gc.collect()  # here, where its warnings are expected


def test_the_first_model_answers(perf: mp.ModelPerf, provider: Provider) -> None:
    """The answer, its tokens, and which model gave it are as without the adapter."""
    model = learned(perf, models_of(provider), task_type="qa")
    answer = model.prompt("Who is there?", stream=False)
    assert answer.text() == "a"
    assert (answer.resolved_model, answer.usage().input, answer.usage().output) == ("a", 11, 6)
    assert answer.response_json["choices"][0]["message"]["content"] == "a"
    assert [(each.model, each.verdict, each.tokens) for each in recorded(perf)] == [("a", "good", 17)]
    assert list(perf.store.tallies.of("qa")) == ["a"]


@pytest.mark.parametrize("stream", [True, False])
def test_the_next_model_answers_if_one_fails(perf: mp.ModelPerf, provider: Provider, stream: bool) -> None:
    """Every try is recorded by its kind; nothing of one is in the answer of the next."""
    provider.behaviours.update(a="server_error", b="rate_limit")
    answer = learned(perf, models_of(provider)).prompt("hello", stream=stream)
    assert answer.text() == "c"
    assert answer.resolved_model == "c"
    assert verdicts(perf) == [("a", "server_error"), ("b", "rate_limit"), ("c", "good")]


def test_chunks_arrive_one_by_one(perf: mp.ModelPerf, provider: Provider) -> None:
    """A stream is not collected: the first chunk is there before the outcome is."""
    provider.answers["a"] = "hello"
    chunks = iter(learned(perf, models_of(provider)).prompt("hello"))
    assert next(chunks) == "he"
    assert verdicts(perf) == []
    assert list(chunks) == ["llo"]
    assert [(each.verdict, each.tokens) for each in recorded(perf)] == [("good", 17)]


def test_a_stream_that_is_closed_early_is_cancelled(perf: mp.ModelPerf, provider: Provider) -> None:
    """Whoever stops reading says nothing about the model."""
    with closing(iter(learned(perf, models_of(provider)).prompt("hello"))) as chunks:
        next(chunks)
    del chunks
    assert verdicts(perf) == [("a", "cancelled")]


@pytest.mark.parametrize(
    ("behaviour", "kind"), [("cut", "server_error"), ("break", "network"), ("event", "server_error")]
)
def test_a_stream_that_ends_early_is_a_failure(
    perf: mp.ModelPerf, provider: Provider, behaviour: str, kind: str
) -> None:
    """A cut stream raises nothing, as without the adapter, and is recorded; after a chunk no other model follows."""
    provider.behaviours["a"], provider.answers["a"] = behaviour, "hello"
    direct = outcome_of(lambda: "".join(models_of(provider)["a"].prompt("hello")))
    assert outcome_of(lambda: "".join(learned(perf, models_of(provider)).prompt("hello"))) == direct
    assert verdicts(perf) == [("a", kind)]


def test_a_filtered_answer_is_refused(perf: mp.ModelPerf, provider: Provider) -> None:
    """An empty answer because of a filter is no success, although nothing raises."""
    provider.behaviours["a"] = "filter"
    for stream in (True, False):
        assert learned(perf, models_of(provider, names=("a",))).prompt("hello", stream=stream).text() == ""
    assert verdicts(perf) == [("a", "refused")] * 2


def outcome_of(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or the type and text of what it raises."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - any
        return type(error), str(error)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("behaviour", ERRORS)
def test_errors_are_the_same_with_and_without(
    perf: mp.ModelPerf, provider: Provider, monkeypatch: pytest.MonkeyPatch, behaviour: str, is_async: bool
) -> None:
    """The user sees the client's own exception, and its kind is recorded."""
    monkeypatch.setattr(sys.modules[__name__], "LIMIT", 0.5 if behaviour == "hang" else 20.0)
    provider.behaviours["a"] = behaviour
    models = models_of(provider, Async if is_async else Sync, ("a",))

    def ask(model: Any) -> Any:
        if is_async:
            return asyncio.run(text_of(model.prompt("hello", stream=behaviour == "event")))
        return model.prompt("hello", stream=behaviour == "event").text()

    direct = outcome_of(lambda: ask(models["a"]))
    assert isinstance(direct, tuple), "it raises"
    assert outcome_of(lambda: ask((learned_async if is_async else learned)(perf, models))) == direct
    assert verdicts(perf) == [("a", ERRORS[behaviour])]


async def text_of(answer: Any) -> str:
    """Return the text of an answer."""
    return str(await answer.text())


def test_asynchronous_answers_in_parallel(perf: mp.ModelPerf, provider: Provider) -> None:
    """Many calls at once are all recorded, streams among them."""
    provider.behaviours["a"] = "server_error"
    model = learned_async(perf, models_of(provider, Async))

    async def ask_all() -> list[str]:
        return await asyncio.gather(*(text_of(model.prompt("hello", stream=bool(n % 2))) for n in range(10)))

    assert set(asyncio.run(ask_all())) <= {"b", "c"}
    found = verdicts(perf)
    assert sum(verdict == "good" for _, verdict in found) == 10
    assert {verdict for model_id, verdict in found if model_id == "a"} == {"server_error"}


def test_a_cancelled_call_is_cancelled(perf: mp.ModelPerf, provider: Provider) -> None:
    """A cancellation passes, and says nothing about the model."""
    provider.behaviours["a"] = "hang"
    model = learned_async(perf, models_of(provider, Async))

    async def give_up() -> None:
        task = asyncio.create_task(text_of(model.prompt("hello")))
        while not provider.asked and not task.done():  # noqa: ASYNC110 - the provider is in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert verdicts(perf) == [("a", "cancelled")]


def test_an_asynchronous_stream_that_is_closed_early(perf: mp.ModelPerf, provider: Provider) -> None:
    """Closing the events of llm closes the stream."""
    model = learned_async(perf, models_of(provider, Async))

    async def stop() -> None:
        async with aclosing(model.prompt("hello").astream_events()) as events:
            await anext(events)

    asyncio.run(stop())
    assert verdicts(perf) == [("a", "cancelled")]


def test_a_model_that_takes_too_long_is_left(perf: mp.ModelPerf, provider: Provider) -> None:
    """The time limit is for each model, and what the first one writes late is not in the answer."""
    provider.behaviours["a"] = "hang"
    assert learned(perf, models_of(provider), timeout=0.3).prompt("hello").text() == "b"
    asynchronous = learned_async(perf, models_of(provider, Async), timeout=0.3)
    assert asyncio.run(text_of(asynchronous.prompt("hello"))) == "b"
    assert set(verdicts(perf)) == {("a", "timeout"), ("b", "good")}


def test_a_check_judges_the_text(perf: mp.ModelPerf, provider: Provider) -> None:
    """The check gets the whole text, and its score is recorded."""
    seen: list[str] = []

    def check(text: str) -> float:
        seen.append(text)
        return 0.25

    assert learned(perf, models_of(provider), check=check).prompt("hello").text() == "a"
    assert seen == ["a"]
    assert [each.score for each in recorded(perf)] == [0.25]


def test_a_later_verdict_from_another_process(perf: mp.ModelPerf, provider: Provider, path: Path) -> None:
    """The ticket of an answer is enough to judge it, in any process."""
    model = learned(perf, models_of(provider))
    answer = model.prompt("hello")
    assert ticket_of(answer) is None, "it has not arrived"
    answer.text()
    ticket = ticket_of(answer)
    assert ticket is not None
    judge = "import sys, modelperf_plugin as mp\nwith mp.ModelPerf(store=sys.argv[1]) as perf:"
    command = [sys.executable, "-c", f"{judge} print(perf.report(sys.argv[2], success=False))", str(path), ticket]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "True\n"
    assert perf.store.tallies.of("default")["a"].failures == 1
    assert ticket_of(models_of(provider)["a"].prompt("hello")) is None
    assert ticket_of(None) is None


def test_a_conversation_goes_to_the_learned_model(perf: mp.ModelPerf, provider: Provider) -> None:
    """Each prompt has the history, whichever model answers, and the policy knows the current model."""
    conversation = learned(perf, models_of(provider)).conversation()
    conversation.prompt("one").text()
    provider.behaviours["a"] = "server_error"
    assert conversation.prompt("two").text() == "b"
    contents = [message["content"] for message in provider.requests[-1]["messages"]]
    assert contents == ["one", "a", "two"]
    assert len(conversation.responses) == 2


def test_keys_options_and_the_system_prompt_are_passed_on(perf: mp.ModelPerf, provider: Provider) -> None:
    """What the prompt says is what the chosen model gets, in the types of its own options."""
    model = learned(perf, models_of(provider))
    model.prompt("hello", system="Be brief.", temperature="0.5", key="sk-mine", stream=False).text()
    request = provider.requests[-1]
    assert request["temperature"] == 0.5
    assert request["messages"][0] == {"role": "system", "content": "Be brief."}


def test_models_that_cannot_answer_are_not_offered(perf: mp.ModelPerf, provider: Provider) -> None:
    """A prompt with a schema goes to models with schemas; without any, the error is that of llm."""
    models = {**models_of(provider, names=("a",)), **models_of(provider, names=("b",), supports_schema=True)}
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    assert learned(perf, models).prompt("hello", schema=schema, stream=False).text() == "b"
    assert verdicts(perf) == [("b", "good")]
    del models["b"]
    with pytest.raises(ValueError, match="does not support schemas"):
        learned(perf, models).prompt("hello", schema=schema).text()
    with pytest.raises(ValueError, match="Extra inputs"):
        learned(perf, models).prompt("hello", nonsense=1).text()
    assert len(recorded(perf)) == 1


def test_unknown_models_and_missing_keys(perf: mp.ModelPerf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that llm does not know, or a model without a key, is llm's own error, and not recorded."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(llm.UnknownModelError, match="Unknown model: nonsense"):
        learned(perf, ["nonsense"]).prompt("hello").text()
    with pytest.raises(llm.NeedsKeyException):
        learned(perf, ["gpt-4o"]).prompt("hello").text()
    assert recorded(perf) == []


def test_the_engine_is_opened_by_the_first_prompt(tmp_path: Path, provider: Provider) -> None:
    """A function that returns the engine is not called before, and models may be named by a function, too."""
    opened: list[mp.ModelPerf] = []

    def opening() -> mp.ModelPerf:
        opened.append(mp.ModelPerf(IN_ORDER, store=tmp_path / "late.db", seed=1))
        return opened[0]

    model = learned(opening, lambda: models_of(provider))
    answer = model.prompt("hello")
    assert not opened
    assert answer.text() == "a"
    with opened[0]:
        assert verdicts(opened[0]) == [("a", "good")]


def test_tools_stay_with_the_model_that_asked_for_them(perf: mp.ModelPerf) -> None:
    """The results of tools go to the same model; the whole chain has one answer, and a ticket."""
    asked: list[str] = []

    class Caller(llm.Model):
        supports_tools = True

        def __init__(self, model_id: str) -> None:
            self.model_id = model_id

        def execute(self, prompt: Any, *, response: Any, **_: Any) -> Iterator[str]:
            asked.append(self.model_id)
            if not prompt.tool_results:
                response.add_tool_call(llm.ToolCall(name="clock", arguments={}))
            else:
                yield f"it is {prompt.tool_results[0].output}"

    def clock() -> str:
        return "noon"

    exploring = learned(perf, {name: Caller(name) for name in NAMES}, context={"exclude": ["a"]})
    chain = exploring.chain("what time is it?", tools=[clock])
    assert chain.text() == "it is noon"
    assert asked == ["b", "b"]
    assert ticket_of(chain) is not None
    assert verdicts(perf) == [("b", "good")] * 2


def test_prompts_and_answers_are_not_in_the_database(perf: mp.ModelPerf, provider: Provider, path: Path) -> None:
    """Neither is stored, also after a failure."""
    provider.behaviours["a"] = "bad_request"
    provider.answers["b"] = "an answer with a pearl"
    models = models_of(provider)
    with pytest.raises(Exception, match="it says invalid_value"):
        learned(perf, models).prompt("a secret prompt").text()
    del models["a"]
    learned(perf, models).prompt("a secret prompt").text()
    perf.close()
    content = b"".join(file.read_bytes() for file in path.parent.glob("models.db*"))
    assert b"secret" not in content
    assert b"a pearl" not in content
