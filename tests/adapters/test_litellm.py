"""The litellm adapter in a Router: which deployment is used, and what is recorded."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.adapters.litellm_world import (
    COST,
    MESSAGES,
    callback,
    chunks_of,
    deployment,
    router,
    run,
    settled,
    text_of,
)
from tests.adapters.provider import Provider
from tests.recorder.world import IN_ORDER, Recorded, recorded, verdicts

litellm = pytest.importorskip("litellm")

from litellm.integrations.custom_logger import CustomLogger  # noqa: E402

from modelperf_plugin.adapters.litellm import learned, ticket_of  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # litellm and pydantic
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # it leaves connections to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:Item:UserWarning"),  # pydantic, about types of litellm
]


async def ask(to: Any, model: str = "smart", **options: Any) -> Any:
    """Ask a Router."""
    return await to.acompletion(model, MESSAGES, **options)


def said(answer: Any) -> str:
    """Return what an answer says: by default the name of its model."""
    return str(answer.choices[0].message.content)


def outcome_ids(path: Path) -> list[str]:
    """Return the id of each outcome, in order: that of its decision, and the number of the try."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT outcome_id FROM outcome_key ORDER BY event_id").fetchall()
    return [outcome_id for (outcome_id,) in rows]


def decisions(path: Path) -> list[tuple[str, str | None]]:
    """Return each decision, and which one it follows."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT id, retry_of FROM decision ORDER BY rowid").fetchall()


def task_types(path: Path) -> list[tuple[str, str]]:
    """Return the task type and the model of each outcome, in order."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT task_type, model_id FROM model_outcomes ORDER BY id").fetchall()


def test_retries_of_a_request_are_the_tries_of_one_decision(perf: mp.ModelPerf, path: Path, provider: Provider) -> None:
    """Each retry takes the next model, and all are recorded: with their kind, tokens and cost."""
    provider.behaviours |= {"a": "server_error", "b": "rate_limit"}
    with callback(learned(perf)):
        answer = run(lambda: ask(router(provider, num_retries=2)))
    assert said(answer) == "c"
    assert provider.asked == ["a", "b", "c"]
    assert [each[:3] for each in recorded(perf)] == [
        ("openai/a", "server_error", 0),
        ("openai/b", "rate_limit", 0),
        ("openai/c", "good", 17),
    ]
    assert recorded(perf)[2].cost_usd == pytest.approx(COST)
    [(decision_id, _)] = decisions(path)
    assert outcome_ids(path) == [f"{decision_id}-{number}" for number in (1, 2, 3)]


def test_the_caller_is_told_the_same_cost(perf: mp.ModelPerf, provider: Provider) -> None:
    """What litellm puts into an answer does not depend on the adapter."""

    async def program() -> float:
        answer = await ask(router(provider))
        return float(answer._hidden_params["response_cost"])

    without = run(program)
    with callback(learned(perf)):
        assert run(program) == without == pytest.approx(COST)


def test_a_cost_that_litellm_does_not_know_is_unknown(perf: mp.ModelPerf, provider: Provider) -> None:
    """A model without a price costs 0, which means unknown, and nothing fails."""
    free = deployment(provider, "a", input_cost_per_token=None, output_cost_per_token=None)
    with callback(learned(perf)):
        run(lambda: ask(router(provider, model_list=[free])))
    assert recorded(perf) == [Recorded("openai/a", "good", 17)]


def test_more_retries_than_models_begin_again(perf: mp.ModelPerf, provider: Provider) -> None:
    """After the last model comes the first one, as litellm would try it again."""
    provider.behaviours |= dict.fromkeys("ab", "server_error")

    async def program() -> None:
        with pytest.raises(litellm.InternalServerError):
            await ask(router(provider, "ab", num_retries=3))

    with callback(learned(perf)):
        run(program)
    assert provider.asked == ["a", "b", "a", "b"]


