"""Evaluation of policies: replay on recorded outcomes, and off-policy estimates from the decision log.

The estimators need the extra ``analysis``; :mod:`modelperf_plugin.analysis.simulation.replay` does not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from modelperf_plugin.errors import MissingExtraError

if TYPE_CHECKING:
    from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog, read_log
    from modelperf_plugin.analysis.off_policy.estimators import (
        Interval,
        Logged,
        doubly_robust,
        effective_sample_size,
        gain,
        gain_interval,
        ips,
        lower_bound,
        snips,
        value_interval,
        weights,
    )
    from modelperf_plugin.analysis.off_policy.evaluation import Candidate, Evaluation, evaluate
    from modelperf_plugin.analysis.off_policy.judgement import Estimate, Judge, Judgement

_NAMES: Final = {
    "off_policy.decision_log": ("DecisionLog", "read_log"),
    "off_policy.evaluation": ("Candidate", "Evaluation", "evaluate"),
    "off_policy.judgement": ("Estimate", "Judge", "Judgement"),
    "off_policy.estimators": (
        "Interval", "Logged", "doubly_robust", "effective_sample_size", "gain", "gain_interval", "ips", "lower_bound",
        "snips", "value_interval", "weights",
    ),
}  # fmt: skip
_MODULES: Final = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Candidate",
    "DecisionLog",
    "Estimate",
    "Evaluation",
    "Interval",
    "Judge",
    "Judgement",
    "Logged",
    "doubly_robust",
    "effective_sample_size",
    "evaluate",
    "gain",
    "gain_interval",
    "ips",
    "lower_bound",
    "read_log",
    "snips",
    "value_interval",
    "weights",
]


def __getattr__(name: str) -> Any:
    """Import a public name, which needs numpy, on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need_numpy("off-policy estimates")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def need_numpy(what: str) -> None:
    """Raise MissingExtraError if numpy, which ``what`` needs, is not installed."""
    try:
        import_module("numpy")
    except ImportError as error:
        raise MissingExtraError(what, "analysis") from error
