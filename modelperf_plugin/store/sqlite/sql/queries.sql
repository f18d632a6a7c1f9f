-- record --
-- Write one outcome: event, tally and daily roll-up, by the trigger of the view.
INSERT INTO recording (tally_id, ended_ms, success, timeout, tokens, cost_nano_usd) VALUES (?, ?, ?, ?, ?, ?);

-- record_detailed --
-- The same for an outcome with more details.
INSERT INTO recording (
    tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- record_once --
-- The same for an outcome with an id; changes nothing if the id is known.
INSERT INTO recording_once (
    tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms,
    outcome_id
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- record_later --
-- The same for a later try, with an id or without; changes nothing if the id is known.
INSERT INTO recording_later (
    tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms,
    outcome_id, tried_id
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- record_served --
-- The same for an outcome of any kind with a served model.
INSERT INTO recording_served (
    tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms,
    outcome_id, tried_id, served_model
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- add_served_model --
-- Add the name of a served model, unless it exists.
INSERT INTO served_model (model_id) VALUES (?) ON CONFLICT (model_id) DO NOTHING;

-- set_served --
-- Note which model has served an event.
INSERT INTO served (event_id, served_id) SELECT ?, id FROM served_model WHERE model_id = ?
ON CONFLICT (event_id) DO UPDATE SET served_id = excluded.served_id;

-- served_models --
-- Which models have served some outcomes: a JSON array of ids and numbers of events.
SELECT wanted.value, served_model.model_id
FROM json_each(?) AS wanted
LEFT JOIN outcome_key ON wanted.type = 'text' AND outcome_id = wanted.value
JOIN served ON served.event_id = iif(wanted.type = 'text', outcome_key.event_id, wanted.value)
JOIN served_model ON served_model.id = served.served_id;

-- drop_served --
-- Drop which models have served events that are dropped.
DELETE FROM served
WHERE event_id > :after_id AND event_id <= :last_id AND NOT EXISTS (SELECT 1 FROM event WHERE event.id = event_id);

-- next_event_id --
-- The id of the next event.
SELECT coalesce(max(id), 0) + 1 FROM event;

-- add_events --
-- Write many events; add_daily and add_to_tally add their sums in the same transaction.
INSERT INTO event (id, tally_id, ended_ms, success, timeout, tokens, cost_nano_usd) VALUES (?, ?, ?, ?, ?, ?, ?);

-- add_detailed_events --
-- The same for events with more details.
INSERT INTO event (
    id, tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms,
    tried_id
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- known_outcome_keys --
-- Which of the ids in a JSON array are known.
SELECT outcome_id FROM outcome_key WHERE outcome_id IN (SELECT value FROM json_each(?));

-- add_outcome_keys --
-- Store the ids of events.
INSERT INTO outcome_key (outcome_id, event_id) VALUES (?, ?);

-- add_daily --
-- Add sums to the roll-up of one pair and day. A sum that overflows stays at 2^63 - 1.
INSERT INTO daily (
    tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tally_id, day) DO UPDATE SET
    successes = CAST(successes + excluded.successes AS INTEGER),
    failures = CAST(failures + excluded.failures AS INTEGER),
    timeouts = CAST(timeouts + excluded.timeouts AS INTEGER),
    outages = CAST(outages + excluded.outages AS INTEGER),
    caller_errors = CAST(caller_errors + excluded.caller_errors AS INTEGER),
    tokens = CAST(tokens + excluded.tokens AS INTEGER),
    cost_nano_usd = CAST(cost_nano_usd + excluded.cost_nano_usd AS INTEGER),
    priced = CAST(priced + excluded.priced AS INTEGER),
    timeout_failures = CAST(timeout_failures + excluded.timeout_failures AS INTEGER),
    later_successes = CAST(later_successes + excluded.later_successes AS INTEGER),
    later_failures = CAST(later_failures + excluded.later_failures AS INTEGER),
    later_timeout_failures = CAST(later_timeout_failures + excluded.later_timeout_failures AS INTEGER),
    graded = CAST(graded + excluded.graded AS INTEGER),
    score_shift = max(CAST(score_shift + excluded.score_shift AS INTEGER), -9223372036854775807),
    later_score_shift = max(CAST(later_score_shift + excluded.later_score_shift AS INTEGER), -9223372036854775807);

-- add_to_tally --
-- Add sums to one existing tally.
UPDATE tally SET
    successes = CAST(successes + ? AS INTEGER),
    failures = CAST(failures + ? AS INTEGER),
    timeouts = CAST(timeouts + ? AS INTEGER),
    outages = CAST(outages + ? AS INTEGER),
    caller_errors = CAST(caller_errors + ? AS INTEGER),
    tokens = CAST(tokens + ? AS INTEGER),
    cost_nano_usd = CAST(cost_nano_usd + ? AS INTEGER),
    priced = CAST(priced + ? AS INTEGER),
    timeout_failures = CAST(timeout_failures + ? AS INTEGER),
    later_successes = CAST(later_successes + ? AS INTEGER),
    later_failures = CAST(later_failures + ? AS INTEGER),
    later_timeout_failures = CAST(later_timeout_failures + ? AS INTEGER),
    graded = CAST(graded + ? AS INTEGER),
    score_shift = max(CAST(score_shift + ? AS INTEGER), -9223372036854775807),
    later_score_shift = max(CAST(later_score_shift + ? AS INTEGER), -9223372036854775807),
    last_used_ms = max(coalesce(last_used_ms, -9223372036854775808), ?)
WHERE id = ?;

-- add_later --
-- Add counts to the later tries of one pair after one set of failed tries.
INSERT INTO later (tally_id, tried_id, successes, failures, timeout_failures, score_shift) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (tally_id, tried_id) DO UPDATE SET
    successes = CAST(successes + excluded.successes AS INTEGER),
    failures = CAST(failures + excluded.failures AS INTEGER),
    timeout_failures = CAST(timeout_failures + excluded.timeout_failures AS INTEGER),
    score_shift = max(CAST(score_shift + excluded.score_shift AS INTEGER), -9223372036854775807);

-- add_durations --
-- Add the durations of the events from one on to those of their pairs.
INSERT INTO duration (tally_id, period, from_ms, outcomes)
SELECT tally_id, period, from_ms, count(*) FROM timed_outcome WHERE id >= ? GROUP BY 1, 2, 3
ON CONFLICT (tally_id, period, from_ms) DO UPDATE SET outcomes = outcomes + excluded.outcomes;

-- add_pair --
-- Add the row of a (task type, model), unless it exists.
INSERT INTO tally (task_type, model_id) VALUES (?, ?) ON CONFLICT (task_type, model_id) DO NOTHING;

-- find_pair --
-- The id of a (task type, model).
SELECT id FROM tally WHERE task_type = ? AND model_id = ?;

-- add_tried --
-- Add a set of models that had failed before, unless it exists.
INSERT INTO tried (models) VALUES (?) ON CONFLICT (models) DO NOTHING;

-- find_tried --
-- The id of such a set.
SELECT id FROM tried WHERE models = ?;

-- add_moved --
-- Claim a batch of spooled outcomes; changes nothing if it was ingested before.
INSERT INTO moved (batch_id, moved_ms, outcomes)
VALUES (?, CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER), 0) ON CONFLICT (batch_id) DO NOTHING;

-- count_moved --
-- The number of new outcomes in the batch.
UPDATE moved SET outcomes = ? WHERE batch_id = ?;

-- known_tally --
-- Counts of one pair without events.
INSERT INTO tally (
    task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    last_used_ms, timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
)
VALUES (
    :task_type, :model_id, :successes, :failures, :timeouts, :outages, :caller_errors, :total_tokens,
    :total_cost_nano_usd, :priced, :last_used_ms, :timeout_failures, :later_successes, :later_failures,
    :later_timeout_failures, :graded, :score_shift, :later_score_shift
);

-- known_dropped --
-- The same as dropped events.
INSERT INTO dropped (
    tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced, timeout_failures,
    later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
)
SELECT
    id, :successes, :failures, :timeouts, :outages, :caller_errors, :total_tokens, :total_cost_nano_usd, :priced,
    :timeout_failures, :later_successes, :later_failures, :later_timeout_failures, :graded, :score_shift,
    :later_score_shift
FROM tally WHERE task_type = :task_type AND model_id = :model_id;

-- known_daily --
-- The same in the roll-up of the day on which the pair was last used.
INSERT INTO daily (
    tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
)
SELECT
    id, coalesce(:last_used_ms, 0) / 86400000, :successes, :failures, :timeouts, :outages, :caller_errors,
    :total_tokens, :total_cost_nano_usd, :priced, :timeout_failures, :later_successes, :later_failures,
    :later_timeout_failures, :graded, :score_shift, :later_score_shift
FROM tally WHERE task_type = :task_type AND model_id = :model_id;

-- known_later --
-- The part of them that are later tries after one set.
INSERT INTO later (tally_id, tried_id, successes, failures, timeout_failures, score_shift)
SELECT id, ?, ?, ?, ?, ? FROM tally WHERE task_type = ? AND model_id = ?;

-- tallies_of_task_type --
-- The tallies of one task type. A pair without outcomes is skipped.
SELECT
    task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    last_used_ms, timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
FROM usable_tally WHERE task_type = ? AND successes + failures > 0 ORDER BY model_id;

-- later_of_task_type --
-- The later tries of the pairs of one task type, by what had failed before: of each pair the sets with most tries.
SELECT tally.model_id, CAST(tried.models AS BLOB), later.successes, later.failures, later.timeout_failures,
    later.score_shift
FROM tally
CROSS JOIN later ON later.tally_id = tally.id AND later.tried_id IN (
    SELECT own.tried_id FROM later AS own WHERE own.tally_id = tally.id
    ORDER BY own.successes + own.failures DESC, own.tried_id LIMIT :most
)
CROSS JOIN tried ON tried.id = later.tried_id
WHERE tally.task_type = :task_type;

-- later_with_batches --
-- The same and, without a set, which of the batches in a JSON array are part of them.
SELECT tally.model_id, CAST(tried.models AS BLOB), later.successes, later.failures, later.timeout_failures,
    later.score_shift
FROM tally CROSS JOIN later ON later.tally_id = tally.id JOIN tried ON tried.id = later.tried_id
WHERE tally.task_type = ?
UNION ALL
SELECT batch_id, NULL, 0, 0, 0, 0 FROM moved WHERE batch_id IN (SELECT value FROM json_each(?));

-- tallies_with_batches --
-- The tallies of one task type and, without a task type, which of the batches in a JSON array are part of them.
SELECT
    task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    last_used_ms, timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
FROM usable_tally WHERE task_type = ? AND successes + failures > 0
UNION ALL
SELECT NULL, batch_id, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0, 0, 0, 0, 0, 0
FROM moved WHERE batch_id IN (SELECT value FROM json_each(?));

-- tallies_page --
-- The tallies of the task types after one, in order.
SELECT
    task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    last_used_ms, timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
FROM usable_tally WHERE task_type > ? AND successes + failures > 0 ORDER BY task_type, model_id LIMIT ?;

-- all_tallies --
-- The tallies of every task type.
SELECT
    task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    last_used_ms, timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
FROM usable_tally WHERE successes + failures > 0 ORDER BY task_type, model_id;

-- add_problem --
-- Count a failure that a host does not notice but an operator should.
INSERT INTO problem (kind, message, times, first_ms, last_ms) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (kind, message) DO UPDATE SET
    times = times + excluded.times, last_ms = max(last_ms, excluded.last_ms);

-- trim_problems --
-- Keep the hundred newest kinds of failure.
DELETE FROM problem WHERE (kind, message) NOT IN (SELECT kind, message FROM problem ORDER BY last_ms DESC LIMIT 100);

-- problems --
-- The counted failures, newest first.
SELECT kind, message, times, first_ms, last_ms FROM problem ORDER BY last_ms DESC;

-- clear_problems --
-- Delete the counted failures.
DELETE FROM problem;

-- newest_event --
-- The time and pair of the newest outcome.
SELECT tally.task_type, tally.model_id, event.ended_ms
FROM event JOIN tally ON tally.id = event.tally_id ORDER BY event.id DESC LIMIT 1;

-- counts --
-- The numbers of outcomes and pairs.
SELECT
    (SELECT count(*) FROM event),
    (SELECT count(DISTINCT task_type) FROM tally WHERE successes + failures > 0),
    (SELECT count(DISTINCT model_id) FROM tally WHERE successes + failures > 0);

-- tally_drift --
-- Pairs whose tally is not the sum of events, dropped events and imports: must be none.
SELECT tally.task_type, tally.model_id
FROM tally
LEFT JOIN (
    SELECT
        tally_id, sum(success) AS successes, sum(1 - success) AS failures, sum(timeout) AS timeouts,
        sum(tokens) AS tokens, sum(cost_nano_usd) AS cost,
        sum(
            NOT success AND coalesce(error_kind IN ('rate_limit', 'server_error', 'network', 'unavailable'), 0)
        ) AS outages,
        sum(NOT success AND coalesce(error_kind IN ('cancelled', 'caller_error'), 0)) AS caller_errors,
        sum(
            timeout AND NOT success AND score IS NULL
            AND coalesce(error_kind IN ('context_overflow', 'other', 'refused'), 1)
        ) AS timeout_failures,
        sum(score IS NOT NULL) AS graded, sum(score - 1000000 * success) AS score_shift
    FROM event GROUP BY tally_id
) AS events ON events.tally_id = tally.id
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts,
        sum(tokens) AS tokens, sum(cost_nano_usd) AS cost
    FROM imported GROUP BY tally_id
) AS sums ON sums.tally_id = tally.id
LEFT JOIN (
    SELECT
        tally_id, sum(success) AS successes, sum(failure) AS failures, sum(timeout_failure) AS timeout_failures,
        sum(score_shift) AS score_shift
    FROM later_try GROUP BY tally_id
) AS tries ON tries.tally_id = tally.id
LEFT JOIN dropped AS gone ON gone.tally_id = tally.id
WHERE tally.successes <> coalesce(events.successes, 0) + coalesce(sums.successes, 0) + coalesce(gone.successes, 0)
    OR tally.failures <> coalesce(events.failures, 0) + coalesce(sums.failures, 0) + coalesce(gone.failures, 0)
    OR tally.timeouts <> coalesce(events.timeouts, 0) + coalesce(sums.timeouts, 0) + coalesce(gone.timeouts, 0)
    -- these two stop at the largest integer
    OR tally.tokens
        <> min(coalesce(events.tokens, 0) + coalesce(sums.tokens, 0) + coalesce(gone.tokens, 0), 9223372036854775807)
    OR tally.cost_nano_usd <> min(
        coalesce(events.cost, 0) + coalesce(sums.cost, 0) + coalesce(gone.cost_nano_usd, 0), 9223372036854775807
    )
    OR tally.outages <> coalesce(events.outages, 0) + coalesce(gone.outages, 0)
    OR tally.caller_errors <> coalesce(events.caller_errors, 0) + coalesce(gone.caller_errors, 0)
    OR tally.timeout_failures <> coalesce(events.timeout_failures, 0) + coalesce(gone.timeout_failures, 0)
    OR tally.later_successes <> coalesce(tries.successes, 0) + coalesce(gone.later_successes, 0)
    OR tally.later_failures <> coalesce(tries.failures, 0) + coalesce(gone.later_failures, 0)
    OR tally.later_timeout_failures <> coalesce(tries.timeout_failures, 0) + coalesce(gone.later_timeout_failures, 0)
    OR tally.graded <> coalesce(events.graded, 0) + coalesce(gone.graded, 0)
    OR tally.score_shift <> coalesce(events.score_shift, 0) + coalesce(gone.score_shift, 0)
    OR tally.later_score_shift <> coalesce(tries.score_shift, 0) + coalesce(gone.later_score_shift, 0);

-- daily_drift --
-- Pairs whose daily roll-up is not their tally without imports: must be none.
SELECT tally.task_type, tally.model_id
FROM tally
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts,
        sum(tokens) AS tokens, sum(cost_nano_usd) AS cost, sum(outages) AS outages,
        sum(caller_errors) AS caller_errors, sum(timeout_failures) AS timeout_failures,
        sum(later_successes) AS later_successes, sum(later_failures) AS later_failures,
        sum(later_timeout_failures) AS later_timeout_failures, sum(graded) AS graded, sum(score_shift) AS score_shift,
        sum(later_score_shift) AS later_score_shift
    FROM daily GROUP BY tally_id
) AS days ON days.tally_id = tally.id
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts,
        sum(tokens) AS tokens, sum(cost_nano_usd) AS cost
    FROM imported GROUP BY tally_id
) AS sums ON sums.tally_id = tally.id
WHERE tally.successes <> coalesce(days.successes, 0) + coalesce(sums.successes, 0)
    OR tally.failures <> coalesce(days.failures, 0) + coalesce(sums.failures, 0)
    OR tally.timeouts <> coalesce(days.timeouts, 0) + coalesce(sums.timeouts, 0)
    OR tally.tokens <> min(coalesce(days.tokens, 0) + coalesce(sums.tokens, 0), 9223372036854775807)
    OR tally.cost_nano_usd <> min(coalesce(days.cost, 0) + coalesce(sums.cost, 0), 9223372036854775807)
    OR tally.outages <> coalesce(days.outages, 0)
    OR tally.caller_errors <> coalesce(days.caller_errors, 0)
    OR tally.timeout_failures <> coalesce(days.timeout_failures, 0)
    OR tally.later_successes <> coalesce(days.later_successes, 0)
    OR tally.later_failures <> coalesce(days.later_failures, 0)
    OR tally.later_timeout_failures <> coalesce(days.later_timeout_failures, 0)
    OR tally.graded <> coalesce(days.graded, 0)
    OR tally.score_shift <> coalesce(days.score_shift, 0)
    OR tally.later_score_shift <> coalesce(days.later_score_shift, 0);

-- later_drift --
-- Pairs whose later tries, by what had failed before, are not those of their tally, are fewer than their events, refer
-- to a set of models that is missing, or are more than all tries; and those without a tally: must be none.
SELECT tally.task_type, tally.model_id
FROM tally
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeout_failures) AS timeout_failures,
        sum(score_shift) AS score_shift,
        max(
            successes < 0 OR timeout_failures < 0 OR timeout_failures > failures
            OR tried_id NOT IN (SELECT id FROM tried)
        ) AS wrong
    FROM later GROUP BY tally_id
) AS sets ON sets.tally_id = tally.id
LEFT JOIN (
    SELECT
        tries.tally_id,
        max(
            tries.successes > coalesce(later.successes, 0) OR tries.failures > coalesce(later.failures, 0)
            OR tries.timeout_failures > coalesce(later.timeout_failures, 0)
        ) AS wrong
    FROM (
        SELECT
            tally_id, tried_id, sum(success) AS successes, sum(failure) AS failures,
            sum(timeout_failure) AS timeout_failures
        FROM later_try GROUP BY tally_id, tried_id
    ) AS tries
    LEFT JOIN later ON later.tally_id = tries.tally_id AND later.tried_id = tries.tried_id
    GROUP BY tries.tally_id
) AS events ON events.tally_id = tally.id
WHERE tally.later_successes <> coalesce(sets.successes, 0)
    OR tally.later_failures <> coalesce(sets.failures, 0)
    OR tally.later_timeout_failures <> coalesce(sets.timeout_failures, 0)
    OR tally.later_score_shift <> coalesce(sets.score_shift, 0)
    OR sets.wrong OR events.wrong
    OR tally.later_successes NOT BETWEEN 0 AND tally.successes
    OR tally.later_failures NOT BETWEEN 0 AND tally.failures - tally.outages - tally.caller_errors
    OR tally.later_timeout_failures NOT BETWEEN 0 AND min(tally.later_failures, tally.timeout_failures)
    OR tally.timeout_failures - tally.later_timeout_failures
        > tally.failures - tally.outages - tally.caller_errors - tally.later_failures
    OR tally.id IN (SELECT tally_id FROM event WHERE tried_id IS NOT NULL AND tried_id NOT IN (SELECT id FROM tried))
