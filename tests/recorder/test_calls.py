"""``run`` and ``arun``: one call with fallbacks, each try of it recorded."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pluggy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import modelperf_plugin as mp
from tests.recorder.world import IN_ORDER, MODELS, ProviderError, Recorded, answering, recorded, verdicts

Runner = Callable[..., Any]


def _run(perf: mp.ModelPerf, models: Any, call: Callable[[str], Any], **options: Any) -> Any:
    return perf.run("qa", models, call, **options)


def _arun(perf: mp.ModelPerf, models: Any, call: Callable[[str], Any], **options: Any) -> Any:
    async def answer(model: str) -> Any:
        await asyncio.sleep(0)
        return call(model)

    return asyncio.run(perf.arun("qa", models, answer, **options))


@pytest.fixture(params=[_run, _arun], ids=["run", "arun"])
def run(request: pytest.FixtureRequest) -> Runner:
    """Return ``run``, or ``arun`` as a function that is called like it."""
    runner: Runner = request.param
    return runner


def test_the_first_good_answer_is_returned(perf: mp.ModelPerf, run: Runner) -> None:
    """Models are tried in the order of the decision, until one answers; each try is recorded under the decision."""
    call = answering(a=ProviderError(503), b="yes", c="no")
    assert run(perf, MODELS, call) == "yes"
    assert verdicts(perf) == [("a", "server_error"), ("b", "good")]
    (decision,) = perf.store.decisions.newest()
    assert [each.model_id for each in decision.tries] == ["a", "b"]
    assert all(each.duration_ms is not None for each in decision.tries)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ProviderError(429, 7.0), "rate_limit"),
        (ProviderError(500), "server_error"),
        (ProviderError(404), "unavailable"),
        (ConnectionResetError(), "network"),
        (TimeoutError(), "timeout"),
        (ZeroDivisionError(), "other"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_is_recorded_by_its_kind(perf: mp.ModelPerf, run: Runner, error: Exception, kind: str) -> None:
    """The kind of an exception is recorded, with the time that the provider asked to wait."""
    run(perf, MODELS, answering(a=error, b="yes"))
    assert verdicts(perf) == [("a", kind), ("b", "good")]
    assert recorded(perf)[0].retry_after_ms == (7000 if kind == "rate_limit" else None)


def test_the_last_error_is_raised_as_it_was(perf: mp.ModelPerf, run: Runner) -> None:
    """If all models fail, the last exception is raised: the same object, with its own cause and nothing added."""
    cause = OSError("the root")
    last = ProviderError(500)
    last.__cause__ = cause
    with pytest.raises(ProviderError) as raised:
        run(perf, MODELS, answering(a=ProviderError(503), b=KeyError("x"), c=last))
    assert raised.value is last
    assert last.__cause__ is cause
    assert last.__context__ is None
    assert [kind for _, kind in verdicts(perf)] == ["server_error", "other", "server_error"]


def test_a_wrong_request_is_raised_at_once(perf: mp.ModelPerf, run: Runner) -> None:
    """No other model gets a request that is wrong whatever the model; it is recorded as the caller's error."""
    error = ProviderError(400)
    with pytest.raises(ProviderError) as raised:
        run(perf, MODELS, answering(a=error))
    assert raised.value is error
    assert verdicts(perf) == [("a", "caller_error")]


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_an_ending_passes_through(perf: mp.ModelPerf, run: Runner, ending: type[BaseException]) -> None:
    """Whoever ends the program is not kept from it; the try is recorded as cancelled."""
    error = ending()
    with pytest.raises(ending) as raised:
        run(perf, MODELS, answering(a=error))
    assert type(raised.value) is ending
    assert verdicts(perf) == [("a", "cancelled")]


def test_a_failed_check_lets_the_next_model_try(perf: mp.ModelPerf, run: Runner) -> None:
    """An answer that fails its check is a failure of the model; the next one is tried."""
    assert run(perf, MODELS, answering(a="", b="yes"), check=bool) == "yes"
    assert verdicts(perf) == [("a", "failed"), ("b", "good")]


def test_the_last_answer_is_returned_though_it_failed(perf: mp.ModelPerf, run: Runner) -> None:
    """If all answers fail their check, the last one is returned."""
    assert run(perf, MODELS, answering(a="1", b="2", c="3"), check=lambda _: False) == "3"
    assert [kind for _, kind in verdicts(perf)] == ["failed"] * 3


