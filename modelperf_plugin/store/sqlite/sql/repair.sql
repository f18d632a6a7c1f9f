-- rebuild_tallies --
-- Every tally as the sum of its events, dropped events and imports.
UPDATE tally SET
    successes = sums.successes, failures = sums.failures, timeouts = sums.timeouts, outages = sums.outages,
    caller_errors = sums.caller_errors, tokens = sums.tokens, cost_nano_usd = sums.cost_nano_usd,
    priced = sums.priced, timeout_failures = sums.timeout_failures, later_successes = sums.later_successes,
    later_failures = sums.later_failures, later_timeout_failures = sums.later_timeout_failures, graded = sums.graded,
    score_shift = sums.score_shift, later_score_shift = sums.later_score_shift,
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
        coalesce(sum(part.priced), 0) AS priced, coalesce(sum(part.timeout_failures), 0) AS timeout_failures,
        coalesce(sum(part.later_successes), 0) AS later_successes,
        coalesce(sum(part.later_failures), 0) AS later_failures,
        coalesce(sum(part.later_timeout_failures), 0) AS later_timeout_failures,
        coalesce(sum(part.graded), 0) AS graded, coalesce(sum(part.score_shift), 0) AS score_shift,
        coalesce(sum(part.later_score_shift), 0) AS later_score_shift, max(part.last_used_ms) AS last_used_ms
    FROM tally AS each
    LEFT JOIN (
        SELECT
            tally_id, sum(success) AS successes, sum(1 - success) AS failures, sum(timeout) AS timeouts,
            sum(
                NOT success AND coalesce(error_kind IN ('rate_limit', 'server_error', 'network', 'unavailable'), 0)
            ) AS outages,
            sum(NOT success AND coalesce(error_kind IN ('cancelled', 'caller_error'), 0)) AS caller_errors,
            sum(tokens) AS tokens, sum(cost_nano_usd) AS cost_nano_usd, sum(cost_nano_usd > 0) AS priced,
            sum(
                timeout AND NOT success AND score IS NULL
                AND coalesce(error_kind IN ('context_overflow', 'other', 'refused'), 1)
            ) AS timeout_failures,
            0 AS later_successes, 0 AS later_failures, 0 AS later_timeout_failures, sum(score IS NOT NULL) AS graded,
            sum(score - 1000000 * success) AS score_shift, 0 AS later_score_shift, max(ended_ms) AS last_used_ms
        FROM event GROUP BY tally_id
        UNION ALL
        SELECT tally_id, 0, 0, 0, 0, 0, 0, 0, 0, 0, success, failure, timeout_failure, 0, 0, score_shift, NULL
        FROM later_try
        UNION ALL
        SELECT
            tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
            timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
            later_score_shift, NULL
        FROM dropped
        UNION ALL
        SELECT
            tally_id, successes, failures, timeouts, 0, 0, tokens, cost_nano_usd,
            iif(cost_nano_usd > 0, successes + failures, 0), 0, 0, 0, 0, 0, 0, 0, last_used_ms
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
    dropped.cost_nano_usd, dropped.priced, dropped.timeout_failures, dropped.later_successes, dropped.later_failures,
    dropped.later_timeout_failures, dropped.graded, dropped.score_shift, dropped.later_score_shift
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
    timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
)
SELECT
    event.tally_id, (event.ended_ms - (event.ended_ms % 86400000 + 86400000) % 86400000) / 86400000,
    sum(event.success), sum(1 - event.success), sum(event.timeout),
    sum(NOT event.success AND coalesce(error_kind IN ('rate_limit', 'server_error', 'network', 'unavailable'), 0)),
    sum(NOT event.success AND coalesce(error_kind IN ('cancelled', 'caller_error'), 0)), sum(tokens),
    sum(cost_nano_usd), sum(cost_nano_usd > 0),
    sum(
        event.timeout AND NOT event.success AND score IS NULL
        AND coalesce(error_kind IN ('context_overflow', 'other', 'refused'), 1)
    ),
    coalesce(sum(tries.success), 0), coalesce(sum(tries.failure), 0), coalesce(sum(tries.timeout_failure), 0),
    sum(event.score IS NOT NULL), coalesce(sum(event.score - 1000000 * event.success), 0),
    coalesce(sum(tries.score_shift), 0)
FROM event LEFT JOIN later_try AS tries ON tries.id = event.id GROUP BY 1, 2;

