"""Which models are unavailable for a while because their provider had outages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from modelperf_plugin.config import Config
from modelperf_plugin.policy.quality import is_informative, is_outage
from modelperf_plugin.store import Event
from modelperf_plugin.store.roles import Events
from modelperf_plugin.values import BLAMES, Outcome, from_milliseconds

REFRESH_SECONDS: Final = 1.0
"""How often outcomes of other processes are read."""
MAX_EVENTS: Final = 500
"""How many of the newest outcomes are read; earlier outages are over."""

_NONE: Final[Mapping[str, str]] = {}


class _Streak(NamedTuple):
    """The outages of one model in a row, and until when it is unavailable after them."""

    outages: int
    """How many; those while the model was unavailable are not counted."""
    last_ms: int
    pause_ms: int

    @property
    def until_ms(self) -> int:
        return self.last_ms + self.pause_ms


class Availability:
    """Follows the log of outcomes and backs off from models after outages. Any thread may call any method.

    An outage is a failure that the provider is to blame for, on any task type and in any process. After the n-th in a
    row a model is unavailable for ``pause_seconds``·2^(n−1), up to ``longest_pause_seconds``, and a random part of that
    more, up to ``jitter``. Outages of calls that were running when the back-off began do not extend it. Any other
    outcome that is not the caller's own error ends it. An outcome stamped later than now counts as one of now, so no
    clock, of another host or set back since, makes a back-off longer.
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
        self._streaks: dict[str, _Streak] = {}
        self._position = 0
        self._refresh_at = 0.0
        self._unavailable: Mapping[str, str] = _NONE
        self._valid_ms = (0, 0)

    def unavailable(self, now_ms: int) -> Mapping[str, str]:
        """Return why models are unavailable at ``now_ms``; the same object as long as nothing changes."""
        if time.monotonic() >= self._refresh_at:
            self.refresh()
        if not self._streaks:
            return _NONE
        first, last = self._valid_ms
        if not first <= now_ms < last:
            with self._lock:
                self._renew_reasons(now_ms)
        return self._unavailable

    def concerns(self, model_id: str, outcome: Outcome) -> bool:
        """Return whether an outcome calls for a refresh at once; timeouts that count as outages wait for the next."""
        return model_id in self._streaks or (not outcome.success and BLAMES[outcome.error_kind] == "provider")

    def refresh(self) -> None:
        """Read the newest outcomes."""
        with self._lock:
            self._refresh_at = time.monotonic() + REFRESH_SECONDS
            self._position = max(self._position, self._events.last_id() - MAX_EVENTS)
            events = self._events.after(self._position, MAX_EVENTS)
            now_ms = self._now_ms() if events else 0
            for event in events:
                self._process(event, min(event.ended_ms, now_ms))
                self._position = event.event_id  # last: what was interrupted is done again, which changes nothing

    def _process(self, event: Event, ended_ms: int) -> None:
        config = self._config()
        kind = (event.blame, event.timed_out, config.quality.timeouts)
        streak = self._streaks.get(event.model_id)
        if is_outage(*kind):
            self._back_off(event.model_id, ended_ms, streak, config)
        elif streak is not None and ended_ms >= streak.last_ms and is_informative(*kind):
            del self._streaks[event.model_id]
            self._valid_ms = (0, 0)

    def _back_off(self, model_id: str, ended_ms: int, streak: _Streak | None, config: Config) -> None:
        settings = config.availability
        if settings.pause_seconds <= 0.0 or (streak is not None and ended_ms < streak.until_ms):
            return
        outages = 1 if streak is None else streak.outages + 1
        longest = max(settings.pause_seconds, settings.longest_pause_seconds)
        seconds = min(settings.pause_seconds * 2.0 ** min(outages - 1, 60), longest)
        seconds *= 1.0 + settings.jitter * self._number()
        self._streaks[model_id] = _Streak(outages, ended_ms, round(seconds * 1000))
        self._valid_ms = (0, 0)

    def _renew_reasons(self, now_ms: int) -> None:
        """Set the reasons, and for how long they are valid."""
        for model_id, streak in self._streaks.items():
            if streak.last_ms > now_ms:  # the clock has been set back
                self._streaks[model_id] = streak._replace(last_ms=now_ms)
        current = {model_id: streak for model_id, streak in self._streaks.items() if now_ms < streak.until_ms}
        self._unavailable = {model_id: _reason(streak) for model_id, streak in current.items()} or _NONE
        self._valid_ms = (now_ms, min([streak.until_ms for streak in current.values()], default=2**62))


def _reason(streak: _Streak) -> str:
    times = "an outage" if streak.outages == 1 else f"{streak.outages} outages in a row"
    return f"unavailable until {from_milliseconds(streak.until_ms):%H:%M:%S} UTC after {times}"