def test_a_check_may_give_a_score(perf: mp.ModelPerf, run: Runner) -> None:
    """A float is the score; below the configured bar the next model is tried."""
    scores = {"1": 0.2, "2": 0.8}
    assert run(perf, MODELS, answering(a="1", b="2"), check=scores.__getitem__) == "2"
    assert [(each.model, each.verdict, each.score) for each in recorded(perf)] == [
        ("a", "failed", 0.2),
        ("b", "good", 0.8),
    ]


def test_the_configured_bar_of_scores_holds(path: Path, run: Runner) -> None:
    """What counts as good enough is ``[quality] pass_score``."""
    with mp.ModelPerf({**IN_ORDER, "quality": {"pass_score": 0.9}}, store=path, seed=1) as perf:
        assert run(perf, MODELS, answering(a="1", b="2", c="3"), check=lambda _: 0.8) == "3"
        assert [kind for _, kind in verdicts(perf)] == ["failed"] * 3


def test_an_exception_of_a_check_is_a_verdict(perf: mp.ModelPerf, run: Runner) -> None:
    """A parser that fails says that the answer is no good; the exception of the last one is raised as it was."""
    assert run(perf, MODELS, answering(a="{", b="[1]"), check=json.loads) == "[1]"
    assert verdicts(perf) == [("a", "other"), ("b", "good")]
    with pytest.raises(json.JSONDecodeError):
        run(perf, ["a"], answering(a="{"), check=json.loads)


def test_a_check_without_objection_is_a_success(perf: mp.ModelPerf, run: Runner) -> None:
    """A check that only asserts returns None, which is no failure."""
    assert run(perf, MODELS, answering(a="1"), check=lambda _: None) == "1"
    assert verdicts(perf) == [("a", "good")]


def test_a_score_that_is_none_loses_nothing(perf: mp.ModelPerf, run: Runner, caplog: pytest.LogCaptureFixture) -> None:
    """A check that returns 7.0 is the host's mistake: it is logged once, and the answer counts as good."""
    for _ in range(2):
        assert run(perf, MODELS, answering(a="1"), check=lambda _: 7.0) == "1"
    assert verdicts(perf) == [("a", "good")] * 2
    assert len([each for each in caplog.records if each.levelno >= logging.ERROR]) == 1


def test_usage_is_found_in_the_answer(perf: mp.ModelPerf, run: Runner) -> None:
    """Tokens are read from ``usage`` or ``usage_metadata``, and litellm's cost where it stands."""
    usage = SimpleNamespace(prompt_tokens=10, completion_tokens=5, total_tokens=15)
    answers = [
        SimpleNamespace(usage=usage, _hidden_params={"response_cost": 0.25}),
        {"usage": {"input_tokens": 3, "output_tokens": 4}},
        SimpleNamespace(usage_metadata={"total_token_count": 9}),
        "text",
    ]
    for answer in answers:
        run(perf, MODELS, answering(a=answer))
    assert [(each.tokens, each.cost_usd) for each in recorded(perf)] == [(15, 0.25), (7, 0.0), (9, 0.0), (0, 0.0)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (12, (12, 0.0)),
        (None, (0, 0.0)),
        ({"tokens_used": 12, "cost_usd": None}, (12, 0.0)),
        ({"tokensUsed": None, "costUsd": 0.5}, (0, 0.5)),
        ({"input_tokens": 1, "output_tokens": 2}, (3, 0.0)),
        ({"cost_usd": -1.0}, (0, 0.0)),
        ({"cost_usd": object()}, (0, 0.0)),
        ({"cost_usd": "0.5", "tokens_used": "12"}, (0, 0.0)),
    ],
)
def test_usage_may_be_given(perf: mp.ModelPerf, run: Runner, given: Any, expected: tuple[int, float]) -> None:
    """``usage`` returns a number of tokens, a usage object, or a mapping; None is unknown."""
    run(perf, MODELS, answering(a="text"), usage=lambda _: given)
    (only,) = recorded(perf)
    assert (only.tokens, only.cost_usd) == expected


def test_usage_of_a_failed_check_counts(perf: mp.ModelPerf, run: Runner) -> None:
    """What an answer has cost is recorded, also if it is no good."""
    run(perf, MODELS, answering(a="1", b="2"), check="2".__eq__, usage=lambda _: {"tokens_used": 5, "cost_usd": 0.5})
    assert recorded(perf) == [Recorded("a", "failed", 5, 0.5), Recorded("b", "good", 5, 0.5)]


