"""The optional hooks by which a host is told what was found: its own findings and those of other processes, once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pluggy
import pytest

import modelperf_plugin as mp
from modelperf_plugin.hooks import hookspecs
from tests.hooks.conftest import Register
from tests.hooks.hosts import choose, complete, declare
from tests.waiting import wait_until

hookimpl = pluggy.HookimplMarker("somehost")
DEMOTIONS = {"demotion": {"threshold": 0.5}}
SINCE_MS = 1_790_000_000_000
OTHERS = """
import sys
import modelperf_plugin as mp
with mp.ModelPerf({}, store=sys.argv[1]) as other:
    other.record("plan", "llama-70b", {"success": False})
    other.store.demotions.add("plan", "llama-70b", 1_790_000_000_000, 0.5, 1e6, "found elsewhere")
"""


class Listener:
    """A plugin of the host that notes what it is told, and by which thread."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.threads: set[int] = set()

    def note(self, *told: Any) -> None:
        self.told.append(told)
        self.threads.add(threading.get_ident())

    @hookimpl
    def on_model_demoted(self, task_type: str, model_id: str, reason: str, since: datetime) -> None:
        self.note("demoted", task_type, model_id, reason, since)

    @hookimpl
    def on_model_changed(self, model_id: str, direction: str, reason: str, since: datetime) -> None:
        self.note("changed", model_id, direction, reason, since)

    @hookimpl
    def on_test_verdict(self, task_type: str, incumbent: str, challenger: str, winner: str | None, reason: str) -> None:
        self.note("verdict", task_type, incumbent, challenger, winner, reason)


@pytest.fixture
def listener(pm: pluggy.PluginManager) -> Listener:
    """Return a listener that is registered before the plugin, whose hooks are not declared yet."""
    listener = Listener()
    pm.register(listener)
    return listener


def demote(path: Path, model_id: str = "gpt-4o") -> None:
    """Store a demotion, as another process would."""
    with mp.ModelPerf({}, store=path) as other:
        other.record("plan", model_id, {"success": False})
        assert other.store.demotions.add("plan", model_id, SINCE_MS, 0.5, 1e6, "found elsewhere")


def announce(operator: mp.ModelPerf, model_id: str) -> None:
    """Announce a change as ``modelperf announce`` does."""
    newest = operator.store.events.last_id()
    assert operator.store.changes.add(model_id, "announced", (newest, newest), (SINCE_MS, SINCE_MS), None, {})


def wait_for(listener: Listener, number: int) -> list[tuple[Any, ...]]:
    """Return what a listener was told, once that is ``number`` findings."""
    wait_until(lambda: len(listener.told) >= number)
    assert len(listener.told) == number
    return listener.told


def outcomes(successes: int, failures: int) -> Iterator[bool]:
    yield from [True] * successes
    yield from [False] * failures


def test_own_findings_are_told_by_another_thread(
    pm: pluggy.PluginManager, listener: Listener, register: Register
) -> None:
    """A host is told once what its own outcomes show; the call that found it does not wait for the host's code."""
    register(pm, DEMOTIONS)
    for success in outcomes(0, 60):
        complete(pm, model_id="llama-70b", outcome={"success": success})
        complete(pm, model_id="gpt-4o")
    ((kind, task_type, model_id, reason, since),) = wait_for(listener, 1)
    assert (kind, task_type, model_id) == ("demoted", "plan", "llama-70b")
    assert "success rate below 0.5" in reason
    assert since <= datetime.now(UTC)
    assert threading.get_ident() not in listener.threads


def test_what_the_last_call_found_is_told_at_the_latest_when_the_plugin_is_closed(
    pm: pluggy.PluginManager, listener: Listener, register: Register
) -> None:
    """A short script is told everything, too."""
    plugin = register(pm, DEMOTIONS)
    failed = [("plan", "llama-70b", {"success": False})] * 60
    plugin.engine().record_many(failed + [("plan", "gpt-4o", {"success": True})] * 60)
    plugin.close()
    assert [told[:3] for told in listener.told] == [("demoted", "plan", "llama-70b")]
    plugin.close()
    assert len(listener.told) == 1


