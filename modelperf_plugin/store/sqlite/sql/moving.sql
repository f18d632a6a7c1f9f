-- event_digests --
-- What changes when an event of a range of numbers does, by range.
SELECT
    event.id / :size,
    json_array(
        count(*), count(served.served_id), total((event.id % 8191 + 1) * coalesce(served.served_id, 0)),
        sum((event.id % 8191 + 1) * (
            event.success + 2 * event.timeout + 4 * coalesce(length(event.error_kind), 0) + 64 * coalesce(event.score, -1)
        )),
        sum((event.id % 8191 + 1) * (event.tokens % 1000003)),
        sum((event.id % 8191 + 1) * (event.cost_nano_usd % 1000003)),
        sum((event.id % 8191 + 1) * (coalesce(event.duration_ms, -1) % 1000003)),
        sum((event.id % 8191 + 1) * (coalesce(event.retry_after_ms, -1) % 1000003))
    )
FROM event LEFT JOIN served ON served.event_id = event.id
WHERE event.id BETWEEN :first AND :last GROUP BY 1 ORDER BY 1;

-- events --
-- The events of a range.
SELECT
    event.id, tally.task_type, tally.model_id, event.ended_ms, event.success, event.timeout, event.tokens,
    event.cost_nano_usd, event.error_kind, event.duration_ms, event.score, event.retry_after_ms, tried.models,
    served_model.model_id
FROM event
JOIN tally ON tally.id = event.tally_id
LEFT JOIN tried ON tried.id = event.tried_id
LEFT JOIN served ON served.event_id = event.id
LEFT JOIN served_model ON served_model.id = served.served_id
WHERE event.id BETWEEN :first AND :last ORDER BY event.id;

-- last_event --
-- The number of the newest event.
SELECT coalesce(max(id), 0) FROM event;

-- days_of_events --
-- What the events of a range add to the counts of each pair and day.
SELECT
    tally.task_type, tally.model_id, counted.day, sum(counted.successes), sum(counted.failures), sum(counted.timeouts),
    sum(counted.outages), sum(counted.caller_errors), sum(counted.tokens), sum(counted.cost_nano_usd),
    sum(counted.priced), sum(counted.timeout_failures), sum(counted.is_later * counted.successes),
    sum(counted.is_later * counted.failures), sum(counted.is_later * counted.timeout_failures), sum(counted.graded),
    sum(counted.score_shift), sum(counted.is_later * counted.score_shift),
    max(event.ended_ms)
FROM counted_event AS counted
JOIN tally ON tally.id = counted.tally_id
JOIN event ON event.id = counted.id
WHERE counted.id BETWEEN :first AND :last GROUP BY 1, 2, 3;

-- later_of_events --
-- What they add to the later tries.
SELECT
    tally.task_type, tally.model_id, tried.models, sum(counted.successes), sum(counted.failures),
    sum(counted.timeout_failures), sum(counted.score_shift)
FROM counted_event AS counted
JOIN tally ON tally.id = counted.tally_id
JOIN tried ON tried.id = counted.tried_id
WHERE counted.id BETWEEN :first AND :last AND counted.is_later GROUP BY 1, 2, 3;

-- durations_of_events --
-- What they add to the durations.
SELECT tally.task_type, tally.model_id, timed.period, timed.from_ms, count(*)
FROM timed_outcome AS timed JOIN tally ON tally.id = timed.tally_id
WHERE timed.id BETWEEN :first AND :last GROUP BY 1, 2, 3, 4;

-- add_event --
-- Write an event under a number.
INSERT INTO event (
    id, tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms,
    tried_id
)
VALUES (
    :id, :tally_id, :ended_ms, :success, :timeout, :tokens, :cost_nano_usd, :error_kind, :duration_ms, :score,
    :retry_after_ms, :tried_id
);

-- change_event --
-- Replace what may change in an event. Its sums are corrected by others: an UPDATE would correct the durations.
REPLACE INTO event (
    id, tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms,
    tried_id
)
SELECT
    id, tally_id, ended_ms, :success, :timeout, :tokens, :cost_nano_usd, :error_kind, :duration_ms, :score,
    :retry_after_ms, tried_id
FROM event WHERE id = :id;

-- set_served --
-- Write which model served an event.
INSERT INTO served (event_id, served_id) VALUES (:event_id, :served_id)
ON CONFLICT (event_id) DO UPDATE SET served_id = excluded.served_id;