def test_a_failing_usage_loses_nothing(perf: mp.ModelPerf, run: Runner, caplog: pytest.LogCaptureFixture) -> None:
    """An exception of ``usage`` is logged once, and the outcome is recorded without tokens."""
    for _ in range(2):
        assert run(perf, MODELS, answering(a="yes"), usage=lambda answer: answer.missing) == "yes"
    assert recorded(perf) == [Recorded("a", "good")] * 2
    (message,) = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert "AttributeError" in message


def test_usage_may_say_that_there_is_no_answer(
    perf: mp.ModelPerf, run: Runner, caplog: pytest.LogCaptureFixture
) -> None:
    """A kind beside the tokens means a failure, and the next model is tried; an unknown one becomes ``other``."""
    kinds = {"a": "refused", "b": "tired", "c": "timeout"}
    run(perf, MODELS, lambda model: model, usage=lambda answer: {"tokens_used": 3, "error_kind": kinds[answer]})
    assert recorded(perf) == [Recorded("a", "refused", 3), Recorded("b", "other", 3), Recorded("c", "timeout", 3)]
    (message,) = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert "error_kind must be one of" in message


def test_a_filtered_answer_is_refused(perf: mp.ModelPerf, run: Runner) -> None:
    """An answer that ended by a content filter looks like a success, and is recorded as refused."""
    filtered = {"choices": [{"finish_reason": "content_filter", "message": {"content": ""}}]}
    good = {"choices": [{"finish_reason": "stop", "message": {"content": "yes"}}]}
    assert run(perf, MODELS, answering(a=filtered, b=good)) is good
    assert verdicts(perf) == [("a", "refused"), ("b", "good")]


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_without_an_opinion_the_hosts_order_holds(path: Path, run: Runner, mode: str) -> None:
    """In the modes that only observe, or do nothing, models are tried in the host's order, but for the excluded."""
    with mp.ModelPerf({**IN_ORDER, "mode": mode}, store=path, seed=1) as perf:
        tried: list[str] = []

        def call(model: str) -> str:
            tried.append(model)
            return model

        run(perf, MODELS, call, check="c".__eq__, context={"exclude": ["b"]})
        assert tried == ["a", "c"]
        assert verdicts(perf) == ([] if mode == "off" else [("a", "failed"), ("c", "good")])


def test_a_pinned_model_comes_first_without_an_opinion(path: Path, run: Runner) -> None:
    """What the host pins is tried first, whoever decides."""
    with mp.ModelPerf({**IN_ORDER, "mode": "off"}, store=path, seed=1) as perf:
        assert run(perf, MODELS, str, context={"pin": "c"}) == "c"


def test_a_failing_store_does_not_break_the_call(path: Path, run: Runner, caplog: pytest.LogCaptureFixture) -> None:
    """If the store cannot be used at all, the host gets its answer all the same, and the failure is logged once."""
    perf = mp.ModelPerf(IN_ORDER, store=path, seed=1)
    perf.close()
    for _ in range(3):
        assert run(perf, MODELS, answering(a=ProviderError(500), b="yes")) == "yes"
    assert 1 <= len([each for each in caplog.records if each.levelno >= logging.ERROR]) <= 2


@pytest.mark.parametrize(
    ("models", "options", "field"),
    [
        ([], {}, "models"),
        ("gpt-4o", {}, "models"),
        ([7], {}, "models[0]"),
        (MODELS, {"context": 7}, "context"),
        (MODELS, {"context": {"exclude": MODELS}}, "models"),
        (MODELS, {"timeout": 0}, "timeout"),
        (MODELS, {"timeout": "1"}, "timeout"),
        (MODELS, {"timeout": float("inf")}, "timeout"),
        (MODELS, {"check": True}, "check"),
        (MODELS, {"usage": 7}, "usage"),
    ],
)
@pytest.mark.parametrize("mode", ["apply", "off"])
def test_an_invalid_argument_is_an_error(
    path: Path, run: Runner, mode: str, models: Any, options: dict[str, Any], field: str
) -> None:
    """An argument that cannot be used raises before anything is called, in every mode."""
    with mp.ModelPerf({**IN_ORDER, "mode": mode}, store=path, seed=1) as perf:
        with pytest.raises(mp.InvalidValueError) as refused:
            run(perf, models, answering(), **options)
        assert refused.value.field == field
        assert field != "timeout" or "a positive number of seconds, or None" in str(refused.value)
        assert verdicts(perf) == []