def test_a_fallback_group_has_a_decision_that_follows(perf: mp.ModelPerf, path: Path, provider: Provider) -> None:
    """It is of the same task type, and the models that failed before count as tried."""
    provider.behaviours |= {"a": "server_error"}
    groups = [deployment(provider, "a"), deployment(provider, "d", "backup"), deployment(provider, "e", "backup")]
    with callback(learned(perf)):
        answer = run(lambda: ask(router(provider, model_list=groups, fallbacks=[{"smart": ["backup"]}])))
    assert said(answer) == "d"
    assert task_types(path) == [("smart", "openai/a"), ("smart", "openai/d")]
    (first, nothing), (second, before) = decisions(path)
    assert (nothing, before) == (None, first)
    assert outcome_ids(path) == [f"{first}-1", f"{second}-1"]


def test_a_stream_is_recorded_at_its_end(perf: mp.ModelPerf, provider: Provider) -> None:
    """Its chunks arrive as without the adapter; the outcome has what the whole stream has used and cost."""

    async def program() -> str:
        answer = await ask(router(provider), stream=True, stream_options={"include_usage": True})
        first = await anext(answer)
        await settled()
        assert recorded(perf) == []
        return text_of([first, *await chunks_of(answer)])

    with callback(learned(perf)):
        assert run(program) == "a"
    [outcome] = recorded(perf)
    assert outcome[:3] == ("openai/a", "good", 17)
    assert outcome.cost_usd == pytest.approx(COST)


def test_a_stream_falls_back_before_it_begins(perf: mp.ModelPerf, provider: Provider) -> None:
    """What fails before the first chunk is a failed try, and the next model streams."""
    provider.behaviours |= {"a": "unavailable"}

    async def program() -> str:
        return text_of(await chunks_of(await ask(router(provider, num_retries=1), stream=True)))

    with callback(learned(perf)):
        assert run(program) == "b"
    assert verdicts(perf) == [("openai/a", "server_error"), ("openai/b", "good")]


def test_a_stream_that_breaks_is_a_failure(perf: mp.ModelPerf, provider: Provider) -> None:
    """An error in the middle is recorded when litellm says so; what it falls back to is recorded as well."""
    provider.behaviours |= {"a": "event"}
    groups = [deployment(provider, "a"), deployment(provider, "d", "backup")]

    async def program() -> str:
        answer = await ask(router(provider, model_list=groups, fallbacks=[{"smart": ["backup"]}]), stream=True)
        return text_of(await chunks_of(answer))

    with callback(learned(perf)):
        assert run(program) == "d"
    assert sorted(verdicts(perf)) == [("openai/a", "server_error"), ("openai/d", "good")]


def test_a_stream_that_is_cut_off_is_what_litellm_takes_it_for(perf: mp.ModelPerf, provider: Provider) -> None:
    """Litellm 1.108 ends it with a finish_reason "stop" of its own; 1.110 raises. The page says so."""
    provider.behaviours |= {"a": "cut"}

    async def program() -> list[Any]:
        return await chunks_of(await ask(router(provider), stream=True))

    with callback(learned(perf)):
        try:
            found = run(program)[-1].choices[0].finish_reason
        except litellm.APIConnectionError:
            found = "raised"
    assert (found, verdicts(perf)) in [
        ("stop", [("openai/a", "good")]),
        ("raised", [("openai/a", "network")]),
    ]


def test_a_stream_that_is_closed_early_is_cancelled(perf: mp.ModelPerf, provider: Provider) -> None:
    """The try, of which litellm says nothing, is recorded with the next request, and counts against no model."""

    async def program() -> None:
        to = router(provider)
        answer = await ask(to, stream=True)
        await anext(answer)
        await answer.aclose()
        del answer
        await settled()
        gc.collect()
        await ask(to)

    with callback(learned(perf)):
        run(program)
    assert [verdict for _, verdict in verdicts(perf)] == ["cancelled", "good"]


