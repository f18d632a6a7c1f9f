"""Outcomes and tallies of a host: recorded into the store in use, or spooled, and counted either way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from modelperf_plugin.errors import StoreBusyError, StoreError, StoreFailedError
from modelperf_plugin.store.decision_records import Joining
from modelperf_plugin.store.entries import Entry, Recorded, Verdict
from modelperf_plugin.store.fallback.interim import InterimStore
from modelperf_plugin.store.fallback.naming import named
from modelperf_plugin.store.fallback.switch import Switch
from modelperf_plugin.store.main_store import MainStore
from modelperf_plugin.store.roles import Span
from modelperf_plugin.store.watches import Baseline, Faded, PastCosts
from modelperf_plugin.values import Durations, LaterTries, Tally, Tried

_T = TypeVar("_T")


class FallbackOutcomes:
    """Records into the store in use, or spools what would wait for too long."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def record(self, entry: Entry, joining: Joining | None = None) -> Recorded:
        switch = self._switch
        while True:  # as `ask`, which would cost every outcome two more calls
            store = switch.store
            try:
                if time.monotonic() >= switch.check_at:
                    switch.check()
                    store = switch.store
                if switch.backlog.waits:
                    return self._record_one_behind(store, entry, joining)
                new = store.outcomes.record(entry, joining)
            except StoreBusyError as error:
                spooled = switch.postpone([named(entry, joining)], store, error)
                if spooled is not None:
                    return spooled[0]
            except StoreError as error:
                switch.handle(error, store)
                if isinstance(error, StoreFailedError) and error.receipt is not None:
                    return switch.record_doubtful([named(entry, joining)], error.receipt)[0]
            else:
                if switch.interim is None:
                    switch.recent.append(entry)
                return new

    def record_many(self, entries: Iterable[Entry]) -> int:
        entries = list(entries)
        return self._switch.ask(lambda store: self._record_behind(store, entries))

    def verdicts_of(self, outcome_ids: Iterable[str]) -> Mapping[str, Verdict]:
        ids = set(outcome_ids)
        stored = self._switch.ask(lambda store: store.outcomes.verdicts_of(ids))
        return {**stored, **self._switch.backlog.verdicts_of(ids)}

    def _record_one_behind(self, store: MainStore | InterimStore, entry: Entry, joining: Joining | None) -> Recorded:
        """Record an outcome behind those that wait; its decision follows."""
        entry = named(entry, joining)
        return self._behind(store, [entry], lambda store: store.outcomes.record(entry), lambda recorded: recorded[0])

    def _record_behind(self, store: MainStore | InterimStore, entries: list[Entry]) -> int:
        """Record outcomes behind those that wait; return how many were new or have changed a verdict."""
        return self._behind(
            store, entries, lambda store: store.outcomes.record_many(entries), lambda recorded: sum(map(bool, recorded))
        )

    def _behind(
        self,
        store: MainStore | InterimStore,
        entries: list[Entry],
        write: Callable[[MainStore | InterimStore], _T],
        answer: Callable[[list[Recorded]], _T],
    ) -> _T:
        """Return what ``write`` returns or, if outcomes have to wait, the ``answer`` for what they change."""
        switch = self._switch
        if switch.backlog.waits:
            switch.move_waiting()
        busy: StoreBusyError | None = None
        if not switch.backlog.own_wait:
            try:
                written = write(store)
            except StoreBusyError as error:
                busy = error
            except StoreFailedError as error:
                switch.handle(error, store)
                if error.receipt is not None:
                    return answer(switch.record_doubtful(entries, error.receipt))
            else:
                if switch.interim is None:
                    switch.recent.extend(entries)
                return written
        spooled = switch.postpone(entries, store, busy)
        if spooled is None:  # another store is in use by now
            return switch.ask(lambda other: self._behind(other, entries, write, answer))
        return answer(spooled)


class FallbackTallies:
    """Remembers the tallies that the main store returned, in case it cannot be read when it fails."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def of(self, task_type: str) -> Mapping[str, Tally]:
        switch = self._switch
        while True:  # as `ask`, which would cost every choice two more calls
            store = switch.store
            try:
                if time.monotonic() >= switch.check_at:
                    switch.check()
                    store = switch.store
                if switch.backlog.own_wait and isinstance(store, MainStore):
                    return switch.backlog.add_to(store, task_type)
                tallies = store.tallies.of(task_type)
            except StoreBusyError:
                known = switch.memory.evidence.get(task_type)  # a choice does not wait for a server
                if known is None:
                    raise
                return known
            except StoreError as error:
                switch.handle(error, store)
            else:
                if tallies and switch.interim is None:
                    switch.memory.evidence.put(task_type, tallies, len(tallies))
                return tallies

    @property
    def revision(self) -> object:
        return self._switch.store.tallies.revision

    def later(self, task_type: str) -> Mapping[str, Mapping[Tried, LaterTries]]:
        return self._switch.ask(lambda store: self._later(store, task_type))

    def _later(self, store: MainStore | InterimStore, task_type: str) -> Mapping[str, Mapping[Tried, LaterTries]]:
        switch = self._switch
        if switch.backlog.own_wait and isinstance(store, MainStore):
            return switch.backlog.add_to_later(store, task_type)
        try:
            later = store.tallies.later(task_type)
        except StoreBusyError:
            known = switch.memory.later.get(task_type)
            if known is None:
                raise
            return known
        if later and switch.interim is None:
            switch.memory.later.put(task_type, later, len(later))
        return later

    def all(self) -> list[Tally]:
        return self._switch.ask(lambda store: store.tallies.all())

    def page(self, after: str, pairs: int) -> Mapping[str, Mapping[str, Tally]]:
        page = self._switch.ask(lambda store: store.tallies.page(after, pairs))
        if self._switch.interim is None:
            for task_type, tallies in page.items():
                self._switch.memory.evidence.put(task_type, tallies, len(tallies))
        return page

    def faded(self, within: Span, today: int, half_life_days: float) -> dict[tuple[str, str], Faded]:
        return self._switch.ask(lambda store: store.tallies.faded(within, today, half_life_days))

    def durations(self, within: Span, today: int, half_life_days: float) -> dict[tuple[str, str], Durations]:
        return self._switch.ask(lambda store: store.tallies.durations(within, today, half_life_days))

    def costs(self, task_type: str, today: int, half_life_days: float, since_ms: Mapping[str, int]) -> PastCosts:
        return self._switch.ask(lambda store: store.tallies.costs(task_type, today, half_life_days, since_ms))

    def baselines(self, within: Span | None = None) -> dict[tuple[str, str], Baseline]:
        return self._switch.memory.keep_more(
            "baselines", self._switch.ask(lambda store: store.tallies.baselines(within))
        )
