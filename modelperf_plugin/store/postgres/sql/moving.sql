-- event_digests --
-- What changes when an event of a range of numbers does, by range.
SELECT
    event.id / %(size)s::bigint,
    json_build_array(
        count(*), count(served.served_id), sum((event.id %% 8191 + 1) * coalesce(served.served_id, 0)),
        sum((event.id %% 8191 + 1) * (
            event.success::integer + 2 * event.timeout::integer + 4 * coalesce(length(event.error_kind), 0)
            + 64 * coalesce(event.score, -1)
        )),
        sum((event.id %% 8191 + 1) * (event.tokens %% 1000003)),
        sum((event.id %% 8191 + 1) * (event.cost_nano_usd %% 1000003)),
        sum((event.id %% 8191 + 1) * (coalesce(event.duration_ms, -1) %% 1000003)),
        sum((event.id %% 8191 + 1) * (coalesce(event.retry_after_ms, -1) %% 1000003))
    )::text
FROM event LEFT JOIN served ON served.event_id = event.id
WHERE event.id BETWEEN %(first)s AND %(last)s GROUP BY 1 ORDER BY 1;

-- events --
-- The events of a range.
SELECT
    event.id, tally.task_type, tally.model_id, event.ended_ms, event.success::integer, event.timeout::integer,
    event.tokens, event.cost_nano_usd, event.error_kind, event.duration_ms, event.score, event.retry_after_ms,
    tried.models, served_model.model_id
FROM event
JOIN tally ON tally.id = event.tally_id
LEFT JOIN tried ON tried.id = event.tried_id
LEFT JOIN served ON served.event_id = event.id
LEFT JOIN served_model ON served_model.id = served.served_id
WHERE event.id BETWEEN %(first)s AND %(last)s ORDER BY event.id;

-- last_event --
-- The number of the newest event.
SELECT last_event_id FROM progress;

-- days_of_events --
-- What the events of a range add to the counts of each pair and day.
SELECT
    tally.task_type, tally.model_id, day_of(counted.ended_ms), sum(counted.successes), sum(counted.failures),
    sum(counted.timeouts), sum(counted.outages), sum(counted.caller_errors), bounded(sum(counted.tokens)),
    bounded(sum(counted.cost_nano_usd)), sum(counted.priced), sum(counted.timeout_failures),
    sum(counted.later_successes), sum(counted.later_failures), sum(counted.later_timeout_failures), sum(counted.graded),
    sum(counted.score_shift), sum(counted.later_score_shift), max(counted.ended_ms)
FROM counted_event AS counted JOIN tally ON tally.id = counted.tally_id
WHERE counted.id BETWEEN %(first)s AND %(last)s GROUP BY 1, 2, 3;

-- later_of_events --
-- What they add to the later tries.
SELECT
    tally.task_type, tally.model_id, tried.models, sum(counted.successes), sum(counted.failures),
    sum(counted.timeout_failures), sum(counted.score_shift)
FROM counted_event AS counted
JOIN tally ON tally.id = counted.tally_id
JOIN tried ON tried.id = counted.tried_id
WHERE counted.id BETWEEN %(first)s AND %(last)s AND counted.is_later GROUP BY 1, 2, 3;

-- durations_of_events --
-- What they add to the durations.
SELECT
    tally.task_type, tally.model_id, period_of(counted.ended_ms),
    (SELECT max(from_ms) FROM duration_border WHERE from_ms <= counted.duration_ms), count(*)
FROM counted_event AS counted JOIN tally ON tally.id = counted.tally_id
WHERE counted.id BETWEEN %(first)s AND %(last)s AND counted.is_timed GROUP BY 1, 2, 3, 4;

-- make_room --
-- Have a partition for events up to a number.
SELECT make_room(%(id)s, partition_size) FROM progress;

-- add_event --
-- Write events under their numbers; as outcomes they are known by the negative of those, which are given to no others.
COPY event (
    id, number, tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score,
    retry_after_ms, tried_id
)
FROM STDIN;

-- set_last_event --
-- Count on from here. Tally caches take what was moved for a correction.
UPDATE progress SET last_event_id = greatest(last_event_id, %(id)s), corrections = corrections + 1;