def test_a_call_must_be_a_function(perf: mp.ModelPerf) -> None:
    """A mistake that would fail with every model is no failure of the models."""
    with pytest.raises(mp.InvalidValueError, match="call must be a function"):
        perf.run("qa", MODELS, "gpt-4o")  # type: ignore[arg-type]
    assert verdicts(perf) == []


@given(
    st.lists(st.sampled_from(["good", "low", "broken", "error", "outage", "wrong"]), min_size=3, max_size=3),
    st.booleans(),
)
def test_every_call_is_recorded_exactly_once(script: list[str], is_async: bool) -> None:
    """Whatever mix of errors, scores and failing checks comes: each call is one outcome, in the order of the calls."""
    errors = {"error": KeyError("x"), "outage": ProviderError(503), "wrong": ProviderError(400)}
    kinds = {"low": None, "broken": "other", "error": "other", "outage": "server_error", "wrong": "caller_error"}
    todo = dict(zip(MODELS, script, strict=True))
    made: list[str] = []

    def call(model: str) -> str:
        made.append(model)
        if todo[model] in errors:
            raise errors[todo[model]]
        return todo[model]

    def check(answer: str) -> float:
        return {"good": 0.9, "low": 0.1}[answer]

    with mp.ModelPerf(IN_ORDER, store=":memory:", seed=1) as perf:
        with suppress(KeyError, ProviderError):
            answer = (_arun if is_async else _run)(perf, MODELS, call, check=check)
            assert answer == todo[made[-1]]
        events = perf.store.events.after(0, 10)
    assert [event.model_id for event in events] == made
    assert [event.error_kind for event in events] == [kinds.get(todo[model]) for model in made]
    assert len(made) == next((place for place, step in enumerate(script, 1) if step in {"good", "wrong"}), 3)


def test_the_two_kinds_of_functions_are_told_apart(perf: mp.ModelPerf) -> None:
    """A coroutine that nobody would await, and a result that cannot be awaited, are the caller's errors."""

    async def answer(model: str) -> str:
        return model

    with pytest.raises(mp.InvalidValueError, match="arun"):
        perf.run("qa", MODELS, answer)  # type: ignore[unused-coroutine]
    with pytest.raises(mp.InvalidValueError, match="run takes"):
        asyncio.run(perf.arun("qa", MODELS, str))  # type: ignore[arg-type]
    assert {kind for _, kind in verdicts(perf)} == {"caller_error"}


def test_an_asynchronous_check(perf: mp.ModelPerf) -> None:
    """``arun`` awaits a check that is asynchronous; ``run`` refuses it."""

    async def check(answer: str) -> bool:
        await asyncio.sleep(0)
        return answer == "b"

    async def call(model: str) -> str:
        return model

    assert asyncio.run(perf.arun("qa", MODELS, call, check=check)) == "b"
    with pytest.raises(mp.InvalidValueError, match="check"):
        perf.run("qa", MODELS, str, check=check)  # type: ignore[arg-type]


def test_an_asynchronous_check_that_raises_is_a_verdict(perf: mp.ModelPerf) -> None:
    """An exception that an asynchronous check raises says that the answer cannot be used."""

    async def check(answer: str) -> bool:
        await asyncio.sleep(0)
        if answer == "a":
            raise ProviderError(503)
        return True

    async def call(model: str) -> str:
        return model

    assert asyncio.run(perf.arun("qa", MODELS, call, check=check)) == "b"
    assert verdicts(perf) == [("a", "other"), ("b", "good")]


def test_a_call_that_takes_too_long_is_abandoned(perf: mp.ModelPerf, run: Runner) -> None:
    """A try that exceeds its time is recorded as a timeout, and the next model is tried; the last one raises."""
    release = threading.Event()

    def call(model: str) -> str:
        if model != "c":
            release.wait(30)
        return model

    async def acall(model: str) -> str:
        await asyncio.sleep(30 if model != "c" else 0)
        return model

    def ask(models: tuple[str, ...]) -> str:
        if run is _run:
            return perf.run("qa", models, call, timeout=0.05)
        return asyncio.run(perf.arun("qa", models, acall, timeout=0.05))

    started = time.monotonic()
    assert ask(MODELS) == "c"
    with pytest.raises(TimeoutError):
        ask(("a",))
    assert time.monotonic() - started < 20
    release.set()
    assert verdicts(perf) == [("a", "timeout"), ("b", "timeout"), ("c", "good"), ("a", "timeout")]


