"""Errors through the adapter for inspect-ai: the same for its user, and of the right kind in the store."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import modelperf_plugin as mp
from tests.adapters.provider import Provider
from tests.recorder.world import verdicts

pytest.importorskip("inspect_ai")
pytest.importorskip("openai")

from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, Model, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

from modelperf_plugin.adapters import inspect_ai as adapter

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # inspect's use of tenacity
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # streams that inspect leaves open
]

KINDS: Final = {
    "rate_limit": "rate_limit", "quota": "unavailable", "unauthorized": "unavailable", "forbidden": "unavailable",
    "not_found": "unavailable", "gone": "unavailable", "server_error": "server_error", "unavailable": "server_error",
    "overloaded": "server_error", "bad_request": "caller_error", "unprocessable": "caller_error",
    "too_long": "context_overflow", "filtered": "refused", "filter": "refused", "reset": "network", "hang": "timeout",
}  # fmt: skip
"""What a provider does, and the kind of failure that it is."""
IN_A_LOG: Final = {**KINDS, "quota": "rate_limit"}
"""The same, as far as a log tells: it has the text of an error, and not the provider's code."""


def model_of(attempt_timeout: int | None = None) -> Model:
    """Return a model of the local provider that does not retry."""
    config = GenerateConfig(max_retries=0, attempt_timeout=attempt_timeout)
    return get_model("openai/m", config=config, responses_api=False, memoize=False, max_retries=0)


def end_of(model: Model) -> tuple[Any, ...]:
    """Return how a call ends: the type and the text of its exception and its causes, or the answer."""
    try:
        output = asyncio.run(model.generate("anything"))
    except Exception as error:  # noqa: BLE001 - any
        causes: list[BaseException] = [error]
        while (cause := causes[-1].__cause__) is not None:
            causes.append(cause)
        return tuple((type(each), str(each).partition("Request")[0].partition(" at 0x")[0]) for each in causes)
    return output.stop_reason, output.completion


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    yield
    gc.collect()  # what inspect leaves open is reported here, and not in the next test


@pytest.mark.parametrize("behaviour", KINDS)
def test_the_same_errors_as_without(perf: mp.ModelPerf, provider: Provider, behaviour: str) -> None:
    """An error is raised as inspect raises it, an answer that is none is returned, and the kind is right."""
    provider.behaviours["m"] = behaviour
    attempt_timeout = 2 if behaviour == "hang" else None
    without = end_of(model_of(attempt_timeout))
    assert end_of(adapter.learned(perf, {"m": model_of(attempt_timeout)})) == without
    assert verdicts(perf) == [("m", KINDS[behaviour])]


@pytest.mark.parametrize("behaviour", IN_A_LOG)
def test_kinds_in_a_log(
    perf: mp.ModelPerf, provider: Provider, behaviour: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A sample that ended with an error of a provider is recorded with its kind."""
    monkeypatch.setenv("INSPECT_LOG_DIR", str(tmp_path / "logs"))
    provider.behaviours["m"] = behaviour
    task = Task(dataset=[Sample(input="?", target="yes")], solver=generate(), scorer=includes(), name="ask")
    options: dict[str, Any] = {"display": "none", "log_level": "critical", "fail_on_error": False}
    log = evaluate(task, model=model_of(2 if behaviour == "hang" else None), **options)[0]
    assert adapter.record_log(perf, log) == 1
    assert verdicts(perf) == [("openai/m", IN_A_LOG[behaviour])]
