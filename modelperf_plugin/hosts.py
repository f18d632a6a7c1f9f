"""The plugin as the target of an entry point, for hosts that load plugins in no other way.

``modelperf_plugin.hosts:for_PROJECT`` is the plugin for the host whose plugin manager has the project name PROJECT,
with ``_`` for ``-`` and ``.``::

    [project.entry-points.myhost]
    modelperf = "modelperf_plugin.hosts:for_myhost"

It is created when it is loaded and opens nothing before the first call of a hook. The configuration is discovered.
"""

from __future__ import annotations

import threading
from itertools import chain, product
from typing import TYPE_CHECKING, Any, Final

from modelperf_plugin.hooks.fitting import NOT_PASSED, fitting_complete, fitting_select

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelperf_plugin import ModelPerf
    from modelperf_plugin.hooks.guard import GuardedEngine

_PREFIX: Final = "for_"
_SEPARATORS: Final = "_-."
_MAX_MIXED: Final = 4
"""Up to how many separators the name of a project may mix them."""
_LOCK: Final = threading.Lock()
_plugins: dict[str, EntryPointPlugin] = {}


class EntryPointPlugin:
    """The plugin for hosts of one project name. It has the hooks of :func:`modelperf_plugin.register`.

    It takes whatever arguments the host's specification has, whether that is added before or after it is loaded. What
    is not possible without a missing argument is logged by the first call.
    """

    def __init__(self, project: str) -> None:
        """Make the hooks; nothing is opened."""
        self.__name__ = "modelperf_plugin"  # hosts that list their plugins read this
        projects = list(_spellings(project))
        self.on_task_complete = fitting_complete(projects, self._complete)
        self.select_model = fitting_select(projects, self._select)
        self.is_closed = False
        """Whether hooks answer None from now on."""
        self._project = project
        self._engine: GuardedEngine | None = None
        self._limitations: dict[str, str] = {}

    @property
    def limitations(self) -> tuple[str, ...]:
        """What is not possible with this host's hooks, as far as they have been called; one sentence each."""
        return tuple(self._limitations.values())

    def engine(self) -> ModelPerf:
        """Return the engine behind the hooks, opening it if necessary.

        Raises:
            ConfigError: the configuration is invalid.
            StoreError: the store cannot be opened, or the plugin is closed.
        """
        return self._guarded().get()

    def failure_count(self) -> int:
        """Return how many failures the host did not see."""
        return self._guarded().failures.total

    def close(self) -> None:
        """Release the store; closing twice is fine. Hooks called afterwards answer None."""
        self.is_closed = True
        self._guarded().close()

    def _guarded(self) -> GuardedEngine:
        # not a property: pluggy up to 1.6 reads every attribute of a plugin when it is registered
        if self._engine is None:
            from modelperf_plugin.hooks.plugin import guarded_engine

            with _LOCK:
                self._engine = self._engine or guarded_engine()
        return self._engine

    def _select(self, task_type: Any, candidates: Any, context: Any) -> Any:
        wishes = self._optional("select_model", "context", context)
        return self._guarded().call("select_model", lambda engine: engine.select(task_type, candidates, wishes))

    def _complete(self, task_type: Any, model_id: Any, outcome: Any, decision: Any) -> None:
        self._guarded().record(task_type, model_id, outcome, self._optional("on_task_complete", "decision", decision))

    def _optional(self, hook: str, argument: str, value: Any) -> Any:
        if value is not NOT_PASSED:
            return value
        if hook not in self._limitations:
            from modelperf_plugin.hooks.plugin import without
            from modelperf_plugin.log import logger

            self._limitations[hook] = limit = f"the host {self._project!r} calls {without(hook, argument)}"
            logger.warning("%s", limit)
        return None


def _spellings(name: str) -> Iterator[str]:
    """Yield the project names that are written so in an entry point."""
    first, *others = name.split("_")
    mixed = product(_SEPARATORS, repeat=len(others)) if len(others) <= _MAX_MIXED else ()
    for separators in mixed or ((each,) * len(others) for each in _SEPARATORS):
        yield first + "".join(chain.from_iterable(zip(separators, others, strict=True)))


def __getattr__(name: str) -> EntryPointPlugin:
    """Return the plugin for a project name: always the same one, until it is closed."""
    project = name.removeprefix(_PREFIX)
    if project in {"", name}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: it is for_PROJECT for a host's project")
    with _LOCK:
        plugin = _plugins.get(project)
        if plugin is None or plugin.is_closed:
            plugin = _plugins[project] = EntryPointPlugin(project)
    return plugin
