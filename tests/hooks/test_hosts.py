"""The plugin as the target of an entry point: it fits any host, and opens nothing before it is used."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
import pytest

import modelperf_plugin as mp
from modelperf_plugin.hosts import EntryPointPlugin
from tests.hooks.hosts import CANDIDATES, choose, complete, count_rows, declare, errors_logged, warnings_logged

ROOT = Path(__file__).resolve().parents[2]
Load = Callable[..., EntryPointPlugin]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Return a function that loads the plugin for a project, as pluggy loads entry points, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    loaded = []

    def load(project: str = "anyhost") -> EntryPointPlugin:
        plugin: EntryPointPlugin = EntryPoint("modelperf", f"modelperf_plugin.hosts:for_{project}", project).load()
        loaded.append(plugin)
        return plugin

    yield load
    for plugin in loaded:
        plugin.close()


class Full:
    """The hooks of a host that has everything."""

    @staticmethod
    def select_model(task_type: str, candidates: list[str], context: Any) -> None:
        """Choose."""

    @staticmethod
    def on_task_complete(task_type: str, model_id: str, outcome: Any, decision: Any) -> None:
        """Learn."""


class Short:
    """The hooks of a host that has less, in another order."""

    @staticmethod
    def select_model(candidates: list[str], task_type: str) -> None:
        """Choose."""

    @staticmethod
    def on_task_complete(outcome: Any, task_type: str, model_id: str) -> None:
        """Learn."""


@pytest.mark.parametrize("project", ["anyhost", "my_host", "my-host", "acme.agents", "x"])
@pytest.mark.parametrize("comes_first", [True, False])
def test_a_host_gets_decisions_and_is_learned_from(load: Load, tmp_path: Path, project: str, comes_first: bool) -> None:
    """Whether the specification comes before or after the plugin, it passes context and decision."""
    pm = pluggy.PluginManager(project)
    if comes_first:
        declare(pm, Full.select_model, Full.on_task_complete)
    plugin = load(project.replace("-", "_").replace(".", "_"))
    pm.register(plugin, "modelperf")
    if not comes_first:
        declare(pm, Full.select_model, Full.on_task_complete)
    pm.check_pending()
    assert list(tmp_path.iterdir()) == []
    decision = choose(pm, context={"pin": "llama-70b"})
    assert isinstance(decision, mp.Decision)
    assert decision.model_id == "llama-70b"
    complete(pm, model_id="llama-70b", decision=decision)
    plugin.close()
    assert count_rows(tmp_path / ".sf/model-performance.db", "model_outcomes") == 1
    assert plugin.failure_count() == 0
    assert plugin.limitations == ()


@pytest.mark.parametrize("project", ["my-big_host", "acme.my-host", "a__b", "for_x", "one-two-three-four-five-six"])
def test_any_project_name_has_its_entry_point(load: Load, project: str) -> None:
    """Separators may be mixed; the entry point has an underscore for each of them."""
    pm = declare(pluggy.PluginManager(project), Full.select_model, Full.on_task_complete)
    pm.register(load(project.replace("-", "_").replace(".", "_")))
    assert set(choose(pm)) == set(CANDIDATES)
    assert len(pm.hook.on_task_complete.get_hookimpls()) == 1


@pytest.mark.parametrize("comes_first", [True, False])
def test_a_host_with_fewer_arguments(load: Load, caplog: pytest.LogCaptureFixture, comes_first: bool) -> None:
    """What is not possible without them is said once each, and the rest works."""
    pm = pluggy.PluginManager("anyhost")
    plugin = load()
    for step in (lambda: declare(pm, Short.select_model, Short.on_task_complete), lambda: pm.register(plugin))[
        :: 1 if comes_first else -1
    ]:
        step()
    for _ in range(3):
        decision = pm.hook.select_model(task_type="plan", candidates=CANDIDATES)
        assert set(decision) == set(CANDIDATES)
        pm.hook.on_task_complete(task_type="plan", model_id=decision[0], outcome={"success": True})
    assert plugin.engine().store.tallies.of("plan")
    assert len(plugin.limitations) == 2
    assert warnings_logged(caplog) == list(plugin.limitations)
    assert plugin.limitations[0].startswith("the host 'anyhost' calls select_model without context: no pins")


def test_a_host_that_lacks_what_the_plugin_needs_is_told(load: Load) -> None:
    """As any plugin, it cannot be loaded into a host whose hook lacks a required argument."""

    def select_model(task_type: str) -> None:
        """Declare no candidates."""

    pm = declare(pluggy.PluginManager("anyhost"), select_model)
    with pytest.raises(pluggy.PluginValidationError, match="candidates"):
        pm.register(load())


def test_a_failure_never_reaches_the_host(load: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a broken configuration every hook answers None, and the reason is logged once."""
    (tmp_path / "modelperf.toml").write_text("[ranking]\nmin_sample = 3\n")
    pm = declare(pluggy.PluginManager("anyhost"), Full.select_model, Full.on_task_complete)
    pm.register(plugin := load())
    for _ in range(3):
        assert choose(pm) is None
        complete(pm)
    assert plugin.failure_count() >= 2
    assert all("min_samples" in message for message in errors_logged(caplog))


