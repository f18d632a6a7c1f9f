"""Which models are unavailable after outages of their provider, and how often a try of each meets one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Self

from modelperf_plugin.config import Config
from modelperf_plugin.engine.lateness import unless_late
from modelperf_plugin.engine.pauses import Streak, extended
from modelperf_plugin.policy.quality import is_informative, is_outage
from modelperf_plugin.store import Event
from modelperf_plugin.store.roles import Events
from modelperf_plugin.values import BLAMES, Outcome

REFRESH_SECONDS: Final = 0.5
"""How often outcomes of other processes are read."""
MAX_EVENTS: Final = 500
"""How many of the newest outcomes are read; earlier outages are over."""
MAX_EARLIER: Final = 10_000
"""In how many outcomes before them outages are looked for that keep a model out for long."""
PRIOR_TRIES: Final = 5.0
"""Number of tries without an outage that every model is credited with at the start."""
MAX_MODELS: Final = 1_000
"""From how many models on those without a recent outage are forgotten."""
_NEGLIGIBLE: Final = 0.01
"""A weight of outages, in outcomes, that no longer matters."""
_STEPS: Final = 60
"""Into how many steps a half-life is divided, at which weights are updated."""
_MINUTE_MS: Final = 60_000

_FOREVER_MS: Final = 2**62


class CurrentOutages(NamedTuple):
    """What speaks against models now; the same objects as long as nothing changes."""

    reasons: Mapping[str, str]
    """Why models are unavailable; the first to be back first, then those that are gone."""
    down: frozenset[str]
    """Those of them that will not answer during the back-off, because their provider says so."""
    availability: Mapping[str, float]
    """The availability of models, where below 1."""


NO_OUTAGES: Final = CurrentOutages({}, frozenset(), {})


class GoneModel(NamedTuple):
    """A model that is gone, as far as the outcomes say."""

    model_id: str
    since_ms: int
    """When it was first found gone."""
    last_ms: int
    """When the last try of it met an outage."""
    times: int
    """How many tries in a row have found it gone."""
    next_ms: int
    """From when on it is tried again; may be past."""


class _Record(NamedTuple):
    """The recent tries of one model that followed one without an outage, discounted for age."""

    answered: float = 0.0
    outages: float = 0.0
    at_ms: int = 0
    is_down: bool = False
    """Whether its last try met an outage."""

    def at(self, now_ms: int, half_life_ms: float) -> _Record:
        """Return the same tries discounted to a later moment."""
        weight = 0.5 ** (max(0, now_ms - self.at_ms) / half_life_ms)
        return _Record(self.answered * weight, self.outages * weight, now_ms, self.is_down)

    def plus(self, ended_ms: int, half_life_ms: float, *, has_outage: bool) -> _Record:
        """Return these tries and another one."""
        if self.is_down or not half_life_ms:
            return _Record(self.answered, self.outages, self.at_ms, has_outage)
        answered, outages, at_ms, _ = self.at(ended_ms, half_life_ms)
        return _Record(answered + (not has_outage), outages + has_outage, at_ms, has_outage)


_NO_TRIES: Final = _Record()


class Availability:
    """Follows the log of outcomes and backs off from models after outages. Any thread may call any method.

    An outage is a failure that the provider is to blame for, on any task type and in any process. After the n-th in a
    row a model is unavailable for ``pause_seconds``·2^(n−1), up to ``longest_pause_seconds``, and a random part of that
    more, up to ``jitter``. Outages of calls that were running when the back-off began do not extend it. Any other
    outcome that is not the caller's own error ends it. An outcome stamped later than now counts as one of now, so no
    clock, of another host or set back since, makes a back-off longer.

    A model that is gone (``unavailable``) is out for ``gone_pause_minutes``·2^(n−1). Where the provider says when to
    retry, the model is out until then. Both survive a restart, as they are read from earlier outcomes, too. An operator
    may end them.

    After a back-off a model gets a few tries, and one that is gone gets one. If none of them is answered by then, it is
    unavailable for as long again (the half-open state of a circuit breaker).

    The availability of a model is the share of its tries without an outage, of those that followed a try without one:
    what matters for a model that is available is how often it fails out of nothing, and an outage that lasted counts
    once. Older tries count less, by ``half_life_minutes``.
    """

    def __init__(
        self,
        events: Events,
        config: Callable[[], Config],
        *,
        now_ms: Callable[[], int],
        number: Callable[[], float],
    ) -> None:
        """Follow ``events``; ``number`` returns a random number from [0, 1), for the jitter."""
        self._events = events
        self._config = config
        self._now_ms = now_ms
        self._number = number
        self._lock = threading.RLock()
        self._streaks: dict[str, Streak] = {}
        self._records: dict[str, _Record] = {}
        self._position: int | None = None
        self._refresh_at = 0.0
        self._current = NO_OUTAGES
        self._valid_ms = (0, 0)

    @classmethod
    def read(cls, events: Events, config: Config, now_ms: int) -> Self:
        """Return the availability as of now, for a report."""
        availability = cls(events, lambda: config, now_ms=lambda: now_ms, number=lambda: 0.0)
        availability.refresh()
        return availability

    def now(self, now_ms: int) -> CurrentOutages:
        """Return which models are unavailable, and how available the others are."""
        if time.monotonic() >= self._refresh_at:
            unless_late(self.refresh, None)
        if not self._records:
            return NO_OUTAGES
        first, last = self._valid_ms
        if not first <= now_ms < last:
            with self._lock:
                self._renew(now_ms)
        return self._current

    def concerns(self, model_id: str, outcome: Outcome) -> bool:
        """Return whether an outcome calls for a refresh at once; timeouts that count as outages wait for the next."""
        return model_id in self._streaks or (not outcome.success and BLAMES[outcome.error_kind] == "provider")

    def on_decision(self, model_id: str, now_ms: int) -> None:
        """Count a try of a model whose back-off is over."""
        if model_id not in self._streaks:
            return
        with self._lock:
            streak = self._streaks.get(model_id)
            if streak is None or now_ms < streak.until_ms:
                return
            self._streaks[model_id] = streak = streak.tried(now_ms)
            if now_ms < streak.until_ms:
                self._valid_ms = (0, 0)

    def has_outage(self, model_id: str) -> bool:
        """Return whether no try of a model has been answered since its last outage."""
        return model_id in self._streaks

    def gone(self) -> list[GoneModel]:
        """Return the models that are gone, and were not found back since; first the one that has been for longest."""
        with self._lock:
            found = [
                GoneModel(name, each.gone_since_ms, each.last_ms, each.gone, each.until_ms)
                for name, each in self._streaks.items()
                if each.gone
            ]
        return sorted(found, key=lambda each: (each.since_ms, each.model_id))

    def refresh(self) -> None:
        """Read the newest outcomes; who only asks what is known does not wait for that."""
        self._refresh_at = time.monotonic() + REFRESH_SECONDS
        last_id, config, now_ms = self._events.last_id(), self._config(), self._now_ms()
        recent = last_id - MAX_EVENTS
        if self._position is not None and last_id < self._position:  # an operator has taken out everything
            with self._lock:
                self._position = min(self._position, self._events.last_id())
        earlier: list[Event] = []
        if self._position is None and recent > 0:
            earlier = self._events.long_outages(max(0, recent - MAX_EARLIER), recent, now_ms)
        newest = self._events.after(max(self._position or 0, recent), MAX_EVENTS)
        back = self._events.back()
        with self._lock:
            for event in earlier if self._position is None else ():
                self._process(event, min(event.ended_ms, now_ms), config)
            self._position = max(self._position or 0, recent)
            for event in newest:
                if event.event_id > self._position:  # else another thread was faster
                    self._process(event, min(event.ended_ms, now_ms), config)
                    self._position = event.event_id  # last: what was interrupted is done again
            if self._streaks:
                self._end_by_operator(back)
            if len(self._records) > MAX_MODELS:
                self._records = {each: record for each, record in self._records.items() if record.outages}

    def _end_by_operator(self, back: Mapping[str, int]) -> None:
        for model_id, event_id in back.items():
            streak = self._streaks.get(model_id)
            if streak is not None and streak.event_id <= event_id:
                self._end(model_id)

    def _end(self, model_id: str) -> None:
        del self._streaks[model_id]
        self._valid_ms = (0, 0)

    def _process(self, event: Event, ended_ms: int, config: Config) -> None:
        kind = (event.blame, event.timed_out and event.score is None, config.quality.timeouts)
        has_outage = is_outage(*kind)
        if not has_outage and not is_informative(*kind):
            return
        model_id, streak = event.model_id, self._streaks.get(event.model_id)
        self._count(model_id, ended_ms, config.availability.half_life_minutes, has_outage=has_outage)
        if has_outage:
            after = extended(streak, event, ended_ms, config.availability, self._number)
            if after is not None and after is not streak:
                self._streaks[model_id] = after
                self._valid_ms = (0, 0)
        elif streak is not None and ended_ms >= streak.last_ms:
            self._end(model_id)

    def _count(self, model_id: str, ended_ms: int, half_life_minutes: float, *, has_outage: bool) -> None:
        record = self._records.get(model_id, _NO_TRIES)
        record = record.plus(ended_ms, half_life_minutes * _MINUTE_MS, has_outage=has_outage)
        self._records[model_id] = record
        if record.outages > _NEGLIGIBLE:
            self._valid_ms = (0, 0)

    def _renew(self, now_ms: int) -> None:
        """Set what is returned, and for how long it is valid."""
        for model_id, streak in self._streaks.items():
            if streak.since_ms > now_ms:  # the clock has been set back
                self._streaks[model_id] = streak.set_back(now_ms)
        backing_off = {each: streak for each, streak in self._streaks.items() if now_ms < streak.until_ms}
        ordered = sorted(backing_off.items(), key=lambda item: (item[1].cause == "gone", item[1].until_ms))
        unavailable = {model_id: streak.reason for model_id, streak in ordered} or NO_OUTAGES.reasons
        down = frozenset([model_id for model_id, streak in ordered if streak.is_announced])
        availability = NO_OUTAGES.availability
        last_ms = min([streak.until_ms for streak in backing_off.values()], default=_FOREVER_MS)
        half_life_ms = self._config().availability.half_life_minutes * _MINUTE_MS
        if half_life_ms:
            step_ms = max(1, round(half_life_ms / _STEPS))
            step = now_ms // step_ms  # so that all processes have the same rates
            availability = self._rates(step * step_ms, half_life_ms)
            last_ms = min(last_ms, (step + 1) * step_ms) if availability else last_ms
        self._current = CurrentOutages(unavailable, down, availability)
        self._valid_ms = (now_ms, last_ms)

    def _rates(self, now_ms: int, half_life_ms: float) -> Mapping[str, float]:
        rates: dict[str, float] = {}
        for model_id, record in self._records.items():
            answered, outages, *_ = record.at(now_ms, half_life_ms)
            if outages > _NEGLIGIBLE:
                rates[model_id] = (answered + PRIOR_TRIES) / (answered + outages + PRIOR_TRIES)
        return rates or NO_OUTAGES.availability
