"""What adapters share: how they get their engine, and the task type of a call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.recorder.link import check_models

_T = TypeVar("_T")

TICKET_KEY: Final = "modelperf_ticket"
"""The key of a framework's metadata under which an answer has its ticket."""
DEFAULT_TASK_TYPE: Final = "default"

Perf = ModelPerf | Callable[[], ModelPerf]
"""An engine, or a function without arguments that returns it."""


def engine_of(perf: Perf) -> ModelPerf:
    """Return the engine that an adapter was given, or that the function it was given returns.

    Raises:
        InvalidValueError: it is neither.
    """
    engine = perf if isinstance(perf, ModelPerf) or not callable(perf) else perf()
    if not isinstance(engine, ModelPerf):
        raise InvalidValueError("perf", "a ModelPerf, or a function without arguments that returns one", engine)
    return engine


def task_type_of(engine: ModelPerf, explicit: str | None, labels: Mapping[str, Any], known: str | None = None) -> str:
    """Return the task type of a call: what was said, what its labels and the rules say, what the framework knows."""
    return explicit or engine.task_type_for(labels, known or DEFAULT_TASK_TYPE)


def offered_by_name(models: Iterable[str] | Mapping[str, _T]) -> dict[str, str | _T]:
    """Return what the framework gets for each model id: names stand for themselves.

    Raises:
        InvalidValueError: there are no models, or a name is invalid.
    """
    names = check_models(models)
    return dict(models) if isinstance(models, Mapping) else {name: name for name in names}