def test_a_cancelled_request_stays_cancelled(perf: mp.ModelPerf, provider: Provider) -> None:
    """The caller gets CancelledError at once; the try is recorded as cancelled with the next request."""
    provider.behaviours |= {"a": "hang"}

    async def program() -> None:
        to = router(provider)
        task = asyncio.create_task(ask(to))
        while not provider.asked:  # noqa: ASYNC110 - the provider is in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        await settled()
        gc.collect()
        provider.behaviours.clear()
        await ask(to)

    with callback(learned(perf)):
        run(program)
    assert [verdict for _, verdict in verdicts(perf)] == ["cancelled", "good"]


def test_a_time_limit_of_litellm_is_a_timeout(perf: mp.ModelPerf, provider: Provider) -> None:
    """The model that takes too long has timed out, and the next one answers."""
    provider.behaviours |= {"a": "hang"}
    slow = [deployment(provider, "a", timeout=0.3), deployment(provider, "b")]
    with callback(learned(perf)):
        assert said(run(lambda: ask(router(provider, model_list=slow, num_retries=1)))) == "b"
    assert verdicts(perf) == [("openai/a", "timeout"), ("openai/b", "good")]


def test_parallel_requests_are_kept_apart(perf: mp.ModelPerf, path: Path, provider: Provider) -> None:
    """Each has its own decision and its own tries, even if all share one mapping of metadata."""
    provider.behaviours |= {"a": "server_error"}
    metadata = {"modelperf_task_type": "qa"}

    async def program() -> list[Any]:
        to = router(provider, num_retries=1)
        return await asyncio.gather(*[ask(to, metadata=metadata) for _ in range(20)])

    with callback(learned(perf)):
        answers = run(program)
    tickets = [ticket_of(answer) for answer in answers]
    assert len(set(tickets)) == 20
    assert None not in tickets
    good = [model for model, verdict in verdicts(perf) if verdict == "good"]
    assert sorted(good) == sorted(f"openai/{said(answer)}" for answer in answers)
    assert len(outcome_ids(path)) == len(set(outcome_ids(path))) == len(provider.asked)


def test_all_deployments_of_a_model_remain(perf: mp.ModelPerf, provider: Provider) -> None:
    """Two keys for one model are one candidate, between which litellm chooses by its own strategy."""
    chosen: list[int] = []

    class After(CustomLogger):
        async def async_filter_deployments(self, healthy_deployments: Any, **_: Any) -> Any:
            chosen.append(len(healthy_deployments))
            return healthy_deployments

    twice = [deployment(provider, "a", rpm=7), deployment(provider, "a", rpm=8), deployment(provider, "b")]
    with callback(learned(perf), After()):
        run(lambda: ask(router(provider, model_list=twice)))
    assert chosen == [2]
    assert provider.asked == ["a"]


def test_the_order_of_deployments_holds(perf: mp.ModelPerf, provider: Provider) -> None:
    """It chooses among those of the lowest ``order``, and litellm falls back to the next one as ever."""
    provider.behaviours |= dict.fromkeys("bc", "server_error")
    ordered = [deployment(provider, model, order=order) for model, order in (("a", 2), ("b", 1), ("c", 1))]
    with callback(learned(perf)):
        assert said(run(lambda: ask(router(provider, model_list=ordered, num_retries=1)))) == "a"
    assert provider.asked == ["b", "c", "a"]
    assert verdicts(perf) == [("openai/b", "server_error"), ("openai/c", "server_error"), ("openai/a", "good")]


def test_a_model_goes_by_its_base_model(perf: mp.ModelPerf, provider: Provider) -> None:
    """A deployment whose name is the user's own, as in Azure, counts for the model that it says it is."""
    named = {**deployment(provider, "a"), "model_info": {"base_model": "gpt-4o"}}
    with callback(learned(perf)):
        run(lambda: ask(router(provider, model_list=[named])))
    assert [model for model, _ in verdicts(perf)] == ["gpt-4o"]


