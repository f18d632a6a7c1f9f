"""Registering with a host: any name, any specification that has the essentials, and what is said about the rest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pluggy
import pytest
from _pytest.config import PytestPluginManager

import modelperf_plugin as mp
from modelperf_plugin.hooks import hookspecs
from tests.hooks.conftest import Register
from tests.hooks.hosts import (
    CANDIDATES,
    PASSES_DEFAULTS,
    WITH_SUCCESS,
    choose,
    complete,
    declare,
    errors_logged,
    samples,
    warnings_logged,
)

Spec = Callable[..., Any]


def specs_of_any_shape() -> list[Any]:
    """Return pairs of specifications, each with how it differs from ours."""

    def same(task_type: object, candidates: object, context: object) -> None: ...
    def same_done(task_type: object, model_id: object, outcome: object, decision: object) -> None: ...
    def fewer(task_type: object, candidates: object) -> None: ...
    def fewer_done(task_type: object, model_id: object, outcome: object) -> None: ...
    def reordered(context: object, candidates: object, task_type: object) -> None: ...
    def reordered_done(decision: object, outcome: object, model_id: object, task_type: object) -> None: ...
    def more(session: object, task_type: object, candidates: object, context: object, budget: object) -> None: ...
    def more_done(
        run: object, task_type: object, model_id: object, outcome: object, decision: object, log: object
    ) -> None: ...

    pairs = {
        "same": (same, same_done),
        "fewer": (fewer, fewer_done),
        "reordered": (reordered, reordered_done),
        "more": (more, more_done),
        "mixed": (reordered, fewer_done),
    }
    for select, done in pairs.values():
        select.__name__, done.__name__ = "select_model", "on_task_complete"
    return [pytest.param(*pair, id=name) for name, pair in pairs.items()]


def named(name: str, spec: Spec) -> Spec:
    """Return ``spec`` under the name of a hook."""
    spec.__name__ = name
    return spec


def call_with(spec: Spec, hook: Any, given: dict[str, Any]) -> Any:
    """Call ``hook`` as a host with the specification ``spec`` would."""
    names = spec.__code__.co_varnames[: spec.__code__.co_argcount]
    return hook(**{name: given.get(name) for name in names})


@pytest.mark.parametrize("project", ["bub", "my-orchestrator", "my.host", "A host of 2026", "хост", ""])
def test_any_project_name(project: str, register: Register) -> None:
    """The plugin works with a host of any project name."""
    pm = pluggy.PluginManager(project)
    plugin = register(pm)
    complete(pm)
    assert choose(pm).model_id in CANDIDATES
    assert samples(plugin.engine()) == {"gpt-4o": 1}
    pm.check_pending()


def test_a_host_without_specifications_gets_ours(pm: pluggy.PluginManager, register: Register) -> None:
    """Where the host declares nothing, our two hooks are declared, and the first answer of select_model is enough."""
    plugin = register(pm)
    selecting, completing = pm.hook.select_model.spec, pm.hook.on_task_complete.spec
    assert selecting is not None
    assert completing is not None
    assert tuple(selecting.argnames) == ("task_type", "candidates", "context")
    assert tuple(completing.argnames) == ("task_type", "model_id", "outcome", "decision")
    assert selecting.opts.get("firstresult")
    assert not completing.opts.get("firstresult")
    assert selecting.function.__doc__ == hookspecs.select_model.__doc__
    assert plugin.limitations == ()


def test_our_contract_belongs_to_no_host(pm: pluggy.PluginManager, register: Register) -> None:
    """Registering leaves no marker on the functions of ``hookspecs``: they can be declared by a host as they are."""
    register(pm)
    assert vars(hookspecs.select_model) == {}
    assert vars(hookspecs.on_task_complete) == {}


@pytest.mark.parametrize(("select", "done"), specs_of_any_shape())
def test_specifications_of_any_shape(select: Spec, done: Spec, pm: pluggy.PluginManager, register: Register) -> None:
    """The plugin takes from the host's own specifications what it knows, by name, in whatever order."""
    declare(pm, select, done)
    plugin = register(pm)
    given = {"task_type": "plan", "candidates": CANDIDATES, "model_id": "llama-70b", "outcome": WITH_SUCCESS}
    assert call_with(select, pm.hook.select_model, given).model_id in CANDIDATES
    call_with(done, pm.hook.on_task_complete, given)
    assert samples(plugin.engine()) == {"llama-70b": 1}
    assert plugin.failure_count() == 0
    pm.check_pending()


