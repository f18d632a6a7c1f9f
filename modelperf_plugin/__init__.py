"""A pluggy plugin that learns which language model is best at which kind of task."""

from __future__ import annotations

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


def __dir__() -> list[str]:
    return __all__
