"""Pluggy is adapter number zero: this turns a host's hook calls into calls of the engine, and never raises."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import Any, Final, NamedTuple, TypeVar

import pluggy

from modelperf_plugin.config import ConfigSource
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.engine.tracker import Clock
from modelperf_plugin.errors import RegistrationError, StoreError
from modelperf_plugin.hooks import hookspecs
from modelperf_plugin.hooks.failures import Failures
from modelperf_plugin.store import forks
from modelperf_plugin.values import Decision, Outcome

logger = logging.getLogger("modelperf_plugin")
logger.addHandler(logging.NullHandler())  # in a host without logging, errors would be printed

PLUGIN_NAME: Final = "modelperf"
_LONGEST_PAUSE_SECONDS: Final = 60.0

_T = TypeVar("_T")


class _Hook(NamedTuple):
    """What the plugin asks of one hook of a host; its contract is in :mod:`modelperf_plugin.hooks.hookspecs`."""

    first_result: bool
    """Whether one answer is enough."""
    essential: tuple[str, ...]
    """Arguments without which the hook is no use."""
    optional: dict[str, str]
    """Arguments that may be missing, each with what cannot be done then."""


_HOOKS: Final = {
    "on_task_complete": _Hook(
        first_result=False,
        essential=("task_type", "model_id", "outcome"),
        optional={"decision": "outcomes cannot be joined to the decisions that chose the models"},
    ),
    "select_model": _Hook(
        first_result=True,
        essential=("task_type", "candidates"),
        optional={"context": "no pins, exclusions, budgets or sticky A/B assignment by unit"},
    ),
}


class Plugin:
    """What is registered with a host's plugin manager; made by :func:`register`."""

    on_task_complete: Callable[..., None]
    """The host's hook, with the arguments that the host's specification has."""
    select_model: Callable[..., Decision | None]
    """The host's hook, with the arguments that the host's specification has."""

    def __init__(self, engine: _GuardedEngine, limitations: tuple[str, ...]) -> None:
        self.__name__ = "modelperf_plugin"  # hosts that list their plugins read this
        self._engine = engine
        self.limitations = limitations
        """What cannot be done with this host's hooks, one sentence each; empty if everything can."""

    def engine(self) -> ModelPerf:
        """Return the engine behind the hooks, for direct calls such as ``explain``.

        Raises:
            StoreError: the store could not be opened so far, or the plugin is closed.
        """
        return self._engine.get()

    def failure_count(self) -> int:
        """Return how many failures the host was spared: hook calls answered with None, a store or file not read."""
        return self._engine.failures.total

    def close(self) -> None:
        """Let go of the store; closing twice is fine. Hooks called after it answer None."""
        self._engine.close()


def register(
    pm: pluggy.PluginManager,
    config: ConfigSource = None,
    *,
    store: str | os.PathLike[str] | None = None,
    clock: Clock | None = None,
    seed: int | None = None,
) -> Plugin:
    """Register the plugin with a host's plugin manager, whatever its project name. Call it after ``add_hookspecs``.

    Where the host declares ``on_task_complete`` or ``select_model`` itself, the plugin takes the arguments that the
    host's specification has, and logs a warning for what cannot be done without the others. Where it declares
    none, :mod:`modelperf_plugin.hooks.hookspecs` is declared.

    Args:
        pm: the host's plugin manager.
        config: a path, a Config, a mapping in the shape of the TOML, or None to discover it.
        store: a path, a URL or ``":memory:"``; overrides the configured one.
        clock: returns an aware datetime; by default the time of the machine.
        seed: makes exploration repeatable.

    Returns:
        The registered plugin; ``close()`` it when the host ends.

    Raises:
        RegistrationError: the plugin is registered already, a hook of the host lacks an essential argument, or
            another plugin implements one of our hooks with arguments that nobody has declared.
        ConfigError: the configuration is not usable; every problem is in the message.
        InvalidValueError: ``store`` is neither a path nor a URL that this version knows.

    Then nothing is registered and nothing stays open. A store that cannot be opened is no reason to stop a host: it
    is logged and tried again later, and until then every hook answers None. Where the host blocks the plugin by its
    name, ``"modelperf"``, nothing is opened at all.
    """
    if pm.has_plugin(PLUGIN_NAME):
        raise RegistrationError(
            f"a plugin named {PLUGIN_NAME!r} is registered with the host {pm.project_name!r} already: "
            "unregister it first, or use the one that is there"
        )
    limitations = tuple(limit for name, hook in _HOOKS.items() for limit in _limitations(pm, name, hook))
    guarded = _GuardedEngine(lambda failed: _open(config, store, clock, seed, failed))
    plugin = Plugin(guarded, limitations)
    if pm.is_blocked(PLUGIN_NAME):
        _declare_missing(pm)
        logger.warning("the host %r blocks the plugin %r: it is not active", pm.project_name, PLUGIN_NAME)
        return plugin
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