def test_what_hosts_do_with_entry_points(load: Load) -> None:
    """It has a name, is not callable, and is the same whenever it is loaded; after it was closed there is a new one."""
    plugin = load()
    assert plugin.__name__ == "modelperf_plugin"
    assert not callable(plugin)
    assert not inspect.isclass(plugin)
    assert load() is plugin
    assert load("another") is not plugin
    plugin.close()
    assert load() is not plugin
    with pytest.raises(mp.StoreError, match="closed"):
        plugin.engine()


@pytest.mark.parametrize("name", ["for_", "of_anyhost", "__path__"])
def test_other_names_are_attribute_errors(name: str) -> None:
    """Only ``for_PROJECT`` is there."""
    import modelperf_plugin.hosts

    with pytest.raises(AttributeError, match="for_PROJECT"):
        getattr(modelperf_plugin.hosts, name)


def test_threads_get_the_same_plugin(load: Load) -> None:
    """Loading and the first call may happen in several threads at once."""
    pm = declare(pluggy.PluginManager("anyhost"), Full.select_model, Full.on_task_complete)
    pm.register(plugin := load())
    decisions: list[Any] = []
    threads = [threading.Thread(target=lambda: decisions.append(choose(pm))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(decisions) == 8
    assert any(isinstance(decision, mp.Decision) for decision in decisions)
    assert plugin.engine() is plugin.engine()


HOST = """
import sys, pluggy
pm = pluggy.PluginManager("anyhost")
class Specs:
    @pluggy.HookspecMarker("anyhost")(firstresult=True)
    def select_model(self, task_type, candidates, context): "Choose."
    @pluggy.HookspecMarker("anyhost")
    def on_task_complete(self, task_type, model_id, outcome, decision): "Learn."
pm.add_hookspecs(Specs)
assert pm.load_setuptools_entrypoints("anyhost") == 1
print(*[name for name in sys.modules if name.startswith("modelperf_plugin.")], "pydantic" in sys.modules)
decision = pm.hook.select_model(task_type="t", candidates=["a", "b"], context=None)
pm.hook.on_task_complete(task_type="t", model_id=decision[0], outcome={"success": True}, decision=decision)
"""


def test_a_host_that_knows_nothing_of_the_plugin(tmp_path: Path) -> None:
    """One line in the project of whoever installs it is enough, and the process ends without a close."""
    folder = tmp_path / "site" / "team-1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: team\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("[anyhost]\nmodelperf = modelperf_plugin.hosts:for_anyhost\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (tmp_path / "site", ROOT)))}
    command = [sys.executable, "-W", "error", "-c", HOST]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    loaded = "modelperf_plugin.hosts modelperf_plugin.hooks modelperf_plugin.hooks.fitting False"
    assert sorted(result.stdout.split()) == sorted(loaded.split())
    with mp.ModelPerf(store=tmp_path / ".sf/model-performance.db") as perf:
        assert sum(tally.samples for tally in perf.store.tallies.of("t").values()) == 1
    assert count_rows(tmp_path / ".sf/model-performance.db", "decision") == 1


def test_tracing_hosts_and_extra_plugins(load: Load) -> None:
    """Monitoring of hook calls, and plugins of the host beside it, change nothing."""
    pm = declare(pluggy.PluginManager("anyhost"), Full.select_model, Full.on_task_complete)
    undo = pm.enable_tracing()
    others = ModuleType("others")
    mark = pluggy.HookimplMarker("anyhost")
    others.on_task_complete = mark(lambda task_type, decision: seen.append((task_type, decision)))  # type: ignore[attr-defined]
    seen: list[Any] = []
    pm.register(others)
    pm.register(load())
    decision = choose(pm)
    complete(pm, decision=decision)
    undo()
    assert seen == [("plan", decision)]
