"""Hook implementations that fit any host, also one whose specification comes later; imports nothing but pluggy.

Optional arguments have a default, so that pluggy accepts the implementation whether or not the host has them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

import pluggy

NOT_PASSED: Final[Any] = object()
"""The value of an argument that the host's hook does not have."""

_PASSES_OPTIONAL: Final = tuple(int(part) for part in pluggy.__version__.split(".")[:2]) >= (1, 7)
"""Whether pluggy passes on arguments that have a default in the implementation."""


def fitting_select(projects: Iterable[str], select: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    """Return ``select_model`` for hosts of these project names; calls ``select(task_type, candidates, context)``."""

    def select_model(task_type: Any, candidates: Any, context: Any = NOT_PASSED) -> Any:
        return select(task_type, candidates, _passed("context", context))

    return _marked(projects, select_model)


def fitting_complete(projects: Iterable[str], complete: Callable[[Any, Any, Any, Any], None]) -> Callable[..., Any]:
    """Return ``on_task_complete``; calls ``complete(task_type, model_id, outcome, decision)``."""

    def on_task_complete(task_type: Any, model_id: Any, outcome: Any, decision: Any = NOT_PASSED) -> None:
        complete(task_type, model_id, outcome, _passed("decision", decision))

    return _marked(projects, on_task_complete)


def _passed(name: str, value: Any) -> Any:
    """Return an optional argument of the implementation that calls this."""
    if value is not NOT_PASSED or _PASSES_OPTIONAL:
        return value
    # pluggy 1.5 and 1.6 call with the default; what the host passed is in the function that calls the implementations
    caller = sys._getframe(2)  # noqa: SLF001 - documented, and these versions do not change any more
    return caller.f_locals.get("caller_kwargs", {}).get(name, NOT_PASSED)


def _marked(projects: Iterable[str], function: Callable[..., Any]) -> Callable[..., Any]:
    for project in projects:
        pluggy.HookimplMarker(project)(optionalhook=True)(function)
    return function
