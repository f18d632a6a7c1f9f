"""Looking at a store in a browser: a live page as an ASGI application, a report in one file, figures for Prometheus.

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

_HOMES: Final = {"create_app": "app", "make_report": "report"}
_PACKAGES: Final = frozenset({"jinja2", "markupsafe", "starlette"})
"""What the extra brings."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in _PACKAGES:
            raise MissingExtraError("the dashboard", "dashboard") from error
        raise
