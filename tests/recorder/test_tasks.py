"""Tasks: a loop of the host's own, with verdicts at once or later."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import modelperf_plugin as mp
from modelperf_plugin.recorder import Attempt
from modelperf_plugin.recorder.ticket import Ticket
from tests.recorder.world import IN_ORDER, MODELS, ProviderError, Recorded, recorded, verdicts


def test_a_loop_ends_with_the_first_success(perf: mp.ModelPerf) -> None:
    """Models follow one another until an attempt has succeeded; an exception is suppressed while others follow."""
    answers = []
    with perf.task("qa", MODELS) as task:
        for model in task:
            with task.attempt(model) as attempt:
                if model == "a":
                    raise ProviderError(503)
                answers.append(attempt.model)
    assert answers == ["b"]
    assert verdicts(perf) == [("a", "server_error"), ("b", "good")]
    assert task.decision is not None
    assert list(task) == []


def test_a_loop_works_asynchronously(perf: mp.ModelPerf) -> None:
    """Task and attempt are asynchronous context managers, too."""

    async def host() -> list[str]:
        tried = []
        async with perf.task("qa", MODELS) as task:
            for model in task:
                async with task.attempt(model):
                    tried.append(model)
                    await asyncio.sleep(0)
                    if model == "a":
                        raise ProviderError(503)
        return tried

    assert asyncio.run(host()) == ["a", "b"]
    assert verdicts(perf) == [("a", "server_error"), ("b", "good")]


@pytest.mark.parametrize("status", [400, 499, 503])
def test_the_last_error_and_a_wrong_request_are_raised(perf: mp.ModelPerf, status: int) -> None:
    """Where no other model follows, the exception of an attempt is raised as it was."""
    error = ProviderError(status)
    tried = []

    def work() -> None:
        with perf.task("qa", MODELS) as task:
            for model in task:
                with task.attempt(model):
                    tried.append(model)
                    raise error

    with pytest.raises(ProviderError) as raised:
        work()
    assert raised.value is error
    assert error.__context__ is None
    assert len(tried) == (3 if status == 503 else 1)


def test_nothing_is_suppressed_without_a_loop(perf: mp.ModelPerf) -> None:
    """An exception is only suppressed where a loop would go on with another model."""
    with perf.task("qa", MODELS) as task:
        with pytest.raises(ProviderError), task.attempt("a"):
            raise ProviderError(503)
        for model in task:
            if model:
                break
        with pytest.raises(ProviderError), task.attempt("b"):
            raise ProviderError(503)
    assert [kind for _, kind in verdicts(perf)] == ["server_error"] * 2


def test_an_attempt_is_entered_once(perf: mp.ModelPerf) -> None:
    """Each try has an attempt of its own: a second one by the same would not be recorded."""
    with perf.task("qa", MODELS) as task:
        attempt = task.attempt("a")
        with attempt:
            pass
        with pytest.raises(mp.InvalidValueError, match="a new one for each try"), attempt:
            pass
    assert verdicts(perf) == [("a", "good")]


def test_an_attempt_may_fail_without_an_exception(perf: mp.ModelPerf) -> None:
    """``fail`` says so, with a kind or without, and ``usage`` what it has used."""
    kinds: list[Any] = [None, "timeout", "refused"]
    with perf.task("qa", MODELS) as task:
        for model, kind in zip(task, kinds, strict=True):
            with task.attempt(model) as attempt:
                attempt.usage({"input_tokens": 3, "output_tokens": 4}, cost_usd=0.5)
                attempt.fail(kind)
    assert recorded(perf) == [
        Recorded("a", "failed", 7, 0.5), Recorded("b", "timeout", 7, 0.5), Recorded("c", "refused", 7, 0.5)
    ]  # fmt: skip


def test_what_is_unknown_later_leaves_what_was_known(perf: mp.ModelPerf) -> None:
    """A cost that comes after the tokens takes none of them away, nor which of them are output."""
    with perf.task("qa", MODELS) as task, task.attempt("a") as attempt:
        attempt.usage({"input_tokens": 3, "output_tokens": 4})
        attempt.usage(None, cost_usd=0.5)
        attempt.usage(None)
    assert (attempt.tokens_used, attempt.output_tokens, attempt.cost_usd) == (7, 4, 0.5)
    assert recorded(perf) == [Recorded("a", "good", 7, 0.5)]


def test_a_score_decides(perf: mp.ModelPerf) -> None:
    """A score below the bar is a failure, and the next model follows."""
    with perf.task("qa", MODELS) as task:
        for model in task:
            with task.attempt(model) as attempt:
                attempt.score({"a": 0.1, "b": 0.9}[model])
    assert [(each.model, each.verdict, each.score) for each in recorded(perf)] == [
        ("a", "failed", 0.1),
        ("b", "good", 0.9),
    ]


def test_invalid_arguments_are_raised_within_an_attempt(perf: mp.ModelPerf) -> None:
    """A mistake in the use of the recorder is not taken for one of the model's: it is raised at once."""
    uses: list[Callable[[Any], object]] = [
        lambda attempt: attempt.score(7),
        lambda attempt: attempt.fail("bad luck"),
        lambda attempt: perf.select(attempt, MODELS),
    ]
    for use in uses:
        with pytest.raises(mp.InvalidValueError), perf.task("qa", MODELS) as task, task.attempt("a") as attempt:
            use(attempt)
    assert {kind for _, kind in verdicts(perf)} == {"caller_error"}
    wrong: list[tuple[Any, ...]] = [("qa", []), (7, MODELS), ("qa", MODELS, None, "never")]
    for arguments in wrong:
        with pytest.raises(mp.InvalidValueError):
            perf.task(*arguments)


