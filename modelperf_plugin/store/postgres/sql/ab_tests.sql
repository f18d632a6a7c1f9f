-- lock_ab_tests --
-- Keep others from beginning a test.
SELECT pg_advisory_xact_lock('ab_test'::regclass::oid::bigint);

-- lock_ab_test --
-- Keep others from changing a test and its contests.
SELECT FROM ab_test WHERE id = %s FOR UPDATE;

-- ab_tests --
-- Tests with their challengers, newest first: of one task type or all, with or without ended ones.
SELECT
    ab_test.id, task_type, fingerprint, incumbent, ab_test.share, salt, alpha, min_samples, max_samples, promote,
    started_ms, ended_ms, model_id, state, verdict, decided_ms, last_ms,
    ab_challenger.share, calibrate_from,
    (SELECT count(*) FROM ab_challenger AS each WHERE each.test_id = ab_test.id)
FROM ab_test JOIN ab_challenger ON test_id = ab_test.id
WHERE (%s::text IS NULL OR task_type = %s) AND (%s OR ended_ms IS NULL)
ORDER BY ab_test.id DESC, position;

-- ab_test --
-- One test with its challengers, unless it has ended.
SELECT
    ab_test.id, task_type, fingerprint, incumbent, ab_test.share, salt, alpha, min_samples, max_samples, promote,
    started_ms, ended_ms, model_id, state, verdict, decided_ms, last_ms,
    ab_challenger.share, calibrate_from,
    (SELECT count(*) FROM ab_challenger AS each WHERE each.test_id = ab_test.id)
FROM ab_test JOIN ab_challenger ON test_id = ab_test.id
WHERE ab_test.id = %s AND ended_ms IS NULL ORDER BY position;

-- ab_test_id --
-- The running test of a task type with this fingerprint.
SELECT id FROM ab_test WHERE task_type = %s AND fingerprint = %s AND ended_ms IS NULL;

-- adopt_ab_test --
-- Give a running test of an earlier version its fingerprint of today, unless there is one with that.
UPDATE ab_test SET fingerprint = %(fingerprint)s
WHERE id = %(test_id)s AND ended_ms IS NULL AND NOT EXISTS (
    SELECT FROM ab_test WHERE task_type = %(task_type)s AND fingerprint = %(fingerprint)s AND ended_ms IS NULL
);

-- end_ab_test_of_challenger --
-- End the running test whose incumbent is to be a challenger.
UPDATE ab_test SET ended_ms = %(started_ms)s
WHERE
    task_type = %(task_type)s AND fingerprint = %(fingerprint)s AND ended_ms IS NULL AND incumbent = %(model_id)s;

-- begin_ab_test --
-- Begin a test, unless there is one.
INSERT INTO ab_test (
    task_type, fingerprint, incumbent, share, salt, alpha, min_samples, max_samples, promote, started_ms
)
VALUES (
    %(task_type)s, %(fingerprint)s, %(incumbent)s, %(share)s, %(salt)s, %(alpha)s, %(min_samples)s, %(max_samples)s,
    %(promote)s, %(started_ms)s
)
ON CONFLICT DO NOTHING;

-- add_ab_challenger --
-- Add a challenger with what is known of its contest; changes nothing if it is in the test.
INSERT INTO ab_challenger (test_id, position, model_id, state, verdict, decided_ms, last_ms, share, calibrate_from)
SELECT
    %(test_id)s::bigint, 1 + coalesce(max(position), -1), %(model_id)s, %(state)s, %(verdict)s::text,
    %(decided_ms)s::bigint, %(last_ms)s::bigint, %(share)s::float8, %(calibrate_from)s::bigint
FROM ab_challenger WHERE test_id = %(test_id)s HAVING NOT coalesce(bool_or(model_id = %(model_id)s), false);

-- add_counted_ab_units --
-- The units that other running tests of the same task type and salt have counted in the same contest.
INSERT INTO ab_unit (test_id, position, unit)
SELECT test.id, own.position, unit
FROM ab_challenger AS own
JOIN ab_test AS test ON test.id = own.test_id
JOIN ab_test AS other USING (task_type, salt, incumbent)
JOIN ab_challenger AS same ON same.test_id = other.id AND same.model_id = own.model_id
JOIN ab_unit ON ab_unit.test_id = other.id AND ab_unit.position = same.position
WHERE own.test_id = %(test_id)s AND own.model_id = %(model_id)s AND other.id <> test.id AND other.ended_ms IS NULL
ON CONFLICT DO NOTHING;

-- set_ab_share --
-- The share of a challenger, and from which outcome on it calibrates.
UPDATE ab_challenger SET share = %(share)s, calibrate_from = greatest(calibrate_from, %(calibrate_from)s)
WHERE test_id = %(test_id)s AND model_id = %(model_id)s;

