"""A store in the browser: a live ASGI application, a report in one file, and metrics for Prometheus.

Needs the extra ``dashboard``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from modelperf_plugin.errors import MissingExtraError

if TYPE_CHECKING:
    from modelperf_plugin.dashboard.app import create_app
    from modelperf_plugin.dashboard.report import make_report

__all__ = ["create_app", "make_report"]

_MODULES: Final = {"create_app": "app", "make_report": "report"}
_PACKAGES: Final = frozenset({"jinja2", "markupsafe", "starlette"})


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in _PACKAGES:
            raise MissingExtraError("the dashboard", "dashboard") from error
        raise