-- delete_event --
-- Delete an event that the other store has recorded as well.
DELETE FROM event WHERE id = :id;

-- revisions --
-- The verdicts that were replaced after a number.
SELECT number, event_id, revised_ms, success, timeout, tokens, cost_nano_usd, error_kind, score
FROM revision WHERE number > :after AND number <= :until ORDER BY number LIMIT :limit;

-- revisions_in --
-- The verdicts of a range of events that were replaced after a number.
SELECT event_id, revised_ms, success, timeout, tokens, cost_nano_usd, error_kind, score
FROM revision WHERE event_id BETWEEN :first AND :last AND number > :after ORDER BY number;

-- revisions_of --
-- When the verdicts of an event were replaced.
SELECT number, revised_ms FROM revision WHERE event_id = :event_id ORDER BY number;

-- last_revision --
-- The number of the last verdict that was replaced.
SELECT coalesce(max(number), 0) FROM revision;

-- add_revision --
-- Write a verdict that was replaced.
INSERT INTO revision (number, event_id, revised_ms, success, timeout, tokens, cost_nano_usd, error_kind, score)
VALUES (
    coalesce(:number, (SELECT coalesce(max(number), 0) + 1 FROM revision)), :event_id, :revised_ms, :success, :timeout,
    :tokens, :cost_nano_usd, :error_kind, :score
);

-- keys --
-- Ids of outcomes of a range of events, by id; the range is after :first. Here :number is not needed.
SELECT outcome_id, event_id, decision_id FROM outcome_key
WHERE outcome_id > :after AND event_id > :first AND event_id <= :last AND :number IS NOT NULL
ORDER BY outcome_id LIMIT :limit;

-- last_number --
-- Up to which number outcomes were recorded: here they have those of their events.
SELECT 0;

-- known_key --
-- The event of an id.
SELECT event_id FROM outcome_key WHERE outcome_id = :outcome_id;

-- add_key --
-- Write the id of an event, unless it is known.
INSERT INTO outcome_key (outcome_id, event_id, decision_id) VALUES (:outcome_id, :event_id, :decision_id)
ON CONFLICT (outcome_id) DO NOTHING;

-- decision_digests --
-- What changes when a decision of a range of numbers or its outcomes do, by range.
SELECT
    decision.rowid / :size,
    json_array(
        count(*), count(decision.outcome_model_id), sum(tries.number), sum((decision.rowid % 8191 + 1) * (
            coalesce(decision.success, 0) + 2 * coalesce(decision.timeout, 0) + 4 * coalesce(decision.outcome_number, 0)
            + 64 * coalesce(decision.score, -1) + 16 * coalesce(length(decision.error_kind), 0)
            + 32 * (typeof(decision.outcome_ref) = 'text')
        )),
        sum((decision.rowid % 8191 + 1) * (coalesce(decision.tokens, -1) % 1000003)),
        sum((decision.rowid % 8191 + 1) * (coalesce(decision.cost_nano_usd, -1) % 1000003)),
        sum((decision.rowid % 8191 + 1) * (coalesce(decision.ended_ms, -1) % 1000003)),
        sum((decision.rowid % 8191 + 1) * (coalesce(decision.duration_ms, -1) % 1000003)),
        sum((decision.rowid % 8191 + 1) * tries.digest)
    )
FROM decision
LEFT JOIN (
    SELECT
        decision_id, count(*) AS number,
        sum(
            number * (success + 2 * timeout + tokens % 10007 + cost_nano_usd % 10007 + coalesce(score, -1) % 10007)
        ) AS digest
    FROM attempt GROUP BY decision_id
) AS tries ON tries.decision_id = decision.id
WHERE decision.rowid BETWEEN :first AND :last GROUP BY 1 ORDER BY 1;

-- last_decision --
-- The number of the newest decision.
SELECT coalesce(max(rowid), 0) FROM decision;

-- decisions --
-- The decisions of a range, each with its outcome.
SELECT
    rowid, id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, retry_of, ab_test_id,
    record, outcome_number, outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms,
    score, iif(typeof(outcome_ref) = 'text', outcome_ref, NULL), iif(typeof(outcome_ref) = 'integer', outcome_ref, NULL)
FROM decision WHERE rowid BETWEEN :first AND :last ORDER BY rowid;

-- decision_by_id --
-- The same for one decision.
SELECT
    rowid, id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, retry_of, ab_test_id,
    record, outcome_number, outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms,
    score, iif(typeof(outcome_ref) = 'text', outcome_ref, NULL), iif(typeof(outcome_ref) = 'integer', outcome_ref, NULL)