-- change_event --
-- Replace what may change in an event. Its sums are corrected by others.
UPDATE event SET
    success = %(success)s::integer::boolean, timeout = %(timeout)s::integer::boolean, tokens = %(tokens)s,
    cost_nano_usd = %(cost_nano_usd)s, error_kind = %(error_kind)s, duration_ms = %(duration_ms)s, score = %(score)s,
    retry_after_ms = %(retry_after_ms)s
WHERE id = %(id)s;

-- set_served --
-- Write which model served an event.
INSERT INTO served (event_id, served_id) VALUES (%(event_id)s, %(served_id)s)
ON CONFLICT (event_id) DO UPDATE SET served_id = excluded.served_id;

-- delete_event --
-- Delete an event that the other store has recorded as well.
DELETE FROM event WHERE id = %(id)s;

-- revisions --
-- The verdicts that were replaced after a number.
SELECT
    number, event_id, revised_ms, success::integer, timeout::integer, tokens, cost_nano_usd, error_kind, score
FROM revision WHERE number > %(after)s AND number <= %(until)s ORDER BY number LIMIT %(limit)s;

-- revisions_in --
-- The verdicts of a range of events that were replaced after a number.
SELECT event_id, revised_ms, success::integer, timeout::integer, tokens, cost_nano_usd, error_kind, score
FROM revision WHERE event_id BETWEEN %(first)s AND %(last)s AND number > %(after)s ORDER BY number;

-- revisions_of --
-- When the verdicts of an event were replaced.
SELECT number, revised_ms FROM revision WHERE event_id = %(event_id)s ORDER BY number;

-- last_revision --
-- The number of the last verdict that was replaced.
SELECT coalesce(max(number), 0) FROM revision;

-- add_revision --
-- Write a verdict that was replaced.
INSERT INTO revision (number, event_id, revised_ms, success, timeout, tokens, cost_nano_usd, error_kind, score)
OVERRIDING SYSTEM VALUE
VALUES (
    coalesce(%(number)s, nextval(pg_get_serial_sequence('revision', 'number'))), %(event_id)s, %(revised_ms)s,
    %(success)s::integer::boolean, %(timeout)s::integer::boolean, %(tokens)s, %(cost_nano_usd)s, %(error_kind)s,
    %(score)s
);

-- keys --
-- Ids of outcomes of a range of events, by id; the range is after "first". Those without an event are in the first one,
-- and those that came after a number.
SELECT outcome_key.outcome_id, coalesce(event_ref.event_id, 0), outcome_key.decision_id
FROM outcome_key LEFT JOIN event_ref ON event_ref.number = outcome_key.number
WHERE outcome_key.outcome_id > %(after)s AND coalesce(event_ref.event_id, 0) <= %(last)s
    AND (
        coalesce(event_ref.event_id, 0) > %(first)s
        OR event_ref.event_id IS NULL AND outcome_key.number > %(number)s
    )
    AND NOT EXISTS (SELECT FROM fresh WHERE fresh.number = outcome_key.number)
ORDER BY outcome_key.outcome_id LIMIT %(limit)s;

-- last_number --
-- Up to which number outcomes were recorded.
SELECT last_value FROM outcome_number;

-- known_key --
-- The event of an id.
SELECT coalesce(event_ref.event_id, 0)
FROM outcome_key LEFT JOIN event_ref ON event_ref.number = outcome_key.number
WHERE outcome_key.outcome_id = %(outcome_id)s;

-- add_key --
-- Write the id of an event, unless it is known.
INSERT INTO outcome_key (outcome_id, number, decision_id)
VALUES (%(outcome_id)s, -%(event_id)s::bigint, %(decision_id)s)
ON CONFLICT (outcome_id) DO NOTHING;

-- refer --
-- Let an event be found by its number.
INSERT INTO event_ref (number, event_id) SELECT -id, id FROM event WHERE id = %(event_id)s ON CONFLICT DO NOTHING;

