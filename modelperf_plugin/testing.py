"""A contract test for hosts: whether one declares the hooks well, asks before each task and reports every attempt.

A host subclasses :class:`HostContract` in its own pytest suite and says how to build its plugin manager and how to run
one task, or calls :func:`check_host`. Nothing of pytest is imported.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import pluggy

from modelperf_plugin.errors import RegistrationError
from modelperf_plugin.hooks.fitting import NOT_PASSED, fitting_complete, fitting_select
from modelperf_plugin.hooks.plugin import register
from modelperf_plugin.values import Decision, Outcome, RankedModel, Ranking, Tally, check_id, check_ids

__all__ = ["HostContract", "check_host"]

Call = Callable[[str], bool]
"""What stands for a model: gets its id; returns whether the result is good, or raises."""

_ARGUMENTS: Final = {
    "select_model": ("task_type", "candidates", "context"),
    "on_task_complete": ("task_type", "model_id", "outcome", "decision"),
}


class HostContract:
    """Tests of a host; subclass it as ``class TestOurHost(HostContract)`` and define the first two methods.

    A new plugin manager is built for every test. A host that lacks something on purpose overrides the test with
    ``test_… = None``.
    """

    def plugin_manager(self) -> pluggy.PluginManager:
        """Return a new plugin manager as the host sets it up, without plugins."""
        raise NotImplementedError("return the host's plugin manager, with its hooks declared and no plugins")

    def run_task(self, pm: pluggy.PluginManager, call: Call) -> None:
        """Run one task of the host with the plugins of ``pm``, which must not be in an event loop.

        Wherever the host would call a model, it calls ``call(model_id)`` instead: the result is good if it returns
        True, and bad if False; an exception is one of the client library. The host may try other models then, and may
        raise in the end.
        """
        raise NotImplementedError("run one task of the host; call(model_id) stands for the model")

    def test_declares_both_hooks(self) -> None:
        """Both hooks are declared with all arguments, and ``select_model`` stops at the first result."""
        pm = self._manager()
        for name, arguments in _ARGUMENTS.items():
            caller = getattr(pm.hook, name, None)
            _expect(caller is not None and caller.has_spec(), f"the host does not declare {name}: see add_hookspecs")
            spec: Any = caller.spec  # type: ignore[union-attr]  # it was checked
            missing = [each for each in arguments if each not in (*spec.argnames, *spec.kwargnames)]
            _expect(not missing, f"the host's {name} lacks {', '.join(missing)}")
            defaults = ", ".join(each for each in arguments if each in spec.kwargnames)
            _expect(not defaults, f"{defaults} of {name} has a default, which pluggy before 1.7 does not pass on")
            _expect(
                name == "on_task_complete" or spec.opts["firstresult"],
                "select_model must be declared with firstresult=True: otherwise it returns a list",
            )

    def test_takes_the_plugin(self) -> None:
        """The plugin can be registered, nothing is missing, and a task is recorded without a failure."""
        pm = self._manager()
        try:
            plugin = register(pm, {}, store=":memory:")
        except RegistrationError as error:
            raise AssertionError(f"the plugin cannot be registered: {error}") from error
        try:
            self._run(pm, _Script(_good))
            _expect(not plugin.limitations, "; ".join(plugin.limitations))
            _expect(plugin.failure_count() == 0, "the plugin refuses what the host passes: see the log for the reason")
            _expect(plugin.engine().store.events.after(0, 1), "no outcome was recorded")
        finally:
            plugin.close()

    def test_asks_before_it_calls(self) -> None:
        """The host asks for a model first, with a task type and at least two candidates, each of them once."""
        script = self._scripted(_good)
        _expect(script.events[:1] == ["ask"], f"it must call select_model first, but the order was: {script}")
        for asked in script.asked:
            ids = list(asked.candidates)
            _expect(isinstance(asked.task_type, str) and asked.task_type, "task_type must be a text")
            _expect(
                len(ids) > 1 and all(isinstance(each, str) for each in ids) and len({*ids}) == len(ids),
                f"candidates must be at least two different model ids, but got {ids!r}",
            )
            _expect(asked.context is None or isinstance(asked.context, Mapping), "context must be None or a mapping")

    def test_uses_the_model_that_was_chosen(self) -> None:
        """The first model it calls is the first of the decision, whatever the order of the candidates."""
        for position in (0, -1):
            script = self._scripted(_good, position=position)
            chosen = script.decisions[0].model_id
            _expect(script.calls[0] == chosen, f"the decision was {chosen}, but it called {script.calls[0]}")

    def test_follows_the_order_of_the_decision(self) -> None:
        """If it tries again without asking again, it takes the next model of the decision."""
        script = self._scripted(_bad)
        order, calls = list(script.decisions[0].order), script.calls
        if len(script.decisions) == 1:
            _expect(calls == order[: len(calls)], f"the decision was {order}, but it called {calls}")

    def test_reports_a_success(self) -> None:
        """The attempt is reported after the call, with its task type, its model and ``success=True``."""
        script = self._scripted(_good)
        _expect(script.events[-1:] == ["report"], f"it must call on_task_complete after the model, but: {script}")
        report = self._reports(script)[0]
        _expect(report.model_id == script.calls[0], f"it called {script.calls[0]}, but reports {report.model_id}")
        _expect(report.task_type == script.asked[0].task_type, "the task type must be the one it has asked for")
        _expect(report.outcome.success, "the result was good, but it reports success=False")

    def test_reports_a_failure(self) -> None:
        """A bad result is reported with ``success=False``, one report for each attempt."""
        script = self._scripted(_bad)
        for model_id, report in zip(script.calls, self._reports(script), strict=True):
            _expect(report.model_id == model_id, f"it called {script.calls}, and reports {report.model_id}")
            _expect(not report.outcome.success, f"the result of {model_id} was bad, but it reports success=True")

    def test_reports_an_exception(self) -> None:
        """A call that raises is reported as well, also if the host raises in the end."""
        script = self._scripted(_broken)
        for report in self._reports(script):
            _expect(not report.outcome.success, f"{report.model_id} raised, but the host reports success=True")

    def test_reports_a_timeout(self) -> None:
        """A TimeoutError is reported with ``timeout=True``."""
        script = self._scripted(_late)
        for report in self._reports(script):
            _expect(report.outcome.timeout, "a TimeoutError must be reported with timeout=True")

    def test_passes_the_decision(self) -> None:
        """Every report has the decision that chose the model, or its id: otherwise nothing can be learned from it."""
        for call in (_good, _bad):
            script = self._scripted(call)
            known = {decision.decision_id for decision in script.decisions}
            for report in self._reports(script):
                decision = report.decision
                found = decision.decision_id if isinstance(decision, Decision) else decision
                _expect(found in known, f"on_task_complete must get the decision, but decision is {decision!r}")

    def test_works_without_an_opinion(self) -> None:
        """With None instead of a decision it chooses a candidate by itself, and reports with ``decision=None``."""
        script = self._scripted(_good, has_opinion=False)
        _expect(script.calls[0] in script.asked[0].candidates, f"{script.calls[0]} is not one of its candidates")
        report = self._reports(script)[0]
        _expect(report.decision in {None, NOT_PASSED}, f"there was no decision, but it passes {report.decision!r}")

    def test_works_without_plugins(self) -> None:
        """Without any plugin it works as before."""
        script = _Script(_good)
        error = self._run(self._manager(), script)
        _expect(error is None, f"without plugins it raises {error!r}")
        _expect(script.calls, "without plugins no model was called")

    def test_leaves_the_candidates_alone(self) -> None:
        """What the host has passed to a hook is not changed until the task has ended."""
        script = self._scripted(_bad)
        for asked in script.asked:
            _expect(asked.candidates == asked.copied, "the host changes the list of candidates after it has passed it")

    def _manager(self) -> pluggy.PluginManager:
        """Return a new plugin manager of the host, which must not have the plugin that the tests register."""
        pm = self.plugin_manager()
        _expect(isinstance(pm, pluggy.PluginManager), f"plugin_manager() must return a PluginManager, but got {pm!r}")
        ours = [name for name, each in pm.list_name_plugin() if type(each).__module__.startswith("modelperf_plugin.")]
        _expect(not ours, f"plugin_manager() must return one without plugins, but {', '.join(ours)} is registered")
        return pm

    def _scripted(self, call: Call, *, position: int = -1, has_opinion: bool = True) -> _Script:
        """Return what happened in a task with a plugin that chooses the candidate at ``position``."""
        pm, script = self._manager(), _Script(call, position, has_opinion=has_opinion)
        pm.register(_ScriptedPlugin(pm.project_name, script), name="modelperf")
        error = self._run(pm, script)
        _expect(error is None or call is not _good, f"the call was good, but the host raises {error!r}")
        _expect(script.error is None, f"the plugin refuses what the host passes: {script.error}")
        _expect(script.asked, f"select_model was never called; does the task end before? {error!r}")
        _expect(script.calls, "no model was called: run_task has to use its argument, call(model_id)")
        return script

    def _run(self, pm: pluggy.PluginManager, script: _Script) -> Exception | None:
        """Run a task; return the exception with which it has ended."""
        try:
            self.run_task(pm, script.call)
        except NotImplementedError:
            raise
        except Exception as error:  # noqa: BLE001 - the host may raise whatever its models do
            return error
        return None

    def _reports(self, script: _Script) -> list[_Report]:
        """Return the reports; there must be one for each call."""
        counted = f"it called {len(script.calls)} models and reported {len(script.reports)} attempts"
        _expect(len(script.reports) == len(script.calls), f"every attempt is reported once, but {counted}")
        return script.reports


def check_host(plugin_manager: Callable[[], pluggy.PluginManager], run_task: Callable[[Any, Call], None]) -> None:
    """Run all tests of :class:`HostContract` for a host, without a test runner.

    Args:
        plugin_manager: returns a new plugin manager, as :meth:`HostContract.plugin_manager`.
        run_task: runs one task, as :meth:`HostContract.run_task`.

    Raises:
        AssertionError: the host breaks the contract; the message lists every rule that it breaks.
    """

    class Host(HostContract):
        def plugin_manager(self) -> pluggy.PluginManager:
            return plugin_manager()

        def run_task(self, pm: pluggy.PluginManager, call: Call) -> None:
            run_task(pm, call)

    broken = list(_broken_rules(Host()))
    if broken:
        raise AssertionError("\n".join(broken))


def _broken_rules(contract: HostContract) -> Iterator[str]:
    for name in vars(HostContract):
        if name.startswith("test_"):
            try:
                getattr(contract, name)()
            except AssertionError as error:
                yield f"{name}: {error}"


class _Asked(NamedTuple):
    """One call of ``select_model``."""

    task_type: Any
    candidates: Any
    copied: Any
    context: Any


class _Report(NamedTuple):
    """One call of ``on_task_complete``."""

    task_type: Any
    model_id: Any
    outcome: Outcome
    decision: Any


class _Script:
    """Stands for the models and for the plugin of one task, and notes what happens."""

    def __init__(self, behaviour: Call, position: int = -1, *, has_opinion: bool = True) -> None:
        self.events: list[str] = []
        self.asked: list[_Asked] = []
        self.calls: list[str] = []
        self.reports: list[_Report] = []
        self.decisions: list[Decision] = []
        self.error: Exception | None = None
        """Why an argument of a hook is invalid."""
        self._behaviour = behaviour
        self._position = position
        self._has_opinion = has_opinion

    def __str__(self) -> str:
        return " → ".join(self.events) or "nothing happened"

    def call(self, model_id: str) -> bool:
        """Do what a model does."""
        self.events.append("call")
        self.calls.append(model_id)
        return self._behaviour(model_id)

    def select(self, task_type: Any, candidates: Any, context: Any) -> Decision | None:
        """Note what is asked; choose."""
        self.events.append("ask")
        context = None if context is NOT_PASSED else context
        self.asked.append(_Asked(task_type, candidates, copy.copy(candidates), context))
        if not self._has_opinion:
            return None
        try:
            decision = _decision(task_type, candidates, self._position)
        except Exception as error:  # noqa: BLE001 - a hook does not raise into the host
            self.error = error
            return None
        self.decisions.append(decision)
        return decision

    def complete(self, task_type: Any, model_id: Any, outcome: Any, decision: Any) -> None:
        """Note what is reported."""
        self.events.append("report")
        try:
            outcome = outcome if isinstance(outcome, Outcome) else Outcome.from_mapping(outcome)
        except Exception as error:  # noqa: BLE001 - a hook does not raise into the host
            self.error = error
            outcome = Outcome(success=False)
        self.reports.append(_Report(task_type, model_id, outcome, decision))


class _ScriptedPlugin:
    """The hooks of a script."""

    def __init__(self, project: str, script: _Script) -> None:
        self.__name__ = "modelperf_plugin.testing"
        self.select_model = fitting_select([project], script.select)
        self.on_task_complete = fitting_complete([project], script.complete)


def _decision(task_type: Any, candidates: Any, position: int) -> Decision:
    """Return a decision for the candidate at ``position``; raises InvalidValueError if an argument is invalid."""
    first = [*candidates][position]
    order = (first, *(each for each in check_ids("candidates", candidates) if each != first))
    task_type = check_id("task_type", task_type)
    rows = [RankedModel(each, 0.5, None, Tally(task_type, each), "unproven", "scripted by the test") for each in order]
    return Decision(
        order=order,
        decision_id=os.urandom(10).hex(),
        task_type=task_type,
        ranking=Ranking(rows, "scripted"),
        probabilities=tuple(float(each == first) for each in order),
        reason="scripted by the test",
        explored=False,
        policy_id="scripted",
    )


def _expect(condition: Any, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _good(_: str) -> bool:
    return True


def _bad(_: str) -> bool:
    return False


def _broken(model_id: str) -> bool:
    raise ConnectionError(f"{model_id} is out of order")


def _late(model_id: str) -> bool:
    raise TimeoutError(f"{model_id} is too slow")
