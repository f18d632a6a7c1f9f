"""The path below which a proxy serves the pages."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from modelperf_plugin.errors import InvalidValueError

_FORWARDED: Final = "x-forwarded-prefix"
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9_~.-]*[A-Za-z0-9_~-])+")
"""One or more names; none of them is ``.`` or ``..``, and no ``//`` leads to another host."""


class Prefix:
    """Sets the root path of requests that came through a proxy, whether or not the proxy removes the prefix.

    The prefix is the one given or, of a proxy on this machine, that in ``X-Forwarded-Prefix``. Others could send the
    header, too, so from elsewhere it is ignored.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        prefix = self._root_path or (_forwarded(scope) if scope["type"] == "http" else "")
        if not prefix:
            await self._app(scope, receive, send)
            return
        root = prefix + scope.get("root_path", "")
        path = scope["path"] if is_below(scope["path"], prefix) else prefix + scope["path"]
        await self._app({**scope, "root_path": root, "path": path}, receive, send)


def check_root_path(value: str) -> str:
    """Return a prefix without the slash at its end; raise InvalidValueError if it is not one."""
    prefix = value.rstrip("/")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise InvalidValueError("root_path", "a path such as /modelperf", value)
    return prefix


def is_below(path: str, prefix: str) -> bool:
    """Return whether ``path`` is ``prefix``, or one below it."""
    return path == prefix or path.startswith(f"{prefix}/")


def _forwarded(scope: Scope) -> str:
    prefix = Headers(scope=scope).get(_FORWARDED, "").rstrip("/")
    return prefix if _PREFIX.fullmatch(prefix) and _is_local(scope) else ""


def _is_local(scope: Scope) -> bool:
    client = scope.get("client")
    try:
        return client is None or ip_address(client[0]).is_loopback  # none: through a socket of this machine
    except ValueError:
        return False