def _attach(pm: pluggy.PluginManager, plugin: Plugin, engine: _GuardedEngine) -> None:
    """Give ``plugin`` its hooks, fitted to the host, and register it."""
    _declare_missing(pm)
    mark = pluggy.HookimplMarker(pm.project_name)
    plugin.on_task_complete = mark(optionalhook=True)(_task_completer(pm, engine))
    plugin.select_model = mark(optionalhook=True)(_model_selector(pm, engine))
    pm.register(plugin, name=PLUGIN_NAME)


class _GuardedEngine:
    """An engine from which nothing is ever raised, opened again when it could not be opened before."""

    def __init__(self, open_engine: Callable[[Failures], ModelPerf]) -> None:
        self._open_engine = open_engine
        self.failures = Failures()
        self._lock = threading.Lock()
        self._engine: ModelPerf | None = None
        self._closed = False
        self._pause_seconds = 1.0
        self._retry_at = 0.0
        self._error: Exception = StoreError("the store is being opened")
        forks.renew(self._renew)

    def _renew(self) -> None:
        """Go on in a forked process: a thread that is not there may have held the lock."""
        self._lock = threading.Lock()

    def start(self) -> None:
        """Open the engine; a store that fails is noted, a bad configuration is raised."""
        try:
            self.get()
        except StoreError as error:
            self.failures.note("opening the store", error)

    def get(self) -> ModelPerf:
        """Return the engine, opening it if it is time to try; raise the last error if there is none.

        One thread tries. The others do not wait for it: opening may take as long as a lock of another process.
        """
        engine = self._engine
        if engine is not None:
            return engine
        if not self._lock.acquire(blocking=False):
            raise self._last_error()
        try:
            if self._closed:
                raise StoreError("the plugin is closed")
            if self._engine is None:
                self._engine = self._try_to_open()
            return self._engine
        finally:
            self._lock.release()

    def record(
        self, task_type: str, model_id: str, outcome: Outcome | Mapping[str, Any], decision: Decision | str | None
    ) -> None:
        """Record an outcome; if anything at all goes wrong, that is noted.

        After one that was written the store is known to work, and failures that wait to be saved are.
        """
        try:
            (self._engine or self.get()).record(task_type, model_id, outcome, decision)
        except Exception as error:  # noqa: BLE001 - a hook never raises into its host
            self._note("on_task_complete", error)
        else:
            if self.failures.unsaved:
                self._save()

    def call(self, where: str, action: Callable[[ModelPerf], _T]) -> _T | None:
        """Return what ``action`` returns, or None if anything at all goes wrong; that is noted."""
        try:
            return action(self.get())
        except Exception as error:  # noqa: BLE001 - a hook never raises into its host
            self._note(where, error)
            return None

    def close(self) -> None:
        """Save the counts of failures and close the engine."""
        with self._lock:
            engine, self._engine, self._closed = self._engine, None, True
        if engine is not None:
            self.failures.save(engine.store.problems, at_once=True)
            engine.close()

    def _try_to_open(self) -> ModelPerf:
        if time.monotonic() < self._retry_at:
            raise self._last_error()
        try:
            return self._open_engine(self.failures)
        except Exception as error:
            self._error = error
            self._retry_at = time.monotonic() + self._pause_seconds
            self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
            raise

    def _last_error(self) -> Exception:
        # raised again and again: without this its traceback would grow, and keep the host's frames alive
        return self._error.with_traceback(None)

    def _note(self, where: str, error: Exception) -> None:
        # A handler or a filter of the host's own logging may raise, too.
        with suppress(Exception):
            self.failures.note(where, error)
        if not isinstance(error, StoreError):  # one that has just failed need not be made to wait again
            self._save()

    def _save(self) -> None:
        engine = self._engine
        if engine is not None:
            self.failures.save(engine.store.problems)