-- forget_durations --
-- Delete the durations of pairs without dropped events, those in no bucket, and all of a pair with too many.
DELETE FROM duration
WHERE tally_id NOT IN (SELECT tally_id FROM dropped) OR tally_id NOT IN (SELECT id FROM tally)
    OR outcomes < 1 OR from_ms NOT IN (SELECT from_ms FROM duration_border)
    OR tally_id IN (
        SELECT known.tally_id
        FROM (SELECT tally_id, sum(outcomes) AS outcomes FROM duration GROUP BY tally_id) AS known
        LEFT JOIN (SELECT tally_id, count(*) AS outcomes FROM timed_outcome GROUP BY tally_id) AS events
            ON events.tally_id = known.tally_id
        LEFT JOIN dropped AS gone ON gone.tally_id = known.tally_id
        WHERE known.outcomes > coalesce(events.outcomes, 0)
            + coalesce(gone.successes + gone.failures - gone.outages - gone.caller_errors, 0)
    );

-- add_durations_of_events --
-- The durations of the existing events, where fewer or none are stored.
INSERT INTO duration (tally_id, period, from_ms, outcomes)
SELECT tally_id, period, from_ms, count(*) FROM timed_outcome WHERE tally_id IN (SELECT id FROM tally)
GROUP BY 1, 2, 3
ON CONFLICT (tally_id, period, from_ms) DO UPDATE SET outcomes = max(outcomes, excluded.outcomes);

-- early_daily --
-- The sums of the roll-up of a pair before a day.
SELECT
    coalesce(sum(successes), 0), coalesce(sum(failures), 0), coalesce(sum(timeouts), 0), coalesce(sum(outages), 0),
    coalesce(sum(caller_errors), 0), coalesce(sum(tokens), 0), coalesce(sum(cost_nano_usd), 0),
    coalesce(sum(priced), 0), coalesce(sum(timeout_failures), 0), coalesce(sum(later_successes), 0),
    coalesce(sum(later_failures), 0), coalesce(sum(later_timeout_failures), 0), coalesce(sum(graded), 0),
    coalesce(sum(score_shift), 0), coalesce(sum(later_score_shift), 0)
FROM daily WHERE tally_id = ? AND day < ?;

-- add_daily --
-- Add counts to one day of a pair.
INSERT INTO daily (
    tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tally_id, day) DO UPDATE SET
    successes = successes + excluded.successes, failures = failures + excluded.failures,
    timeouts = timeouts + excluded.timeouts, outages = outages + excluded.outages,
    caller_errors = caller_errors + excluded.caller_errors, priced = priced + excluded.priced,
    tokens = iif(tokens > 9223372036854775807 - excluded.tokens, 9223372036854775807, tokens + excluded.tokens),
    cost_nano_usd = iif(
        cost_nano_usd > 9223372036854775807 - excluded.cost_nano_usd,
        9223372036854775807,
        cost_nano_usd + excluded.cost_nano_usd
    ),
    timeout_failures = timeout_failures + excluded.timeout_failures,
    later_successes = later_successes + excluded.later_successes,
    later_failures = later_failures + excluded.later_failures,
    later_timeout_failures = later_timeout_failures + excluded.later_timeout_failures,
    graded = graded + excluded.graded, score_shift = score_shift + excluded.score_shift,
    later_score_shift = later_score_shift + excluded.later_score_shift;

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
    old.timeout_failures - coalesce(events.timeout_failures, 0),
    old.later_successes - coalesce(tries.successes, 0),
    old.later_failures - coalesce(tries.failures, 0),
    old.later_timeout_failures - coalesce(tries.timeout_failures, 0),
    old.graded - coalesce(events.graded, 0),
    old.score_shift - coalesce(events.score_shift, 0),
    old.later_score_shift - coalesce(tries.score_shift, 0)
FROM tally AS old
LEFT JOIN (
    SELECT
        tally_id, sum(success) AS successes, sum(1 - success) AS failures, sum(timeout) AS timeouts,
        sum(
            NOT success AND coalesce(error_kind IN ('rate_limit', 'server_error', 'network', 'unavailable'), 0)
        ) AS outages,
        sum(NOT success AND coalesce(error_kind IN ('cancelled', 'caller_error'), 0)) AS caller_errors,
        sum(tokens) AS tokens, sum(cost_nano_usd) AS cost_nano_usd, sum(cost_nano_usd > 0) AS priced,
        sum(
            timeout AND NOT success AND score IS NULL
            AND coalesce(error_kind IN ('context_overflow', 'other', 'refused'), 1)
        ) AS timeout_failures,
        sum(score IS NOT NULL) AS graded, sum(score - 1000000 * success) AS score_shift
    FROM event GROUP BY tally_id
) AS events ON events.tally_id = old.id
LEFT JOIN (
    SELECT
        tally_id, sum(success) AS successes, sum(failure) AS failures, sum(timeout_failure) AS timeout_failures,
        sum(score_shift) AS score_shift
    FROM later_try GROUP BY tally_id
) AS tries ON tries.tally_id = old.id
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
    tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced, timeout_failures,
    later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tally_id) DO UPDATE SET
    successes = excluded.successes, failures = excluded.failures, timeouts = excluded.timeouts,
    outages = excluded.outages, caller_errors = excluded.caller_errors, tokens = excluded.tokens,
    cost_nano_usd = excluded.cost_nano_usd, priced = excluded.priced, timeout_failures = excluded.timeout_failures,
    later_successes = excluded.later_successes, later_failures = excluded.later_failures,
    later_timeout_failures = excluded.later_timeout_failures, graded = excluded.graded,
    score_shift = excluded.score_shift, later_score_shift = excluded.later_score_shift;

