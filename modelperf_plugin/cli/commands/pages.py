"""``report``, ``plot`` and ``dashboard``: outcomes to look at, as a file and in a browser."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from datetime import UTC, date, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.options import (
    Common,
    Refusal,
    common_options,
    days_option,
    is_missing,
    missing_note,
    pass_common,
)
from modelperf_plugin.cli.task_types import unknown_task_type

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.trends import Period
    from modelperf_plugin.engine.core import ModelPerf

_PORT: Final = 8765
_WIDTH: Final = 960
until_option = click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), metavar="DAY", help="The last day, as in 2026-01-31. Default: today."
)


@click.command()
@click.option(
    "-o", "--output", metavar="PATH", default="report.html", show_default=True, help="The file to write; - is stdout."
)
@days_option
@until_option
@common_options
@pass_common
def report(common: Common, output: str, days: int, until: datetime | None) -> None:
    """Write one HTML page with everything, to be looked at or mailed.

    It loads nothing from anywhere. Needs the extra `dashboard`.
    """
    from modelperf_plugin.dashboard import make_report

    answer = Answer("report")
    with common.reading(answer) as engine:
        page = make_report(engine, _period(days, until))
    _write(answer, output, page.encode())


@click.command()
@click.argument("task_type", required=False, metavar="[TASK]")
@click.option(
    "--chart", type=click.Choice(["success", "models", "cost"]), default="success", show_default=True,
    help="What to draw: success of all; of each model of TASK; cost against success of these.",
)  # fmt: skip
@click.option("--model", "model_id", metavar="MODEL", help="Success of this model only.")
@click.option("--format", "kind", type=click.Choice(["svg", "png"]), help="Default: by the name of the file, else svg.")
@click.option("-o", "--output", metavar="PATH", help="The file to write; - is stdout. Default: CHART.svg or CHART.png.")
@days_option
@until_option
@common_options
@pass_common
def plot(common: Common, /, task_type: str | None, output: str | None, kind: str | None, **asked: Any) -> None:
    """Write one chart as an image.

    A PNG needs the extra `plot`.
    """
    from modelperf_plugin.charts import png, standalone

    answer = Answer("plot")
    suffix = Path(output or "").suffix.lower().removeprefix(".")
    kind = kind or (suffix if suffix in {"svg", "png"} else "svg")
    with common.reading(answer) as engine:
        drawn, heading = _chart(answer, engine, task_type, **asked)
    image = standalone(drawn, heading)
    _write(answer, output or f"{asked['chart']}.{kind}", png(image) if kind == "png" else image.encode())


@click.command()
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", default=_PORT, show_default=True,
    help="The port to listen at; 0 is any that is free.",
)  # fmt: skip
@click.option("--token", metavar="TEXT", help="Who looks must know it; needed at an address that others can reach.")
@common_options
@pass_common
def dashboard(common: Common, host: str, port: int, token: str | None) -> None:
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
    answer = Answer("dashboard")
    location = common.store or str(common.load().config.store.path)
    if is_missing(location):
        answer.nothing(missing_note(location))
    with _listening(host, port) as listener, ModelPerf(common.config, store=to_read(location)) as engine:
        warm(engine)
        shown = f"[{host}]" if ":" in host else host
        query = "" if token is None else f"?{urlencode({'token': token})}"
        answer.line(
            "serving ", (engine.store.location, "bold"), " at ",
            (f"http://{shown}:{listener.getsockname()[1]}/{query}", "cyan"), "; Ctrl-C ends",
        )  # fmt: skip
        app = create_app(engine, token=token, names=(*LOCAL_NAMES, host) if local else None)
        server = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, lifespan="off")
        uvicorn.Server(server).run(sockets=[listener])


def _period(days: int, until: datetime | None) -> Period:
    from modelperf_plugin.analysis.views.trends import Period

    last: date | None = None if until is None else until.date()
    return Period.last(days, until=last, now=datetime.now(UTC))


def _chart(
    answer: Answer,
    engine: ModelPerf,
    task_type: str | None,
    *,
    chart: str,
    model_id: str | None,
    days: int,
    until: datetime | None,
) -> tuple[str, str]:
    """Return a chart and its heading."""
    from modelperf_plugin.analysis.views.details import model_view, task_view
    from modelperf_plugin.analysis.views.overview import overview
    from modelperf_plugin.charts import views

    period = _period(days, until)
    if chart != "success" and (task_type is None or model_id is not None):
        raise click.UsageError(f"--chart {chart} compares the models of one TASK: name it, and no --model")
    if task_type is not None and not engine.store.evidence(task_type):
        unknown_task_type(answer, engine, task_type)
    if model_id is not None:
        seen = model_view(engine, model_id, period, task_type=task_type)
        if seen is None:
            answer.nothing(f"no outcomes of a model {model_id!r}")
        return views.success_chart(seen, _WIDTH), f"{model_id} on {task_type or 'all task types'}"
    closer = None if task_type is None else task_view(engine, task_type, period, decisions=0)
    if closer is None:
        return views.success_chart(overview(engine, period), _WIDTH), "Success on all task types"
    if chart == "models":
        return views.models_chart(closer, _WIDTH), f"Models on {closer.task_type}"
    if chart == "cost":
        return views.cost_chart(closer, _WIDTH), f"Cost against success on {closer.task_type}"
    return views.success_chart(closer, _WIDTH), f"Success on {closer.task_type}"


def _write(answer: Answer, output: str, content: bytes) -> None:
    """Write a file as a whole, or nothing of it."""
    if output == "-":
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    file = Path(output)
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(name).chmod(0o644 if not file.exists() else file.stat().st_mode & 0o777)
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Refusal(f"cannot write {output}: {error.strerror or error}") from error
    answer.line("wrote ", (output, "bold"), f" ({len(content) / 1000:,.0f} kB)")


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
