"""The contract test for hosts: a good host passes it, and each mistake of a host is told by the rule that it breaks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pluggy
import pytest

import modelperf_plugin as mp
from modelperf_plugin import hosts
from modelperf_plugin.testing import Call, HostContract, check_host
from tests.hooks.hosts import CANDIDATES

hookspec = pluggy.HookspecMarker("goodhost")


class Hooks:
    """What a good host declares."""

    @hookspec(firstresult=True)
    def select_model(self, task_type: str, candidates: list[str], context: Any) -> Any:
        """Choose."""

    @hookspec
    def on_task_complete(self, task_type: str, model_id: str, outcome: Any, decision: Any) -> None:
        """Learn."""


def good_manager(hooks: Any = Hooks) -> pluggy.PluginManager:
    """Return the plugin manager of a good host."""
    pm = pluggy.PluginManager("goodhost")
    pm.add_hookspecs(hooks)
    return pm


def good_task(pm: pluggy.PluginManager, call: Call) -> None:
    """Ask once, and try the models of the decision."""
    decision = pm.hook.select_model(task_type="t", candidates=list(CANDIDATES), context=None)
    for model_id in decision or CANDIDATES:
        good, timeout = False, False
        try:
            good = call(model_id)
        except TimeoutError:
            timeout = True
        except ConnectionError:
            pass
        outcome = mp.Outcome(success=good, timeout=timeout)
        pm.hook.on_task_complete(task_type="t", model_id=model_id, outcome=outcome, decision=decision)
        if good:
            return


class TestGoodHost(HostContract):
    """The contract as a host has it in its own suite."""

    def plugin_manager(self) -> pluggy.PluginManager:
        """Return the host's plugin manager."""
        return good_manager()

    def run_task(self, pm: pluggy.PluginManager, call: Call) -> None:
        """Run one task."""
        good_task(pm, call)


def test_a_good_host_passes_without_a_test_runner() -> None:
    """The function checks the same rules, and needs no pytest."""
    check_host(good_manager, good_task)
    code = "import sys, modelperf_plugin.testing; assert not {'pytest', '_pytest'} & set(sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def ask(pm: pluggy.PluginManager, **changed: Any) -> Any:
    """Ask for a model."""
    return pm.hook.select_model(**{"task_type": "t", "candidates": list(CANDIDATES), "context": None, **changed})


def tell(pm: pluggy.PluginManager, model_id: str, success: bool, decision: Any, /, **changed: Any) -> None:
    """Report an attempt."""
    given = {"task_type": "t", "model_id": model_id, "outcome": {"success": success}, "decision": decision}
    pm.hook.on_task_complete(**given | changed)


def never_asks(pm: pluggy.PluginManager, call: Call) -> None:
    """Use a model of its own."""
    tell(pm, "gpt-4o", call("gpt-4o"), None)


def asks_too_late(pm: pluggy.PluginManager, call: Call) -> None:
    """Call before the choice."""
    good = call("gpt-4o")
    decision = ask(pm)
    tell(pm, "gpt-4o", good, decision)


def ignores_the_choice(pm: pluggy.PluginManager, call: Call) -> None:
    """Always use the first candidate."""
    decision = ask(pm)
    tell(pm, CANDIDATES[0], call(CANDIDATES[0]), decision)


def reports_before(pm: pluggy.PluginManager, call: Call) -> None:
    """Report what is not known yet."""
    decision = ask(pm)
    model_id = decision[0] if decision else CANDIDATES[0]
    tell(pm, model_id, True, decision)
    call(model_id)


def never_reports(pm: pluggy.PluginManager, call: Call) -> None:
    """Report nothing."""
    decision = ask(pm)
    call(decision[0] if decision else CANDIDATES[0])


def once(pm: pluggy.PluginManager, call: Call, **changed: Any) -> None:
    """Make one attempt, and raise what the model raises after the report."""
    decision = ask(pm)
    model_id = decision[0] if decision else CANDIDATES[0]
    try:
        good = call(model_id)
    except Exception as error:
        outcome = {"success": False, "timeout": isinstance(error, TimeoutError)}
        tell(pm, model_id, False, decision, **{"outcome": outcome} | changed)
        raise
    tell(pm, model_id, good, decision, **changed)


def forgets_errors(pm: pluggy.PluginManager, call: Call) -> None:
    """Report only calls that return."""
    decision = ask(pm)
    model_id = decision[0] if decision else CANDIDATES[0]
    tell(pm, model_id, call(model_id), decision)


def cannot_do_without(pm: pluggy.PluginManager, call: Call) -> None:
    """Rely on a decision."""
    decision = ask(pm)
    tell(pm, decision[0], call(decision[0]), decision)