-- forget_stray_events --
-- Delete events whose pair is damage.
DELETE FROM event WHERE tally_id NOT IN (SELECT id FROM tally);

-- delete_stray_served --
-- Delete which models have served events that are gone, and what has lost its name.
DELETE FROM served WHERE event_id NOT IN (SELECT id FROM event) OR served_id NOT IN (SELECT id FROM served_model);

-- delete_unused_served_models --
-- Delete the names of models that have served no event; the last one stays, or its number would be used again.
DELETE FROM served_model
WHERE id < (SELECT max(id) FROM served_model) AND id NOT IN (SELECT served_id FROM served);

-- forget_index_rows --
-- Delete what is not the id of an outcome but a row of the index of decisions, of sets or of served models, which looks
-- the same.
DELETE FROM outcome_key
WHERE EXISTS (
    SELECT 1 FROM decision WHERE decision.id = outcome_key.outcome_id AND decision.rowid = outcome_key.event_id
)
OR EXISTS (SELECT 1 FROM tried WHERE tried.models = outcome_key.outcome_id AND tried.id = outcome_key.event_id)
OR EXISTS (
    SELECT 1 FROM served_model
    WHERE served_model.model_id = outcome_key.outcome_id AND served_model.id = outcome_key.event_id
);

-- forget_index_rows_of_retries --
-- Delete what is not a batch of outcomes but a row of the index of decisions that follow another.
DELETE FROM moved
WHERE EXISTS (
    SELECT 1 FROM decision
    WHERE decision.retry_of = moved.batch_id AND decision.made_ms = moved.moved_ms AND decision.rowid = moved.outcomes
);

-- stray_pairs --
-- Pairs without a row, and how many rows refer to each; a row of sums counts as two.
SELECT tally_id, sum(rows)
FROM (
    SELECT tally_id, 1 AS rows FROM event
    UNION ALL SELECT tally_id, 1 FROM daily
    UNION ALL SELECT tally_id, 2 FROM imported
    UNION ALL SELECT tally_id, 2 FROM dropped
)
WHERE tally_id NOT IN (SELECT id FROM tally) GROUP BY tally_id ORDER BY tally_id;

-- forget_stray_attempts --
-- Delete further outcomes of decisions that are lost.
DELETE FROM attempt WHERE decision_id NOT IN (SELECT id FROM decision);

-- names_by_decision --
-- The names of pairs without a row, from decisions whose outcomes are events of theirs.
SELECT DISTINCT event.tally_id, named.task_type, named.model_id
FROM event
JOIN (
    SELECT task_type, outcome_model_id AS model_id, ended_ms, success, tokens, cost_nano_usd
    FROM decision WHERE outcome_model_id IS NOT NULL
    UNION ALL
    SELECT
        decision.task_type, attempt.model_id, attempt.ended_ms, attempt.success, attempt.tokens, attempt.cost_nano_usd
    FROM attempt JOIN decision ON decision.id = attempt.decision_id
) AS named ON named.ended_ms = event.ended_ms AND named.success = event.success
    AND named.tokens = event.tokens AND named.cost_nano_usd = event.cost_nano_usd
WHERE event.tally_id NOT IN (SELECT id FROM tally);

-- count_by_days --
-- The tally of one pair from its daily roll-up and imports.
UPDATE tally SET
    successes = sums.successes, failures = sums.failures, timeouts = sums.timeouts, outages = sums.outages,
    caller_errors = sums.caller_errors, tokens = sums.tokens, cost_nano_usd = sums.cost_nano_usd,
    priced = sums.priced, timeout_failures = sums.timeout_failures, later_successes = sums.later_successes,
    later_failures = sums.later_failures, later_timeout_failures = sums.later_timeout_failures, graded = sums.graded,
    score_shift = sums.score_shift, later_score_shift = sums.later_score_shift
