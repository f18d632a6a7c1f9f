"""Code of the host that fails: its clock, its meter provider, its callbacks, handlers and filters of its logging."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pluggy
import pytest

import modelperf_plugin as mp
from modelperf_plugin.errors import StoreError
from modelperf_plugin.store import open_store
from tests.hooks.conftest import Register

MODELS = ["a", "b"]


def raising() -> datetime:
    raise LookupError("the answer is 42")


CLOCKS: dict[str, Callable[[], Any]] = {
    "raises": raising,
    "None": lambda: None,
    "a number": lambda: 1_767_225_600,
    "a naive datetime": lambda: datetime(2026, 1, 1),  # noqa: DTZ001 - that is what is bad
    "the year 1": lambda: datetime(1, 1, 1, tzinfo=UTC),
    "the year 9999": lambda: datetime(9999, 12, 31, 23, tzinfo=UTC),
}


def task(pm: pluggy.PluginManager) -> mp.Decision:
    """Choose and record."""
    decision: mp.Decision | None = pm.hook.select_model(task_type="t", candidates=MODELS, context=None)
    assert decision is not None
    pm.hook.on_task_complete(task_type="t", model_id=decision[0], outcome={"success": True}, decision=decision)
    return decision


def recorded(path: Path) -> int:
    """Return how many outcomes are in the store."""
    with closing(open_store(path)) as store:
        return sum(tally.samples for tally in store.tallies.of("t").values())


@pytest.mark.parametrize("clock", CLOCKS)
def test_the_machines_time_takes_the_place_of_a_bad_clock(
    clock: str, pm: pluggy.PluginManager, register: Register, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The hooks work, the failure is counted once, and closing closes the store."""
    plugin = register(pm, clock=CLOCKS[clock])
    for _ in range(10):
        decision = task(pm)
        assert abs(decision.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    store = plugin.engine().store
    plugin.close()
    assert plugin.failure_count() == 1
    assert "the answer is" not in caplog.text
    with pytest.raises(StoreError, match="closed"):
        store.tallies.of("t")
    assert recorded(path) == 10


def test_a_clock_may_fail_for_a_while(pm: pluggy.PluginManager, register: Register) -> None:
    """It is used again as soon as it works."""
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    times = iter([noon, None, noon])
    plugin = register(pm, {"exploration": {"strategy": "never"}}, clock=lambda: next(times, noon))
    assert {task(pm).created_at for _ in range(5)} >= {noon}
    assert plugin.failure_count() == 1


METERS = """
import sys, logging
from opentelemetry import metrics
from opentelemetry.metrics import NoOpMeterProvider
import pluggy, modelperf_plugin as mp

class Broken(NoOpMeterProvider):
    def get_meter(self, *args, **kwargs):
        if sys.argv[1] == "the provider":
            raise RuntimeError("no meters today")
        meter = super().get_meter("x")
        def fail(*args, **kwargs):
            raise RuntimeError("no instruments today")
        if sys.argv[1] == "an instrument":
            meter.create_counter = fail
        else:
            counter = meter.create_counter("x")
            counter.add = fail
            meter.create_counter = lambda *args, **kwargs: counter
        return meter

metrics.set_meter_provider(Broken())
pm = pluggy.PluginManager("host")
plugin = mp.register(pm, {"telemetry": {"metrics": True}}, store="p.db")
for _ in range(10):
    decision = pm.hook.select_model(task_type="t", candidates=["a", "b"], context=None)
    pm.hook.on_task_complete(task_type="t", model_id=decision[0], outcome={"success": True}, decision=decision)
print(plugin.failure_count())
"""


@pytest.mark.parametrize("what", ["the provider", "an instrument", "a measurement"])
def test_a_meter_provider_that_raises_costs_measurements(what: str, tmp_path: Path) -> None:
    """Choices are answered and outcomes recorded; the failure is counted once."""
    pytest.importorskip("opentelemetry", reason="needs the extra otel")
    environment = {**os.environ, "PYTHONPATH": str(Path(mp.__file__).parents[1])}
    result = subprocess.run(
        [sys.executable, "-c", METERS, what],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert result.stdout.split() == ["1"]
    assert recorded(tmp_path / "p.db") == 10


class BrokenHandler(logging.Handler):
    """Raises wherever it is called."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError(f"no room for {record}")

    def handle(self, record: logging.LogRecord) -> bool:
        raise OSError(f"no room for {record}")


def broken_filter(record: logging.LogRecord) -> bool:
    """Raise."""
    raise LookupError(f"cannot filter {record}")


@pytest.fixture(params=["a handler", "a handler of the root", "a filter"])
def broken_logging(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the host's logging raise for every message."""
    ours, root, handler = logging.getLogger("modelperf_plugin"), logging.getLogger(), BrokenHandler()
    level = ours.level
    ours.setLevel(logging.DEBUG)
    if request.param == "a filter":
        ours.addFilter(broken_filter)
    else:
        (ours if request.param == "a handler" else root).addHandler(handler)
    yield
    ours.removeFilter(broken_filter)
    ours.removeHandler(handler)
    root.removeHandler(handler)
    ours.setLevel(level)


@pytest.mark.usefixtures("broken_logging")
def test_logging_that_raises_changes_nothing(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """Registering, choosing, recording and closing do what they do without it."""
    plugin = register(pm)
    for _ in range(10):
        task(pm)
    assert pm.hook.select_model(task_type="t", candidates="not a list", context=None) is None
    assert plugin.failure_count() == 1
    plugin.close()
    assert recorded(path) == 10


@pytest.mark.usefixtures("broken_logging")
def test_no_outcome_is_lost_when_a_fallback_cannot_be_logged(
    pm: pluggy.PluginManager, register: Register, path: Path
) -> None:
    """The store falls back with a line in the log; the outcome at which it does is kept."""
    path.parent.mkdir()
    path.write_bytes(b"this is no database" * 1000)
    register(pm)
    for _ in range(10):
        pm.hook.on_task_complete(task_type="t", model_id="a", outcome={"success": True}, decision=None)
    lines = [line for file in path.parent.glob("*waiting*") for line in file.read_text().splitlines()]
    assert sum('"t"' in line for line in lines) == 10


@pytest.mark.usefixtures("broken_logging")
def test_a_configuration_that_breaks_is_no_reason_to_stop(
    pm: pluggy.PluginManager, register: Register, tmp_path: Path
) -> None:
    """The last valid one stays in force, though nothing of that can be logged."""
    file = tmp_path / "modelperf.toml"
    file.write_text("[ranking]\nmin_samples = 3\n")
    plugin = register(pm, file)
    file.write_text("[ranking\n")
    plugin.engine()._watch._next_check = 0.0
    task(pm)
    assert plugin.failure_count() == 1


def test_callbacks_that_raise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the callbacks of the direct API do, calls work; the failure is logged in their place."""

    def broken(error: Exception) -> None:
        raise RuntimeError("the host's own bug")

    file = tmp_path / "modelperf.toml"
    file.write_text("[ranking]\nmin_samples = 3\n")
    with mp.ModelPerf(
        file, store=tmp_path / "p.db", clock=raising, on_config_error=broken, on_background_error=broken
    ) as perf:
        file.write_text("[ranking\n")
        perf._watch._next_check = 0.0
        decision = perf.select("t", MODELS)
        assert decision is not None
        assert perf.record("t", decision[0], {"success": True}, decision)
    assert "the host's clock raised LookupError" in caplog.text
    assert "on_background_error raised RuntimeError" in caplog.text


def test_closing_closes_everything(tmp_path: Path) -> None:
    """A step of closing that fails does not keep the others from being taken."""
    errors: list[Exception] = []
    perf = mp.ModelPerf({}, store=tmp_path / "p.db", on_background_error=errors.append)
    perf.record("t", "a", {"success": True})

    def fail() -> None:
        raise LookupError

    for part in (perf._monitor, perf._decision_writer, perf._ab_tests, perf.attached):
        part.close = fail  # type: ignore[method-assign]
    perf.close()
    assert len(errors) == 4
    with pytest.raises(StoreError, match="closed"):
        perf.record("t", "a", {"success": True})


def test_only_one_module_calls_the_logging_of_the_host() -> None:
    """All others log by its logger, which raises nothing; the command line has no host."""
    package = Path(mp.__file__).parent
    callers = {
        file.relative_to(package).parts[0] for file in package.rglob("*.py") if "logging.getLogger" in file.read_text()
    }
    assert callers == {"log.py", "cli"}
