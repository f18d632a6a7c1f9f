"""What is found about models, told to a host once: demotions, changes and verdicts of A/B tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from modelperf_plugin.engine.ab_verdicts import in_words
from modelperf_plugin.engine.background import BackgroundErrors
from modelperf_plugin.errors import HostCodeError
from modelperf_plugin.store import Change, Demotion, Store, StoredTest, forks
from modelperf_plugin.store.background import Background
from modelperf_plugin.store.deadline import within
from modelperf_plugin.values import from_milliseconds
from modelperf_plugin.values.locks import attempt

READ_SECONDS: Final = 1.0
"""How often new findings are read while a host calls."""
_SECONDS: Final = 1.0
"""For how long one reading may wait for others."""
LATER: Final = "what is found about models is told to the host later"
_Key = tuple[object, ...]


class Finding(NamedTuple):
    """One finding, as a call of the hook that tells it."""

    hook: str
    arguments: dict[str, Any]


class Listener(Protocol):
    """Who is told of findings: code of the host, which may be slow or raise."""

    def is_listening(self, hook: str) -> bool:
        """Return whether anybody wants to be told by ``hook``; asked with every call of the host, so it is quick."""

    def tell(self, finding: Finding) -> None:
        """Pass on a finding."""


class Findings:
    """Reads what this and other processes have found, and tells what is new. Any thread may call any method.

    A thread reads and tells, so no call of the host waits for it. It runs only if somebody listens and the host calls.
    What was stored at the beginning is not new, nor is anything that an operator edited.
    """

    def __init__(self, store: Store, errors: BackgroundErrors) -> None:
        """Follow ``store`` once there is somebody to tell."""
        self._store = store
        self._errors = errors
        self._listener: Listener | None = None
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._edit = -1
        self._known: set[_Key] | None = None
        """What need not be told any more; None before the first reading."""
        self._is_called = False
        """Whether the host has called since the last reading."""
        self._beside = Background(self, Findings._step, name="modelperf findings", on_error=Findings._on_error)
        forks.renew(self, Findings._renew)

    def follow(self, listener: Listener) -> None:
        """Tell ``listener`` what is found from now on."""
        self._listener = listener
        self._errors.guard(self._read_first, LATER)

    def after_call(self) -> None:
        """Have the thread read what is new, now or once that is due."""
        if not self._is_called and self._is_wanted:
            self._is_called = self._beside.wake(max(0.0, self._read_at + READ_SECONDS - time.monotonic()))

    def start_over(self) -> None:
        """Tell nothing that is stored by now: it goes by other names than before."""
        self._known = None

    def close(self) -> None:
        """Tell the rest: what the last calls have found."""
        self._beside.close()
        if self._is_wanted:
            self._step()

    @property
    def _is_wanted(self) -> bool:
        listener = self._listener
        return listener is not None and any(listener.is_listening(hook) for hook in _SOURCES)

    def _read_first(self) -> None:
        attempt(self._lock, self._read_new)

    def _step(self) -> float | None:
        """Read and tell; return when to read again: once more after the last call, whose work may take a moment."""
        was_called, self._is_called = self._is_called, False
        self._read_at = time.monotonic()
        new: list[Finding] = []
        attempt(self._lock, lambda: new.extend(self._read_new()))
        for finding in new:
            self._tell(finding)
        return READ_SECONDS if was_called else None

    def _read_new(self) -> list[Finding]:
        """Return what was not known."""
        if self._store.degraded is not None:
            return []
        edit, found = within(_SECONDS, self._read)
        if self._store.degraded is not None:  # by now: what was read may be only a part
            return []
        known, edited = self._known, edit != self._edit
        self._edit, self._known = edit, set(found)
        return [] if known is None or edited else [tell() for key, tell in found.items() if key not in known]

    def _read(self) -> tuple[int, dict[_Key, Callable[[], Finding]]]:
        """Return the number of the last edit, and all findings, the oldest of each kind first."""
        edit = self._store.editing.last_edit()
        return edit, {key: tell for source in _SOURCES.values() for key, tell in source(self._store)}

    def _tell(self, finding: Finding) -> None:
        listener = self._listener
        if listener is None or not listener.is_listening(finding.hook):
            return
        try:
            listener.tell(finding)
        except Exception as error:  # noqa: BLE001 - it is the host's code
            self._errors.report(
                "a finding was not told", HostCodeError(finding.hook, error, "it is not called again for this")
            )

    def _on_error(self, error: Exception) -> None:
        """Report that reading failed; the next call tries again."""
        self._errors.guard(partial(_raise, error), LATER)

    def _renew(self) -> None:
        """Start over in a forked process: what was found before is the parent's to tell."""
        self._lock = threading.Lock()
        self._known, self._is_called = None, False
        if self._is_wanted:
            self._errors.guard(self._read_first, LATER)


def _raise(error: Exception) -> None:
    raise error


def _demotions(store: Store) -> Iterator[tuple[_Key, Callable[[], Finding]]]:
    for each in reversed(store.demotions.all()):
        yield ("demotion", each.demotion_id, each.since_ms), partial(_demotion, each)


def _demotion(demotion: Demotion) -> Finding:
    since = from_milliseconds(demotion.since_ms)
    arguments = {"task_type": demotion.task_type, "model_id": demotion.model_id}
    return Finding("on_model_demoted", {**arguments, "reason": demotion.reason, "since": since})


def _changes(store: Store) -> Iterator[tuple[_Key, Callable[[], Finding]]]:
    for each in reversed(store.changes.all()):
        yield ("change", each.change_id, each.noticed_ms), partial(_change, each)


def _change(change: Change) -> Finding:
    since = from_milliseconds(change.since_ms)
    return Finding(
        "on_model_changed",
        {"model_id": change.model_id, "direction": change.direction, "reason": _why(change, since), "since": since},
    )


def _why(change: Change, since: datetime) -> str:
    if change.likelihood_ratio is None:
        return "announced by an operator"
    word = "better" if change.direction == "up" else "worse"
    return f"does {word} since {since:%Y-%m-%d %H:%M} UTC (likelihood ratio {change.likelihood_ratio:,.0f})"


def _verdicts(store: Store) -> Iterator[tuple[_Key, Callable[[], Finding]]]:
    for test in reversed(store.ab_tests.all(ended=True)):
        for position, contest in enumerate(test.contests):
            if contest.verdict is not None:
                key = ("verdict", test.test_id, position, contest.verdict, contest.decided_ms)
                yield key, partial(_verdict, test, position)


def _verdict(test: StoredTest, position: int) -> Finding:
    contest = test.contests[position]
    winner = {"incumbent": test.incumbent, "challenger": contest.challenger}.get(contest.verdict or "")
    sides = {"task_type": test.task_type, "incumbent": test.incumbent, "challenger": contest.challenger}
    return Finding("on_test_verdict", {**sides, "winner": winner, "reason": in_words(test, contest)})


_SOURCES: Final = {"on_model_demoted": _demotions, "on_model_changed": _changes, "on_test_verdict": _verdicts}
"""Where each hook's findings come from: each with what makes it the same finding."""
