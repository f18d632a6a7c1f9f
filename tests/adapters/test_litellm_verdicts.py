"""The litellm adapter: errors, verdicts, and what must not happen to its host."""

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.adapters.litellm_world import MESSAGES, callback, chunks_of, deployment, router, run, settled
from tests.adapters.provider import Provider
from tests.recorder.world import IN_ORDER, recorded, verdicts
from tests.store.faults import held

litellm = pytest.importorskip("litellm")

from modelperf_plugin.adapters.litellm import learned, ticket_of  # noqa: E402
from tests.adapters.test_litellm import ask, pytestmark, said  # noqa: E402, F401 - the same warnings are ignored

KINDS = {
    "rate_limit": "rate_limit",
    "quota": "unavailable",
    "unauthorized": "unavailable",
    "forbidden": "unavailable",
    "not_found": "unavailable",
    "gone": "caller_error",  # litellm raises BadRequestError
    "server_error": "server_error",
    "unavailable": "server_error",
    "overloaded": "server_error",
    "bad_request": "caller_error",
    "unprocessable": "caller_error",
    "too_long": "context_overflow",
    "filtered": "refused",
    "reset": "server_error",  # litellm reports it as an internal server error
    "hang": "timeout",
}
"""What is recorded for each error of the provider."""


def error_of(provider: Provider, *callbacks: Any) -> Exception:
    """Return what a Router raises."""

    async def program() -> Exception:
        with pytest.raises(Exception, match=r".") as caught:
            await ask(router(provider, model_list=[deployment(provider, "a", timeout=0.5)]))
        return caught.value

    with callback(*callbacks):
        return run(program)


@pytest.mark.parametrize("behaviour", sorted(KINDS))
def test_errors_are_those_of_litellm(perf: mp.ModelPerf, provider: Provider, behaviour: str) -> None:
    """The caller gets the same exception with the adapter as without, and its kind is recorded."""
    provider.behaviours |= {"a": behaviour}
    without, with_adapter = error_of(provider), error_of(provider, learned(perf))
    assert type(with_adapter) is type(without)
    assert re.sub(r"taken=[\d.]+", "", str(with_adapter)) == re.sub(r"taken=[\d.]+", "", str(without))
    assert verdicts(perf) == [("openai/a", KINDS[behaviour])]
    if behaviour == "rate_limit":
        assert recorded(perf)[0].retry_after_ms == 7000


def test_an_answer_that_a_filter_has_emptied_is_refused(perf: mp.ModelPerf, provider: Provider) -> None:
    """Nothing raises, but its finish_reason says so, in a stream as well."""
    provider.behaviours |= dict.fromkeys("abc", "filter")

    async def program() -> None:
        to = router(provider)
        await ask(to)
        await chunks_of(await ask(to, stream=True))

    with callback(learned(perf)):
        run(program)
    assert [verdict for _, verdict in verdicts(perf)] == ["refused", "refused"]


def test_a_verdict_comes_later_from_another_process(perf: mp.ModelPerf, path: Path, provider: Provider) -> None:
    """The ticket of an answer is text; whoever has it replaces the verdict of that try, once."""
    with callback(learned(perf)):
        ticket = ticket_of(run(lambda: ask(router(provider))))
    assert ticket is not None
    grader = (
        "import sys, modelperf_plugin as mp\n"
        "with mp.ModelPerf(store=sys.argv[1]) as perf:\n"
        "    print(perf.report(sys.argv[2], success=False), perf.report(sys.argv[2], success=False))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", grader, path, ticket], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.split() == ["True", "False"]
    [outcome] = recorded(perf)
    assert outcome[:3] == ("openai/a", "failed", 17)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_stream_has_a_ticket_when_it_has_been_read(perf: mp.ModelPerf, provider: Provider, at_once: bool) -> None:
    """A verdict by it counts, and counts once, whether litellm has reported the end of the stream before or not."""

    async def program() -> bool:
        answer = await ask(router(provider), stream=True)
        await chunks_of(answer)
        if not at_once:
            await settled()
        ticket = ticket_of(answer)
        assert ticket is not None
        return perf.report(ticket, success=False)

    with callback(learned(perf)):
        assert run(program)
    assert verdicts(perf) == [("openai/a", "failed")]


def test_other_answers_have_no_ticket(perf: mp.ModelPerf, provider: Provider) -> None:
    """An answer of litellm without a Router, an error and None have none."""

    async def program() -> Any:
        entry = deployment(provider, "a")["litellm_params"]
        return await litellm.acompletion(messages=MESSAGES, **entry)

    with callback(learned(perf)):
        assert ticket_of(run(program)) is None
    assert ticket_of(None) is None
    assert recorded(perf) == []