FROM decision WHERE id = :id;

-- tries --
-- The further outcomes of the decisions of a range.
SELECT
    attempt.decision_id, attempt.number, attempt.model_id, attempt.ended_ms, attempt.success, attempt.timeout,
    attempt.tokens, attempt.cost_nano_usd, attempt.error_kind, attempt.duration_ms, attempt.score,
    iif(typeof(attempt.outcome_ref) = 'text', attempt.outcome_ref, NULL),
    iif(typeof(attempt.outcome_ref) = 'integer', attempt.outcome_ref, NULL)
FROM attempt JOIN decision ON decision.id = attempt.decision_id
WHERE decision.rowid BETWEEN :first AND :last ORDER BY decision.rowid, attempt.number;

-- add_decision --
-- Write a decision without its outcome, unless it is known.
INSERT INTO decision (
    rowid, id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, retry_of, ab_test_id,
    record
)
VALUES (
    :number, :id, :made_ms, :task_type, :model_id, :propensity, :explored, :exploring, :mode, :policy_id, :retry_of,
    :ab_test_id, :record
)
ON CONFLICT (id) DO NOTHING;

-- join_decision --
-- Write the outcome of a decision.
UPDATE decision SET
    outcome_number = :outcome_number, outcome_model_id = :model_id, ended_ms = :ended_ms, success = :success,
    timeout = :timeout, tokens = :tokens, cost_nano_usd = :cost_nano_usd, error_kind = :error_kind,
    duration_ms = :duration_ms, score = :score, outcome_ref = coalesce(:outcome_id, :event_id)
WHERE id = :decision_id;

-- forget_tries --
-- Delete the further outcomes of a decision.
DELETE FROM attempt WHERE decision_id = :decision_id;

-- add_try --
-- Write a further outcome of a decision.
INSERT INTO attempt (
    decision_id, number, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score,
    outcome_ref
)
SELECT
    :decision_id, :number, :model_id, :ended_ms, :success, :timeout, :tokens, :cost_nano_usd, :error_kind, :duration_ms,
    :score, coalesce(:outcome_id, :event_id)
WHERE EXISTS (SELECT 1 FROM decision WHERE id = :decision_id);

-- unmatched --
-- The outcomes that wait for their decision.
SELECT
    decision_id, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score,
    iif(typeof(outcome_ref) = 'text', outcome_ref, NULL), iif(typeof(outcome_ref) = 'integer', outcome_ref, NULL)
FROM unmatched_outcome ORDER BY number;

-- add_unmatched --
-- Let an outcome wait for its decision.
INSERT INTO unmatched_outcome (
    decision_id, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref
)
VALUES (
    :decision_id, :model_id, :ended_ms, :success, :timeout, :tokens, :cost_nano_usd, :error_kind, :duration_ms, :score,
    coalesce(:outcome_id, :event_id)
)
ON CONFLICT (decision_id, model_id, ended_ms) DO UPDATE SET
    success = excluded.success, timeout = excluded.timeout, tokens = excluded.tokens,
    cost_nano_usd = excluded.cost_nano_usd, error_kind = excluded.error_kind, score = excluded.score;

-- delete_unmatched --
-- Delete an outcome that has waited for its decision.
DELETE FROM unmatched_outcome WHERE decision_id = :decision_id AND model_id = :model_id AND ended_ms = :ended_ms;

-- delete_empty_daily --
-- Delete days on which nothing is counted.
DELETE FROM daily WHERE successes = 0 AND failures = 0;

-- delete_empty_later --
-- The same for later tries.
DELETE FROM later WHERE successes = 0 AND failures = 0;

-- delete_empty_duration --
-- The same for durations.
DELETE FROM duration WHERE outcomes = 0;

