-- record --
-- Record one outcome, unless the number of the statement is taken: a receipt comes first. Its names are numbered, too.
WITH receipt AS (
    INSERT INTO sender AS old (id, sent) VALUES (%s, %s)
    ON CONFLICT (id) DO UPDATE SET sent = excluded.sent WHERE old.sent < excluded.sent AND NOT old.is_closed
    RETURNING %s::text AS task_type, %s::text AS model_id, %s::text AS tried
)
SELECT answer, outcome, number_of_pair(task_type, model_id), number_of_tried(tried)
FROM receipt CROSS JOIN LATERAL record(
    task_type, model_id, tried, %s, %s::bigint, %s, %s, %s::bigint, %s::bigint, %s, %s::bigint, %s::integer, %s::bigint,
    %s, %s, NULL
);

-- record_known --
-- Record one outcome that has neither an id nor a decision and whose names are numbered, with its receipt. Its transaction
-- has an id before it has a number; see `next_number`.
INSERT INTO fresh (
    sender, sent, number, ended_ms, tokens, cost_nano_usd, duration_ms, retry_after_ms, tally_id, tried_id, score,
    success, timeout, is_referred, error_kind
)
VALUES (
    $1::bigint, $2::bigint, CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('outcome_number') END, $3::bigint,
    $4::bigint, $5::bigint, $6::bigint, $7::bigint, $8::integer, $9::integer, $10::integer, $11::boolean, $12::boolean,
    false, $13::text
);

-- record_group --
-- Record several outcomes of any kind, as JSON, with a receipt.
SELECT to_jsonb(recorded) FROM record_group(
    $1::bigint, $2::bigint, $3::jsonb, $4::jsonb, $5::jsonb, $6::integer, $7::integer
) AS recorded;

-- record_joined --
-- Record one outcome, likewise, with its decision.
WITH receipt AS (
    INSERT INTO sender AS old (id, sent) VALUES (%s, %s)
    ON CONFLICT (id) DO UPDATE SET sent = excluded.sent WHERE old.sent < excluded.sent AND NOT old.is_closed
    RETURNING %s::text AS task_type
)
SELECT answer, outcome, is_stored, log FROM receipt CROSS JOIN LATERAL record_joined(
    receipt.task_type, %s, %s, %s, %s::bigint, %s, %s, %s::bigint, %s::bigint, %s, %s::bigint, %s::integer, %s::bigint, %s, %s, %s,
    %s, %s, %s::integer, %s::integer
);

-- record_many --
-- The same with many outcomes, given by columns.
WITH receipt AS (
    INSERT INTO sender AS old (id, sent) VALUES (%s, %s)
    ON CONFLICT (id) DO UPDATE SET sent = excluded.sent WHERE old.sent < excluded.sent AND NOT old.is_closed
    RETURNING %s::text[] AS task_types
)
SELECT record_many(
    receipt.task_types, %s::text[], %s::text[], %s::text[], %s::bigint[], %s::boolean[], %s::boolean[], %s::bigint[],
    %s::bigint[], %s::text[], %s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::boolean[]
)
FROM receipt;

-- ingest_batch --
-- Write a batch of spooled outcomes, unless that was done before.
SELECT ingest_batch(
    %s, %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::boolean[], %s::boolean[], %s::bigint[],
    %s::bigint[], %s::text[], %s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::boolean[]
);

-- restore_lost --
-- Write again those outcomes of a connection that the server has lost.
SELECT restore_lost(
    %s, %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::boolean[], %s::boolean[],
    %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::boolean[]
);

-- drop_senders --
-- Forget connections of which nothing can be spooled any more.
WITH folded AS (DELETE FROM folded_receipt WHERE since < now() - interval '400 days')
DELETE FROM sender WHERE since < now() - interval '400 days';

-- known_outcome_keys --
-- Which of some outcome ids are known.
SELECT outcome_id FROM outcome_key WHERE outcome_id = ANY(%s);

-- verdict --
-- The verdict of the last outcome of a decision or, if there is none, of the outcome with an id, whether or not it is folded.
WITH last_of_decision (ref) AS (
    SELECT last_outcome(%(decision_id)s::text)
),
number (number) AS (
    SELECT coalesce(
        (SELECT ref::bigint FROM last_of_decision WHERE jsonb_typeof(ref) = 'number'),
        (
            SELECT outcome_key.number
            FROM last_of_decision JOIN outcome_key ON outcome_id = ref #>> '{}' WHERE jsonb_typeof(ref) = 'string'
        ),
        (SELECT outcome_key.number FROM outcome_key WHERE outcome_id = %(outcome_id)s)
    )
),
found AS (
    SELECT tally_id, success, timeout, error_kind, score, tokens, cost_nano_usd, served_id
    FROM fresh WHERE fresh.number = (SELECT number FROM number)
    UNION ALL
    SELECT tally_id, success, timeout, error_kind, score, tokens, cost_nano_usd, served_id
    FROM event_ref JOIN event ON event.id = event_ref.event_id LEFT JOIN served USING (event_id)
    WHERE event_ref.number = (SELECT number FROM number)
)
SELECT
    tally.task_type, tally.model_id, found.success, found.timeout, found.error_kind, found.score, found.tokens,
    found.cost_nano_usd, served_model.model_id
FROM found JOIN tally ON tally.id = found.tally_id LEFT JOIN served_model ON served_model.id = found.served_id;

-- tallies_with_batches --
-- The tallies of one task type and, without a task type, which of the batches in a JSON array are part of them.
SELECT
    task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    last_used_ms, timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
FROM tally_now WHERE task_type = %s AND successes + failures > 0
UNION ALL
SELECT NULL, batch_id, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0, 0, 0, 0, 0, 0
FROM jsonb_array_elements_text(%s::jsonb) AS batch_id WHERE is_moved(batch_id);

-- later_with_batches --
-- The later tries of one task type and, without a set, which of the batches in a JSON array are part of them.
SELECT
    tally.model_id, tried.models, sum(later.successes)::bigint, sum(later.failures)::bigint,
    sum(later.timeout_failures)::bigint, sum(later.score_shift)::bigint
FROM tally JOIN later_now AS later ON later.tally_id = tally.id JOIN tried ON tried.id = later.tried_id
WHERE tally.task_type = %s GROUP BY tally.id, tried.id
UNION ALL
SELECT batch_id, NULL, 0, 0, 0, 0
FROM jsonb_array_elements_text(%s::jsonb) AS batch_id WHERE is_moved(batch_id);

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