def mutates(pm: pluggy.PluginManager, call: Call) -> None:
    """Change the list after it was passed."""
    candidates = list(CANDIDATES)
    decision = ask(pm, candidates=candidates)
    model_id = decision[0] if decision else candidates[0]
    candidates.remove(model_id)
    tell(pm, model_id, call(model_id), decision)


def in_its_own_order(pm: pluggy.PluginManager, call: Call) -> None:
    """Fall back to the last of the decision."""
    decision = ask(pm)
    order = list(decision or CANDIDATES)
    for model_id in (order[0], *reversed(order[1:])):
        try:
            good, late = call(model_id), False
        except OSError as error:
            good, late = False, isinstance(error, TimeoutError)
        tell(pm, model_id, good, decision, outcome={"success": good, "timeout": late})
        if good:
            return


@pytest.mark.parametrize(
    ("task", "rule", "message"),
    [
        (never_asks, "asks_before_it_calls", "select_model was never called"),
        (asks_too_late, "asks_before_it_calls", "the order was: call → ask → report"),
        (ignores_the_choice, "uses_the_model_that_was_chosen", "but it called gpt-4o"),
        (in_its_own_order, "follows_the_order_of_the_decision", "but it called"),
        (reports_before, "reports_a_success", "ask → report → call"),
        (never_reports, "reports_a_success", "must call on_task_complete after the model"),
        (forgets_errors, "reports_an_exception", "it called 1 models and reported 0 attempts"),
        (lambda pm, call: once(pm, call, outcome={"success": True}), "reports_a_failure", "was bad, but"),
        (lambda pm, call: once(pm, call, outcome={"success": False}), "reports_a_timeout", "with timeout=True"),
        (lambda pm, call: once(pm, call, outcome={"succes": True}), "reports_a_success", "succes"),
        (lambda pm, call: once(pm, call, decision=None), "passes_the_decision", "decision is None"),
        (lambda pm, call: once(pm, call, task_type="u"), "reports_a_success", "the one it has asked for"),
        (lambda pm, call: once(pm, call, model_id="other"), "reports_a_failure", "reports other"),
        (cannot_do_without, "works_without_an_opinion", "NoneType"),
        (cannot_do_without, "works_without_plugins", "without plugins it raises TypeError"),
        (mutates, "leaves_the_candidates_alone", "changes the list"),
        (lambda pm, _call: ask(pm) and None, "asks_before_it_calls", "run_task has to use its argument"),
    ],
)
def test_mistakes_are_told_by_the_rule_that_they_break(
    task: Callable[[pluggy.PluginManager, Call], None], rule: str, message: str
) -> None:
    """The message says what was seen, and what is expected."""
    with pytest.raises(AssertionError) as caught:
        check_host(good_manager, task)
    lines = [line for line in str(caught.value).splitlines() if line.startswith(f"test_{rule}: ")]
    assert lines, caught.value
    assert message in lines[0]


class Loose:
    """Hooks that are declared carelessly."""

    @hookspec
    def select_model(self, task_type: str, candidates: list[str], context: Any) -> Any:
        """Choose."""

    @hookspec
    def on_task_complete(self, task_type: str, model_id: str, outcome: Any) -> None:
        """Learn."""


def test_hooks_that_are_declared_badly() -> None:
    """Each mistake of a declaration has its message."""

    def message(manager: Callable[[], pluggy.PluginManager]) -> str:
        with pytest.raises(AssertionError) as caught:
            check_host(manager, lambda _pm, _call: None)
        return str(caught.value)

    assert "declares_both_hooks: the host does not declare select_model" in message(lambda: pluggy.PluginManager("x"))
    assert "firstresult=True" in message(lambda: good_manager(Loose))
    assert "so without decision" in message(lambda: good_manager(Loose))


@pytest.mark.parametrize("name", ["modelperf", "learned"])
def test_a_manager_that_has_the_plugin_already(name: str) -> None:
    """A host whose factory loads entry points is told to load them elsewhere, in every test and by its own name."""

    def loaded() -> pluggy.PluginManager:
        pm = good_manager()
        pm.register(getattr(hosts, "for_goodhost"), name=name)  # noqa: B009 - as an entry point loads it
        return pm

    for manager, message in ((loaded, f"but {name} is registered"), (lambda: None, "but got None")):
        with pytest.raises(AssertionError) as caught:
            check_host(manager, good_task)  # type: ignore[arg-type]
        lines = str(caught.value).splitlines()
        assert len(lines) == sum(each.startswith("test_") for each in vars(HostContract))
        assert all(message in line for line in lines)


def test_an_incomplete_contract_says_what_is_missing() -> None:
    """A subclass that does not define the two methods is told which ones."""
    with pytest.raises(NotImplementedError, match="return the host's plugin manager"):
        HostContract().test_declares_both_hooks()
    with pytest.raises(NotImplementedError, match=r"call\(model_id\) stands for the model"):
        HostContract().run_task(good_manager(), lambda _: True)
