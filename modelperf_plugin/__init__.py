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
from modelperf_plugin.values import Decision, Exclusion, Outcome, PlannedTry, RankedModel, Ranking, Tally

__all__ = [
    "ABCandidates",
    "Config",
    "ConfigError",
    "Decision",
    "Exclusion",
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
    "register",
]


def __dir__() -> list[str]:
    return __all__
