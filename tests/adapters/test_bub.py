"""bub's agent with the adapter, and a provider that fails on demand."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import modelperf_plugin as mp
from tests.adapters.checks import judged_by_another_process
from tests.adapters.provider import Provider
from tests.recorder.world import recorded, verdicts

pytest.importorskip("bub", reason="bub needs Python 3.12")

from bub import BubFramework
from bub.builtin.agent import Agent

from modelperf_plugin.adapters.bub import learned, plugin, ticket_of

pytestmark = pytest.mark.filterwarnings(
    # its client is left to the garbage collector
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::DeprecationWarning",
)  # fmt: skip

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("openai:a", "openai:b", "openai:c")
ERRORS = {
    "rate_limit": "rate_limit", "quota": "unavailable", "unauthorized": "unavailable", "forbidden": "unavailable",
    "not_found": "unavailable", "gone": "unavailable", "server_error": "server_error", "unavailable": "server_error",
    "overloaded": "server_error", "bad_request": "caller_error", "unprocessable": "caller_error",
    "too_long": "context_overflow", "filtered": "refused", "reset": "network", "hang": "timeout",
}  # fmt: skip
Framework = Callable[..., BubFramework]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return bub's directory, with the provider as the only one, and without retries of its client."""
    monkeypatch.chdir(tmp_path)
    settings = {
        "HOME": str(tmp_path / "bub"), "MODEL": "openai:a", "API_KEY": "sk-none", "API_BASE": provider.url,
        "CLIENT_ARGS": json.dumps({"max_retries": 0}), "MODEL_TIMEOUT_SECONDS": "60",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(f"BUB_{name}", value)
    yield tmp_path / "bub"
    gc.collect()  # here, where its warnings are expected


@pytest.fixture
def framework(perf: mp.ModelPerf, tmp_path: Path) -> Framework:
    """Return a function that returns bub with the adapter, or with another plugin."""

    def build(adapter: Any = None) -> BubFramework:
        bub = BubFramework(tmp_path / "config.yml")
        bub.load_builtin_hooks()
        bub.plugin_manager.register(learned(perf, MODELS) if adapter is None else adapter, name="modelperf")
        return bub

    return build


async def answer(
    bub: BubFramework, prompt: str = "hello", *, state: dict[str, Any] | None = None, model: str | None = None
) -> str:
    """Run one turn, and return the text."""
    agent = Agent(bub, tools=(), skill_dirs=())
    text, state = "", {} if state is None else state
    events = await agent.run_stream(session_id="temp/x", prompt=prompt, state=state, model=model)
    async for event in events:
        if event.kind == "text":
            text += event.data["delta"]
    return text


def test_a_turn_goes_to_the_chosen_model(perf: mp.ModelPerf, provider: Provider, framework: Framework) -> None:
    """The model of the decision is called, and the outcome has what was used."""
    bub = framework(learned(perf, MODELS, context={"pin": "openai:b"}))
    state: dict[str, Any] = {}
    assert asyncio.run(answer(bub, state=state)) == "b"
    assert provider.asked == ["b"]
    assert [(each.model, each.verdict) for each in recorded(perf)] == [("openai:b", "good")]
    ticket = ticket_of(state)
    assert ticket is not None
    assert perf.report(ticket, success=False)
    assert verdicts(perf) == [("openai:b", "failed")]


def test_other_models_are_learned_to_avoid(perf: mp.ModelPerf, provider: Provider, framework: Framework) -> None:
    """A model that fails is avoided by the turns after it."""
    provider.behaviours.update(a="server_error", b="server_error")
    bub = framework()
    for _ in range(12):
        with suppress(Exception):  # as bub raises it
            asyncio.run(answer(bub))
    assert provider.asked[-3:] == ["c"] * 3
    assert ("openai:c", "good") in verdicts(perf)


def test_a_model_that_was_named_is_kept(perf: mp.ModelPerf, provider: Provider, framework: Framework) -> None:
    """A model that the user has switched to is used and recorded; one that is not ours is left alone."""
    bub = framework()
    assert asyncio.run(answer(bub, state={"model": "openai:c"})) == "c"
    assert asyncio.run(answer(bub, model="openai:other")) == "other"
    assert provider.asked == ["c", "other"]
    assert verdicts(perf) == [("openai:c", "good")]


def test_task_types(perf: mp.ModelPerf, framework: Framework) -> None:
    """The task type is the given one, or that of the state, or the default."""
    asyncio.run(answer(framework(learned(perf, MODELS, task_type="given"))))
    asyncio.run(answer(framework(), state={"modelperf_task_type": "mine"}))
    asyncio.run(answer(framework()))
    assert all(perf.store.tallies.of(task_type) for task_type in ("default", "given", "mine"))


def outcome_of(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or the type and text of what it raises."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - any
        return type(error), str(error)


@pytest.mark.parametrize("behaviour", ERRORS)
def test_errors_are_the_same_with_and_without(
    perf: mp.ModelPerf, provider: Provider, framework: Framework, behaviour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user sees what bub raises, and its kind is recorded."""
    provider.behaviours["a"] = behaviour
    if behaviour == "hang":
        monkeypatch.setenv("BUB_MODEL_TIMEOUT_SECONDS", "2")
    direct = outcome_of(lambda: asyncio.run(answer(framework(learned(perf, ["openai:other"])))))
    assert isinstance(direct, tuple), "it raises"
    assert outcome_of(lambda: asyncio.run(answer(framework(learned(perf, ["openai:a"]))))) == direct
    assert set(verdicts(perf)) == {("openai:a", ERRORS[behaviour])}


def test_an_empty_answer_is_no_success(perf: mp.ModelPerf, provider: Provider, framework: Framework) -> None:
    """A filtered answer raises nothing in bub; an empty one is recorded as a failure."""
    provider.behaviours["a"] = "filter"
    assert asyncio.run(answer(framework(learned(perf, ["openai:a"])))) == ""
    assert verdicts(perf) == [("openai:a", "failed")]


def test_a_check_judges_the_last_answer(perf: mp.ModelPerf, framework: Framework) -> None:
    """Its score is recorded; an exception of it counts against the model, and does not reach bub."""

    def broken(text: str) -> bool:
        raise ValueError(text)

    asyncio.run(answer(framework(learned(perf, MODELS, check=lambda text: 0.25 if text else 0.0))))
    asyncio.run(answer(framework(learned(perf, MODELS, check=broken))))
    assert [(each.verdict, each.score) for each in recorded(perf)] == [("failed", 0.25), ("other", None)]


def test_parallel_turns_do_not_mix(perf: mp.ModelPerf, framework: Framework) -> None:
    """Each turn has its own state, and its own outcome."""
    bub = framework()

    async def ask_all() -> list[str]:
        return await asyncio.gather(*(answer(bub) for _ in range(8)))

    assert set(asyncio.run(ask_all())) <= {"a", "b", "c"}
    assert len(recorded(perf)) == 8


def test_cancellation_passes(perf: mp.ModelPerf, provider: Provider, framework: Framework) -> None:
    """Bub calls no hook then; when it saves the state, the turn is recorded as cancelled."""
    provider.behaviours["a"] = "hang"
    adapter = learned(perf, ["openai:a"])
    bub, state = framework(adapter), dict[str, Any]()

    async def give_up() -> None:
        task = asyncio.create_task(answer(bub, state=state))
        while not provider.asked and not task.done():  # noqa: ASYNC110 - the provider is in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert verdicts(perf) == []
        await adapter.save_state(state=state)

    asyncio.run(give_up())
    assert verdicts(perf) == [("openai:a", "cancelled")]


def test_steps_of_a_turn_are_one_outcome(perf: mp.ModelPerf, framework: Framework) -> None:
    """The model is chosen once for a turn, also with tools, and the tokens of its calls are added up."""
    from bub.hooks.interception import AgentHooks, LlmCallRequest, LlmCallResult

    hooks: AgentHooks = framework().get_agent_hooks()
    state: dict[str, Any] = {}

    async def step(number: int, **result: Any) -> str:
        request, _ = await hooks.before_llm_call(LlmCallRequest(str(number), "openai:a", []), state)
        done = LlmCallResult(str(number), usage={"total_tokens": 10}, duration_ms=500, **result)
        await hooks.after_llm_call(request, done, state)
        return str(request.model)

    async def turn() -> set[str]:
        calls = [{"id": "1", "function": {"name": "clock", "arguments": "{}"}}]
        used = {await step(number, tool_calls=calls) for number in range(4)}
        assert verdicts(perf) == []
        return used | {await step(5, text="noon")}

    (model,) = asyncio.run(turn())
    assert [(each.model, each.verdict, each.tokens) for each in recorded(perf)] == [(model, "good", 50)]
    assert perf.store.tallies.of("default")[model].samples == 1


def test_a_subagent_has_a_turn_of_its_own(perf: mp.ModelPerf, framework: Framework) -> None:
    """Bub gives it a copy of the state: how it ends says nothing of the turn that has called it, which goes on."""
    from bub.hooks.interception import AgentHooks, LlmCallRequest, LlmCallResult

    hooks: AgentHooks = framework(learned(perf, ["openai:a"])).get_agent_hooks()

    async def call(state: dict[str, Any], **result: Any) -> None:
        request, _ = await hooks.before_llm_call(LlmCallRequest("run", "openai:a", []), state)
        await hooks.after_llm_call(request, LlmCallResult("run", usage={"total_tokens": 10}, **result), state)

    async def turn() -> str | None:
        state: dict[str, Any] = {}
        await call(state, tool_calls=[{"id": "1"}])
        await call({**state, "session_id": "temp/1"}, error=ConnectionError())
        assert [(each.verdict, each.tokens) for each in recorded(perf)] == [("network", 10)]
        await call(state, text="done")
        return ticket_of(state)

    ticket = asyncio.run(turn())
    assert [(each.verdict, each.tokens) for each in recorded(perf)] == [("network", 10), ("good", 20)]
    assert perf.report(str(ticket), success=False)
    assert verdicts(perf) == [("openai:a", "network"), ("openai:a", "failed")]


def test_a_call_that_another_plugin_moves_is_left_alone(perf: mp.ModelPerf, framework: Framework) -> None:
    """The chosen model is not judged by the answer of the model that was put in its place."""
    from bub.hooks import hookimpl

    class Other:
        @hookimpl(trylast=True)
        async def before_llm_call(self, request: Any) -> Any:
            return replace(request, model="openai:other")

    bub, state = framework(), dict[str, Any]()
    bub.plugin_manager.register(Other(), name="other")
    assert asyncio.run(answer(bub, state=state)) == "other"
    assert verdicts(perf) == []
    assert ticket_of(state) is None


def test_events_are_as_without(perf: mp.ModelPerf, provider: Provider, framework: Framework) -> None:
    """The text arrives in the same parts, and an answer that is left early is not recorded as a success."""

    async def events(adapter: Any, *, count: int | None = None) -> list[Any]:
        agent, seen = Agent(framework(adapter), tools=(), skill_dirs=()), list[Any]()
        stream = await agent.run_stream(session_id="temp/x", prompt="hello", state={})
        async with aclosing(stream):
            async for event in stream:
                seen.append((event.kind, event.data if event.kind == "text" else None))
                if len(seen) == count:
                    break
        return seen

    provider.answers["a"] = "several words"
    direct = asyncio.run(events(learned(perf, ["openai:other"])))
    assert [data for kind, data in direct if kind == "text"] == [{"delta": "severa"}, {"delta": "l words"}]
    assert asyncio.run(events(learned(perf, ["openai:a"]))) == direct
    assert verdicts(perf) == [("openai:a", "good")]
    asyncio.run(events(learned(perf, ["openai:a"]), count=1))
    assert verdicts(perf) == [("openai:a", "good")]


def test_another_process_judges_by_the_ticket(perf: mp.ModelPerf, path: Path, framework: Framework) -> None:
    """A grader reports later; its verdict counts once, and replaces the first."""
    state: dict[str, Any] = {}
    asyncio.run(answer(framework(learned(perf, ["openai:a"])), state=state))
    assert judged_by_another_process(path, ticket_of(state)) == "True False\n"
    assert verdicts(perf) == [("openai:a", "failed")]


def test_a_failure_of_ours_changes_nothing(
    provider: Provider, framework: Framework, caplog: pytest.LogCaptureFixture
) -> None:
    """If the engine cannot be opened, bub uses its own model, and the reason is logged once."""

    def broken() -> mp.ModelPerf:
        raise mp.StoreError("it is damaged")

    bub = framework(learned(broken, MODELS))
    for _ in range(3):
        assert asyncio.run(answer(bub)) == "a"
    assert [record.getMessage() for record in caplog.records if record.name == "modelperf_plugin"] == [
        "the model is bub's own: StoreError: it is damaged"
    ]


def test_prompts_and_answers_are_not_in_the_database(
    perf: mp.ModelPerf, provider: Provider, framework: Framework, path: Path
) -> None:
    """Neither is stored."""
    provider.answers["a"] = "an answer with a pearl"
    asyncio.run(answer(framework(learned(perf, ["openai:a"])), "a secret prompt"))
    perf.close()
    content = b"".join(file.read_bytes() for file in path.parent.glob("models.db*"))
    assert b"secret" not in content
    assert b"a pearl" not in content


def test_without_models_the_entry_point_does_nothing(home: Path) -> None:
    """Nothing is chosen, recorded or opened unless bub's configuration names models."""
    bub = BubFramework(home / "config.yml")
    bub.load_builtin_hooks()
    bub.plugin_manager.register(plugin(bub))
    assert asyncio.run(answer(bub)) == "a"
    assert not (home / "modelperf.db").exists()


PROCESS = """
import asyncio, sys
from bub import BubFramework
from bub.builtin.agent import Agent

async def main():
    bub = BubFramework()
    bub.load_hooks()
    print(bub._plugin_status["modelperf"])
    assert not [name for name in sys.modules if name.startswith("modelperf_plugin.engine")]
    events = await Agent(bub, tools=(), skill_dirs=()).run_stream(session_id="temp/x", prompt="hello", state={})
    async for event in events:
        pass

asyncio.run(main())
"""


def test_bub_loads_the_entry_point(tmp_path: Path, home: Path) -> None:
    """A process of bub chooses and records in bub's directory, and ends without a close."""
    if not entry_points(group="bub", name="modelperf"):  # this package was installed before it had one, or is not
        installed = tmp_path / "site" / "probe-1.dist-info"
        installed.mkdir(parents=True)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1\n")
        (installed / "entry_points.txt").write_text(
            f"[bub]\nmodelperf = {project['entry-points']['bub']['modelperf']}\n"
        )
    paths = os.pathsep.join(map(str, (tmp_path / "site", ROOT)))
    environment = os.environ | {"PYTHONPATH": paths, "BUB_MODELPERF_MODELS": '["openai:a", "openai:b"]'}
    command = [sys.executable, "-c", PROCESS]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "is_success=True" in result.stdout
    assert [verdict for _, verdict in verdicts(home / "modelperf.db")] == ["good"]
