"""Evaluation of policies: replay on recorded outcomes, and off-policy estimates from the decision log.

The estimators need the extra ``analysis``; :mod:`modelperf_plugin.analysis.simulation.replay` does not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from modelperf_plugin.errors import MissingExtraError

if TYPE_CHECKING:
    from modelperf_plugin.analysis.off_policy.bounds import gain_interval, lower_bound, value_interval
    from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog, read_log
    from modelperf_plugin.analysis.off_policy.estimators import (
        Interval,
        Logged,
        doubly_robust,
        effective_sample_size,
        gain,
        ips,
        snips,
        weights,
    )
    from modelperf_plugin.analysis.off_policy.evaluation import Candidate, Evaluation, evaluate
    from modelperf_plugin.analysis.off_policy.judgement import Estimate, Judge, Judgement

_MODULES: Final = ("bounds", "decision_log", "estimators", "evaluation", "judgement")

__all__ = [
    "Candidate", "DecisionLog", "Estimate", "Evaluation", "Interval", "Judge", "Judgement", "Logged", "doubly_robust",
    "effective_sample_size", "evaluate", "gain", "gain_interval", "ips", "lower_bound", "read_log", "snips",
    "value_interval", "weights",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name, which needs numpy, on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need_numpy("off-policy estimates")
    modules = (import_module(f"{__name__}.off_policy.{module}") for module in _MODULES)
    return next(getattr(module, name) for module in modules if hasattr(module, name))


def need_numpy(feature: str) -> None:
    """Raise MissingExtraError if numpy, which ``feature`` needs, is not installed."""
    try:
        import_module("numpy")
    except ImportError as error:
        raise MissingExtraError(feature, "analysis") from error