def test_a_verdict_by_the_call_counts_at_once_and_may_be_replaced(perf: mp.ModelPerf) -> None:
    """Without an exception an attempt is a success; a report replaces that, and counts once."""
    with perf.task("qa", MODELS) as task, task.attempt("a") as attempt:
        attempt.usage(10, 0.25)
    assert recorded(perf) == [Recorded("a", "good", 10, 0.25)]
    for success in (False, True, False):
        assert task.report(success)
        assert not task.report(success)
    assert recorded(perf) == [Recorded("a", "failed", 10, 0.25)]
    assert task.report(score=0.75)
    assert recorded(perf) == [Recorded("a", "good", 10, 0.25, 0.75)]


def test_a_later_verdict_is_awaited(perf: mp.ModelPerf) -> None:
    """With ``later``, failed attempts are recorded at once, and the good one when its verdict comes."""
    with perf.task("qa", MODELS, verdict="later") as task:
        for model in task:
            with task.attempt(model) as attempt:
                attempt.usage(10, 0.25)
                if model == "a":
                    raise ProviderError(503)
    assert verdicts(perf) == [("a", "server_error")]
    assert task.report(True)
    assert recorded(perf) == [Recorded("a", "server_error", 10, 0.25), Recorded("b", "good", 10, 0.25)]
    assert not task.report(True)


def test_a_bad_verdict_within_the_loop_lets_the_next_model_try(perf: mp.ModelPerf) -> None:
    """A host that judges each answer at once says so between the attempts."""
    tried = []
    with perf.task("qa", MODELS, verdict="later") as task:
        for model in task:
            with task.attempt(model):
                tried.append(model)
            task.report(model == "b")
    assert tried == ["a", "b"]
    assert verdicts(perf) == [("a", "failed"), ("b", "good")]


def test_a_report_needs_an_attempt_and_a_verdict(perf: mp.ModelPerf) -> None:
    """Before the first attempt there is nothing to judge, and without a verdict nothing to say."""
    with perf.task("qa", MODELS) as task:
        with pytest.raises(mp.InvalidValueError, match="after an attempt"):
            task.report(True)
        with pytest.raises(mp.InvalidValueError, match="after an attempt"):
            assert task.ticket
        with task.attempt("a"):
            pass
        with pytest.raises(mp.InvalidValueError, match="success"):
            task.report()


REPORT = """
import sys
import modelperf_plugin as mp
with mp.ModelPerf(store=sys.argv[1]) as perf:
    print(perf.report(sys.argv[2], success=sys.argv[3] == "good"))
"""


