"""A database of a year's work, 10 million outcomes of 1,000 pairs, filled by SQL: recording them would take hours."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from modelperf_plugin.store import open_store
from modelperf_plugin.values import DAY_MS

TASK_TYPES: Final = 20
MODELS: Final = 50
DAYS: Final = 365
A_DAY: Final = 27
"""Outcomes of one pair on one day, about: 20 × 50 × 365 × 27.4 is ten million."""
DECISIONS: Final = 200_000

_STATEMENTS: Final = (
    """
    CREATE TEMP TABLE number AS
    WITH RECURSIVE counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n < 499) SELECT n FROM counted
    """,
    f"""
    INSERT INTO tally (task_type, model_id)
    SELECT printf('task-%02d', tasks.n), printf('vendor/model-%02d', models.n)
    FROM number AS tasks CROSS JOIN number AS models WHERE tasks.n < {TASK_TYPES} AND models.n < {MODELS}
    """,
    f"""
    CREATE TEMP TABLE pair_day AS
    SELECT
        tally.id AS id, :today - number.n AS day, {A_DAY} - 2 + abs(random() % 6) AS total,
        abs(random() % 5) - 2 AS luck
    FROM tally CROSS JOIN number WHERE number.n < {DAYS}
    """,
    # a rate of its own for each pair, and a little luck on each day
    """
    INSERT INTO daily (
        tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced
    )
    SELECT id, day, successes, total - successes, (total - successes) / 10, (total - successes) / 8, 0,
        total * 1200, total * 4000000 * (1 + id % 9), total
    FROM (
        SELECT
            id, day, total,
            max(0, min(total, CAST(total * (0.35 + 0.6 * (id * 37 % 101) / 101.0) AS INTEGER) + luck)) AS successes
        FROM pair_day
    )
    """,
    """
    INSERT INTO event (tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms)
    SELECT
        daily.tally_id, daily.day * 86400000 + number.n * 2500000, number.n < daily.successes,
        number.n BETWEEN daily.successes AND daily.successes + daily.timeouts - 1, 1200,
        daily.cost_nano_usd / (daily.successes + daily.failures),
        iif(number.n >= daily.successes + daily.failures - daily.outages, 'rate_limit', NULL), 1500
    FROM daily CROSS JOIN number ON number.n < daily.successes + daily.failures
    """,
    """
    UPDATE tally SET
        (successes, failures, timeouts, outages, tokens, cost_nano_usd, priced) = (
            SELECT sum(successes), sum(failures), sum(timeouts), sum(outages), sum(tokens), sum(cost_nano_usd),
                sum(priced)
            FROM daily WHERE daily.tally_id = tally.id
        ),
        last_used_ms = :today * 86400000 + 43200000
    """,
    "INSERT INTO watch_position (only, event_id) SELECT 1, max(id) FROM event",
    f"""
    INSERT INTO decision (
        id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record,
        outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind
    )
    WITH RECURSIVE counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n < {DECISIONS} - 1)
    SELECT
        lower(hex(randomblob(10))), (:today + 1) * 86400000 - (n + 1) * 12000, printf('task-%02d', n % {TASK_TYPES}),
        printf('vendor/model-%02d', n % {MODELS}), 0.9, n % 20 = 0, 0.05, 'apply', '0123456789ab', :record,
        iif(n % 50 = 7, NULL, printf('vendor/model-%02d', n % {MODELS})), iif(n % 50 = 7, NULL, :today * 86400000),
        iif(n % 50 = 7, NULL, n % 4 > 0), iif(n % 50 = 7, NULL, 0), iif(n % 50 = 7, NULL, 1200),
        iif(n % 50 = 7, NULL, 4000000), NULL
    FROM counted
    """,
    """
    INSERT INTO demotion (tally_id, since_ms, threshold, evidence, reason, event_id)
    SELECT id, :today * 86400000, 0.5, 25.0, 'surely below 50 % (evidence 25 to 1)', 0 FROM tally WHERE id % 25 = 3
    """,
    """
    INSERT INTO change (model_id, direction, since_event_id, noticed_event_id, since_ms, noticed_ms, evidence)
    SELECT printf('vendor/model-%02d', n), iif(n % 2, 'up', 'down'), 1, 2, (:today - n - 2) * 86400000,
        (:today - n) * 86400000, 20000.0
    FROM number WHERE n < 8
    """,
)


def build(path: Path) -> None:
    """Fill a new database at ``path``; takes a minute."""
    open_store(path).close()
    candidates = [
        {
            "model_id": f"vendor/model-{number:02d}", "status": "ranked", "score": 0.8, "interval": [0.7, 0.9],
            "propensity": 0.02, "samples": 9000, "reason": "estimated success 80.0 %, 70.0 to 90.0 % with 95 %",
        }
        for number in range(MODELS)
    ]  # fmt: skip
    record = json.dumps(
        {"ranking_strategy": "posterior", "reason": "the best", "candidates": candidates[:8], "excluded": []}
    )
    said = {"today": int(time.time() * 1000) // DAY_MS, "record": record}
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for statement in _STATEMENTS:
            connection.execute(statement, {key: value for key, value in said.items() if f":{key}" in statement})
        connection.execute("COMMIT")
