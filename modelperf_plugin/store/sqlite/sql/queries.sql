-- record --
-- Write one outcome: event, tally and daily roll-up, by the trigger of the view.
INSERT INTO recording (tally_id, ended_ms, success, timeout, tokens, cost_nano_usd) VALUES (?, ?, ?, ?, ?, ?);

-- record_detailed --
-- The same for an outcome with more details.
INSERT INTO recording (tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- record_once --
-- The same for an outcome with an id; changes nothing if the id is known.
INSERT INTO recording_once (
    tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, outcome_id
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- next_event_id --
-- The id of the next event.
SELECT coalesce(max(id), 0) + 1 FROM event;

-- add_events --
-- Write many events; add_daily and add_to_tally add their sums in the same transaction.
INSERT INTO event (id, tally_id, ended_ms, success, timeout, tokens, cost_nano_usd) VALUES (?, ?, ?, ?, ?, ?, ?);

-- add_detailed_events --
-- The same for events with more details.
INSERT INTO event (id, tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- known_outcome_keys --
-- Which of the ids in a JSON array are known.
SELECT outcome_id FROM outcome_key WHERE outcome_id IN (SELECT value FROM json_each(?));

-- add_outcome_keys --
-- Store the ids of events.
INSERT INTO outcome_key (outcome_id, event_id) VALUES (?, ?);

-- add_daily --
-- Add sums to the roll-up of one pair and day.
INSERT INTO daily (
    tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    timeout_failures
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tally_id, day) DO UPDATE SET
    successes = successes + excluded.successes,
    failures = failures + excluded.failures,
    timeouts = timeouts + excluded.timeouts,
    outages = outages + excluded.outages,
    caller_errors = caller_errors + excluded.caller_errors,
    tokens = tokens + excluded.tokens,
    cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd,
    priced = priced + excluded.priced,
    timeout_failures = timeout_failures + excluded.timeout_failures;

-- add_to_tally --
-- Add sums to one existing tally.
UPDATE tally SET
    successes = successes + ?,
    failures = failures + ?,
    timeouts = timeouts + ?,
    outages = outages + ?,
    caller_errors = caller_errors + ?,
    tokens = tokens + ?,
    cost_nano_usd = cost_nano_usd + ?,
    priced = priced + ?,
    timeout_failures = timeout_failures + ?,
    last_used_ms = max(coalesce(last_used_ms, -9223372036854775808), ?)
WHERE id = ?;

-- add_pair --
-- Add the row of a (task type, model), unless it exists.
INSERT INTO tally (task_type, model_id) VALUES (?, ?) ON CONFLICT (task_type, model_id) DO NOTHING;

-- find_pair --
-- The id of a (task type, model).
SELECT id FROM tally WHERE task_type = ? AND model_id = ?;

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
    last_used_ms, timeout_failures
)
VALUES (
    :task_type, :model_id, :successes, :failures, :timeouts, :outages, :caller_errors, :total_tokens,
    :total_cost_nano_usd, :priced, :last_used_ms, :timeout_failures
);

-- known_dropped --
-- The same as dropped events.
INSERT INTO dropped (
    tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced, timeout_failures
)
SELECT
    id, :successes, :failures, :timeouts, :outages, :caller_errors, :total_tokens, :total_cost_nano_usd, :priced,
    :timeout_failures
FROM tally WHERE task_type = :task_type AND model_id = :model_id;

-- known_daily --
-- The same in the roll-up of the day on which the pair was last used.
INSERT INTO daily (
    tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    timeout_failures
)
SELECT
    id, coalesce(:last_used_ms, 0) / 86400000, :successes, :failures, :timeouts, :outages, :caller_errors,
    :total_tokens, :total_cost_nano_usd, :priced, :timeout_failures
FROM tally WHERE task_type = :task_type AND model_id = :model_id;

-- tallies_of_task_type --
-- The tallies of one task type. A pair without outcomes is skipped.
SELECT
    task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    last_used_ms, timeout_failures
FROM tally WHERE task_type = ? AND successes + failures > 0 ORDER BY model_id;

-- all_tallies --
-- The tallies of every task type.
SELECT
    task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    last_used_ms, timeout_failures
FROM tally WHERE successes + failures > 0 ORDER BY task_type, model_id;

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
        sum(NOT success AND coalesce(error_kind IN ('rate_limit', 'server_error', 'network'), 0)) AS outages,
        sum(NOT success AND coalesce(error_kind IN ('cancelled', 'caller_error'), 0)) AS caller_errors,
        sum(timeout AND NOT success AND coalesce(error_kind IN ('context_overflow', 'other'), 1)) AS timeout_failures
    FROM event GROUP BY tally_id
) AS events ON events.tally_id = tally.id
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts,
        sum(tokens) AS tokens, sum(cost_nano_usd) AS cost
    FROM imported GROUP BY tally_id
) AS sums ON sums.tally_id = tally.id
LEFT JOIN dropped AS gone ON gone.tally_id = tally.id
WHERE tally.successes <> coalesce(events.successes, 0) + coalesce(sums.successes, 0) + coalesce(gone.successes, 0)
    OR tally.failures <> coalesce(events.failures, 0) + coalesce(sums.failures, 0) + coalesce(gone.failures, 0)
    OR tally.timeouts <> coalesce(events.timeouts, 0) + coalesce(sums.timeouts, 0) + coalesce(gone.timeouts, 0)
    OR tally.tokens <> coalesce(events.tokens, 0) + coalesce(sums.tokens, 0) + coalesce(gone.tokens, 0)
    OR tally.cost_nano_usd
        <> coalesce(events.cost, 0) + coalesce(sums.cost, 0) + coalesce(gone.cost_nano_usd, 0)
    OR tally.outages <> coalesce(events.outages, 0) + coalesce(gone.outages, 0)
    OR tally.caller_errors <> coalesce(events.caller_errors, 0) + coalesce(gone.caller_errors, 0)
    OR tally.timeout_failures <> coalesce(events.timeout_failures, 0) + coalesce(gone.timeout_failures, 0);

