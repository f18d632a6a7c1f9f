"""Optional hooks by which the plugin tells a host what it has found about models."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Collection
from contextlib import suppress
from typing import Final

import pluggy

from modelperf_plugin.engine.findings import Finding
from modelperf_plugin.hooks import hookspecs
from modelperf_plugin.hooks.declaring import argument_names, specification
from modelperf_plugin.log import logger

CALLBACKS: Final = ("on_model_demoted", "on_model_changed", "on_test_verdict")


class Callbacks:
    """Calls the implementations of other plugins of a host, as long as the host exists."""

    def __init__(self, pm: pluggy.PluginManager) -> None:
        """Tell the plugins of ``pm``; hooks that :func:`declare_callbacks` could not declare are not called."""
        self._pm = weakref.ref(pm)

    def is_listening(self, hook: str) -> bool:
        """Return whether there is an implementation."""
        caller = getattr(getattr(self._pm(), "hook", None), hook, None)
        return caller is not None and caller.has_spec() and bool(caller.get_hookimpls())

    def tell(self, finding: Finding) -> None:
        """Call the implementations with the arguments that the host's specification has."""
        pm = self._pm()
        names = None if pm is None else argument_names(pm, finding.hook)
        if pm is not None and names is not None and not _unknown(names, finding.hook):
            getattr(pm.hook, finding.hook)(**{name: finding.arguments[name] for name in names})


def declare_callbacks(pm: pluggy.PluginManager) -> None:
    """Declare the callbacks that the host does not declare; log a warning for each that cannot be called.

    Other programs may use such a name for a hook of their own: that is left as it is.
    """
    for name in CALLBACKS:
        arguments = argument_names(pm, name)
        others = _implemented(pm, name) if arguments is None else arguments
        if unknown := _unknown(others, name):
            whose = "another plugin implements" if arguments is None else "it declares"
            logger.warning(
                "the plugin does not call %s of the host %r: %s it with %s, which our hook does not have",
                name, pm.project_name, whose, ", ".join(unknown),
            )  # fmt: skip
        elif arguments is None:
            with suppress(ValueError):  # this manager takes no hook of that name
                pm.add_hookspecs(specification(pm, {name: False}))


def _implemented(pm: pluggy.PluginManager, name: str) -> list[str]:
    """Return the arguments of the implementations that were registered before the hook is declared."""
    caller = getattr(pm.hook, name, None)
    return [] if caller is None else [argument for each in caller.get_hookimpls() for argument in each.argnames]


def _unknown(arguments: Collection[str], hook: str) -> list[str]:
    known = inspect.signature(getattr(hookspecs, hook)).parameters
    return [each for each in arguments if each not in known]