-- withdraw_ab_challengers --
-- Challengers that are not configured any more keep their evidence.
UPDATE ab_challenger SET share = 0
WHERE test_id = %(test_id)s AND model_id NOT IN (SELECT jsonb_array_elements_text(%(challengers)s::jsonb));

-- delete_unused_ab_challengers --
-- Withdrawn challengers without any evidence.
DELETE FROM ab_challenger
WHERE
    test_id = %(test_id)s AND state = '[]'
    AND model_id NOT IN (SELECT jsonb_array_elements_text(%(challengers)s::jsonb));

-- reopen_ab_test --
-- If the maximum has changed, undecided contests resume.
UPDATE ab_challenger SET verdict = NULL, decided_ms = NULL
WHERE
    verdict = 'none' AND test_id = %(test_id)s
    AND (SELECT max_samples IS DISTINCT FROM %(max_samples)s::bigint FROM ab_test WHERE id = %(test_id)s);

-- set_ab_terms --
-- The terms that may change while a test runs.
UPDATE ab_test SET
    share = %(share)s, alpha = %(alpha)s, min_samples = %(min_samples)s, max_samples = %(max_samples)s,
    promote = %(promote)s
WHERE id = %(test_id)s;

-- add_ab_unit --
-- Store a unit whose outcome counts in a contest; changes nothing if it is known.
INSERT INTO ab_unit (test_id, position, unit)
SELECT test_id, position, %s::bigint FROM ab_challenger WHERE test_id = %s AND model_id = %s ON CONFLICT DO NOTHING;

-- set_ab_challenger --
-- The state of a contest after another outcome.
UPDATE ab_challenger SET state = %s, verdict = %s, decided_ms = %s, last_ms = %s WHERE test_id = %s AND model_id = %s;

-- end_ab_tests --
-- End all tests of a task type.
UPDATE ab_test SET ended_ms = %s WHERE task_type = %s AND ended_ms IS NULL;

-- add_ab_bet --
-- Keep what a test staked on the outcome of a decision in the log.
INSERT INTO ab_bet (decision_id, test_id, ended_ms, state)
SELECT %s, %s::bigint, %s::bigint, %s FROM decision WHERE id = %s FOR KEY SHARE
ON CONFLICT (decision_id) DO NOTHING;

-- ab_bet --
-- What a test staked on a decision, which is known by its id or that of an outcome, and the outcome as it is by now.
SELECT
    ab_bet.decision_id, test_id, ab_bet.state, decision.success, decision.timeout, decision.error_kind, decision.score
FROM ab_bet JOIN decision ON decision.id = ab_bet.decision_id
WHERE ab_bet.decision_id = coalesce(%s, (SELECT decision_id FROM outcome_key WHERE outcome_id = %s))
    AND decision.outcome_model_id = decision.model_id;

-- set_ab_bet --
-- What is staked after a verdict was replaced.
UPDATE ab_bet SET state = %s WHERE decision_id = %s;

-- set_ab_state --
-- The state of a contest after a verdict was replaced.
UPDATE ab_challenger SET state = %s WHERE test_id = %s AND model_id = %s;

-- delete_ab_bets --
-- Delete what the ended tests of a task type have staked.
DELETE FROM ab_bet WHERE test_id IN (SELECT id FROM ab_test WHERE task_type = %s AND ended_ms IS NOT NULL);

-- ab_delays --
-- The first decision of a test, and for how long its decisions waited for their outcome: mean and maximum.
SELECT
    min(made_ms), avg(greatest(ended_ms - made_ms, 0)) FILTER (WHERE ended_ms IS NOT NULL)::float8, max(ended_ms - made_ms)
FROM decision WHERE ab_test_id = %s;

-- ab_drawn --
-- The newest decisions of a test up to a moment, with the probabilities of the sides, whether there is an outcome, and
-- whether they are old: of a unit only the first, because its later ones get the same side.
WITH newest AS (
    SELECT number, made_ms, model_id, record, outcome_model_id IS NOT NULL AS reported FROM decision
    WHERE ab_test_id = %(test_id)s AND made_ms <= %(until_ms)s AND mode = 'apply'
    ORDER BY made_ms DESC LIMIT %(most)s
),
drawn AS (
    SELECT DISTINCT ON (unit) * FROM (
        SELECT *, coalesce((record #>> '{assignment,unit}')::numeric, -number) AS unit FROM newest
    ) AS all_drawn
    ORDER BY unit, made_ms
)
SELECT model_id, shares, count(*), count(*) FILTER (WHERE reported), is_old
FROM (
    SELECT
        model_id, reported, made_ms <= %(old_ms)s AS is_old,
        (
            SELECT json_object_agg(value ->> 'model_id', value -> 'propensity')::text
            FROM json_array_elements(record -> 'candidates') WHERE (value ->> 'propensity')::float8 > 0
        ) AS shares
    FROM drawn
) AS sides
GROUP BY model_id, shares, is_old;