def test_limitations_are_said_once_each(
    pm: pluggy.PluginManager, register: Register, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be done without the arguments that a host lacks is a warning each, at registration and only then."""

    def select_model(task_type: object, candidates: object) -> None: ...
    def on_task_complete(task_type: object, model_id: object, outcome: object) -> None: ...

    declare(pm, select_model, on_task_complete)
    plugin = register(pm)
    assert warnings_logged(caplog) == list(plugin.limitations)
    joined, pinned = plugin.limitations
    assert "'somehost' declares on_task_complete(task_type, model_id, outcome), so without decision" in joined
    assert "cannot be joined to the decisions" in joined
    assert "'somehost' declares select_model(task_type, candidates), so without context" in pinned
    assert "no pins, exclusions, budgets or sticky A/B assignment" in pinned
    pm.hook.select_model(task_type="plan", candidates=CANDIDATES)
    pm.hook.on_task_complete(task_type="plan", model_id="gpt-4o", outcome=WITH_SUCCESS)
    assert len(warnings_logged(caplog)) == 2


def test_a_host_that_has_everything_is_not_warned(
    pm: pluggy.PluginManager, register: Register, caplog: pytest.LogCaptureFixture
) -> None:
    """A host with all arguments of ours gets no warning."""
    declare(pm, hookspecs.select_model, hookspecs.on_task_complete)
    assert register(pm).limitations == ()
    assert warnings_logged(caplog) == []


@pytest.mark.parametrize("spec", [hookspecs.select_model, hookspecs.on_task_complete])
def test_a_host_that_declares_one_hook_gets_the_other(spec: Spec, pm: pluggy.PluginManager, register: Register) -> None:
    """A hook that the host has declared is left as it is; the other one is declared."""
    declare(pm, spec)
    before = getattr(pm.hook, spec.__name__).spec
    plugin = register(pm)
    assert getattr(pm.hook, spec.__name__).spec is before
    complete(pm)
    assert choose(pm)[0] in CANDIDATES
    assert samples(plugin.engine()) == {"gpt-4o": 1}


def test_arguments_with_a_default(pm: pluggy.PluginManager, register: Register) -> None:
    """A default in the host's specification is no harm: pluggy ≥ 1.7 passes it on, else we say what is lost."""

    def select_model(task_type: object, candidates: object, context: object = None) -> None: ...

    declare(pm, select_model)
    plugin = register(pm)
    pinned = choose(pm, context={"pin": "claude-opus"})
    if PASSES_DEFAULTS:
        assert plugin.limitations == ()
        assert pinned.model_id == "claude-opus"
    else:
        (limit,) = plugin.limitations
        assert f"pluggy {pluggy.__version__} (unlike 1.7) does not pass on context with a default" in limit
    assert pm.hook.select_model(task_type="plan", candidates=CANDIDATES).model_id in CANDIDATES


def test_a_call_that_leaves_out_arguments_with_a_default(pm: pluggy.PluginManager, register: Register) -> None:
    """A host may leave out what its own specification has a default for."""

    def on_task_complete(task_type: object, model_id: object, outcome: object, decision: object = None) -> None: ...

    declare(pm, on_task_complete)
    plugin = register(pm)
    pm.hook.on_task_complete(task_type="plan", model_id="gpt-4o", outcome=WITH_SUCCESS)
    complete(pm, decision="some-decision")
    assert samples(plugin.engine()) == {"gpt-4o": 2}
    assert plugin.failure_count() == 0


def test_several_answers(pm: pluggy.PluginManager, register: Register) -> None:
    """A host whose select_model collects all answers finds ours among them."""
    declare(pm, hookspecs.select_model, first=False)
    register(pm)
    (decision,) = choose(pm)
    assert decision.model_id in CANDIDATES


def test_a_historic_hook(pm: pluggy.PluginManager, register: Register) -> None:
    """Outcomes that a host remembered before the plugin came are recorded when it is registered."""
    declare(pm, hookspecs.on_task_complete, historic=True)
    earlier = {"task_type": "plan", "model_id": "gpt-4o", "outcome": WITH_SUCCESS, "decision": None}
    pm.hook.on_task_complete.call_historic(kwargs=earlier)
    assert samples(register(pm).engine()) == {"gpt-4o": 1}


def lacking() -> list[Any]:
    """Return specifications that lack something essential, each with what."""

    def select_anything(task_type: object, context: object) -> None: ...
    def select_for_nothing(candidates: object) -> None: ...
    def nothing_done(task_type: object, model_id: object) -> None: ...
    def nobody_did(task_type: object, result: object, decision: object) -> None: ...

    cases: list[tuple[str, Spec, str]] = [
        ("select_model", select_anything, "candidates"),
        ("select_model", select_for_nothing, "task_type"),
        ("on_task_complete", nothing_done, "outcome"),
        ("on_task_complete", nobody_did, "model_id, outcome"),
    ]
    return [pytest.param(named(name, spec), missing, id=spec.__qualname__) for name, spec, missing in cases]


@pytest.mark.parametrize(("spec", "missing"), lacking())
def test_an_essential_argument_is_missing(
    spec: Spec, missing: str, pm: pluggy.PluginManager, register: Register, path: Path
) -> None:
    """Without an essential argument registration fails and names it; nothing is registered, declared or created."""
    declare(pm, spec)
    with pytest.raises(mp.RegistrationError, match=rf"'somehost'.* cannot do without {missing}: add"):
        register(pm)
    assert pm.get_plugins() == set()
    other = {"select_model": "on_task_complete", "on_task_complete": "select_model"}[spec.__name__]
    assert not hasattr(pm.hook, other)
    assert not path.parent.exists()


@pytest.mark.skipif(PASSES_DEFAULTS, reason="this pluggy passes on arguments with a default")
def test_an_essential_argument_with_a_default(pm: pluggy.PluginManager, register: Register) -> None:
    """Where pluggy keeps an essential argument to itself because it has a default, the message says so."""

    def select_model(task_type: object, candidates: object = ()) -> None: ...

    declare(pm, select_model)
    with pytest.raises(mp.RegistrationError, match=r"does not pass on candidates with a default.*without a default"):
        register(pm)


def test_a_bad_configuration_registers_nothing(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """A configuration that is not usable is raised at registration, and leaves the host as it was."""
    with pytest.raises(mp.ConfigError):
        register(pm, {"mode": "sometimes"})
    assert pm.get_plugins() == set()
    assert not hasattr(pm.hook, "select_model")
    assert not path.exists()
    register(pm)
    assert choose(pm).model_id in CANDIDATES


def test_a_bad_store_location_registers_nothing(pm: pluggy.PluginManager, register: Register) -> None:
    """A URL that this version has no store for is an error of the caller, raised at registration."""
    with pytest.raises(mp.InvalidValueError, match="store must be"):
        register(pm, store="carrier-pigeon://loft")
    assert pm.get_plugins() == set()


def test_another_plugin_with_arguments_of_its_own(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """An undeclared hook that another plugin implements with foreign arguments is an error that says what to do."""

    class Other:
        @pluggy.HookimplMarker("somehost")
        def select_model(self, task_type: object, phase_of_the_moon: object) -> None: ...

    pm.register(Other())
    with pytest.raises(mp.RegistrationError, match=r"declare that hook in the host[\s\S]*phase_of_the_moon"):
        register(pm)
    assert not pm.has_plugin("modelperf")
    assert open_descriptors(path) == []


@pytest.mark.filterwarnings("error")
def test_a_host_that_forbids_implementations(pm: pluggy.PluginManager, register: Register, path: Path) -> None:
    """If pluggy itself refuses the registration, nothing stays registered and the store is let go of."""
    mark = pluggy.HookspecMarker("somehost")

    class Specs:
        @mark(firstresult=True, warn_on_impl=DeprecationWarning("select_model is going away"))
        def select_model(self, task_type: object, candidates: object, context: object) -> None: ...

    pm.add_hookspecs(Specs)
    with pytest.raises(DeprecationWarning, match="going away"):
        register(pm)
    assert not pm.has_plugin("modelperf")
    assert pm.hook.select_model.get_hookimpls() == []
    assert open_descriptors(path) == []


def open_descriptors(path: Path) -> list[str]:
    """Return what this process has open of the file at ``path``; empty where the system does not tell."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return []
    links = [str(link.readlink()) for link in folder.iterdir() if link.is_symlink()]
    return [link for link in links if link.startswith(str(path))]


def test_registering_twice(pm: pluggy.PluginManager, register: Register) -> None:
    """A second registration with the same host is an error that says what to do; the first goes on working."""
    plugin = register(pm)
    with pytest.raises(mp.RegistrationError, match=r"'modelperf' is registered with the host 'somehost' already"):
        register(pm)
    complete(pm)
    assert samples(plugin.engine()) == {"gpt-4o": 1}


def test_unregister_and_register_again(pm: pluggy.PluginManager, register: Register) -> None:
    """After unregistering the hooks are answered by nobody; registered again, the plugin knows what it knew."""
    plugin = register(pm)
    complete(pm)
    assert pm.unregister(plugin) is plugin
    assert choose(pm) is None
    plugin.close()
    again = register(pm)
    assert choose(pm).model_id in CANDIDATES
    complete(pm)
    assert samples(again.engine()) == {"gpt-4o": 2}


def test_the_same_plugin_registered_again(pm: pluggy.PluginManager, register: Register) -> None:
    """A host may take the plugin out and put the same object back."""
    plugin = register(pm)
    pm.unregister(name="modelperf")
    pm.register(plugin, name="modelperf")
    complete(pm)
    assert samples(plugin.engine()) == {"gpt-4o": 1}


def test_a_blocked_name(
    pm: pluggy.PluginManager, register: Register, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A host that blocks the plugin by its name is told that it is not active; hooks can be called, no file is made."""
    pm.set_blocked("modelperf")
    plugin = register(pm)
    assert "blocks the plugin 'modelperf': it is not active" in warnings_logged(caplog)[0]
    assert choose(pm) is None
    assert complete(pm) == []
    assert not path.parent.exists()
    plugin.close()


class Prefixed(pluggy.PluginManager):
    """Takes only hooks whose names begin with its own, as pytest does."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        return super().parse_hookimpl_opts(plugin, name) if name.startswith("prefixed_") else None


class PrefixedThroughout(Prefixed):
    """Asks the same of specifications."""

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> pluggy.HookspecOpts | None:
        return super().parse_hookspec_opts(module_or_class, name) if name.startswith("prefixed_") else None


class Forgetful(pluggy.PluginManager):
    """Registers nothing."""

    def register(self, plugin: object, name: str | None = None) -> str | None:
        return name if plugin else None


@pytest.mark.parametrize(
    "manager", [Prefixed("prefixed"), PrefixedThroughout("prefixed"), Forgetful("x"), PytestPluginManager()]
)
def test_a_manager_that_takes_only_names_of_its_own(
    manager: pluggy.PluginManager, register: Register, path: Path
) -> None:
    """It would accept the plugin and never call it: that is an error, which says what to do, and leaves nothing."""
    with pytest.raises(mp.RegistrationError, match=r"does not take our .*select_model.* a manager of its own"):
        register(manager)
    assert not manager.has_plugin("modelperf")
    assert open_descriptors(path) == []


@pytest.mark.parametrize("how", ["unregister", "block"])
def test_a_host_that_unregisters_the_plugin_later(how: str, pm: pluggy.PluginManager, register: Register) -> None:
    """Its hooks are called no longer, which can be seen; the engine goes on until it is closed."""
    plugin = register(pm)
    assert plugin.limitations == ()
    if how == "block":
        pm.set_blocked("modelperf")
    else:
        pm.unregister(plugin)
    assert choose(pm) is None
    limits: list[str] = list(plugin.limitations)
    assert len(limits) == 1
    assert "does not call the plugin's on_task_complete and select_model" in limits[0]
    assert plugin.engine().select("plan", CANDIDATES) is not None


def test_closing_twice(
    pm: pluggy.PluginManager, register: Register, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """``close`` may be called twice; hooks called after it answer None and write nothing."""
    plugin = register(pm)
    complete(pm)
    plugin.close()
    plugin.close()
    assert choose(pm) is None
    assert complete(pm) == []
    assert plugin.failure_count() == 2
    assert [message.split(" failed: ")[1] for message in errors_logged(caplog)] == ["the plugin is closed"] * 2
    assert open_descriptors(path) == []
    with pytest.raises(mp.StoreError, match="closed"):
        plugin.engine()


def test_a_host_that_lists_its_plugins_by_name(pm: pluggy.PluginManager, register: Register) -> None:
    """Hosts read ``__name__`` and the name of registration when they list plugins."""
    plugin = register(pm)
    assert [each.__name__ for each in pm.get_plugins()] == ["modelperf_plugin"]
    assert pm.list_name_plugin() == [("modelperf", plugin)]
    assert pm.get_canonical_name(plugin) == "modelperf_plugin"


def test_plugins_with_several_markers(register: Register) -> None:
    """A plugin of the host's own that serves two hosts with the same functions works beside ours in both."""
    one, two = pluggy.PluginManager("one"), pluggy.PluginManager("two")
    seen = []

    class Shared:
        @pluggy.HookimplMarker("one")
        @pluggy.HookimplMarker("two")
        def on_task_complete(self, task_type: str, model_id: str) -> None:
            seen.append((task_type, model_id))

    engines = []
    for pm in (one, two):
        engines.append(register(pm).engine())
        pm.register(Shared())
        complete(pm)
    assert seen == [("plan", "gpt-4o")] * 2
    assert [samples(engine) for engine in engines] == [{"gpt-4o": 2}] * 2


def opinion(name: str, answer: Any) -> Any:
    """Return another plugin, with its own answer to select_model."""

    class Opinion:
        __name__ = name

        @pluggy.HookimplMarker("somehost")
        def select_model(self) -> Any:
            return answer

    return Opinion()


def test_the_last_registered_is_asked_first(pm: pluggy.PluginManager, register: Register) -> None:
    """With other plugins that choose models, pluggy's own rule holds: last registered first, first answer wins."""
    pm.register(opinion("earlier", ["earlier"]))
    register(pm)
    assert choose(pm)[0] in CANDIDATES
    pm.register(opinion("silent", None))
    assert choose(pm)[0] in CANDIDATES
    pm.register(opinion("later", ["later"]))
    assert choose(pm) == ["later"]


@pytest.mark.parametrize(
    ("config", "changed"),
    [({"mode": "off"}, {}), ({"mode": "observe"}, {}), ({}, {"candidates": []}), ({}, {"candidates": "gpt-4o"})],
)
def test_no_opinion_falls_through(
    config: dict[str, Any], changed: dict[str, Any], pm: pluggy.PluginManager, register: Register
) -> None:
    """Where we have no opinion (off, observing, no candidates, a failure) the next plugin is asked."""
    pm.register(opinion("fallback", ["fallback"]))
    register(pm, config)
    assert choose(pm, **changed) == ["fallback"]


def test_other_plugins_hear_of_outcomes_too(pm: pluggy.PluginManager, register: Register) -> None:
    """An outcome goes to every plugin, also one that ours cannot use."""
    heard = []

    class Listener:
        @pluggy.HookimplMarker("somehost")
        def on_task_complete(self, outcome: object) -> None:
            heard.append(outcome)

    pm.register(Listener())
    register(pm)
    complete(pm)
    complete(pm, outcome="splendid")
    assert heard == [WITH_SUCCESS, "splendid"]


def test_a_host_without_logging_sees_nothing(path: Path) -> None:
    """Hooks never print, not even about failures in a host that has set up no logging."""
    script = (
        "import sys, pluggy, modelperf_plugin as mp\n"
        "pm = pluggy.PluginManager('quiet')\n"
        "plugin = mp.register(pm, {}, store=sys.argv[1])\n"
        "pm.hook.select_model(task_type='plan', candidates='one string', context=None)\n"
        "pm.hook.on_task_complete(task_type='', model_id='m', outcome=None, decision=None)\n"
        "assert plugin.failure_count() == 2\n"
        "plugin.close()\n"
    )
    result = subprocess.run([sys.executable, "-W", "error", "-c", script, path], capture_output=True, check=True)
    assert (result.stdout, result.stderr) == (b"", b"")