-- balance_dropped --
-- Of pairs given as a JSON list of numbers, take as dropped what is in their tallies and neither an event nor imported.
INSERT OR REPLACE INTO dropped (
    tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced, timeout_failures,
    later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
)
SELECT
    tally.id,
    tally.successes - coalesce(events.successes, 0) - coalesce(sums.successes, 0),
    tally.failures - coalesce(events.failures, 0) - coalesce(sums.failures, 0),
    tally.timeouts - coalesce(events.timeouts, 0) - coalesce(sums.timeouts, 0),
    tally.outages - coalesce(events.outages, 0),
    tally.caller_errors - coalesce(events.caller_errors, 0),
    max(0, tally.tokens - coalesce(events.tokens, 0) - coalesce(sums.tokens, 0)),
    max(0, tally.cost_nano_usd - coalesce(events.cost_nano_usd, 0) - coalesce(sums.cost_nano_usd, 0)),
    tally.priced - coalesce(events.priced, 0) - coalesce(sums.priced, 0),
    tally.timeout_failures - coalesce(events.timeout_failures, 0),
    tally.later_successes - coalesce(events.later_successes, 0),
    tally.later_failures - coalesce(events.later_failures, 0),
    tally.later_timeout_failures - coalesce(events.later_timeout_failures, 0),
    tally.graded - coalesce(events.graded, 0),
    tally.score_shift - coalesce(events.score_shift, 0),
    tally.later_score_shift - coalesce(events.later_score_shift, 0)
FROM tally
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts,
        sum(outages) AS outages, sum(caller_errors) AS caller_errors, sum(tokens) AS tokens,
        sum(cost_nano_usd) AS cost_nano_usd, sum(priced) AS priced, sum(timeout_failures) AS timeout_failures,
        sum(is_later * successes) AS later_successes, sum(is_later * failures) AS later_failures,
        sum(is_later * timeout_failures) AS later_timeout_failures, sum(graded) AS graded,
        sum(score_shift) AS score_shift, sum(is_later * score_shift) AS later_score_shift
    FROM counted_event GROUP BY tally_id
) AS events ON events.tally_id = tally.id
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts,
        sum(tokens) AS tokens, sum(cost_nano_usd) AS cost_nano_usd,
        sum(iif(cost_nano_usd > 0, successes + failures, 0)) AS priced
    FROM imported GROUP BY tally_id
) AS sums ON sums.tally_id = tally.id
WHERE tally.id IN (SELECT value FROM json_each(:tally_ids));

-- origin --
-- Which store this is.
SELECT origin FROM identity;

-- set_origin --
-- Take the place of another store.
UPDATE identity SET origin = :origin;

-- is_created --
-- Whether something was moved into this store before.
SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'move_state';

-- create --
-- Where it is kept how far a move into this store has come: one row, and what each row was when it was moved.
CREATE TABLE IF NOT EXISTS move_state (single INTEGER PRIMARY KEY CHECK (single = 1), state TEXT NOT NULL) STRICT;

-- create_rows --
-- The second table of these.
CREATE TABLE IF NOT EXISTS move_row (
    relation TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (relation, name)
) STRICT, WITHOUT ROWID;

-- state --
-- How far a move has come.
SELECT state FROM move_state;

-- set_state --
-- Keep that.
INSERT INTO move_state (single, state) VALUES (1, :state) ON CONFLICT (single) DO UPDATE SET state = excluded.state;

-- kept --
-- What the rows of a relation were when they were moved.
SELECT name, value FROM move_row WHERE relation = :relation ORDER BY name;

-- kept_some --
-- The same for some names, a JSON list.
SELECT name, value FROM move_row WHERE relation = :relation AND name IN (SELECT value FROM json_each(:names));

-- count_kept --
-- How many there are.
SELECT count(*) FROM move_row WHERE relation = :relation;

-- keep --
-- Keep what a row was.
INSERT INTO move_row (relation, name, value) VALUES (:relation, :name, :value)
ON CONFLICT (relation, name) DO UPDATE SET value = excluded.value;

-- forget --
-- Forget a row.
DELETE FROM move_row WHERE relation = :relation AND name = :name;

-- count_new --
-- How many events and decisions there are after a number of each.
SELECT
    (SELECT count(*) FROM event WHERE id > :event_id), (SELECT count(*) FROM decision WHERE rowid > :number);

-- totals --
-- What there is of everything, and some sums.
SELECT
    (SELECT count(*) FROM event), (SELECT coalesce(sum(success), 0) FROM event),
    (SELECT coalesce(sum(successes + failures), 0) FROM tally), (SELECT coalesce(sum(successes + failures), 0) FROM dropped),
    (SELECT coalesce(sum(successes + failures), 0) FROM imported), (SELECT count(*) FROM outcome_key),
    (SELECT count(*) FROM revision), (SELECT count(*) FROM served), (SELECT count(*) FROM decision),
    (SELECT count(outcome_model_id) FROM decision), (SELECT count(*) FROM attempt),
    (SELECT count(*) FROM unmatched_outcome);