def raising(_: Any) -> bool:
    """Parse an answer that cannot be parsed."""
    raise ValueError("no JSON")


async def grading(answer: Any) -> float:
    """Grade an answer, asynchronously."""
    return 0.25 if said(answer) == "a" else 1.0


@pytest.mark.parametrize(
    ("check", "verdict", "score"),
    [
        (lambda answer: said(answer) == "a", "good", None),
        (lambda _: False, "failed", None),
        (lambda _: None, "good", None),
        (grading, "failed", 0.25),
        (raising, "other", None),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_check_judges_the_answer(
    perf: mp.ModelPerf,
    provider: Provider,
    check: Callable[[Any], Any],
    verdict: str,
    score: float | None,
    is_stream: bool,
) -> None:
    """What it says is recorded, of a stream for the whole answer; the caller gets the answer in any case."""

    async def program() -> None:
        answer = await ask(router(provider), stream=is_stream)
        if is_stream:
            await chunks_of(answer)
            await settled()
        else:
            assert said(answer) == "a"

    with callback(learned(perf, check=check)):
        run(program)
    [outcome] = recorded(perf)
    assert (outcome.verdict, outcome.score) == (verdict, score)


def test_two_callbacks_do_not_judge_for_each_other(perf: mp.ModelPerf, provider: Provider) -> None:
    """Each records the requests of its own groups, a stream as well, with its own check."""
    groups = [deployment(provider, "a", "one"), deployment(provider, "b", "two")]

    async def program() -> None:
        to = router(provider, model_list=groups)
        for group in ("one", "two"):
            await chunks_of(await ask(to, group, stream=True))

    with callback(learned(perf, ["one"], check=lambda _: False), learned(perf, ["two"])):
        run(program)
    assert sorted(verdicts(perf)) == [("openai/a", "failed"), ("openai/b", "good")]


def test_prompts_and_answers_are_not_stored(perf: mp.ModelPerf, path: Path, provider: Provider) -> None:
    """No file of the store has a word of them."""
    provider.answers["a"] = "the secret answer"

    async def program() -> None:
        to = router(provider)
        await ask(to)
        await chunks_of(await ask(to, stream=True))

    with callback(learned(perf)):
        run(program)
    perf.close()
    stored = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"openai/a" in stored
    assert b"secret" not in stored


def test_an_engine_that_fails_breaks_no_request(provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    """The Router chooses by itself, and the reason is logged once."""

    def broken() -> mp.ModelPerf:
        raise RuntimeError("no engine today")

    async def program() -> str:
        to = router(provider, "a")
        await ask(to)
        return said(await ask(to))

    with caplog.at_level(logging.ERROR, "modelperf_plugin"), callback(learned(broken)):
        assert run(program) == "a"
    messages = [each.getMessage() for each in caplog.records if each.name.startswith("modelperf_plugin")]
    assert len(messages) == 1
    assert messages[0].startswith("litellm chooses by itself: RuntimeError")


def test_no_outcome_is_lost_while_others_hold_the_lock(path: Path, provider: Provider) -> None:
    """Requests go on meanwhile, far sooner than a record is patient; each outcome is kept."""

    async def program() -> float:
        to = router(provider)
        started = time.monotonic()
        await asyncio.gather(*[ask(to) for _ in range(20)])
        return time.monotonic() - started

    with mp.ModelPerf({**IN_ORDER, "store": {"patience_seconds": 60.0}}, store=path, seed=1) as perf:
        perf.run("smart", ["openai/a"], str)
        with held(path), callback(learned(perf)):
            assert run(program) < 40
    assert [verdict for _, verdict in verdicts(path)] == ["good"] * 21


def test_a_function_may_return_the_engine(perf: mp.ModelPerf, provider: Provider) -> None:
    """It is called when the first request comes, not before."""
    asked: list[int] = []

    def engine() -> mp.ModelPerf:
        asked.append(1)
        return perf

    adapter = learned(engine)
    assert asked == []
    with callback(adapter):
        run(lambda: ask(router(provider)))
    assert verdicts(perf) == [("openai/a", "good")]


@pytest.mark.parametrize("arguments", [{"models": []}, {"task_type": ""}, {"check": "no function"}])
def test_an_invalid_argument_is_refused_at_once(perf: mp.ModelPerf, arguments: dict[str, Any]) -> None:
    """And not when the first request comes."""
    with pytest.raises(mp.InvalidValueError):
        learned(perf, **arguments)


def test_without_litellm_the_extra_is_named() -> None:
    """The import gives one line that says what to install."""
    program = "import sys; sys.modules['litellm'] = None; import modelperf_plugin.adapters.litellm"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert 'pip install "modelperf-plugin[litellm]"' in result.stderr.splitlines()[-1]
