"""What an engine keeps in memory about the models, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

from modelperf_plugin.config import Config
from modelperf_plugin.engine.availability import Availability
from modelperf_plugin.engine.learner import Learner
from modelperf_plugin.engine.monitor import Monitor
from modelperf_plugin.engine.spending import SpendingControl
from modelperf_plugin.store import Store


class Learning(NamedTuple):
    """What follows the outcomes of a store."""

    learner: Learner
    monitor: Monitor
    availability: Availability
    spending: SpendingControl

    @classmethod
    def of(
        cls,
        store: Store,
        config: Callable[[], Config],
        *,
        seconds: Callable[[], float],
        now_ms: Callable[[], int],
        number: Callable[[], float],
    ) -> Self:
        """Begin with what ``store`` holds; ``number`` returns a random number from [0, 1)."""
        learner = Learner(store.tallies, store.merged, config, seconds)
        monitor = Monitor(
            learner,
            config,
            tallies=store.tallies,
            events=store.events,
            editing=store.editing,
            changes=store.changes,
            demotions=store.demotions,
            watch_states=store.watch_states,
        )
        availability = Availability(store.events, config, now_ms=now_ms, number=number)
        spending = SpendingControl(store.spending, store.tallies, store.connection, learner)
        return cls(learner, monitor, availability, spending)
