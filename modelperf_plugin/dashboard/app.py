"""The dashboard as a read-only ASGI application."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from modelperf_plugin.analysis.views.advice.gather import advise
from modelperf_plugin.analysis.views.decision_list import decision_list
from modelperf_plugin.analysis.views.details import MAX_MODELS, model_view, task_view
from modelperf_plugin.analysis.views.overview import MAX_TASK_TYPES, overview
from modelperf_plugin.analysis.views.tasks import task_of
from modelperf_plugin.analysis.views.trends import Period
from modelperf_plugin.config.describe import meanings
from modelperf_plugin.dashboard import metrics
from modelperf_plugin.dashboard.guard import Guard
from modelperf_plugin.dashboard.later import Computed, Later
from modelperf_plugin.dashboard.prefix import Prefix, check_root_path
from modelperf_plugin.dashboard.query import (
    DEFAULT_DAYS,
    FILTERS,
    before_text,
    kept,
    kept_period,
    links_of,
    requested_period,
    requested_search,
    required,
    same_page,
)
from modelperf_plugin.dashboard.render import (
    decision_html,
    model_html,
    overview_html,
    prepare,
    render,
    style,
    task_html,
)
from modelperf_plugin.dashboard.saved import saved_in
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.errors import InvalidValueError, StoreError
from modelperf_plugin.store import urls

LENGTHS: Final = (7, 30, 90, 365)
"""Periods to choose from, in days."""
_PAGES: Final = (("./", "Overview"), ("decisions", "Decisions"), ("advice", "Advice"), ("policy", "Policy"))
_MIN_PREFIX_LENGTH: Final = 6


def create_app(
    engine: ModelPerf, *, token: str | None = None, names: Iterable[str] | None = None, root_path: str = ""
) -> Starlette:
    """Return the dashboard of ``engine`` as an application, to serve alone or mount in another one.

    Args:
        engine: the engine to show; the caller closes it.
        token: required from visitors, if set.
        names: the host names to answer to; None for all.
        root_path: the path below which a proxy serves the pages, if the server does not tell.

    Raises:
        InvalidValueError: ``root_path`` is not a path.
    """
    prefix = check_root_path(root_path)
    prepare()
    later = Later()
    pages = _Pages(engine, later)
    routes = [
        Route("/", pages.overview, methods=["GET"]),
        Route("/task", pages.task, methods=["GET"]),
        Route("/model", pages.model, methods=["GET"]),
        Route("/decision", pages.decision, methods=["GET"]),
        Route("/decisions", pages.decisions, methods=["GET"]),
        Route("/advice", pages.advice, methods=["GET"]),
        Route("/policy", pages.policy, methods=["GET"]),
        Route("/metrics", pages.metrics, methods=["GET"]),
        Route("/static/{name}", _static, methods=["GET"]),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(Prefix, root_path=prefix),
            Middleware(Guard, token=token, names=names),
            Middleware(later.counting),
        ],
        exception_handlers={HTTPException: pages.error, InvalidValueError: pages.error, StoreError: pages.error},
    )


def warm(engine: ModelPerf) -> None:
    """Read and fit the evidence of every task type, so that the first page does not wait for it."""
    overview(engine, Period.last(DEFAULT_DAYS))


class _Pages:
    """One method for each page, run in a thread."""

    def __init__(self, engine: ModelPerf, later: Later) -> None:
        self._engine, self._later = engine, later

    def overview(self, request: Request) -> Response:
        now, period = requested_period(request)
        everything = request.query_params.get("rows") == "all"
        view = overview(self._engine, period, now=now, most=None if everything else MAX_TASK_TYPES)
        newest = view.quality.newest
        body = overview_html(
            view, links_of(request), now=now, link_all=same_page(request, rows="all"),
            saved=None if newest is None else self._saved(period), advice=None if newest is None else self._advice(),
            link_newest=None if newest is None else same_page(request, until=newest.date().isoformat()),
        )  # fmt: skip
        return self._page(request, "Overview", body, now, here="Overview", period=period)

    def task(self, request: Request) -> Response:
        now, period = requested_period(request)
        name = required(request, "name")
        everything = request.query_params.get("rows") == "all"
        view = task_view(self._engine, name, period, now=now, most=None if everything else MAX_MODELS)
        if view is None:
            raise HTTPException(404, f"No outcomes of a task type {name!r}.")
        body = task_html(
            view, links_of(request), now=now, link_all=same_page(request, rows="all"), advice=self._advice()
        )
        return self._page(request, name, body, now, period=period, trail=[_overview(request)])

    def model(self, request: Request) -> Response:
        now, period = requested_period(request)
        name, task_type = required(request, "name"), request.query_params.get("task")
        name = self._engine.config.canonical_ids.get(name, name)
        view = model_view(self._engine, name, period, task_type=task_type)
        if view is None:
            on = "" if task_type is None else f" on {task_type!r}"
            raise HTTPException(404, f"No outcomes of a model {name!r}{on}.")
        links = links_of(request)
        trail = [_overview(request), *([] if task_type is None else [(links.task(task_type), task_type)])]
        body = model_html(view, links, now=now)
        return self._page(request, name, body, now, period=period, trail=trail)

    def decision(self, request: Request) -> Response:
        now = datetime.now(UTC)
        decision_id = required(request, "id")
        found = self._engine.store.decisions.get(decision_id)
        if found is None and len(decision_id) >= _MIN_PREFIX_LENGTH:
            alike = self._engine.store.decisions.starting_with(decision_id, 2)
            found = alike[0] if len(alike) == 1 else None
        if found is None:
            raise HTTPException(404, f"No logged decision {decision_id!r}, or several begin with it.")
        links = links_of(request)
        in_force = self._engine.config.policy_for(found.task_type).policy_id
        task = task_of(self._engine.store.decisions, found)
        body = decision_html(found, task, links, policy_id=in_force, now=now)
        trail = [_overview(request), (links.task(found.task_type), found.task_type)]
        return self._page(request, f"Why {found.model_id}?", body, now, trail=trail)

    def decisions(self, request: Request) -> Response:
        now, period = requested_period(request)
        search = requested_search(request, period, self._engine.config.canonical_ids)
        listed = decision_list(self._engine, search)
        query = request.query_params
        older = None if listed.before_ms is None else same_page(request, before=before_text(listed.before_ms))
        body = render(
            "decisions.html", links_of(request), listed=listed, now=now, query=query,
            kept=kept(request, "days", "until"), is_filtered=any(query.get(name) for name in FILTERS if name != "sort"),
            older=older,
            everything=same_page(request, **dict.fromkeys(FILTERS, "")),
            to_page=lambda number: same_page(request, before=query.get("before", ""), page=str(number)),
            sorted_by=lambda order: same_page(request, before=query.get("before", ""), sort=order),
        )  # fmt: skip
        return self._page(request, "Decisions", body, now, here="Decisions", period=period)

    def advice(self, request: Request) -> Response:
        now, task_type = datetime.now(UTC), request.query_params.get("task") or None
        body = render(
            "advice.html", links_of(request), advice=self._advice(), task_type=task_type, now=now,
            link_all=same_page(request, task=""),
        )  # fmt: skip
        return self._page(request, "What to change", body, now, here="Advice")

    def _saved(self, period: Period) -> Computed | None:
        return self._later.get(
            ("saved", period.days), lambda progress: saved_in(self._engine, period, progress=progress)
        )

    def _advice(self) -> Computed | None:
        return self._later.get("advice", lambda _progress: advise(self._engine))

    def policy(self, request: Request) -> Response:
        now = datetime.now(UTC)
        loaded = self._engine.loaded
        store, configured = self._engine.store.location, loaded.config.store
        key = "store.url" if configured.url else "store.path"
        named = urls.without_secrets(configured.url) if configured.url else str(configured.path)
        settings = loaded.rows()
        meaning = meanings(settings)
        rows = [
            (path, json.dumps(store if path == key else value, ensure_ascii=False),
             "argument" if path == key and store != named else origin, meaning[path])
            for path, value, origin in settings
        ]  # fmt: skip
        fingerprints = [("every task type", loaded.config.policy_for("").policy_id)]
        fingerprints += [(name, loaded.config.policy_for(name).policy_id) for name in loaded.config.task_types]
        body = render("policy.html", values=rows, files=loaded.files, fingerprints=fingerprints, now=now)
        return self._page(request, "Policy", body, now, here="Policy")

    def metrics(self, request: Request) -> Response:  # noqa: ARG002 - the signature of an endpoint
        return PlainTextResponse(metrics.exposition(self._engine.store), media_type=metrics.CONTENT_TYPE)

    def error(self, request: Request, exception: Exception) -> Response:
        code = 503 if isinstance(exception, StoreError) else 400
        message = str(exception)
        if isinstance(exception, HTTPException):
            code, message = exception.status_code, str(exception.detail)
        message = _PLAINER.get(message, message)
        title = {404: "Not found", 405: "Read-only", 503: "The store cannot be read"}.get(code, "Invalid request")
        body = render("message.html", message=message)
        headers = getattr(exception, "headers", None)
        return self._page(request, title, body, datetime.now(UTC), code=code, headers=headers)

    def _page(
        self,
        request: Request,
        title: str,
        body: Markup,
        now: datetime,
        *,
        period: Period | None = None,
        code: int = 200,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> Response:
        lengths = [(length, same_page(request, days=str(length))) for length in LENGTHS]
        html = render(
            "page.html", title=title, body=body, now=now, period=period, lengths=lengths,
            kept=kept(request, "name", "days", *FILTERS),
            places=_PAGES, query=_period_query(request), action=request.url.path.rsplit("/", 1)[-1] or "./",
            store=self._engine.store.location, mode=self._engine.config.mode,
            **{"here": None, "trail": [], **extra},
        )  # fmt: skip
        content = html.encode(errors="backslashreplace")  # a path need not be UTF-8
        return HTMLResponse(content, status_code=code, headers=headers)


def _overview(request: Request) -> tuple[str, str]:
    return f"./{_period_query(request)}", "Overview"


def _period_query(request: Request) -> str:
    period = kept_period(request)
    return f"?{urlencode(period)}" if period else ""


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "style.css":
        content, kind = style(), "text/css"
    elif name in _STATIC:
        content, kind = (files(__package__) / "static" / name).read_text("utf-8"), _STATIC[name]
    else:
        raise HTTPException(404, "No such file.")
    return Response(content, media_type=kind, headers={"cache-control": "max-age=300"})


_STATIC: Final = {"live.js": "text/javascript", "icon.svg": "image/svg+xml"}
_PLAINER: Final = {
    "Not Found": "There is no page at this address.",
    "Method Not Allowed": "These pages can only be read.",
}
"""What to say instead of the framework's words, which only repeat the title."""
