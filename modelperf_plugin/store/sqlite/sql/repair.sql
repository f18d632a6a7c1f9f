-- rebuild_tallies --
-- Every tally as the sum of its events, dropped events and imports.
UPDATE tally SET
    successes = sums.successes, failures = sums.failures, timeouts = sums.timeouts, outages = sums.outages,
    caller_errors = sums.caller_errors, tokens = sums.tokens, cost_nano_usd = sums.cost_nano_usd,
    priced = sums.priced, timeout_failures = sums.timeout_failures,
    last_used_ms = CASE
        -- the newest may be among those that are gone
        WHEN tally.id IN (SELECT tally_id FROM dropped)
            THEN max(coalesce(sums.last_used_ms, tally.last_used_ms), coalesce(tally.last_used_ms, sums.last_used_ms))
        ELSE coalesce(sums.last_used_ms, tally.last_used_ms)
    END
FROM (
    SELECT
        each.id AS tally_id, coalesce(sum(part.successes), 0) AS successes,
        coalesce(sum(part.failures), 0) AS failures, coalesce(sum(part.timeouts), 0) AS timeouts,
        coalesce(sum(part.outages), 0) AS outages, coalesce(sum(part.caller_errors), 0) AS caller_errors,
        coalesce(sum(part.tokens), 0) AS tokens, coalesce(sum(part.cost_nano_usd), 0) AS cost_nano_usd,
        coalesce(sum(part.priced), 0) AS priced, coalesce(sum(part.timeout_failures), 0) AS timeout_failures, max(part.last_used_ms) AS last_used_ms
    FROM tally AS each
    LEFT JOIN (
        SELECT
            tally_id, sum(success) AS successes, sum(1 - success) AS failures, sum(timeout) AS timeouts,
            sum(NOT success AND coalesce(error_kind IN ('rate_limit', 'server_error', 'network'), 0)) AS outages,
            sum(NOT success AND coalesce(error_kind IN ('cancelled', 'caller_error'), 0)) AS caller_errors,
            sum(tokens) AS tokens, sum(cost_nano_usd) AS cost_nano_usd, sum(cost_nano_usd > 0) AS priced,
            sum(timeout AND NOT success AND coalesce(error_kind IN ('context_overflow', 'other'), 1)) AS timeout_failures,
            max(ended_ms) AS last_used_ms
        FROM event GROUP BY tally_id
        UNION ALL
        SELECT
            tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
            timeout_failures, NULL
        FROM dropped
        UNION ALL
        SELECT
            tally_id, successes, failures, timeouts, 0, 0, tokens, cost_nano_usd,
            iif(cost_nano_usd > 0, successes + failures, 0), 0, last_used_ms
        FROM imported
    ) AS part ON part.tally_id = each.id
    GROUP BY each.id
) AS sums
WHERE sums.tally_id = tally.id;

-- first_days --
-- The first day with events of each pair; before it, only the roll-up remains.
SELECT tally_id, min((ended_ms - (ended_ms % 86400000 + 86400000) % 86400000) / 86400000) FROM event GROUP BY tally_id;

-- dropped_pairs --
-- The sums of dropped events by pair, with the first day after its roll-up.
SELECT
    dropped.tally_id, tally.task_type, tally.model_id, (SELECT max(day) + 1 FROM daily WHERE daily.tally_id = dropped.tally_id),
    dropped.successes, dropped.failures, dropped.timeouts, dropped.outages, dropped.caller_errors, dropped.tokens,
    dropped.cost_nano_usd, dropped.priced, dropped.timeout_failures
FROM dropped JOIN tally ON tally.id = dropped.tally_id;

-- forget_daily --
-- Delete the roll-up of a pair from a day on.
DELETE FROM daily WHERE tally_id = ? AND day >= ?;

-- forget_daily_of_events --
-- Delete the roll-up of pairs without dropped events.
DELETE FROM daily WHERE tally_id NOT IN (SELECT tally_id FROM dropped);

-- forget_early_daily --
-- Delete the roll-up of a pair before a day.
DELETE FROM daily WHERE tally_id = ? AND day < ?;