-- decision_digests --
-- What changes when a decision of a range of numbers or its outcomes do, by range.
SELECT
    decision.number / %(size)s::bigint,
    json_build_array(
        count(*), count(decision.outcome_model_id), sum(tries.number), sum((decision.number %% 8191 + 1) * (
            coalesce(decision.success::integer, 0) + 2 * coalesce(decision.timeout::integer, 0)
            + 4 * coalesce(decision.outcome_number, 0) + 64 * coalesce(decision.score, -1)
            + 16 * coalesce(length(decision.error_kind), 0)
            + 32 * (coalesce(jsonb_typeof(decision.outcome_ref), '') = 'string')::integer
        )),
        sum((decision.number %% 8191 + 1) * (coalesce(decision.tokens, -1) %% 1000003)),
        sum((decision.number %% 8191 + 1) * (coalesce(decision.cost_nano_usd, -1) %% 1000003)),
        sum((decision.number %% 8191 + 1) * (coalesce(decision.ended_ms, -1) %% 1000003)),
        sum((decision.number %% 8191 + 1) * (coalesce(decision.duration_ms, -1) %% 1000003)),
        sum((decision.number %% 8191 + 1) * tries.digest)
    )::text
FROM decision
LEFT JOIN (
    SELECT
        decision_id, count(*) AS number,
        sum(
            number * (
                success::integer + 2 * timeout::integer + tokens %% 10007 + cost_nano_usd %% 10007
                + coalesce(score, -1) %% 10007
            )
        ) AS digest
    FROM attempt GROUP BY decision_id
) AS tries ON tries.decision_id = decision.id
WHERE decision.number BETWEEN %(first)s AND %(last)s GROUP BY 1 ORDER BY 1;

-- last_decision --
-- The number of the newest decision.
SELECT coalesce(max(number), 0) FROM decision;

-- decisions --
-- The decisions of a range, each with its outcome. An event of -1 is one that has no number yet.
SELECT
    decision.number, decision.id, made_ms, task_type, model_id, propensity, explored::integer, exploring, mode,
    policy_id, retry_of, ab_test_id, record::text, outcome_number, outcome_model_id, ended_ms, success::integer,
    timeout::integer, tokens, cost_nano_usd, error_kind, duration_ms, score,
    CASE WHEN jsonb_typeof(outcome_ref) = 'string' THEN outcome_ref #>> '{}' END,
    CASE WHEN jsonb_typeof(outcome_ref) = 'number' THEN coalesce(
        (SELECT event_id FROM event_ref WHERE event_ref.number = outcome_ref::bigint),
        (SELECT -1 FROM fresh WHERE fresh.number = outcome_ref::bigint), 0
    ) END
FROM decision WHERE decision.number BETWEEN %(first)s AND %(last)s ORDER BY decision.number;

-- decision_by_id --
-- The same for one decision.
SELECT
    decision.number, decision.id, made_ms, task_type, model_id, propensity, explored::integer, exploring, mode,
    policy_id, retry_of, ab_test_id, record::text, outcome_number, outcome_model_id, ended_ms, success::integer,
    timeout::integer, tokens, cost_nano_usd, error_kind, duration_ms, score,
    CASE WHEN jsonb_typeof(outcome_ref) = 'string' THEN outcome_ref #>> '{}' END,
    CASE WHEN jsonb_typeof(outcome_ref) = 'number' THEN coalesce(
        (SELECT event_id FROM event_ref WHERE event_ref.number = outcome_ref::bigint), 0
    ) END
FROM decision WHERE decision.id = %(id)s;

-- tries --
-- The further outcomes of the decisions of a range.
SELECT
    attempt.decision_id, attempt.number, attempt.model_id, attempt.ended_ms, attempt.success::integer,
    attempt.timeout::integer, attempt.tokens, attempt.cost_nano_usd, attempt.error_kind, attempt.duration_ms,
    attempt.score,
    CASE WHEN jsonb_typeof(attempt.outcome_ref) = 'string' THEN attempt.outcome_ref #>> '{}' END,
    CASE WHEN jsonb_typeof(attempt.outcome_ref) = 'number' THEN coalesce(
        (SELECT event_id FROM event_ref WHERE event_ref.number = attempt.outcome_ref::bigint),
        (SELECT -1 FROM fresh WHERE fresh.number = attempt.outcome_ref::bigint), 0
    ) END
FROM attempt JOIN decision ON decision.id = attempt.decision_id
WHERE decision.number BETWEEN %(first)s AND %(last)s ORDER BY decision.number, attempt.number;

