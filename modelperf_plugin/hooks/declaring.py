"""Declares our hooks in a host, and reads how a host has declared them."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType, ModuleType

import pluggy

from modelperf_plugin.hooks import hookspecs


def argument_names(pm: pluggy.PluginManager, name: str) -> tuple[str, ...] | None:
    """Return the arguments that pluggy passes to implementations of a hook; None if the host does not declare it."""
    caller = getattr(pm.hook, name, None)
    if caller is None or not caller.has_spec():
        return None
    spec = caller.spec
    # arguments with a default in the specification are passed since pluggy 1.7
    return (*spec.argnames, *spec.kwargnames) if hasattr(spec, "kwargdefaults") else tuple(spec.argnames)


def specification(pm: pluggy.PluginManager, names: Mapping[str, bool]) -> ModuleType:
    """Return a namespace with our specifications for a host: each name with whether the first result is enough."""
    mark = pluggy.HookspecMarker(pm.project_name)
    namespace = ModuleType(hookspecs.__name__)
    for name, first_result in names.items():
        contract: FunctionType = getattr(hookspecs, name)
        # a copy: a marker is an attribute, and other hosts declare the same function
        spec = FunctionType(contract.__code__, contract.__globals__, name)
        spec.__doc__, spec.__annotations__ = contract.__doc__, contract.__annotations__
        setattr(namespace, name, mark(firstresult=first_result)(spec))
    return namespace
