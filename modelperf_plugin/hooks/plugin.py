"""Pluggy adapter: translates hook calls into engine calls and never raises into the host."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import pluggy

from modelperf_plugin.config import ConfigSource
from modelperf_plugin.engine.clock import Clock
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.engine.findings import Listener
from modelperf_plugin.errors import HostCodeError, InvalidValueError, MissingExtraError, RegistrationError
from modelperf_plugin.hooks.callbacks import Callbacks, declare_callbacks
from modelperf_plugin.hooks.declaring import argument_names, specification
from modelperf_plugin.hooks.failures import Failures
from modelperf_plugin.hooks.guard import GuardedEngine
from modelperf_plugin.log import logger
from modelperf_plugin.values import Decision, Outcome

PLUGIN_NAME: Final = "modelperf"


class _Hook(NamedTuple):
    """What the plugin requires of a host's hook; its contract is in :mod:`modelperf_plugin.hooks.hookspecs`."""

    first_result: bool
    """Whether pluggy stops at the first result."""
    required: tuple[str, ...]
    optional: dict[str, str]
    """Arguments that may be missing, each with what is not possible without it."""


_HOOKS: Final = {
    "on_task_complete": _Hook(
        first_result=False,
        required=("task_type", "model_id", "outcome"),
        optional={"decision": "outcomes cannot be joined to the decisions that chose the models"},
    ),
    "select_model": _Hook(
        first_result=True,
        required=("task_type", "candidates"),
        optional={"context": "no pins, exclusions, budgets or sticky A/B assignment by unit"},
    ),
}


class Plugin:
    """The plugin as registered with a host's plugin manager; returned by :func:`register`."""

    # the hook implementations, with the arguments of the host's specification
    on_task_complete: Callable[..., None]
    select_model: Callable[..., Decision | None]

    def __init__(self, pm: pluggy.PluginManager, guarded: GuardedEngine, limitations: tuple[str, ...]) -> None:
        self.__name__ = "modelperf_plugin"  # hosts that list their plugins read this
        self._pm = weakref.ref(pm)
        self._guarded = guarded
        self._limitations = limitations

    @property
    def limitations(self) -> tuple[str, ...]:
        """What is not possible with this host's hooks, one sentence each; empty if everything is."""
        pm = self._pm()
        if pm is None or not (missing := [name for name in _HOOKS if not _is_called(pm, name, self)]):
            return self._limitations
        gone = f"the host {pm.project_name!r} does not call the plugin's {' and '.join(missing)}: it was unregistered"
        return (*self._limitations, f"{gone} or blocked")

    def engine(self) -> ModelPerf:
        """Return the engine behind the hooks, for direct calls such as ``explain``.

        Raises:
            StoreError: the store cannot be opened, or the plugin is closed.
        """
        return self._guarded.get()

    def failure_count(self) -> int:
        """Return how many failures the host did not see, such as hook calls that were answered with None."""
        return self._guarded.failures.total

    def close(self) -> None:
        """Release the store; closing twice is fine. Hooks called afterwards answer None."""
        self._guarded.close()