-- add_decision --
-- Write a decision without its outcome, unless it is known.
INSERT INTO decision (
    number, id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, retry_of, ab_test_id,
    record
)
OVERRIDING SYSTEM VALUE
VALUES (
    coalesce(%(number)s, nextval(pg_get_serial_sequence('decision', 'number'))), %(id)s, %(made_ms)s, %(task_type)s,
    %(model_id)s, %(propensity)s, %(explored)s::integer::boolean, %(exploring)s, %(mode)s, %(policy_id)s, %(retry_of)s,
    %(ab_test_id)s, %(record)s
)
ON CONFLICT DO NOTHING;

-- join_decision --
-- Write the outcome of a decision.
UPDATE decision SET
    outcome_number = %(outcome_number)s, outcome_model_id = %(model_id)s, ended_ms = %(ended_ms)s,
    success = %(success)s::integer::boolean, timeout = %(timeout)s::integer::boolean, tokens = %(tokens)s,
    cost_nano_usd = %(cost_nano_usd)s, error_kind = %(error_kind)s, duration_ms = %(duration_ms)s, score = %(score)s,
    outcome_ref = coalesce(to_jsonb(%(outcome_id)s::text), to_jsonb(-%(event_id)s::bigint))
WHERE id = %(decision_id)s;

-- forget_tries --
-- Delete the further outcomes of a decision.
DELETE FROM attempt WHERE decision_id = %(decision_id)s;

-- add_try --
-- Write a further outcome of a decision.
INSERT INTO attempt (
    decision_id, number, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score,
    outcome_ref
)
SELECT
    %(decision_id)s, %(number)s, %(model_id)s, %(ended_ms)s, %(success)s::integer::boolean,
    %(timeout)s::integer::boolean, %(tokens)s, %(cost_nano_usd)s, %(error_kind)s, %(duration_ms)s, %(score)s,
    coalesce(to_jsonb(%(outcome_id)s::text), to_jsonb(-%(event_id)s::bigint))
WHERE EXISTS (SELECT FROM decision WHERE id = %(decision_id)s);

-- unmatched --
-- The outcomes that wait for their decision.
SELECT
    decision_id, model_id, ended_ms, success::integer, timeout::integer, tokens, cost_nano_usd, error_kind, duration_ms,
    score, CASE WHEN jsonb_typeof(outcome_ref) = 'string' THEN outcome_ref #>> '{}' END,
    CASE WHEN jsonb_typeof(outcome_ref) = 'number' THEN coalesce(
        (SELECT event_id FROM event_ref WHERE event_ref.number = outcome_ref::bigint),
        (SELECT -1 FROM fresh WHERE fresh.number = outcome_ref::bigint), 0
    ) END
FROM unmatched_outcome ORDER BY number;

-- add_unmatched --
-- Let an outcome wait for its decision.
INSERT INTO unmatched_outcome (
    decision_id, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref
)
VALUES (
    %(decision_id)s, %(model_id)s, %(ended_ms)s, %(success)s::integer::boolean, %(timeout)s::integer::boolean,
    %(tokens)s, %(cost_nano_usd)s, %(error_kind)s, %(duration_ms)s, %(score)s,
    coalesce(to_jsonb(%(outcome_id)s::text), to_jsonb(-%(event_id)s::bigint))
)
ON CONFLICT (decision_id, digest_of(model_id), ended_ms) DO UPDATE SET
    success = excluded.success, timeout = excluded.timeout, tokens = excluded.tokens,
    cost_nano_usd = excluded.cost_nano_usd, error_kind = excluded.error_kind, score = excluded.score;

