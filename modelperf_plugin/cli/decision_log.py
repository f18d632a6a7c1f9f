"""Read the decision log, for ``evaluate``, ``tune`` and ``config diff``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.terminal_text import count
from modelperf_plugin.values import DAY_MS

if TYPE_CHECKING:
    from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog
    from modelperf_plugin.store import Store


def read_decision_log(
    answer: Answer, store: Store, *, task_type: str | None, days: float | None, stage: Any, **empty: Any
) -> DecisionLog:
    """Read the record of decisions; answer that it is too short, if it is."""
    from modelperf_plugin.analysis.off_policy.decision_log import read_log
    from modelperf_plugin.analysis.off_policy.judgement import MIN_DECISIONS

    since_ms = None if days is None else time.time_ns() // 1_000_000 - round(days * DAY_MS)
    log = read_log(store, task_type=task_type, since_ms=since_ms, progress=stage("reading"))
    if len(log) < MIN_DECISIONS:
        out = "".join(f"; {number:,} left out: {why}" for why, number in sorted(log.left_out.items()))
        note = f"{count(len(log), 'decision')} with a known outcome; {MIN_DECISIONS} are needed{out}"
        answer.exit_with_note(note, **empty)
    return log