UNION
SELECT 'a deleted pair', 'number ' || tally_id FROM later WHERE tally_id NOT IN (SELECT id FROM tally);

-- duration_drift --
-- Pairs whose durations lack some of their events', are more than these and those that were dropped can be, or are in no
-- bucket; and those without a tally: must be none.
SELECT tally.task_type, tally.model_id
FROM tally
JOIN (
    SELECT
        tally_id, sum(outcomes) AS outcomes,
        max(outcomes < 1 OR from_ms NOT IN (SELECT from_ms FROM duration_border)) AS wrong
    FROM duration GROUP BY tally_id
) AS known ON known.tally_id = tally.id
LEFT JOIN (SELECT tally_id, count(*) AS outcomes FROM timed_outcome GROUP BY tally_id) AS events
    ON events.tally_id = tally.id
LEFT JOIN dropped AS gone ON gone.tally_id = tally.id
WHERE known.wrong
    OR known.outcomes > coalesce(events.outcomes, 0)
        + coalesce(gone.successes + gone.failures - gone.outages - gone.caller_errors, 0)
UNION
SELECT tally.task_type, tally.model_id
FROM (SELECT tally_id, period, from_ms, count(*) AS outcomes FROM timed_outcome GROUP BY 1, 2, 3) AS events
JOIN tally ON tally.id = events.tally_id
LEFT JOIN duration USING (tally_id, period, from_ms)
WHERE events.outcomes > coalesce(duration.outcomes, 0)
UNION
SELECT 'a deleted pair', 'number ' || tally_id FROM duration WHERE tally_id NOT IN (SELECT id FROM tally);