-- delete_unmatched --
-- Delete an outcome that has waited for its decision.
DELETE FROM unmatched_outcome
WHERE decision_id = %(decision_id)s AND model_id = %(model_id)s AND ended_ms = %(ended_ms)s;

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
-- Of pairs given by their numbers, take as dropped what is in their tallies and neither an event nor imported.
INSERT INTO dropped AS old (
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
    bounded(tally.tokens - coalesce(events.tokens, 0) - coalesce(sums.tokens, 0)),
    bounded(tally.cost_nano_usd - coalesce(events.cost_nano_usd, 0) - coalesce(sums.cost_nano_usd, 0)),
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
        sum(later_successes) AS later_successes, sum(later_failures) AS later_failures,
        sum(later_timeout_failures) AS later_timeout_failures, sum(graded) AS graded, sum(score_shift) AS score_shift,
        sum(later_score_shift) AS later_score_shift
    FROM counted_event GROUP BY tally_id
) AS events ON events.tally_id = tally.id
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts,
        sum(tokens) AS tokens, sum(cost_nano_usd) AS cost_nano_usd,
        sum(CASE WHEN cost_nano_usd > 0 THEN successes + failures ELSE 0 END) AS priced
    FROM imported GROUP BY tally_id
) AS sums ON sums.tally_id = tally.id
WHERE tally.id IN (SELECT value::integer FROM json_array_elements_text(%(tally_ids)s::json))
ON CONFLICT (tally_id) DO UPDATE SET
    successes = excluded.successes, failures = excluded.failures, timeouts = excluded.timeouts,
    outages = excluded.outages, caller_errors = excluded.caller_errors, tokens = excluded.tokens,
    cost_nano_usd = excluded.cost_nano_usd, priced = excluded.priced, timeout_failures = excluded.timeout_failures,
    later_successes = excluded.later_successes, later_failures = excluded.later_failures,
    later_timeout_failures = excluded.later_timeout_failures, graded = excluded.graded,
    score_shift = excluded.score_shift, later_score_shift = excluded.later_score_shift;

-- origin --
-- Which store this is.
SELECT origin FROM identity;

-- set_origin --
-- Take the place of another store.
UPDATE identity SET origin = %(origin)s;

-- is_created --
-- Whether something was moved into this store before.
SELECT count(*)::integer FROM pg_class
WHERE relname = 'move_state' AND relnamespace = to_regnamespace(quote_ident(current_schema()));

-- create --
-- Where it is kept how far a move into this store has come: one row, and what each row was when it was moved.
CREATE TABLE IF NOT EXISTS move_state (single boolean PRIMARY KEY DEFAULT true CHECK (single), state text NOT NULL);

-- create_rows --
-- The second table of these.
CREATE TABLE IF NOT EXISTS move_row (
    relation text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL, value text NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS move_row_by_name ON move_row (relation, digest_of(name));

-- state --
-- How far a move has come.
SELECT state FROM move_state;

-- set_state --
-- Keep that.
INSERT INTO move_state (state) VALUES (%(state)s) ON CONFLICT (single) DO UPDATE SET state = excluded.state;

-- kept --
-- What the rows of a relation were when they were moved.
SELECT name, value FROM move_row WHERE relation = %(relation)s ORDER BY name;

-- kept_some --
-- The same for some names, a JSON list.
SELECT name, value FROM move_row
WHERE relation = %(relation)s
    AND digest_of(name) IN (SELECT digest_of(value) FROM json_array_elements_text(%(names)s::json));

-- count_kept --
-- How many there are.
SELECT count(*) FROM move_row WHERE relation = %(relation)s;

-- keep --
-- Keep what a row was.
INSERT INTO move_row (relation, name, value) VALUES (%(relation)s, %(name)s, %(value)s)
ON CONFLICT (relation, digest_of(name)) DO UPDATE SET value = excluded.value;

-- forget --
-- Forget a row.
DELETE FROM move_row WHERE relation = %(relation)s AND digest_of(name) = digest_of(%(name)s);

-- count_new --
-- How many events and decisions there are after a number of each.
SELECT
    (SELECT count(*) FROM event WHERE id > %(event_id)s) + (SELECT count(*) FROM fresh),
    (SELECT count(*) FROM decision WHERE number > %(number)s);

-- totals --
-- What there is of everything, and some sums.
SELECT
    (SELECT count(*) FROM event), (SELECT count(*) FILTER (WHERE success) FROM event),
    (SELECT coalesce(sum(successes + failures), 0)::bigint FROM tally),
    (SELECT coalesce(sum(successes + failures), 0)::bigint FROM dropped),
    (SELECT coalesce(sum(successes + failures), 0)::bigint FROM imported),
    (SELECT count(*) FROM outcome_key) - (SELECT count(*) FROM fresh JOIN outcome_key USING (number)),
    (SELECT count(*) FROM revision), (SELECT count(*) FROM served), (SELECT count(*) FROM decision),
    (SELECT count(outcome_model_id) FROM decision), (SELECT count(*) FROM attempt),
    (SELECT count(*) FROM unmatched_outcome);
