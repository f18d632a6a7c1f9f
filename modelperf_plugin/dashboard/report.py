"""The report: one self-contained HTML file."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from markupsafe import Markup

from modelperf_plugin.analysis.views.advice.gather import advise
from modelperf_plugin.analysis.views.details import task_view
from modelperf_plugin.analysis.views.overview import overview
from modelperf_plugin.analysis.views.trends import Period
from modelperf_plugin.dashboard.later import Computed
from modelperf_plugin.dashboard.render import HALF, Links, overview_html, render, style, style_digest, task_html
from modelperf_plugin.dashboard.saved import MAX_REPORT_DECISIONS, saved_in
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.errors import MissingExtraError

MAX_CHAPTERS: Final = 10
"""Maximum number of task types with a chapter, those with the most outcomes."""
MAX_MODELS: Final = 10
"""Maximum number of models in a chapter, the best ones."""


def make_report(engine: ModelPerf, period: Period | None = None, *, now: datetime | None = None) -> str:
    """Return the report of ``period``, by default the last 30 days, as one HTML page.

    Raises:
        StoreError: the store could not be read.
    """
    now = now or datetime.now(UTC)
    period = period or Period.last(30, now=now)
    view = overview(engine, period, now=now)
    anchors = {row.task_type: f"task-{place}" for place, row in enumerate(view.task_types[:MAX_CHAPTERS], start=1)}
    links = Links(
        task=lambda name: f"#{anchors[name]}" if name in anchors else None,
        model=lambda _task, _model: None,
        decision=lambda _: None,
        decisions=lambda **_: None,
        advice=lambda _: None,
    )
    chapters = []
    for name, anchor in anchors.items():
        details = task_view(engine, name, period, now=now, most=MAX_MODELS, decisions=0)
        if details is not None:
            body = task_html(details, links, wide=HALF, now=now, prefix=f"{anchor}-", live=False, heading="h3")
            chapters.append({"name": name, "anchor": anchor, "body": body})
    page = render(
        "report.html",
        title="Model report",
        style=Markup(style()),  # noqa: S704 - a file of this package
        style_hash=b64encode(style_digest()).decode(),
        period=period,
        overview=overview_html(
            view,
            links,
            now=now,
            live=False,
            saved=_computed(lambda: saved_in(engine, period, MAX_REPORT_DECISIONS)),
            advice=_computed(lambda: advise(engine, now=now)),
        ),
        tasks=chapters,
        left_out=len(view.task_types) + view.hidden - len(chapters),
        store=view.store,
        mode=view.mode,
        now=now,
        version=version("modelperf-plugin"),
    )
    return page.encode(errors="backslashreplace").decode()  # a path need not be UTF-8


def _computed(make: Callable[[], Any]) -> Computed:
    now = datetime.now(UTC)
    try:
        return Computed(make(), now)
    except MissingExtraError as error:
        return Computed(None, now, str(error))