def report(path: Path, ticket: str, verdict: str) -> str:
    """Report a verdict in another process; return what it prints."""
    command = [sys.executable, "-c", REPORT, str(path), ticket, verdict]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8", timeout=60).stdout.strip()


@pytest.mark.parametrize("mode", ["apply", "observe"])
def test_a_ticket_is_reported_in_another_process(path: Path, mode: str) -> None:
    """A ticket has all that is needed: another process records the try with what was measured, each verdict once."""
    with mp.ModelPerf({**IN_ORDER, "mode": mode}, store=path, seed=1) as perf:
        with perf.task("qa", MODELS, verdict="later") as task, task.attempt("a") as attempt:
            attempt.usage(10, 0.25)
        ticket = task.ticket
    assert verdicts(path) == []
    assert [report(path, ticket, verdict) for verdict in ("good", "good", "bad")] == ["True", "False", "True"]
    assert recorded(path) == [Recorded("a", "failed", 10, 0.25)]
    with mp.ModelPerf(IN_ORDER, store=path) as perf:
        (decision,) = perf.store.decisions.newest()
        assert [each.model_id for each in decision.tries] == (["a"] if mode == "apply" else [])


def test_a_ticket_of_a_recorded_attempt_replaces_its_verdict(perf: mp.ModelPerf) -> None:
    """The ticket names the outcome that was recorded, so a verdict by it does not count twice."""
    with perf.task("qa", MODELS) as task, task.attempt("a"):
        pass
    assert perf.report(task.ticket, score=0.1)
    assert [(each.model, each.verdict, each.score) for each in recorded(perf)] == [("a", "failed", 0.1)]


def test_the_configured_bar_holds_for_later_scores(path: Path) -> None:
    """A score that comes by ticket, or by a report of the task, is compared with ``[quality] pass_score``."""
    with mp.ModelPerf({**IN_ORDER, "quality": {"pass_score": 0.9}}, store=path, seed=1) as perf:
        for _ in range(2):
            with perf.task("qa", ["a"], verdict="later") as task, task.attempt("a"):
                pass
            assert perf.report(task.ticket, score=0.75)
        with perf.task("qa", ["a"], verdict="later") as task, task.attempt("a"):
            pass
        assert task.report(score=0.75)
        assert verdicts(perf) == [("a", "failed")] * 3


def test_the_latest_report_wins(perf: mp.ModelPerf) -> None:
    """Reports by ticket and by decision replace one another in the order in which they come."""
    with perf.task("qa", MODELS, verdict="later") as task, task.attempt("a"):
        pass
    ticket, decision = task.ticket, task.decision
    assert decision is not None
    for success in (True, False, True):
        assert perf.report(ticket, success=success)
        assert perf.report(decision, success=not success)
        assert task.report(success)
    assert verdicts(perf) == [("a", "good")]


def test_an_attempt_that_ended_long_ago_counts_for_its_time(perf: mp.ModelPerf) -> None:
    """What is reported by a ticket has ended when the attempt did."""
    with perf.task("qa", MODELS, verdict="later") as task, task.attempt("a"):
        pass
    ticket = Ticket.read(task.ticket)._replace(ended_ms=1_700_000_000_000)
    perf.report(str(ticket), success=True)
    assert [event.ended_ms for event in perf.store.events.after(0, 10)] == [1_700_000_000_000]


names = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable())


@given(
    st.builds(
        Ticket,
        decision_id=st.none() | st.text("0123456789abcdef", min_size=20, max_size=20),
        task_type=names,
        model_id=names,
        outcome_id=names,
        tokens_used=st.integers(0, 2**53),
        cost_usd=st.floats(0, 1e6),
        duration_seconds=st.floats(0, 1e9),
        ended_ms=st.integers(0, 4_000_000_000_000),
        timeout=st.booleans(),
        is_recorded=st.booleans(),
        served_model=st.none() | names,
    )
)
def test_a_ticket_survives_as_text(ticket: Ticket) -> None:
    """Whatever a ticket holds, it is read back unchanged, and its text needs no escape in JSON, addresses and logs."""
    text = str(ticket)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", text)
    assert json.loads(json.dumps(text)) == text
    assert Ticket.read(text) == ticket