-- events_to_drop --
-- The last of the next thousand events, and how many of these are too old; the newest event always stays.
SELECT max(id), count(*), coalesce(sum(ended_ms < :before_ms), 0)
FROM (
    SELECT id, ended_ms FROM event
    WHERE id > :after_id AND id < (SELECT max(id) FROM event) ORDER BY id LIMIT :most
);

-- add_dropped --
-- Add up the events that are about to be dropped.
INSERT INTO dropped (
    tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced, timeout_failures,
    later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
)
SELECT
    event.tally_id, sum(event.success), sum(1 - event.success), sum(event.timeout),
    sum(NOT event.success AND coalesce(error_kind IN ('rate_limit', 'server_error', 'network', 'unavailable'), 0)),
    sum(NOT event.success AND coalesce(error_kind IN ('cancelled', 'caller_error'), 0)),
    sum(tokens), sum(cost_nano_usd), sum(cost_nano_usd > 0),
    sum(
        event.timeout AND NOT event.success AND score IS NULL
        AND coalesce(error_kind IN ('context_overflow', 'other', 'refused'), 1)
    ),
    coalesce(sum(tries.success), 0), coalesce(sum(tries.failure), 0), coalesce(sum(tries.timeout_failure), 0),
    sum(event.score IS NOT NULL), coalesce(sum(event.score - 1000000 * event.success), 0),
    coalesce(sum(tries.score_shift), 0)
