"""HTML from views: templates, filters, and every chart in two widths."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from modelperf_plugin import text
from modelperf_plugin.analysis.views.advice.values import Advice
from modelperf_plugin.analysis.views.details import ModelRow, ModelView, TaskView
from modelperf_plugin.analysis.views.overview import Overview
from modelperf_plugin.analysis.views.tasks import LoggedTask, plan_text, steps_of
from modelperf_plugin.analysis.views.trends import solved_tasks
from modelperf_plugin.charts import views
from modelperf_plugin.charts.scale import day_and_minute, day_text
from modelperf_plugin.charts.standalone import stylesheet
from modelperf_plugin.dashboard.later import Computed
from modelperf_plugin.dashboard.sums import score_sums
from modelperf_plugin.store import LoggedDecision
from modelperf_plugin.store.trends import MAX_SAMPLED_DECISIONS
from modelperf_plugin.values import Tally, from_milliseconds, to_milliseconds

WIDE, HALF, NARROW = 1064, 516, 358
"""Widths of charts in pixels: on a screen, side by side, and on a phone."""
_DASH = "–"


class Links(NamedTuple):
    """Addresses of pages; None for no link."""

    task: Callable[[str], str | None]
    model: Callable[[str | None, str], str | None]
    """Of a task type, or None for all, and a model."""
    decision: Callable[[str], str | None]
    decisions: Callable[..., str | None]
    """Of filters: ``task``, ``model``."""
    advice: Callable[[str | None], str | None]
    """Of a task type, or None for all."""


class Drawing(NamedTuple):
    """A chart in both widths; the stylesheet shows the one that fits."""

    wide: Markup
    narrow: Markup


def overview_html(view: Overview, links: Links, **context: Any) -> Markup:
    charts = {"trend": _both(lambda width: views.success_chart(view, width, 250 if width == WIDE else 210))}
    return render("overview.html", links, view=view, charts=charts, **context)


def task_html(view: TaskView, links: Links, *, wide: int = WIDE, **context: Any) -> Markup:
    """Return the details of a task type; its charts are ``wide`` on a screen."""
    charts = {
        "lines": _both(lambda width: views.models_chart(view, width, 250 if width == WIDE else 220), wide),
        "scatter": _both(lambda width: views.cost_chart(view, width, 300 if width == WIDE else 220), wide),
    }
    window = views.models_window(view) * view.period.days.step
    return render("task.html", links, view=view, charts=charts, window=window, **context)


def model_html(view: ModelView, links: Links, **context: Any) -> Markup:
    charts = {"trend": _both(lambda width: views.success_chart(view, width, 250 if width == WIDE else 210))}
    return render("model.html", links, view=view, charts=charts, **context)


def decision_html(decision: LoggedDecision, task: LoggedTask, links: Links, **context: Any) -> Markup:
    sums = plan_text(decision.plan)
    steps = steps_of(decision, task)
    return render("decision.html", links, decision=decision, task=task, steps=steps, sums=sums, **context)


def render(template: str, links: Links | None = None, **context: Any) -> Markup:
    """Render a template with its variables; every text is escaped."""
    now = context.get("now") or datetime.now(UTC)
    named = {} if links is None else {f"link_{name}": link for name, link in links._asdict().items()}
    variables = {
        "prefix": "", "live": True, "heading": "h2", "link_all": None, "link_newest": None,
        "most_sampled": MAX_SAMPLED_DECISIONS, "now_ms": to_milliseconds(now), **named, **context,
    }  # fmt: skip
    return Markup(_environment().get_template(template).render(variables))  # noqa: S704 - the environment escapes


def prepare() -> None:
    """Compile the templates ahead of the first request."""
    environment = _environment()
    for name in environment.list_templates():
        environment.get_template(name)


@cache
def style() -> str:
    return stylesheet() + (files(__package__) / "static" / "page.css").read_text("utf-8")


@cache
def style_digest() -> bytes:
    """Return the SHA-256 of the stylesheet, for a policy that permits no other."""
    return sha256(style().encode()).digest()


def _both(draw: Callable[[int], str], wide: int = WIDE) -> Drawing:
    return Drawing(_drawn(draw(wide)), _drawn(draw(NARROW)))


def _drawn(svg: str) -> Markup:
    return Markup(svg)  # noqa: S704 - charts escape every text


def _findings(computed: Computed | None, task_type: str | None) -> list[Advice]:
    """Return the findings about a task type, or all; none if they are not known."""
    found: Iterable[Advice] = () if computed is None or computed.failure else computed.value
    return [each for each in found if task_type is None or not each.task_types or task_type in each.task_types]


def _signed_dollars(usd: float) -> str:
    return ("\u2212" if usd < 0 else "+") + text.dollars(abs(usd))


def _moment(value: datetime | int) -> str:
    return day_and_minute(from_milliseconds(value) if isinstance(value, int) else value.astimezone(UTC))


def _sentence(words: str, names: Iterable[str] = ()) -> str:
    """Return a text with a capital letter, unless it begins with a name."""
    first = words.partition(" ")[0]
    return words[:1].upper() + words[1:] if first.isalpha() and first not in set(names) else words


def _spent(tally: Tally, mean_cost_usd: float | None = None, prices_day: int | None = None) -> str:
    amount = text.spent_per_success(tally, mean_cost_usd)
    if prices_day is not None and tally.priced:
        amount = text.listed(amount)
    return amount.replace(text.UNKNOWN, _DASH)


def _prices_note(rows: Iterable[ModelRow]) -> str:
    """Return by which prices costs were estimated; empty if none were."""
    days = [each.prices_day for each in rows if each.prices_day is not None and each.row.tally.priced]
    return text.list_prices_note(days) if days else ""


def _tries(write: Callable[[Tally], str]) -> Callable[[Tally], str]:
    return lambda tally: write(tally).replace(text.UNKNOWN, _DASH)


def _or_dash(write: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: _DASH if value is None else write(value)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        percent=_or_dash(lambda share: text.percent(share).replace(" ", "\u202f")),
        points=lambda difference: text.points(difference).replace("-", "\u2212"), dollars=_or_dash(text.dollars),
        span=_or_dash(text.span), spent=_spent,
        factor=lambda value: f"{value:,.0f}" if value >= 100 else f"{value:.3g}", count=text.count,
        number=_or_dash(lambda number: f"{number:,}"), ordinal=text.ordinal, seconds=_or_dash(text.seconds),
        duration=_or_dash(text.duration),
        first_tries=_tries(text.first_tries), later_tries=_tries(text.later_tries),
        solved_tasks=solved_tasks, score=_or_dash(text.score),
        ago=_or_dash(text.ago), moment=_moment, findings=_findings, sentence=_sentence,
        date=lambda moment_ms: day_text(from_milliseconds(moment_ms).date()),
        day=lambda day: day_text(day, year=True) if isinstance(day, date) else str(day),
    )  # fmt: skip
    environment.globals.update(
        zip=zip,
        sums_of=score_sums,
        by_model=lambda rows: {row.model_id: row for row in rows},
        by_name=lambda rows: {name: each.row for name, each in rows.items()},
        signed_dollars=_signed_dollars,
        signed_points=lambda rate: text.points(rate).replace("-", "\u2212"),
        marks=views.marks,
        has_later_tries=lambda rows: text.has_later_tries(each.row.tally for each in rows),
        prices_note=_prices_note,
        has_scores=lambda rows: text.has_scores(each.row.tally for each in rows),
        spark=lambda trend: _drawn(views.rates_line(trend)),
        glyph=lambda row: _drawn(views.score_glyph(row)),
        rate_glyph=lambda name, rate: _drawn(views.rate_glyph(name, rate)),
        e_value_bar=lambda trial: _drawn(views.e_value_bar(trial)),
    )
    return environment