def test_a_change_is_told(pm: pluggy.PluginManager, listener: Listener, register: Register) -> None:
    """A model that becomes worse on every task type is told once, with since when."""
    plugin = register(pm, {"demotion": {"strategy": "never"}})
    for success in outcomes(200, 10):
        for model_id, is_good in (("gpt-4o", True), ("llama-70b", success)):
            complete(pm, model_id=model_id, outcome={"success": is_good})
    plugin.close()
    ((_, model_id, direction, reason, since),) = listener.told
    assert (model_id, direction) == ("llama-70b", "down")
    assert "does worse since" in reason
    assert "likelihood ratio" in reason
    assert since <= datetime.now(UTC)


def test_the_verdict_of_a_test_is_told(pm: pluggy.PluginManager, listener: Listener, register: Register) -> None:
    """An A/B test tells its winner once, with its sides."""
    test = {"strategy": "ab_test", "incumbent": "bad", "challenger": "good", "share": 0.5, "min_samples": 10}
    plugin = register(pm, {"exploration": test, "drift": {"detect": False}}, seed=1)
    for _ in range(300):
        decision = choose(pm, candidates=["good", "bad"])
        outcome = {"success": decision[0] == "good"}
        complete(pm, model_id=decision[0], outcome=outcome, decision=decision)
    plugin.close()
    ((kind, *sides, reason),) = [told for told in listener.told if told[0] == "verdict"]
    assert (kind, sides) == ("verdict", ["plan", "bad", "good", "good"])
    assert "good is better" in reason


def test_findings_of_other_processes_are_told_once(
    pm: pluggy.PluginManager, listener: Listener, register: Register, path: Path
) -> None:
    """What another process has stored is told at the next call, by every host process, and never again."""
    register(pm)
    other = Listener()
    second = pluggy.PluginManager("somehost")
    second.register(other)
    register(second)
    subprocess.run([sys.executable, "-c", OTHERS, str(path)], check=True, timeout=60)
    assert listener.told == []
    for each in (pm, second):
        choose(each)
    told = ("demoted", "plan", "llama-70b", "found elsewhere", datetime.fromtimestamp(SINCE_MS / 1000, UTC))
    for being_told in (listener, other):
        assert wait_for(being_told, 1) == [told]
    demote(path)
    complete(pm)
    assert wait_for(listener, 2)[1][:3] == ("demoted", "plan", "gpt-4o")


def test_earlier_findings_are_not_told(
    pm: pluggy.PluginManager, listener: Listener, register: Register, path: Path
) -> None:
    """A host that starts is not told what was known before; what is found next is."""
    register(pluggy.PluginManager("earlier")).engine()
    demote(path, "old")
    plugin = register(pm)
    demote(path, "new")
    choose(pm)
    plugin.close()
    assert [told[2] for told in listener.told] == ["new"]


def test_an_operators_edit_is_not_a_finding(
    pm: pluggy.PluginManager, listener: Listener, register: Register, path: Path
) -> None:
    """Renaming a task type tells nothing; announcing a change does, in every process."""
    plugin = register(pm)
    complete(pm)
    demote(path)
    complete(pm)
    wait_for(listener, 1)
    with mp.ModelPerf({}, store=path) as operator:
        operator.store.editing.rename_task_type("plan", "planning", SINCE_MS)
    findings, edit = plugin.engine().findings, plugin.engine().store.editing.last_edit()
    findings._read_at = 0.0
    complete(pm)
    wait_until(lambda: findings._edit == edit)
    with mp.ModelPerf({}, store=path) as operator:
        announce(operator, "gpt-4o")
    plugin.close()
    (_, announced) = listener.told
    assert announced[:4] == ("changed", "gpt-4o", "announced", "announced by an operator")