FROM (
    SELECT
        coalesce(sum(successes), 0) AS successes, coalesce(sum(failures), 0) AS failures,
        coalesce(sum(timeouts), 0) AS timeouts, coalesce(sum(outages), 0) AS outages,
        coalesce(sum(caller_errors), 0) AS caller_errors, coalesce(sum(tokens), 0) AS tokens,
        coalesce(sum(cost_nano_usd), 0) AS cost_nano_usd, coalesce(sum(priced), 0) AS priced,
        coalesce(sum(timeout_failures), 0) AS timeout_failures,
        coalesce(sum(later_successes), 0) AS later_successes, coalesce(sum(later_failures), 0) AS later_failures,
        coalesce(sum(later_timeout_failures), 0) AS later_timeout_failures, coalesce(sum(graded), 0) AS graded,
        coalesce(sum(score_shift), 0) AS score_shift, coalesce(sum(later_score_shift), 0) AS later_score_shift
    FROM (
        SELECT
            successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced, timeout_failures,
            later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
        FROM daily WHERE tally_id = :tally_id
        UNION ALL
        SELECT
            successes, failures, timeouts, 0, 0, tokens, cost_nano_usd,
            iif(cost_nano_usd > 0, successes + failures, 0), 0, 0, 0, 0, 0, 0, 0
        FROM imported WHERE tally_id = :tally_id
    )
) AS sums
WHERE id = :tally_id;

-- known_events --
-- The newest number of an event that anything refers to, and how many outcomes are recorded or known to be gone.
SELECT
    max(
        (SELECT coalesce(max(id), 0) FROM event),
        (SELECT coalesce(max(event_id), 0) FROM outcome_key),
        (SELECT coalesce(max(event_id), 0) FROM watch_position),
        (SELECT coalesce(max(event_id), 0) FROM demotion),
        (SELECT coalesce(max(noticed_event_id), 0) FROM change)
    ),
    (SELECT count(*) FROM event) + (SELECT coalesce(sum(successes + failures), 0) FROM dropped);

-- tried --
-- The sets of models that had failed before.
SELECT id, models FROM tried;

-- delete_tried --
-- Delete the sets that are not among these, a JSON array of their numbers.
DELETE FROM tried WHERE id NOT IN (SELECT value FROM json_each(?));

-- has_lost_tried --
-- Whether a later try refers to a set that is missing.
SELECT EXISTS (SELECT 1 FROM event WHERE tried_id IS NOT NULL AND tried_id NOT IN (SELECT id FROM tried));

-- replace_lost_tried --
-- The number of the unknown set for later tries whose set is missing.
UPDATE event SET tried_id = ? WHERE tried_id IS NOT NULL AND tried_id NOT IN (SELECT id FROM tried);

-- bound_dropped --
-- Later tries among dropped events are a part of these.
UPDATE dropped SET
    later_successes = max(0, min(later_successes, successes)),
    later_failures = max(0, min(later_failures, failures - outages - caller_errors));

-- bound_dropped_timeouts --
-- The same for those that timed out; those of first tries are a part of the failures of first tries.
UPDATE dropped SET later_timeout_failures = max(
    0, timeout_failures + later_failures - (failures - outages - caller_errors),
    min(later_timeout_failures, later_failures, timeout_failures)
);

-- delete_unused_tried --
-- Delete the sets that nothing refers to; the last one stays, or its number would be used again.
DELETE FROM tried
WHERE id < (SELECT max(id) FROM tried)
    AND id NOT IN (SELECT tried_id FROM later)
    AND id NOT IN (SELECT tried_id FROM event WHERE tried_id IS NOT NULL);

-- later_of_events --
-- The later tries among the events, by pair and set.
SELECT tally_id, tried_id, sum(success), sum(failure), sum(timeout_failure), sum(score_shift)
FROM later_try GROUP BY tally_id, tried_id;

-- stored_later --
-- The stored later tries, by pair and set.
SELECT tally_id, tried_id, successes, failures, timeout_failures, score_shift FROM later;

-- later_of_tallies --
-- The later tries of each pair, and whether events of it were dropped.
SELECT
    id, id IN (SELECT tally_id FROM dropped), later_successes, later_failures, later_timeout_failures, later_score_shift
FROM tally;

-- delete_stray_later --
-- Delete the later tries of pairs that are gone.
DELETE FROM later WHERE tally_id NOT IN (SELECT id FROM tally);

-- delete_later --
-- Delete the later tries of a pair.
DELETE FROM later WHERE tally_id = ?;

-- set_later --
-- The later tries of a pair after one set.
INSERT INTO later (tally_id, tried_id, successes, failures, timeout_failures, score_shift) VALUES (?, ?, ?, ?, ?, ?);