-- daily_drift --
-- Pairs whose daily roll-up is not their tally without imports: must be none.
SELECT tally.task_type, tally.model_id
FROM tally
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts,
        sum(tokens) AS tokens, sum(cost_nano_usd) AS cost, sum(outages) AS outages,
        sum(caller_errors) AS caller_errors, sum(timeout_failures) AS timeout_failures
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
    OR tally.tokens <> coalesce(days.tokens, 0) + coalesce(sums.tokens, 0)
    OR tally.cost_nano_usd <> coalesce(days.cost, 0) + coalesce(sums.cost, 0)
    OR tally.outages <> coalesce(days.outages, 0)
    OR tally.caller_errors <> coalesce(days.caller_errors, 0)
    OR tally.timeout_failures <> coalesce(days.timeout_failures, 0);

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
    tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced, timeout_failures
)
SELECT
    tally_id, sum(success), sum(1 - success), sum(timeout),
    sum(NOT success AND coalesce(error_kind IN ('rate_limit', 'server_error', 'network'), 0)),
    sum(NOT success AND coalesce(error_kind IN ('cancelled', 'caller_error'), 0)),
    sum(tokens), sum(cost_nano_usd), sum(cost_nano_usd > 0),
    sum(timeout AND NOT success AND coalesce(error_kind IN ('context_overflow', 'other'), 1))
FROM event WHERE id > :after_id AND id <= :last_id AND ended_ms < :before_ms GROUP BY tally_id
ON CONFLICT (tally_id) DO UPDATE SET
    successes = successes + excluded.successes, failures = failures + excluded.failures,
    timeouts = timeouts + excluded.timeouts, outages = outages + excluded.outages,
    caller_errors = caller_errors + excluded.caller_errors, tokens = tokens + excluded.tokens,
    cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd, priced = priced + excluded.priced,
    timeout_failures = timeout_failures + excluded.timeout_failures;

-- drop_events --
-- Drop these events.
DELETE FROM event WHERE id > :after_id AND id <= :last_id AND ended_ms < :before_ms;

-- add_decision --
-- Store a decision; changes nothing if it is stored already.
INSERT INTO decision (
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING;

-- join_outcome --
-- Join an outcome to its decision: the first one stays, unless it is a fallback's and this is the chosen model's.
UPDATE decision SET
    outcome_model_id = :model_id, ended_ms = :ended_ms, success = :success, timeout = :timeout, tokens = :tokens,
    cost_nano_usd = :cost_nano_usd, error_kind = :error_kind
WHERE id = :decision_id
    AND (outcome_model_id IS NULL OR (model_id = :model_id AND outcome_model_id <> :model_id));

-- decision --
-- One decision, by its id.
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind
FROM decision WHERE id = ?;

-- decisions_by_prefix --
-- The decisions whose id has a prefix.
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind
FROM decision WHERE id >= ? AND id < ? || char(1114111) ORDER BY id LIMIT ?;

-- decisions --
-- The newest decisions, of one task type or all.
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind
FROM decision
WHERE made_ms >= ? AND (? IS NULL OR task_type = ?)
ORDER BY made_ms DESC, rowid DESC LIMIT ?;

-- logged_after --
-- Decisions in the order of storing, for reading many of them in batches.
SELECT
    rowid, id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind
FROM decision WHERE rowid > ? ORDER BY rowid LIMIT ?;

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