def test_a_listener_that_raises_harms_nobody(
    pm: pluggy.PluginManager, register: Register, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of the host's code is logged and counted without its text, and the next finding is told all the same."""

    class Raising(Listener):
        @hookimpl
        def on_model_demoted(self, model_id: str) -> None:  # type: ignore[override]  # implementations take what they need
            self.note(model_id)
            raise LookupError("a secret of the host")

    listener = Raising()
    plugin = register(pm)
    pm.register(listener)
    demote(path, "a")
    demote(path, "b")
    choose(pm)
    plugin.close()
    assert listener.told == [("a",), ("b",)]
    assert plugin.failure_count() == 2
    assert "on_model_demoted raised LookupError" in caplog.text
    assert "secret" not in caplog.text


def test_a_listener_may_call_the_plugin(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """An implementation may choose, record and close: nothing is locked while it runs."""
    told = []

    class Calling:
        @hookimpl
        def on_model_demoted(self, task_type: str) -> None:
            complete(pm, task_type=task_type)
            told.append(choose(pm, task_type=task_type)[0])
            plugin.close()

    plugin = register(pm)
    pm.register(Calling())
    demote(path)
    choose(pm)
    deadline = time.monotonic() + 20
    while not told and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(told) == 1
    assert plugin.failure_count() == 0


def test_a_host_without_listeners_has_no_thread(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """Without an implementation no thread is started, and nothing is read."""
    plugin = register(pm)
    demote(path)
    for _ in range(3):
        complete(pm, decision=choose(pm))
    assert "modelperf findings" not in [thread.name for thread in threading.enumerate()]
    assert plugin.limitations == ()


def test_a_host_may_declare_them_with_fewer_arguments(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """A host's own specification is left as it is, and called with the arguments that it has."""
    told = []

    class Short:
        @hookimpl
        def on_model_demoted(self, model_id: str) -> None:
            told.append(model_id)

    def on_model_demoted(model_id: str) -> None: ...

    declare(pm, on_model_demoted)
    pm.register(Short())
    plugin = register(pm)
    demote(path)
    choose(pm)
    plugin.close()
    assert told == ["gpt-4o"]


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_hook_of_the_same_name_with_other_arguments_is_not_ours(
    is_declared: bool, pm: pluggy.PluginManager, register: Register, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A host that uses the name for something else is warned once, is never called, and loses nothing."""
    called = []

    class Theirs:
        @hookimpl
        def on_model_changed(self, view: object) -> None:
            called.append(view)

    def on_model_changed(view: object) -> None: ...

    if is_declared:
        declare(pm, on_model_changed)
    pm.register(Theirs())
    plugin = register(pm)
    (warning,) = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert "does not call on_model_changed of the host 'somehost'" in warning
    assert "view" in warning
    with mp.ModelPerf({}, store=path) as operator:
        announce(operator, "gpt-4o")
    choose(pm)
    plugin.close()
    assert called == []
    assert plugin.failure_count() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_worker_starts_like_a_new_host(
    pm: pluggy.PluginManager, listener: Listener, register: Register, path: Path
) -> None:
    """What was found before the fork is told by the parent alone, what is found later by both."""
    plugin = register(pm)
    demote(path, "before")
    child = os.fork()
    if not child:
        code = 1
        try:
            demote(path, "after")
            choose(pm)
            plugin.close()
            code = 0 if [told[2] for told in listener.told] == ["after"] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    choose(pm)
    plugin.close()
    assert [told[2] for told in listener.told] == ["before", "after"]


def test_the_contract_belongs_to_no_host(pm: pluggy.PluginManager, register: Register) -> None:
    """The hooks are declared for any host, and the functions of the contract stay unmarked."""
    register(pm)
    for contract in (hookspecs.on_model_demoted, hookspecs.on_model_changed, hookspecs.on_test_verdict):
        spec = getattr(pm.hook, contract.__name__).spec
        assert spec.function.__doc__ == contract.__doc__
        assert vars(contract) == {}
