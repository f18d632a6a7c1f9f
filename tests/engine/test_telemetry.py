"""What OpenTelemetry is given, through a real SDK in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

import modelperf_plugin as mp
from modelperf_plugin.engine import telemetry
from modelperf_plugin.errors import MissingExtraError

HOST = """
import json, sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
import pluggy
import modelperf_plugin as mp

reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
pm = pluggy.PluginManager("host")
plugin = mp.register(pm, {"telemetry": {"metrics": sys.argv[1] == "on"}}, store=":memory:", seed=1)
for outcome in (
    dict(success=True, duration_seconds=2.5, tokens_used=100, cost_usd=0.25, outcome_id="once"),
    dict(success=True, outcome_id="once"),
    dict(success=False, error_kind="rate_limit", duration_seconds=0.5),
    dict(success=False, timeout=True),
    dict(success=False, error_kind="cancelled"),
):
    decision = pm.hook.select_model(task_type="plan", candidates=["only"], context=None)
    pm.hook.on_task_complete(task_type="plan", model_id="only", outcome=outcome, decision=decision)
plugin.close()
data = reader.get_metrics_data()
print(data.to_json() if data is not None else "{}")
"""


def measured(switch: str) -> dict[str, Any]:
    """Return by name what a host has measured: its unit, and its points."""
    pytest.importorskip("opentelemetry.sdk.metrics", reason="needs opentelemetry-sdk")
    result = subprocess.run(
        [sys.executable, "-c", HOST, switch], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    scopes = [
        scope for each in json.loads(result.stdout).get("resource_metrics", []) for scope in each["scope_metrics"]
    ]
    return {metric["name"]: metric for scope in scopes for metric in scope["metrics"]}


def test_every_outcome_and_decision_is_measured_once() -> None:
    """By the names of the conventions, each with model and task type; a repeated outcome is not measured."""
    found = measured("on")
    assert {name: metric["unit"] for name, metric in found.items()} == {
        "gen_ai.client.operation.duration": "s",
        "gen_ai.client.token.usage": "{token}",
        "modelperf.outcomes": "{outcome}",
        "modelperf.cost": "USD",
        "modelperf.decisions": "{decision}",
    }
    points = {name: metric["data"]["data_points"] for name, metric in found.items()}
    for each in (point for listed in points.values() for point in listed):
        assert each["attributes"]["gen_ai.request.model"] == "only"
        assert each["attributes"]["modelperf.task_type"] == "plan"
    results = {point["attributes"]["modelperf.result"]: point["value"] for point in points["modelperf.outcomes"]}
    assert results == {"success": 1, "outage": 1, "failure": 1, "caller_error": 1}
    assert sum(point["value"] for point in points["modelperf.decisions"]) == 5
    assert points["modelperf.cost"][0]["value"] == 0.25
    durations = {
        point["attributes"].get("error.type"): point["sum"] for point in points["gen_ai.client.operation.duration"]
    }
    assert durations == {None: 2.5, "rate_limit": 0.5}
    assert points["gen_ai.client.token.usage"][0]["attributes"]["gen_ai.token.type"] == "total"


def test_nothing_is_measured_unless_it_is_asked_for() -> None:
    """The default is off."""
    assert measured("off") == {}


def test_a_missing_package_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The host still works; the message names the extra; an engine that only explains does not need it."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with mp.ModelPerf({"telemetry": {"metrics": True}}, store=":memory:") as perf:
        assert perf.explain("plan", ["a"]) is not None
        assert caplog.messages == []
        for _ in range(3):
            assert perf.record("plan", "a", mp.Outcome(success=True))
    assert len([text for text in caplog.messages if 'pip install "modelperf-plugin[otel]"' in text]) == 1
    with pytest.raises(MissingExtraError, match="otel"):
        telemetry.Telemetry(lambda _: None)


def test_a_failing_exporter_does_not_disturb_the_host() -> None:
    """Measuring never raises into the host, and the first failure is reported."""
    pytest.importorskip("opentelemetry", reason="needs the extra otel")

    class Broken:
        def add(self, *_: object) -> None:
            raise RuntimeError

        record = add

    reported: list[Exception] = []
    measuring = telemetry.Telemetry(reported.append)
    for name in ("_duration", "_tokens", "_outcomes", "_cost", "_decisions"):
        setattr(measuring, name, Broken())
    with mp.ModelPerf({}, store=":memory:") as perf:
        decision = perf.explain("plan", ["a"])
    assert decision is not None
    measuring.on_decision(decision)
    measuring.on_outcome("plan", "a", mp.Outcome(success=False, duration_seconds=1, tokens_used=2, cost_usd=3))
    assert [str(error) for error in reported] == [
        "an instrument of the meter provider raised RuntimeError: a measurement is missing"
    ]
