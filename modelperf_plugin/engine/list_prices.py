"""Prices of tokens by genai-prices, for hosts that report tokens without a cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib.util import find_spec
from threading import Lock, Thread
from typing import Any, Final, NamedTuple

from modelperf_plugin.config import Config
from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.errors import StoreError
from modelperf_plugin.store.deadline import NO_WAIT, within
from modelperf_plugin.store.entries import Entry, Verdict
from modelperf_plugin.store.roles import Outcomes, Spending
from modelperf_plugin.text import iso_day
from modelperf_plugin.values import MAX_COST_USD, Outcome

PACKAGE: Final = "genai_prices"
INPUT_SHARE: Final = 0.75
"""Which part of the tokens of a call is taken as input where only their sum is known."""
MAX_NAMES: Final = 10_000
"""Of how many names the prices are kept."""
REFRESH_SECONDS: Final = 12 * 3600.0
"""How long a price is used before it is looked up again: some begin on a day."""
_SAMPLE: Final = 1_000
"""Number of tokens of the call whose price is looked up; a few models cost more in calls of very many tokens."""
_EPOCH: Final = date(1970, 1, 1)


class Price(NamedTuple):
    """US dollars for a token."""

    input_usd: float
    output_usd: float

    def cost(self, tokens: int, output: int | None) -> float:
        """Return the cost of a call with so many tokens, of which ``output`` are output; None: not known."""
        out = (1.0 - INPUT_SHARE) * tokens if output is None else min(output, tokens)
        return min(MAX_COST_USD, (tokens - out) * self.input_usd + out * self.output_usd)


class ListPrices:
    """Estimates costs. Any thread may call any method; none waits for the import, which takes a third of a second.

    Prices are looked up in a thread when a model is first offered, while the host waits for its answer. Until then, and
    for a model that genai-prices does not know, the cost stays unknown. Nothing is read from the network.
    """

    def __init__(self, spending: Spending, config: Callable[[], Config], errors: BackgroundErrors) -> None:
        """Note in ``spending`` of which models costs were estimated."""
        self._spending = spending
        self._config = config
        self._errors = errors
        self._is_installed = find_spec(PACKAGE) is not None
        self._lock = Lock()
        self._prices: dict[str, Price | None] = {}
        self._refresh_at = 0.0
        self._offered: tuple[str, ...] = ()
        self._day = 0
        """The day of the prices, since the Unix epoch; 0 as long as it is not known."""
        self._marked: set[str] = set()
        """The models that are known to be marked with this day."""
        self._dates: Mapping[str, str] | None = None

    @property
    def _is_on(self) -> bool:
        return self._is_installed and self._config().prices.estimate

    @property
    def dates(self) -> Mapping[str, str]:
        """The models whose costs are estimates, with the day of the prices; another object when they have changed."""
        if self._dates is None:
            self._dates = {}
            with suppress(StoreError):  # then the first estimates of this process are marked again
                self._dates = {name: iso_day(day) for name, day in self._spending.estimated().items()}
        return self._dates

    def expect(self, model_ids: tuple[str, ...]) -> None:
        """Look up the prices of models that are about to be called."""
        if self._is_on and model_ids != self._offered:
            self._offered = model_ids
            self._look_up_new(model_ids)

    def cost_of(self, model_id: str, tokens: int, output: int | None = None, served: str | None = None) -> float:
        """Return what a call has cost by list; 0 if it is unknown, or the cost of its tasks is configured.

        ``output`` is how many of the ``tokens`` are output, ``served`` the name of the model that has answered.
        """
        if not tokens or not self._is_on:
            return 0.0
        names = [model_id] if served is None or served == model_id else [model_id, served]
        model = self._config().models.get(model_id)
        if model is not None:
            if model.cost_usd is not None:
                return 0.0
            names += model.aliases
        self._look_up_new(names)
        price = next(filter(None, map(self._prices.get, names)), None)
        if price is None:
            return 0.0
        if model_id not in self._marked:
            self._errors.guard(
                lambda: within(NO_WAIT, lambda: self._mark(model_id)), "an estimated cost was not marked as such"
            )
        return price.cost(tokens, output)

    def priced(self, entries: Sequence[Entry], outcomes: Outcomes) -> Sequence[Entry]:
        """Return entries with an estimated cost, where they have tokens and no cost.

        An outcome whose id is known in ``outcomes`` keeps the cost that it has: it may be a reported one.
        """
        if not self._is_on:
            return entries
        ids = [each.outcome.outcome_id for each in entries if each.outcome.outcome_id and _lacks_cost(each.outcome)]
        known: Mapping[str, Verdict] = {}
        with suppress(StoreError):  # recording says so
            known = outcomes.verdicts_of(ids) if ids else {}
        return [self._estimated(entry, known) if _lacks_cost(entry.outcome) else entry for entry in entries]

    def _estimated(self, entry: Entry, known: Mapping[str, Verdict]) -> Entry:
        outcome = entry.outcome
        before = known.get(outcome.outcome_id or "")
        if before is not None and before.cost_nano_usd:
            return entry
        cost_usd = self.cost_of(entry.model_id, outcome.tokens_used, served=outcome.served_model)
        return entry._replace(outcome=replace(outcome, cost_usd=cost_usd)) if cost_usd else entry

    def _mark(self, model_id: str) -> None:
        day = iso_day(self._day)
        if self.dates.get(model_id, "") < day:
            self._spending.mark_estimated(model_id, self._day)
            self._dates = {**self.dates, model_id: day}
        self._marked.add(model_id)

    def _look_up_new(self, names: Iterable[str]) -> None:
        """Look up the prices of new names in a thread."""
        now = time.monotonic()
        with self._lock:
            if now >= self._refresh_at:
                self._refresh_at = now + REFRESH_SECONDS
                names = [*names, *self._prices]
            else:
                names = [name for name in names if name not in self._prices]
            if not names or len(self._prices) >= MAX_NAMES:
                return
            self._prices.update({name: None for name in names if name not in self._prices})
        thread = Thread(target=self._look_up, args=(names,), name="modelperf prices", daemon=True)
        self._errors.guard(thread.start, "costs are not estimated")

    def _look_up(self, names: Iterable[str]) -> None:
        try:
            if not self._day:
                self._day = _newest_day(datetime.now(UTC).date())
            for name in names:
                self._prices[name] = price_of(name)
        except Exception as error:  # noqa: BLE001 - costs stay unknown
            self._errors.report("costs are not estimated", error)


def _lacks_cost(outcome: Outcome) -> bool:
    return bool(outcome.tokens_used and not outcome.cost_usd)


def price_of(name: str) -> Price | None:
    """Return the price of a model by the list; None if it is not in the list."""
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - slow, and only here

    provider, _, rest = name.partition("/")
    for reference, of in ((name, None), (rest, provider), (rest, None)) if rest else ((name, None),):
        try:
            input_usd, output_usd = (
                float(calc_price(usage, reference, provider_id=of).total_price) / _SAMPLE
                for usage in (
                    Usage(input_tokens=_SAMPLE, output_tokens=0),
                    Usage(input_tokens=0, output_tokens=_SAMPLE),
                )
            )
        except LookupError:
            continue
        return Price(input_usd, output_usd) if input_usd or output_usd else None
    return None


def _newest_day(today: date) -> int:
    """Return the day of the newest price in the list, since the Unix epoch: the list is of that day or a later one."""
    from genai_prices import data_snapshot  # noqa: PLC0415 - slow, and only here

    snapshot = data_snapshot.get_snapshot()
    if snapshot.from_auto_update:
        updated: date = snapshot.timestamp.date()
        return (updated - _EPOCH).days
    days = [day for provider in snapshot.providers for model in provider.models for day in _days_of(model)]
    return (max((day for day in days if day <= today), default=today) - _EPOCH).days


def _days_of(model: Any) -> Iterator[date]:
    """Yield the days on which prices of a model began, or were checked."""
    for each in [model, *(model.prices if isinstance(model.prices, list) else [])]:
        began = getattr(getattr(each, "constraint", None), "start_date", None)
        yield from (day for day in (began, getattr(each, "prices_checked", None)) if isinstance(day, date))
