"""The query of an address: periods, searches, and addresses of other pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final, get_args
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request

from modelperf_plugin.analysis.views.trends import MAX_DAYS, Period
from modelperf_plugin.dashboard.render import Links
from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.store import DecisionSearch
from modelperf_plugin.store.trends import Ending, SortOrder
from modelperf_plugin.values import from_milliseconds, to_milliseconds

DEFAULT_DAYS: Final = 30
PAGE_SIZE: Final = 50
"""Decisions on a page."""
FILTERS: Final = ("task", "model", "explored", "outcome", "q", "sort")
"""Names of the query of the decisions page, other than those of the period and the place in the list."""
_PLACES: Final = ("page", "before", "rows")
_MAX_PAGE: Final = 100_000


def requested_period(request: Request) -> tuple[datetime, Period]:
    """Return the time now and the period that the query asks for."""
    now = datetime.now(UTC)
    days, until = request.query_params.get("days", ""), request.query_params.get("until", "")
    try:
        length = int(days) if days else DEFAULT_DAYS
    except ValueError:
        raise InvalidValueError("days", f"a whole number from 1 to {MAX_DAYS:,}", days, typed=True) from None
    try:
        last = date.fromisoformat(until) if until else None
    except ValueError:
        raise InvalidValueError("until", "a day such as 2026-01-31", until, typed=True) from None
    return now, Period.last(length, until=last, now=now)


def requested_search(request: Request, period: Period, canonical_ids: Mapping[str, str]) -> DecisionSearch:
    """Return the search for decisions that the query asks for, within ``period``."""
    query = request.query_params
    model_id, explored = query.get("model"), _one_of(query, "explored", ("yes", "no"))
    return DecisionSearch(
        period.days.first_ms,
        min(period.days.end_ms, _before(query.get("before", "")) or period.days.end_ms),
        task_type=query.get("task") or None,
        models=(canonical_ids.get(model_id, model_id),) if model_id else None,
        explored=None if explored is None else explored == "yes",
        ending=_one_of(query, "outcome", get_args(Ending)),
        text=query.get("q", "").strip(),
        order=_one_of(query, "sort", get_args(SortOrder)) or "newest",
        offset=(_page(query.get("page", "")) - 1) * PAGE_SIZE,
        limit=PAGE_SIZE,
    )


def required(request: Request, name: str) -> str:
    """Return a value of the query that has to be there."""
    value = request.query_params.get(name)
    if not value:
        raise HTTPException(400, f"The address must name one: ?{name}=…")
    return value


def links_of(request: Request) -> Links:
    """Return links that keep the period; relative, so that the application can be mounted anywhere."""
    period = kept_period(request)

    def to(page: str) -> Callable[..., str]:
        return lambda **query: f"{page}?{urlencode({**query, **period})}"

    task, model, decision, decisions, advice = map(to, ("task", "model", "decision", "decisions", "advice"))
    return Links(
        task=lambda name: task(name=name),
        model=lambda task_type, name: model(name=name, **({} if task_type is None else {"task": task_type})),
        decision=lambda decision_id: decision(id=decision_id),
        decisions=lambda **query: decisions(**{name: value for name, value in query.items() if value}),
        advice=lambda task_type: advice(**({} if task_type is None else {"task": task_type})),
    )


def same_page(request: Request, **changed: str) -> str:
    """Return the address of this page with a changed query; an empty value removes a name.

    It begins at the first page of a list, unless another one is asked for.
    """
    query = {**request.query_params, **dict.fromkeys(_PLACES, ""), **changed}
    return f"?{urlencode({name: value for name, value in query.items() if value})}"


def before_text(moment_ms: int) -> str:
    """Return a moment as the query has it."""
    return from_milliseconds(moment_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def kept(request: Request, *names: str) -> list[tuple[str, str]]:
    """Return what a form has to keep of the query."""
    return [(name, value) for name, value in request.query_params.items() if name in names and value]


def kept_period(request: Request) -> dict[str, str]:
    return dict(kept(request, "days", "until"))


def _one_of(query: Any, name: str, allowed: tuple[str, ...]) -> Any:
    value = query.get(name, "")
    if value and value not in allowed:
        raise InvalidValueError(name, f"one of {', '.join(allowed)}", value, typed=True)
    return value or None


def _page(value: str) -> int:
    if not value:
        return 1
    if value.isascii() and value.isdecimal() and len(value) < 7 and 1 <= int(value) <= _MAX_PAGE:
        return int(value)
    raise InvalidValueError("page", "a whole number from 1", value, typed=True)


def _before(value: str) -> int | None:
    try:
        moment = datetime.fromisoformat(value) if value else None
    except ValueError:
        moment = None
    if value and (moment is None or moment.tzinfo is None):
        raise InvalidValueError("before", "a time such as 2026-01-31T12:00:00Z", value, typed=True)
    return None if moment is None else to_milliseconds(moment)