def _open(
    config: ConfigSource,
    store: str | os.PathLike[str] | None,
    clock: Clock | None,
    seed: int | None,
    failures: Failures,
) -> ModelPerf:
    engine = ModelPerf(
        config,
        store=store,
        clock=clock,
        seed=seed,
        on_config_error=lambda error: failures.note("reading the configuration", error, log=False),
        on_background_error=lambda error: failures.note("writing the decision log", error),
    )
    logger.info("active: mode %s, store %s", engine.config.mode, engine.store.location)
    return engine


def _argument_names(pm: pluggy.PluginManager, name: str) -> tuple[str, ...] | None:
    """Return the arguments that reach an implementation of a hook, or None if the host has not declared it."""
    caller = getattr(pm.hook, name, None)
    if caller is None or not caller.has_spec():
        return None
    spec = caller.spec
    # pluggy 1.7 was the first to pass on the arguments that have a default in the specification
    return (*spec.argnames, *spec.kwargnames) if hasattr(spec, "kwargdefaults") else tuple(spec.argnames)


def _limitations(pm: pluggy.PluginManager, name: str, hook: _Hook) -> list[str]:
    given = _argument_names(pm, name)
    if given is None:
        return []
    host = f"the host {pm.project_name!r} declares {name}({', '.join(given)})"
    defaults = [argument for argument in getattr(pm.hook, name).spec.kwargnames if argument not in given]
    if defaults:
        host += f", and pluggy {pluggy.__version__} (unlike 1.7) does not pass on {', '.join(defaults)} with a default"
    missing = [argument for argument in hook.essential if argument not in given]
    if missing:
        raise RegistrationError(
            f"{host}, but the plugin cannot do without {', '.join(missing)}: "
            f"add {'it' if len(missing) == 1 else 'them'} to the host's specification, without a default"
        )
    return [
        f"{host}, so without {argument}: {consequence}"
        for argument, consequence in hook.optional.items()
        if argument not in given
    ]


def _declare_missing(pm: pluggy.PluginManager) -> None:
    """Declare the hooks that the host has not declared, under the host's project name."""
    missing = [name for name in _HOOKS if _argument_names(pm, name) is None]
    if not missing:
        return
    mark = pluggy.HookspecMarker(pm.project_name)
    namespace = ModuleType(hookspecs.__name__)
    for name in missing:
        contract: FunctionType = getattr(hookspecs, name)
        # a copy: markers are attributes, and the contract itself belongs to no host
        spec = FunctionType(contract.__code__, contract.__globals__, name)
        spec.__doc__, spec.__annotations__ = contract.__doc__, contract.__annotations__
        setattr(namespace, name, mark(firstresult=_HOOKS[name].first_result)(spec))
    try:
        pm.add_hookspecs(namespace)
    except pluggy.PluginValidationError as error:
        raise RegistrationError(
            f"another plugin of the host {pm.project_name!r} implements one of our hooks with arguments of its own; "
            f"declare that hook in the host, with all of them: {error}"
        ) from error


def _task_completer(pm: pluggy.PluginManager, engine: _GuardedEngine) -> Callable[..., None]:
    def on_task_complete(
        task_type: str,
        model_id: str,
        outcome: Outcome | Mapping[str, Any],
        decision: Decision | str | None,
    ) -> None:
        engine.record(task_type, model_id, outcome, decision)

    def without_decision(task_type: str, model_id: str, outcome: Outcome | Mapping[str, Any]) -> None:
        on_task_complete(task_type, model_id, outcome, None)

    return on_task_complete if _passes(pm, "on_task_complete", "decision") else without_decision


def _model_selector(pm: pluggy.PluginManager, engine: _GuardedEngine) -> Callable[..., Decision | None]:
    def select_model(task_type: str, candidates: Sequence[str], context: Mapping[str, Any] | None) -> Decision | None:
        return engine.call("select_model", lambda it: it.select(task_type, candidates, context))

    def without_context(task_type: str, candidates: Sequence[str]) -> Decision | None:
        return select_model(task_type, candidates, None)

    return select_model if _passes(pm, "select_model", "context") else without_context


def _passes(pm: pluggy.PluginManager, name: str, argument: str) -> bool:
    return argument in (_argument_names(pm, name) or ())