def test_a_wildcard_is_each_model_that_was_asked_for(perf: mp.ModelPerf, path: Path, provider: Provider) -> None:
    """The models behind ``openai/*`` are not one. A fallback or an alias that litellm does not name counts for none."""
    provider.behaviours["b"] = "server_error"
    patterns = [deployment(provider, "*", "openai/*"), deployment(provider, "big-*", "mine/*")]

    async def program() -> None:
        options: dict[str, Any] = {"fallbacks": [{"openai/b": ["openai/c"]}], "model_group_alias": {"mail": "openai/e"}}
        to = router(provider, model_list=patterns, **options)
        for name in ("openai/a", "mine/d", "openai/b", "mail"):
            await ask(to, name)

    with callback(learned(perf)):
        run(program)
    assert provider.asked == ["a", "big-d", "b", "c", "e"]
    found = task_types(path)
    assert found[:3] == [("openai/a", "openai/a"), ("mine/d", "openai/big-d"), ("openai/b", "openai/b")]
    assert {model for _, model in found[3:]} <= {"openai/c", "openai/e"}  # litellm 1.108 and older do name them


def test_the_task_type_is_explicit_or_in_the_metadata_or_the_group(
    perf: mp.ModelPerf, path: Path, provider: Provider
) -> None:
    """In this order; the text of a request is not looked at."""

    async def program() -> None:
        to = router(provider)
        await ask(to)
        await ask(to, metadata={"modelperf_task_type": "qa"})

    with callback(learned(perf)):
        run(program)
    with callback(learned(perf, task_type="said")):
        run(program)
    assert [task_type for task_type, _ in task_types(path)] == ["smart", "qa", "said", "said"]


def test_other_groups_are_left_alone(perf: mp.ModelPerf, provider: Provider) -> None:
    """With names of groups, it neither chooses nor records in another one."""
    groups = [deployment(provider, "a"), deployment(provider, "d", "other")]

    async def program() -> None:
        to = router(provider, model_list=groups)
        await ask(to)
        await ask(to, "other")

    with callback(learned(perf, ["smart"])):
        run(program)
    assert provider.asked == ["a", "d"]
    assert verdicts(perf) == [("openai/a", "good")]


def test_the_context_holds(perf: mp.ModelPerf, provider: Provider) -> None:
    """A model that it excludes is not used, not even as a last resort."""
    provider.behaviours |= {"b": "server_error"}

    async def program() -> None:
        with pytest.raises(litellm.InternalServerError):
            await ask(router(provider, "ab", num_retries=1))

    with callback(learned(perf, context={"exclude": ["openai/a"]})):
        run(program)
    assert provider.asked == ["b", "b"]


def test_a_cached_answer_is_no_try(perf: mp.ModelPerf, provider: Provider) -> None:
    """No model was asked, so nothing is recorded, neither at once nor later."""

    async def program() -> None:
        to = router(provider, "a", cache_responses=True)
        await ask(to, caching=True)
        await settled()
        await ask(to, caching=True)
        await settled()
        gc.collect()
        await ask(to, caching=True)

    before, litellm.cache = litellm.cache, litellm.Cache()
    try:
        with callback(learned(perf)):
            run(program)
    finally:
        litellm.cache = before
    assert provider.asked == ["a"]
    assert verdicts(perf) == [("openai/a", "good")]


def test_the_sync_router_is_run_by_the_recorder(perf: mp.ModelPerf, provider: Provider) -> None:
    """Callbacks are asked in async calls only; ``perf.run`` with a group for each model does the same."""
    provider.behaviours |= {"a": "server_error"}
    to = router(provider, model_list=[deployment(provider, model, model) for model in "ab"])
    answer = perf.run("qa", ["a", "b"], lambda model: to.completion(model, MESSAGES))
    assert said(answer) == "b"
    assert [each[:3] for each in recorded(perf)] == [("a", "server_error", 0), ("b", "good", 17)]
    assert recorded(perf)[1].cost_usd == pytest.approx(COST)


def test_without_an_opinion_litellm_works_as_ever(provider: Provider, path: Path) -> None:
    """A mode that decides nothing leaves the order to the Router's list, and records."""
    with mp.ModelPerf({**IN_ORDER, "mode": "observe"}, store=path, seed=1) as perf:
        with callback(learned(perf)):
            assert said(run(lambda: ask(router(provider)))) == "a"
        assert verdicts(perf) == [("openai/a", "good")]