def register(
    pm: pluggy.PluginManager,
    config: ConfigSource = None,
    *,
    store: str | os.PathLike[str] | None = None,
    clock: Clock | None = None,
    seed: int | None = None,
) -> Plugin:
    """Register the plugin with a host's plugin manager, whatever its project name. Call it after ``add_hookspecs``.

    If the host declares ``on_task_complete`` or ``select_model`` itself, the plugin takes the arguments of the host's
    specification, and logs a warning for what is not possible without the others. A hook that the host does not
    declare is declared as in :mod:`modelperf_plugin.hooks.hookspecs`.

    Args:
        pm: the host's plugin manager.
        config: a path, a Config, a mapping in the shape of the TOML, or None to discover it.
        store: a path, a URL or ``":memory:"``; overrides the configured one.
        clock: returns an aware datetime; by default the time of the machine.
        seed: makes exploration repeatable.

    Returns:
        The registered plugin; ``close()`` it when the host ends.

    Raises:
        RegistrationError: the plugin is registered already, a hook of the host lacks a required argument, another
            plugin implements one of our hooks with undeclared arguments, or the manager does not accept our hooks.
        ConfigError: the configuration is invalid; the message contains every problem.
        InvalidValueError: ``store`` is neither a path nor a URL that this version knows.
        MissingExtraError: the library for a PostgreSQL URL is not installed.

    After an error nothing is registered and nothing stays open. A store that cannot be opened does not stop the host:
    the failure is logged, opening is retried, and until then every hook answers None. If the host blocks the plugin by
    its name, ``"modelperf"``, nothing is opened at all.
    """
    if pm.has_plugin(PLUGIN_NAME):
        raise RegistrationError(
            f"a plugin named {PLUGIN_NAME!r} is registered with the host {pm.project_name!r} already: "
            "unregister it first, or use the registered one"
        )
    limitations = tuple(limit for name, hook in _HOOKS.items() for limit in _limitations(pm, name, hook))
    callbacks = Callbacks(pm)

    guarded = guarded_engine(config, store=store, clock=clock, seed=seed, listener=callbacks)
    plugin = Plugin(pm, guarded, limitations)
    if pm.is_blocked(PLUGIN_NAME):
        _declare_missing(pm)
        logger.warning("the host %r blocks the plugin %r: it is not active", pm.project_name, PLUGIN_NAME)
        return plugin
    _require(pm, _names_taken(pm))
    guarded.start()
    try:
        _attach(pm, plugin, guarded)
    except BaseException:
        if pm.is_registered(plugin):
            pm.unregister(plugin)
        plugin.close()
        raise
    for limit in limitations:
        logger.warning("%s", limit)
    return plugin


def guarded_engine(
    config: ConfigSource = None,
    *,
    store: str | os.PathLike[str] | None = None,
    clock: Clock | None = None,
    seed: int | None = None,
    listener: Listener | None = None,
) -> GuardedEngine:
    """Return an engine for hooks, which is not open yet; it tells ``listener`` what is found about models."""

    def open_engine(failures: Failures) -> ModelPerf:
        engine = ModelPerf(
            config,
            store=store,
            clock=clock,
            seed=seed,
            on_config_error=lambda error: failures.note("reading the configuration", error, log=False),
            on_background_error=lambda error: failures.note(_where(error), error),
        )
        if listener is not None:
            engine.findings.follow(listener)
        logger.info("active: mode %s, store %s", engine.config.mode, engine.store.location)
        return engine

    return GuardedEngine(open_engine)


def without(hook: str, argument: str) -> str:
    """Return what is not possible if a host's hook lacks an optional argument."""
    return f"{hook} without {argument}: {_HOOKS[hook].optional[argument]}"


def _where(error: Exception) -> str:
    """Return where work failed that no hook waited for."""
    if isinstance(error, InvalidValueError):
        return "using a value of the host"
    is_the_hosts = isinstance(error, (HostCodeError, MissingExtraError))
    return "calling the host" if is_the_hosts else "writing the decision log"


def _attach(pm: pluggy.PluginManager, plugin: Plugin, guarded: GuardedEngine) -> None:
    """Give ``plugin`` hook implementations that fit the host, register it, and check that its hooks have arrived."""
    _declare_missing(pm)
    mark = pluggy.HookimplMarker(pm.project_name)
    plugin.on_task_complete = mark(optionalhook=True)(_task_completer(pm, guarded))
    plugin.select_model = mark(optionalhook=True)(_model_selector(pm, guarded))
    pm.register(plugin, name=PLUGIN_NAME)
    _require(pm, [name for name in _HOOKS if _is_called(pm, name, plugin)])