FROM event LEFT JOIN later_try AS tries ON tries.id = event.id
WHERE event.id > :after_id AND event.id <= :last_id AND event.ended_ms < :before_ms GROUP BY event.tally_id
ON CONFLICT (tally_id) DO UPDATE SET
    successes = successes + excluded.successes, failures = failures + excluded.failures,
    timeouts = timeouts + excluded.timeouts, outages = outages + excluded.outages,
    caller_errors = caller_errors + excluded.caller_errors, priced = priced + excluded.priced,
    tokens = CAST(tokens + excluded.tokens AS INTEGER),
    cost_nano_usd = CAST(cost_nano_usd + excluded.cost_nano_usd AS INTEGER),
    timeout_failures = timeout_failures + excluded.timeout_failures,
    later_successes = later_successes + excluded.later_successes,
    later_failures = later_failures + excluded.later_failures,
    later_timeout_failures = later_timeout_failures + excluded.later_timeout_failures,
    graded = graded + excluded.graded,
    score_shift = score_shift + excluded.score_shift,
    later_score_shift = later_score_shift + excluded.later_score_shift;

-- drop_events --
-- Drop these events.
DELETE FROM event WHERE id > :after_id AND id <= :last_id AND ended_ms < :before_ms;

-- add_decision --
-- Store a decision with its first outcome, if there is one; one that is stored already may only get that outcome.
INSERT INTO decision (
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score,
    outcome_ref
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    outcome_model_id = excluded.outcome_model_id, ended_ms = excluded.ended_ms, success = excluded.success,
    timeout = excluded.timeout, tokens = excluded.tokens, cost_nano_usd = excluded.cost_nano_usd,
    error_kind = excluded.error_kind, duration_ms = excluded.duration_ms, score = excluded.score,
    outcome_ref = excluded.outcome_ref
WHERE excluded.outcome_model_id IS NOT NULL AND outcome_model_id IS NULL;

-- join_outcome --
-- Join the first outcome to its decision.
UPDATE decision SET
    outcome_model_id = ?, ended_ms = ?, success = ?, timeout = ?, tokens = ?, cost_nano_usd = ?, error_kind = ?,
    duration_ms = ?, score = ?, outcome_ref = ?
WHERE id = ? AND outcome_model_id IS NULL;

-- outcomes_so_far --
-- The model of a decision, that of the outcome in it, and how many outcomes it has.
SELECT model_id, outcome_model_id, 1 + (SELECT count(*) FROM attempt WHERE decision_id = id)
FROM decision WHERE id = ?;

-- move_outcome --
-- Move the outcome in a decision to the others: a fallback's, if the chosen model's comes.
INSERT INTO attempt (
    decision_id, number, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score,
    outcome_ref
)
SELECT
    id, coalesce(outcome_number, 1), outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind,
    duration_ms, score, outcome_ref
FROM decision WHERE id = ?;

-- replace_outcome --
-- Put the chosen model's outcome in its place.
UPDATE decision SET
    outcome_model_id = ?, ended_ms = ?, success = ?, timeout = ?, tokens = ?, cost_nano_usd = ?, error_kind = ?,
    duration_ms = ?, score = ?, outcome_ref = ?, outcome_number = ?
WHERE id = ?;

-- add_attempt --
-- Add a further outcome of a decision.
INSERT INTO attempt (
    model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref,
    number, decision_id
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- attempts --
-- The further outcomes of some decisions, a JSON array of ids, in the order of arrival.
SELECT
    decision_id, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref,
    number
FROM attempt WHERE decision_id IN (SELECT value FROM json_each(?)) ORDER BY decision_id, number;

-- has_unmatched --
-- Whether outcomes, or verdicts alone, wait for their decision; and the event that was written last.
SELECT EXISTS (SELECT 1 FROM unmatched_outcome), EXISTS (SELECT 1 FROM waiting_verdict), (SELECT max(id) FROM event);

-- unmatched_outcomes --
-- The outcomes that wait for a decision, in the order of arrival.
SELECT decision_id, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref
FROM unmatched_outcome WHERE decision_id = ? ORDER BY number;

-- add_unmatched --
-- Keep an outcome whose decision is not in the log.
INSERT INTO unmatched_outcome (
    model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref,
    decision_id
)
SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM decision WHERE id = ?)
ON CONFLICT (decision_id, model_id, ended_ms) DO NOTHING;

-- delete_unmatched --
-- Delete the outcomes that waited for a decision, which has come.
DELETE FROM unmatched_outcome WHERE decision_id = ?;

-- limit_unmatched --
-- Delete the oldest of too many outcomes that wait for their decision.
DELETE FROM unmatched_outcome WHERE number <= (SELECT max(number) FROM unmatched_outcome) - ?;

-- forget_unmatched --
-- Delete the oldest outcomes that wait for their decision, up to a limit.
DELETE FROM unmatched_outcome
WHERE ended_ms < ? AND number IN (SELECT number FROM unmatched_outcome ORDER BY number LIMIT ?);

-- count_unmatched --
-- How many outcomes have waited for their decision since before a moment.
SELECT count(*) FROM unmatched_outcome WHERE ended_ms <= ?;

-- add_waiting_verdict --
-- Keep a verdict whose decision is not in the log.
INSERT INTO waiting_verdict (decision_id, given_ms, success, score) VALUES (?, ?, ?, ?);

-- limit_waiting_verdicts --
-- Delete the oldest of too many verdicts that wait for their decision.
DELETE FROM waiting_verdict WHERE number <= (SELECT max(number) FROM waiting_verdict) - ?;

-- forget_waiting_verdicts --
-- Delete the oldest verdicts that wait for their decision, up to a limit.
DELETE FROM waiting_verdict
WHERE given_ms < ? AND number IN (SELECT number FROM waiting_verdict ORDER BY number LIMIT ?);

-- waiting_verdicts --
-- The verdicts that wait for a decision, in the order of arrival.
SELECT success, score, given_ms FROM waiting_verdict WHERE decision_id = ? ORDER BY number;

-- delete_waiting_verdicts --
-- Delete the verdicts that waited for a decision, which has come.
DELETE FROM waiting_verdict WHERE decision_id = ?;

-- name_decision --
-- Note the decision of an outcome with an id.
UPDATE outcome_key SET decision_id = ? WHERE outcome_id = ? AND decision_id IS NULL;

-- is_joined --
-- Whether an outcome is in the log of its decision.
SELECT
    EXISTS (SELECT 1 FROM decision WHERE id = :decision_id AND outcome_ref = :ref)
    OR EXISTS (SELECT 1 FROM attempt WHERE decision_id = :decision_id AND outcome_ref = :ref);

-- last_outcome --
-- Which outcome is the last one of a decision; no row without any.
SELECT ref
FROM (
    SELECT outcome_ref AS ref, coalesce(outcome_number, 1) AS number
    FROM decision WHERE id = :decision_id AND outcome_model_id IS NOT NULL
    UNION ALL
    SELECT outcome_ref, number FROM attempt WHERE decision_id = :decision_id
)
ORDER BY number DESC LIMIT 1;

-- event_of_key --
-- The event of an outcome with an id.
SELECT event_id FROM outcome_key WHERE outcome_id = ?;

-- verdict_of_event --
-- The verdict of an event; no row if it is gone.
SELECT
    task_type, tally.model_id, success, timeout, error_kind, score, event.tokens, event.cost_nano_usd,
    served_model.model_id
FROM event
JOIN tally ON tally.id = event.tally_id
LEFT JOIN served ON served.event_id = event.id
LEFT JOIN served_model ON served_model.id = served.served_id
WHERE event.id = ?;

-- revise --
-- Replace the verdict of an outcome with an id: event, sums and log, by the trigger of the view.
INSERT INTO revising (
    event_id, tally_id, success, timeout, tokens, cost_nano_usd, error_kind, score, given_ms, is_stamped, outcome_id,
    decision_id
)
SELECT
    event_id, :tally_id, :success, :timeout, :tokens, :cost_nano_usd, :error_kind, :score, :given_ms, :is_stamped,
    outcome_id, coalesce(decision_id, :decision_id)
FROM outcome_key WHERE outcome_id = :outcome_id;

-- revise_served --
-- The same by a verdict with a served model.
INSERT INTO revising_served (
    event_id, tally_id, success, timeout, tokens, cost_nano_usd, error_kind, score, given_ms, is_stamped, outcome_id,
    decision_id, served_model
)
SELECT
    event_id, :tally_id, :success, :timeout, :tokens, :cost_nano_usd, :error_kind, :score, :given_ms, :is_stamped,
    outcome_id, coalesce(decision_id, :decision_id), :served_model
FROM outcome_key WHERE outcome_id = :outcome_id;

-- revise_by_decision --
-- The same by what the log knows of an outcome: success and score only.
INSERT INTO revising (
    event_id, tally_id, success, timeout, tokens, cost_nano_usd, error_kind, score, given_ms, is_stamped, outcome_id,
    decision_id
)
SELECT
    id, tally_id, :success, timeout, 0, 0, iif(:success, NULL, error_kind),
    iif(:success OR error_kind IS NULL OR error_kind IN ('context_overflow', 'other', 'refused'), :score, NULL),
    :given_ms, :is_stamped, :ref, :decision_id
FROM event WHERE id = :event_id;

-- reported_first --
-- The event of an outcome whose verdict came before it: of this model, and with nothing but that verdict.
SELECT outcome_key.event_id
FROM decision JOIN outcome_key ON outcome_key.outcome_id = decision.outcome_ref
WHERE decision.id = :decision_id AND outcome_ref = :ref AND outcome_model_id = :model_id;

-- complete --
-- Add what is known of an outcome whose verdict came before it, which stays.
INSERT INTO revising (
    event_id, tally_id, success, timeout, tokens, cost_nano_usd, error_kind, score, given_ms, is_stamped, outcome_id,
    decision_id
)
SELECT
    id, tally_id, success, :timeout, :tokens, :cost_nano_usd, iif(success, NULL, :error_kind),
    iif(success OR :error_kind IS NULL OR :error_kind IN ('context_overflow', 'other', 'refused'), score, NULL),
    :given_ms, 0, :ref, :decision_id
FROM event WHERE id = :event_id;

-- complete_event --
-- The same for what is no part of a verdict.
UPDATE event SET duration_ms = :duration_ms, retry_after_ms = :retry_after_ms WHERE id = :event_id;

-- complete_durations --
-- The same in the sums of durations: the outcome had none before.
INSERT INTO duration (tally_id, period, from_ms, outcomes)
SELECT tally_id, period, from_ms, 1 FROM timed_outcome WHERE id = :event_id
ON CONFLICT (tally_id, period, from_ms) DO UPDATE SET outcomes = outcomes + 1;

-- complete_decision --
-- The same in the log: from now on it is an outcome like any other.
UPDATE decision SET duration_ms = :duration_ms, outcome_ref = :event_id WHERE id = :decision_id;

-- revisions --
-- What the verdicts of some outcomes were before, in order: a JSON array of ids and numbers of events.
SELECT wanted.value, revised_ms, success, timeout, error_kind, score, tokens, cost_nano_usd
FROM json_each(?) AS wanted
LEFT JOIN outcome_key ON wanted.type = 'text' AND outcome_id = wanted.value
JOIN revision ON revision.event_id = iif(wanted.type = 'text', outcome_key.event_id, wanted.value)
ORDER BY number;

-- drop_revisions --
-- Drop what the verdicts of events were that are dropped; the newest stays, or its number would be used again.
DELETE FROM revision
WHERE event_id > :after_id AND event_id <= :last_id AND number < (SELECT max(number) FROM revision)
    AND NOT EXISTS (SELECT 1 FROM event WHERE event.id = event_id);

-- decision --
-- One decision, by its id.
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score,
    outcome_ref, outcome_number
FROM decision WHERE id = ?;

-- decisions_by_prefix --
-- The decisions whose id has a prefix.
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score,
    outcome_ref, outcome_number
FROM decision WHERE id >= ? AND id < ? || char(1114111) ORDER BY id LIMIT ?;

-- decisions --
-- The newest decisions, of one task type or all.
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score,
    outcome_ref, outcome_number
FROM decision
WHERE made_ms >= ? AND (? IS NULL OR task_type = ?)
ORDER BY made_ms DESC, rowid DESC LIMIT ?;

-- follow_ups --
-- The decisions that follow one, for the same task.
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score,
    outcome_ref, outcome_number
FROM decision WHERE retry_of = ? ORDER BY made_ms, rowid;

-- logged_after --
-- Decisions in the order of storing, for reading many of them in batches.
SELECT
    rowid, id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score,
    outcome_ref, outcome_number
FROM decision WHERE rowid > ? ORDER BY rowid LIMIT ?;

-- last_logged_of_page --
-- The last decision of such a page, readable or not.
SELECT max(number) FROM (SELECT rowid AS number FROM decision WHERE rowid > ? ORDER BY rowid LIMIT ?);

-- last_logged --
-- The number of the decision stored last.
SELECT max(rowid) FROM decision;

-- decision_summary --
-- For each mode: how many decisions, with and without outcome (made after and before a moment), and what was explored.
SELECT
    mode, count(*), count(outcome_model_id),
    sum(outcome_model_id IS NULL AND made_ms > ?), sum(outcome_model_id IS NULL AND made_ms <= ?),
    sum(explored), sum(exploring)
FROM decision GROUP BY mode ORDER BY mode;

-- forget_decisions --
-- Delete the oldest decisions made before a moment, up to a limit.
DELETE FROM decision WHERE rowid IN (SELECT rowid FROM decision WHERE made_ms < ? ORDER BY made_ms LIMIT ?);
