-- record --
-- Record one outcome.
SELECT answer, outcome FROM record(
    %s, %s, %s, %s, %s::bigint, %s, %s, %s::bigint, %s::bigint, %s, %s::bigint, %s::integer, %s::bigint, %s, %s, NULL
);

-- record_joined --
-- The same with its decision.
SELECT answer, outcome, is_stored, log FROM record_joined(
    %s, %s, %s, %s, %s::bigint, %s, %s, %s::bigint, %s::bigint, %s, %s::bigint, %s::integer, %s::bigint, %s, %s, %s,
    %s, %s, %s::integer, %s::integer
);

-- record_many --
-- Record many outcomes, given by columns.
SELECT record_many(
    %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::boolean[], %s::boolean[], %s::bigint[],
    %s::bigint[], %s::text[], %s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::boolean[]
);

-- verdicts --
-- The verdicts of the outcomes with some ids.
SELECT
    outcome_key.outcome_id, tally.task_type, tally.model_id, event.success, event.timeout, event.error_kind,
    event.score, event.tokens, event.cost_nano_usd, served_model.model_id
FROM outcome_key
JOIN event_ref USING (number)
JOIN event ON event.id = event_ref.event_id
JOIN tally ON tally.id = event.tally_id
LEFT JOIN served ON served.event_id = event.id
LEFT JOIN served_model ON served_model.id = served.served_id
WHERE outcome_key.outcome_id = ANY(%s);

-- progress --
-- How many events there are and how often sums were corrected, after folding; and whether that is all.
SELECT events, corrected, is_complete FROM fold_and_tell();

-- kept_tallies --
-- The tallies of one task type without what is in the queue, each with the version that it is of; one row at least.
SELECT
    progress.last_event_id, progress.corrections, task_type, model_id, successes, failures, timeouts, outages,
    caller_errors, tokens, cost_nano_usd, priced, last_used_ms, timeout_failures, later_successes, later_failures,
    later_timeout_failures, graded, score_shift, later_score_shift
FROM progress LEFT JOIN tally ON task_type = %s AND successes + failures > 0 ORDER BY model_id;

-- kept_later --
-- The same for its later tries, by what had failed before: of each pair the sets with most tries.
SELECT
    progress.last_event_id, progress.corrections, model_id, models, successes, failures, timeout_failures, score_shift
FROM progress LEFT JOIN (
    SELECT
        tally.model_id, tried.models, later.successes, later.failures, later.timeout_failures, later.score_shift,
        row_number() OVER (
            PARTITION BY tally.id ORDER BY later.successes + later.failures DESC, tried.id
        ) AS place
    FROM tally JOIN later ON later.tally_id = tally.id JOIN tried ON tried.id = later.tried_id
    WHERE tally.task_type = %(task_type)s
) AS sets ON place <= %(most)s;

-- tallies_of_task_type --
-- The tallies of one task type. A pair without outcomes is skipped.
SELECT
    task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    last_used_ms, timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
FROM tally_now WHERE task_type = %s AND successes + failures > 0 ORDER BY model_id;

-- later_of_task_type --
-- The later tries of the pairs of one task type, by what had failed before: of each pair the sets with most tries.
SELECT model_id, models, successes::bigint, failures::bigint, timeout_failures::bigint, score_shift::bigint
FROM (
    SELECT
        tally.model_id, tried.models, sum(later.successes) AS successes, sum(later.failures) AS failures,
        sum(later.timeout_failures) AS timeout_failures, sum(later.score_shift) AS score_shift,
        row_number() OVER (
            PARTITION BY tally.id ORDER BY sum(later.successes) + sum(later.failures) DESC, tried.id
        ) AS place
    FROM tally
    JOIN later_now AS later ON later.tally_id = tally.id
    JOIN tried ON tried.id = later.tried_id
    WHERE tally.task_type = %(task_type)s
    GROUP BY tally.id, tried.id
) AS sets
WHERE place <= %(most)s;

-- tallies_page --
-- The tallies of the task types after one, in order.
SELECT
    task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    last_used_ms, timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
FROM tally_now WHERE task_type > %s AND successes + failures > 0 ORDER BY task_type, model_id LIMIT %s;

-- all_tallies --
-- The tallies of every task type.
SELECT
    task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    last_used_ms, timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
FROM tally_now WHERE successes + failures > 0 ORDER BY task_type, model_id;

-- add_problem --
-- Count a failure that a host does not notice but an operator should; the hundred newest kinds are kept.
WITH trimmed AS (
    DELETE FROM problem
    WHERE (digest_of(kind), digest_of(message)) IN (
        SELECT digest_of(kind), digest_of(message) FROM problem ORDER BY last_ms DESC OFFSET 99
    ) AND (kind, message) <> (%(kind)s, %(message)s)
)
INSERT INTO problem AS old (kind, message, times, first_ms, last_ms)
VALUES (%(kind)s, %(message)s, %(times)s, %(first_ms)s, %(last_ms)s)
ON CONFLICT (digest_of(kind), digest_of(message)) DO UPDATE SET
    times = old.times + excluded.times, last_ms = greatest(old.last_ms, excluded.last_ms);

-- problems --
-- The counted failures, newest first.
SELECT kind, message, times, first_ms, last_ms FROM problem ORDER BY last_ms DESC LIMIT 100;

-- clear_problems --
-- Delete the counted failures.
DELETE FROM problem;
