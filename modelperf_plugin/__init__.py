"""A pluggy plugin that learns which language model is best at which kind of task."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from modelperf_plugin.config import Config
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.engine.performance_tracker import ModelPerformanceTracker
    from modelperf_plugin.engine.tracker import ABCandidates
    from modelperf_plugin.errors import (
        ConfigError,
        InvalidValueError,
        ModelPerfError,
        NotATrackerError,
        Problem,
        RegistrationError,
        StoreBusyError,
        StoreError,
        StoreVersionError,
    )
    from modelperf_plugin.hooks.plugin import Plugin, register
    from modelperf_plugin.values import (
        Decision,
        Exclusion,
        Failure,
        Outcome,
        PlannedTry,
        RankedModel,
        Ranking,
        Tally,
        error_kind_of,
        failure_of,
    )

__all__ = [
    "ABCandidates",
    "Config",
    "ConfigError",
    "Decision",
    "Exclusion",
    "Failure",
    "InvalidValueError",
    "ModelPerf",
    "ModelPerfError",
    "ModelPerformanceTracker",
    "NotATrackerError",
    "Outcome",
    "PlannedTry",
    "Plugin",
    "Problem",
    "RankedModel",
    "Ranking",
    "RegistrationError",
    "StoreBusyError",
    "StoreError",
    "StoreVersionError",
    "Tally",
    "error_kind_of",
    "failure_of",
    "register",
]

_MODULES: Final = (
    "modelperf_plugin.errors",
    "modelperf_plugin.values",
    "modelperf_plugin.config",
    "modelperf_plugin.engine.core",
    "modelperf_plugin.engine.performance_tracker",
    "modelperf_plugin.engine.tracker",
    "modelperf_plugin.hooks.plugin",
)
"""Where the public names are, those that are fast to import first."""


if not TYPE_CHECKING:  # for type checkers, a misspelt name is an error

    def __getattr__(name: str) -> Any:
        """Import a public name on first use, so that a host that only loads an entry point starts fast."""
        if name in __all__:
            for module in map(import_module, _MODULES):
                if hasattr(module, name):
                    globals()[name] = found = getattr(module, name)
                    return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
