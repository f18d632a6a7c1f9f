"""Read the decision log, for ``evaluate``, ``tune`` and ``config diff``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.progress import Stages
from modelperf_plugin.text import count, points
from modelperf_plugin.values import DAY_MS

if TYPE_CHECKING:
    from modelperf_plugin.analysis.off_policy.decision_log import DecisionLog
    from modelperf_plugin.analysis.off_policy.judgement import Estimate
    from modelperf_plugin.store import Store

log_days_option = click.option(
    "--days", type=click.FloatRange(min=0, min_open=True), metavar="N", help="The last N days only."
)


def read_decision_log(
    answer: Answer, store: Store, stages: Stages, *, task_type: str | None, days: float | None, **empty: Any
) -> DecisionLog:
    """Read the decisions that have an outcome; if they are too few, exit with a note and ``empty``."""
    from modelperf_plugin.analysis.off_policy.decision_log import read_log
    from modelperf_plugin.analysis.off_policy.judgement import MIN_DECISIONS

    since_ms = None if days is None else time.time_ns() // 1_000_000 - round(days * DAY_MS)
    log = read_log(store, task_type=task_type, since_ms=since_ms, progress=stages("reading"))
    if len(log) < MIN_DECISIONS:
        skipped = "".join(f"; {number:,} skipped: {reason}" for reason, number in sorted(log.left_out.items()))
        note = f"{count(len(log), 'decision')} with a known outcome; {MIN_DECISIONS} are needed{skipped}"
        answer.exit_with_note(note, **empty)
    return log


def gain_text(gain: Estimate) -> str:
    """Return an estimated difference of success rates with its interval."""
    return f"{points(gain.value)} points (95 % interval {points(gain.low)} – {points(gain.high)})"