def test_a_limit_may_be_as_long_as_you_like(perf: mp.ModelPerf, run: Runner) -> None:
    """A number of seconds that no clock of the machine can hold does no harm."""
    assert run(perf, MODELS, answering(a="yes"), timeout=1e300) == "yes"
    assert verdicts(perf) == [("a", "good")]


def test_a_limited_call_sees_the_context_and_raises_its_own_error(perf: mp.ModelPerf) -> None:
    """The thread of a call with a time limit has a copy of the caller's context, and its exception is the caller's."""
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")
    assert perf.run("qa", MODELS, lambda _: variable.get(), timeout=30) == "set"
    error = ProviderError(500)
    with pytest.raises(ProviderError) as raised:
        perf.run("qa", ["a"], answering(a=error), timeout=30)
    assert raised.value is error


def test_no_thread_without_a_limit(perf: mp.ModelPerf) -> None:
    """Without a time limit the call runs in the caller's thread."""
    assert perf.run("qa", MODELS, lambda _: threading.get_ident()) == threading.get_ident()


def test_a_callers_cancellation_is_no_timeout(perf: mp.ModelPerf) -> None:
    """A cancellation from outside passes unchanged and is recorded as such, also with a time limit of our own."""

    async def call(_model: str) -> str:
        await asyncio.sleep(30)
        return ""

    async def host() -> None:
        task = asyncio.create_task(perf.arun("qa", MODELS, call, timeout=20))
        await asyncio.sleep(0.01)
        task.cancel("by the user")
        with pytest.raises(asyncio.CancelledError, match="by the user"):
            await task

    asyncio.run(host())
    assert verdicts(perf) == [("a", "cancelled")]


def test_a_plan_is_walked_and_outages_use_up_no_step(path: Path, run: Runner) -> None:
    """With a plan of two tries, two models that fail end it; after an outage another model takes the step."""
    policy = {**IN_ORDER, "retries": {"attempts": 2}, "cost": {"objective": "cheapest_within", "margin": 0.02}}
    models = ("a", "b", "c", "d")
    with mp.ModelPerf(policy, store=path, seed=1) as perf:
        for model in models * 20:
            perf.record("qa", model, mp.Outcome(success=True, cost_usd=0.01))
        decision = perf.explain("qa", models)
        assert decision is not None
        assert len(decision.plan) in {1, 2}
        before = len(verdicts(perf))
        run(perf, models, str, check=lambda _: False)
        assert len(verdicts(perf)) == before + len(decision.plan)
        with pytest.raises(ProviderError):
            run(perf, models, answering(**{model: ProviderError(503) for model in models}))
        assert len(verdicts(perf)) == before + len(decision.plan) + len(decision.order)


def test_arun_does_without_asyncio(perf: mp.ModelPerf) -> None:
    """Without a time limit nothing of asyncio is needed, so calls of other asynchronous libraries work as well."""

    async def answer(model: str) -> str:
        return model

    async def chunks(model: str) -> AsyncIterator[str]:
        yield model

    async def host() -> list[str]:
        return [await perf.arun("qa", MODELS, answer), *[chunk async for chunk in perf.astream("qa", MODELS, chunks)]]

    running = host()
    with pytest.raises(StopIteration) as ended:
        running.send(None)
    assert ended.value.value == ["a", "a"]


def test_the_engine_of_a_registered_plugin_records(path: Path) -> None:
    """A host with the plugin gets the recorder from it; mistakes of its functions are counted like those in hooks."""
    plugin = mp.register(pluggy.PluginManager("host"), config=IN_ORDER, store=path, seed=1)
    perf = plugin.engine()
    assert perf.run("qa", MODELS, answering(a="yes"), usage=lambda answer: answer.missing) == "yes"
    assert plugin.failure_count() == 1
    plugin.close()
    assert verdicts(path) == [("a", "good")]


def test_awaitables_of_all_kinds(perf: mp.ModelPerf) -> None:
    """``arun`` takes a coroutine function, and a plain function that returns a future or a task."""

    async def answer(model: str) -> str:
        return model

    async def host() -> list[str]:
        calls: list[Callable[[str], Awaitable[str]]] = [answer, lambda model: asyncio.ensure_future(answer(model))]
        return [await perf.arun("qa", MODELS, call) for call in calls]

    assert asyncio.run(host()) == ["a", "a"]