def _names_taken(pm: pluggy.PluginManager) -> list[str]:
    """Return the hooks that ``pm`` takes: some managers, such as pytest's, drop names that are not theirs."""
    mark = pluggy.HookimplMarker(pm.project_name)
    probe = SimpleNamespace(**{name: mark(lambda: None) for name in _HOOKS})
    return [name for name in _HOOKS if pm.parse_hookimpl_opts(probe, name) is not None]


def _require(pm: pluggy.PluginManager, accepted: Sequence[str]) -> None:
    missing = [name for name in _HOOKS if name not in accepted]
    if missing:
        raise RegistrationError(
            f"the plugin manager of the host {pm.project_name!r} ({type(pm).__name__}) does not take our "
            f"{' and '.join(missing)}, so they would never be called: register the plugin with a manager of its own, "
            'pm = pluggy.PluginManager("agents"), and call the hooks of that, or use modelperf_plugin.ModelPerf'
        )


def _is_called(pm: pluggy.PluginManager, name: str, plugin: Plugin) -> bool:
    caller = getattr(pm.hook, name, None)
    return caller is not None and any(implementation.plugin is plugin for implementation in caller.get_hookimpls())


def _limitations(pm: pluggy.PluginManager, name: str, hook: _Hook) -> list[str]:
    arguments = argument_names(pm, name)
    if arguments is None:
        return []
    host = f"the host {pm.project_name!r} declares {name}({', '.join(arguments)})"
    defaults = [argument for argument in getattr(pm.hook, name).spec.kwargnames if argument not in arguments]
    if defaults:
        host += f", and pluggy {pluggy.__version__} (unlike 1.7) does not pass on {', '.join(defaults)} with a default"
    missing = [argument for argument in hook.required if argument not in arguments]
    if missing:
        raise RegistrationError(
            f"{host}, but the plugin cannot do without {', '.join(missing)}: "
            f"add {'it' if len(missing) == 1 else 'them'} to the host's specification, without a default"
        )
    return [
        f"{host}, so without {argument}: {consequence}"
        for argument, consequence in hook.optional.items()
        if argument not in arguments
    ]


def _declare_missing(pm: pluggy.PluginManager) -> None:
    """Declare the hooks that the host does not declare, under the host's project name."""
    declare_callbacks(pm)
    missing = [name for name in _HOOKS if argument_names(pm, name) is None]
    if not missing:
        return
    namespace = specification(pm, {name: _HOOKS[name].first_result for name in missing})
    try:
        pm.add_hookspecs(namespace)
    except ValueError:  # this manager finds no specification there
        _require(pm, [])
    except pluggy.PluginValidationError as error:
        raise RegistrationError(
            f"another plugin of the host {pm.project_name!r} implements one of our hooks with arguments of its own; "
            f"declare that hook in the host, with all of them: {error}"
        ) from error


def _task_completer(pm: pluggy.PluginManager, guarded: GuardedEngine) -> Callable[..., None]:
    def on_task_complete(
        task_type: str, model_id: str, outcome: Outcome | Mapping[str, Any], decision: Decision | str | None
    ) -> None:
        guarded.record(task_type, model_id, outcome, decision)

    def without_decision(task_type: str, model_id: str, outcome: Outcome | Mapping[str, Any]) -> None:
        on_task_complete(task_type, model_id, outcome, None)

    return on_task_complete if _passes(pm, "on_task_complete", "decision") else without_decision


def _model_selector(pm: pluggy.PluginManager, guarded: GuardedEngine) -> Callable[..., Decision | None]:
    def select_model(task_type: str, candidates: Sequence[str], context: Mapping[str, Any] | None) -> Decision | None:
        return guarded.call("select_model", lambda engine: engine.select(task_type, candidates, context))

    def without_context(task_type: str, candidates: Sequence[str]) -> Decision | None:
        return select_model(task_type, candidates, None)

    return select_model if _passes(pm, "select_model", "context") else without_context


def _passes(pm: pluggy.PluginManager, name: str, argument: str) -> bool:
    return argument in (argument_names(pm, name) or ())