@given(st.data())
def test_a_damaged_ticket_is_refused(data: st.DataObject) -> None:
    """A ticket that was cut or changed anywhere is an InvalidValueError, and never another ticket."""
    text = str(
        Ticket("0" * 20, "qa", "gpt-4o", "0-1", 10, 0.25, 1.5, 1_700_000_000_000, timeout=False, is_recorded=True)
    )
    position = data.draw(st.integers(0, len(text) - 1))
    damaged = data.draw(
        st.sampled_from([text[:position], text[:position] + "?" + text[position + 1 :], text + "A", text + "A" * 4])
    )
    with pytest.raises(mp.InvalidValueError):
        Ticket.read(damaged)


@pytest.mark.parametrize("text", ["mpt1.", "mpt1.AAAA", "mpt9.AAAA", "mpt1.é", "mpt"])
def test_a_malformed_ticket_is_a_clear_error(perf: mp.ModelPerf, text: str) -> None:
    """What begins like a ticket and is none says so, and nothing is recorded."""
    with pytest.raises(mp.InvalidValueError, match="ticket"):
        perf.report(text, success=True)
    assert verdicts(perf) == []


VERDICTS = {
    "good": "good", "error": "other", "outage": "server_error", "wrong": "caller_error", "cancel": "cancelled",
    "fail": "failed", "low": "failed",
}  # fmt: skip
ERRORS: dict[str, BaseException] = {
    "error": ValueError(), "outage": ProviderError(503), "wrong": ProviderError(400), "cancel": KeyboardInterrupt()
}  # fmt: skip


def play(attempt: Attempt, step: str) -> None:
    """Do within an attempt what a script says."""
    if step in ERRORS:
        raise ERRORS[step]
    if step == "fail":
        attempt.fail()
    if step == "low":
        attempt.score(0.1)


def work(perf: mp.ModelPerf, script: dict[str, str], verdict: Any) -> None:
    """Follow a script: what each model does, or that the host skips it."""
    with perf.task("qa", MODELS, verdict=verdict) as task:
        for model in task:
            if script[model] != "skip":
                with task.attempt(model) as attempt:
                    play(attempt, script[model])
    if script[model] == "good":
        task.report(True)


async def work_async(perf: mp.ModelPerf, script: dict[str, str], verdict: Any) -> None:
    """Do the same from an event loop."""
    async with perf.task("qa", MODELS, verdict=verdict) as task:
        for model in task:
            if script[model] != "skip":
                async with task.attempt(model) as attempt:
                    play(attempt, script[model])
    if script[model] == "good":
        task.report(True)


def expected(script: list[str]) -> tuple[list[str], BaseException | None]:
    """Return the verdicts that a script leads to, and what it raises."""
    found = []
    for place, step in enumerate(script):
        if step == "skip":
            continue
        found.append(VERDICTS[step])
        if step == "good":
            break
        if step in {"wrong", "cancel"} or (step in ERRORS and place == len(script) - 1):
            return found, ERRORS[step]
    return found, None


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([*VERDICTS, "skip"]), min_size=3, max_size=3),
    st.sampled_from(["call", "later"]),
    st.booleans(),
)
def test_every_try_is_recorded_exactly_once(script: list[str], verdict: str, is_async: bool) -> None:
    """Whatever mix of errors, verdicts and cancellations comes: each attempt that was entered is one outcome."""
    todo = dict(zip(MODELS, script, strict=True))
    raised: BaseException | None = None
    with mp.ModelPerf(IN_ORDER, store=":memory:", seed=1) as perf:
        try:
            asyncio.run(work_async(perf, todo, verdict)) if is_async else work(perf, todo, verdict)
        except (ValueError, ProviderError, KeyboardInterrupt) as error:
            raised = error
        kinds = [each.error_kind or ("good" if each.success else "failed") for each in perf.store.events.after(0, 10)]
    assert (kinds, raised) == expected(script)
