"""``dashboard``: serve live pages to a browser."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlencode

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import Common, Refusal, common_options

_PORT: Final = 8765


@click.command()
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", default=_PORT, show_default=True,
    help="The port to listen at; 0 is any that is free.",
)  # fmt: skip
@click.option("--token", metavar="TEXT", help="Who looks must know it; needed at an address that others can reach.")
@common_options
def dashboard(common: Common, answer: Answer, host: str, port: int, token: str | None) -> None:
    """Serve live pages to a browser, until Ctrl-C.

    Only for reading, and only on this machine, unless you name another address and a token. Prometheus finds its
    figures at /metrics. Needs the extra `dashboard`.
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
    if token is not None and len(token) < 8:
        raise Refusal("--token must have 8 characters or more: it is all that keeps others out")
    if not local and token is None:
        raise Refusal(
            f"{host} can be reached by others: give a --token that they must know, or leave --host away to serve this "
            "machine only"
        )
    location = common.existing_store(answer)
    with _listening(host, port) as listener, ModelPerf(common.config, store=to_read(location)) as engine:
        warm(engine)
        shown = f"[{host}]" if ":" in host else host
        query = "" if token is None else f"?{urlencode({'token': token})}"
        answer.print_line(
            "serving ", (engine.store.location, "bold"), " at ",
            (f"http://{shown}:{listener.getsockname()[1]}/{query}", "cyan"), "; Ctrl-C ends",
        )  # fmt: skip
        app = create_app(engine, token=token, names=(*LOCAL_NAMES, host) if local else None)
        server = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
        uvicorn.Server(server).run(sockets=[listener])


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # who reads the address may ask at once
    except OSError as error:
        listener.close()
        raise Refusal(f"cannot listen at {host}, port {port}: {error.strerror or error}; try --port 0") from error
    return listener
