"""What the policy has saved, as terminal, report and page show it; needs numpy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from modelperf_plugin.analysis.off_policy.savings import Savings, objection_to, savings
from modelperf_plugin.analysis.off_policy.task_log import read_tasks
from modelperf_plugin.analysis.simulation.play import Progress
from modelperf_plugin.engine.core import ModelPerf
from modelperf_plugin.values import to_milliseconds

NEWEST_DECISIONS: Final = 100_000
"""As many decisions are read in seconds, and say as much about a policy as anybody wants to know at once."""


class SavingsView(NamedTuple):
    """The savings, or the reason why there are none to show."""

    savings: Savings | None
    note: str | None


def savings_of(
    engine: ModelPerf,
    *,
    against: str | None = None,
    task_type: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
    newest: int | None = None,
    progress: Progress | None = None,
) -> SavingsView:
    """Return what the policy has saved against ``against``: a model, ``best-before`` or ``current``; None: all.

    The period ends before ``until_ms``. Reads the whole decision log, or of a longer one only the ``newest`` decisions
    (a page should give :data:`NEWEST_DECISIONS`); :attr:`.Savings.newest_only` says so. It only reads, so it can run in
    any thread; what ``progress`` raises ends it.
    """
    models = engine.config.models
    prices = {name: each.cost_usd for name, each in models.items() if each.cost_usd is not None}
    tasks = read_tasks(
        engine.store, to_milliseconds(datetime.now(UTC)), task_type=task_type, since_ms=since_ms, until_ms=until_ms,
        prices=prices, newest=newest, progress=progress,
    )  # fmt: skip
    note = objection_to(tasks if since_ms is None else tasks.only(tasks.log.made_ms >= since_ms))
    if note is not None:
        return SavingsView(None, note)
    against = None if against is None else engine.config.canonical_ids.get(against, against)
    return SavingsView(savings(tasks, since_ms, against), None)
