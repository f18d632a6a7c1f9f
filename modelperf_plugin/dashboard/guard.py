"""Access control and security headers for every response."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelperf_plugin.dashboard.prefix import is_below

COOKIE: Final = "modelperf_token"
LOCAL_NAMES: Final = ("127.0.0.1", "localhost", "::1")
"""Names of this machine for its own browser."""
_HEADERS: Final = {
    # style and script only from our own files, none inline; nothing from elsewhere
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Requires the token, if set, and one of the host names, if set.

    The names protect against DNS rebinding: pages elsewhere that reach 127.0.0.1 under a name of their own.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, names: Iterable[str] | None) -> None:
        self._app, self._token = app, token
        # a digest, because the token may contain characters that a cookie cannot hold
        self._pass = "" if token is None else sha256(f"modelperf/{token}".encode()).hexdigest()
        self._names = None if names is None else frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = self._refusal(scope) or _to_the_folder(scope)
        await (answer or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._names is not None and _host_name(headers.get("host", "")) not in self._names:
            message = "this dashboard does not answer to that host name: start it with --allow-host NAME to allow one\n"
            return PlainTextResponse(message, status_code=421)
        if self._token is None:
            return None
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        token = dict(query).get("token")
        if token is not None and self._is_token(token):
            return self._remember(scope, [(name, value) for name, value in query if name != "token"])
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(bearer):
            return None
        if compare_digest(_cookie(headers), self._pass.encode()):
            return None
        return PlainTextResponse(
            "token required: open the address that `modelperf dashboard` printed\n",
            status_code=401,
            headers={"www-authenticate": "Bearer"},
        )

    def _remember(self, scope: Scope, query: list[tuple[str, str]]) -> Response:
        """Store the token in a cookie, to keep it out of addresses."""
        path = scope.get("root_path", "")
        target = (scope["path"] if is_below(scope["path"], path) else path + scope["path"]) or "/"
        answer = RedirectResponse(f"{_local(target)}{'?' if query else ''}{urlencode(query)}", status_code=303)
        answer.set_cookie(COOKIE, self._pass, httponly=True, samesite="strict", path=path or "/")
        return answer

    def _is_token(self, value: str) -> bool:
        return compare_digest(value.encode("utf-8", "surrogateescape"), (self._token or "").encode())


def _to_the_folder(scope: Scope) -> Response | None:
    """Redirect from the root path itself to the one that ends in a slash: relative links would lead out of it."""
    root = scope.get("root_path", "")
    if not root or scope["path"] != root:
        return None
    query = scope.get("query_string", b"").decode("latin-1")
    return RedirectResponse(f"{_local(root)}/{'?' if query else ''}{query}", status_code=307)


def _host_name(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _local(path: str) -> str:
    """Return the path as a local one: ``//elsewhere`` would be another host."""
    return "/" + path.lstrip("/\\")


def _cookie(headers: Headers) -> bytes:
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return b""
    return b"" if cookie is None else cookie.value.encode()