-- add_daily_of_events --
-- The roll-up of the existing events; rows that were not deleted stay.
INSERT OR IGNORE INTO daily (
    tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    timeout_failures
)
SELECT
    tally_id, (ended_ms - (ended_ms % 86400000 + 86400000) % 86400000) / 86400000, sum(success), sum(1 - success),
    sum(timeout), sum(NOT success AND coalesce(error_kind IN ('rate_limit', 'server_error', 'network'), 0)),
    sum(NOT success AND coalesce(error_kind IN ('cancelled', 'caller_error'), 0)), sum(tokens), sum(cost_nano_usd),
    sum(cost_nano_usd > 0), sum(timeout AND NOT success AND coalesce(error_kind IN ('context_overflow', 'other'), 1))
FROM event GROUP BY 1, 2;

-- early_daily --
-- The sums of the roll-up of a pair before a day.
SELECT
    coalesce(sum(successes), 0), coalesce(sum(failures), 0), coalesce(sum(timeouts), 0), coalesce(sum(outages), 0),
    coalesce(sum(caller_errors), 0), coalesce(sum(tokens), 0), coalesce(sum(cost_nano_usd), 0),
    coalesce(sum(priced), 0), coalesce(sum(timeout_failures), 0)
FROM daily WHERE tally_id = ? AND day < ?;

-- add_daily --
-- Add counts to one day of a pair.
INSERT INTO daily (
    tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    timeout_failures
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tally_id, day) DO UPDATE SET
    successes = successes + excluded.successes, failures = failures + excluded.failures,
    timeouts = timeouts + excluded.timeouts, outages = outages + excluded.outages,
    caller_errors = caller_errors + excluded.caller_errors, tokens = tokens + excluded.tokens,
    cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd, priced = priced + excluded.priced,
    timeout_failures = timeout_failures + excluded.timeout_failures;

-- missing_sums --
-- The counts of each pair's old tally beyond its recovered events and imports.
SELECT
    old.id, old.successes - coalesce(events.successes, 0) - coalesce(sums.successes, 0),
    old.failures - coalesce(events.failures, 0) - coalesce(sums.failures, 0),
    old.timeouts - coalesce(events.timeouts, 0) - coalesce(sums.timeouts, 0),
    old.outages - coalesce(events.outages, 0),
    old.caller_errors - coalesce(events.caller_errors, 0),
    old.tokens - coalesce(events.tokens, 0) - coalesce(sums.tokens, 0),
    old.cost_nano_usd - coalesce(events.cost_nano_usd, 0) - coalesce(sums.cost_nano_usd, 0),
    max(0, old.priced - coalesce(events.priced, 0) - coalesce(sums.priced, 0)),
    old.timeout_failures - coalesce(events.timeout_failures, 0)
FROM tally AS old
LEFT JOIN (
    SELECT
        tally_id, sum(success) AS successes, sum(1 - success) AS failures, sum(timeout) AS timeouts,
        sum(NOT success AND coalesce(error_kind IN ('rate_limit', 'server_error', 'network'), 0)) AS outages,
        sum(NOT success AND coalesce(error_kind IN ('cancelled', 'caller_error'), 0)) AS caller_errors,
        sum(tokens) AS tokens, sum(cost_nano_usd) AS cost_nano_usd, sum(cost_nano_usd > 0) AS priced,
        sum(timeout AND NOT success AND coalesce(error_kind IN ('context_overflow', 'other'), 1)) AS timeout_failures
    FROM event GROUP BY tally_id
) AS events ON events.tally_id = old.id
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts,
        sum(tokens) AS tokens, sum(cost_nano_usd) AS cost_nano_usd,
        sum(iif(cost_nano_usd > 0, successes + failures, 0)) AS priced
    FROM imported GROUP BY tally_id
) AS sums ON sums.tally_id = old.id;

-- set_dropped --
-- The sums of the dropped events of one pair.
INSERT INTO dropped (
    tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced, timeout_failures
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tally_id) DO UPDATE SET
    successes = excluded.successes, failures = excluded.failures, timeouts = excluded.timeouts,
    outages = excluded.outages, caller_errors = excluded.caller_errors, tokens = excluded.tokens,
    cost_nano_usd = excluded.cost_nano_usd, priced = excluded.priced, timeout_failures = excluded.timeout_failures;

-- forget_strays --
-- Delete events whose pair could not be recovered.
DELETE FROM event WHERE tally_id NOT IN (SELECT id FROM tally);

-- tables --
-- The tables of a file, and whether they have row ids.
SELECT name, sql LIKE '%WITHOUT ROWID%' FROM sqlite_master
WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'document_%';

-- names_in_index --
-- The pairs, read from the index beside the table.
SELECT id, task_type, model_id FROM tally INDEXED BY sqlite_autoindex_tally_1;
