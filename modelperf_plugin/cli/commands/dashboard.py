"""``dashboard``: serve live pages to a browser."""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlencode

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Common, Refusal, common_options, ends_with_interrupt

_PORT: Final = 8765
_MIN_TOKEN_LENGTH: Final = 8
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9.-]+|\[?[0-9A-Fa-f:.]+\]?")


@command("", '--host 0.0.0.0 --token "$TOKEN"')
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", default=_PORT, show_default=True,
    help="Port to listen on; 0 picks a free one.",
)  # fmt: skip
@click.option(
    "--token", metavar="TEXT", help="Secret that visitors need; required unless only this machine can connect."
)
@click.option(
    "--allow-host", "allowed", metavar="NAME", multiple=True,
    help="Also answer to this host name, of a proxy that passes it on; may be repeated.",
)  # fmt: skip
@click.option("--root-path", metavar="PATH", default="", help="Path under which a proxy serves the pages.")
@ends_with_interrupt
@common_options
def dashboard(
    common: Common, answer: Answer, /, host: str, port: int, token: str | None, *, allowed: tuple[str, ...],
    root_path: str,
) -> None:  # fmt: skip
    """Serve live pages to a browser, until Ctrl-C.

    The pages are read-only, and served to this machine only unless you name another address and a token. Prometheus
    metrics are at /metrics. Behind a proxy, see --allow-host and --root-path. Needs the extra `dashboard`.
    """
    from modelperf_plugin.dashboard import create_app
    from modelperf_plugin.dashboard.app import warm
    from modelperf_plugin.dashboard.guard import LOCAL_NAMES
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.errors import MissingExtraError
    from modelperf_plugin.store.opening import to_read

    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("the dashboard", "dashboard") from error
    local = _is_local(host)
    if token is not None and len(token) < _MIN_TOKEN_LENGTH:
        raise Refusal(f"--token must have {_MIN_TOKEN_LENGTH} characters or more: it is the only protection")
    if not local and token is None:
        raise Refusal(
            f"others can reach {host}: give a --token that they need, or omit --host to serve this machine only"
        )
    location = common.existing_store(answer)
    names = (*LOCAL_NAMES, host, *map(_host_name, allowed)) if local or allowed else None
    with _listen(host, port) as listener, ModelPerf(common.config, store=to_read(location)) as engine:
        app = create_app(engine, token=token, names=names, root_path=root_path)
        warm(engine)
        address = f"[{host}]" if ":" in host else host
        query = "" if token is None else f"?{urlencode({'token': token})}"
        answer.print_line(
            "serving ", (engine.store.location, "bold"), " at ",
            (f"http://{address}:{listener.getsockname()[1]}/{query}", "cyan"), " (Ctrl-C ends it)",
        )  # fmt: skip
        server = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, lifespan="off"
        )
        uvicorn.Server(server).run(sockets=[listener])


def _host_name(name: str) -> str:
    if not _HOST_NAME.fullmatch(name):
        raise Refusal(f"--allow-host must be a host name without a port, such as tools.example.com, but got {name!r}")
    return name.lower().strip("[]")


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # before the address is printed, so that a reader can connect at once
    except OSError as error:
        listener.close()
        raise Refusal(f"cannot listen on {host}, port {port}: {error.strerror or error}; try --port 0") from error
    return listener
