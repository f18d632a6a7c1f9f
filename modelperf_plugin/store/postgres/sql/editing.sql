-- count_events --
-- How many events a selection has, in how many pairs.
SELECT count(*), count(DISTINCT event.tally_id)
FROM event JOIN tally ON tally.id = event.tally_id
WHERE (%(task_type)s::text IS NULL OR tally.task_type = %(task_type)s::text)
    AND (%(model_id)s::text IS NULL OR tally.model_id = %(model_id)s::text)
    AND (%(since_ms)s::bigint IS NULL OR event.ended_ms >= %(since_ms)s::bigint)
    AND (%(until_ms)s::bigint IS NULL OR event.ended_ms < %(until_ms)s::bigint)
    AND (%(outcome_ids)s::text IS NULL OR event.id IN (
        SELECT event_ref.event_id FROM event_ref JOIN outcome_key USING (number)
        WHERE outcome_id IN (SELECT jsonb_array_elements_text(%(outcome_ids)s::jsonb))
    ))
    AND (%(import_id)s::bigint IS NULL OR EXISTS (
        SELECT 1 FROM import_range
        WHERE import_id = %(import_id)s::bigint AND event.id BETWEEN first_event_id AND last_event_id
    ));

-- count_sums --
-- How many outcomes of some pairs are known as sums only: those that retention has dropped, and imported ones.
SELECT coalesce(sum(parts.successes + parts.failures), 0)::bigint
FROM (
    SELECT tally_id, successes, failures FROM dropped
    UNION ALL
    SELECT tally_id, successes, failures FROM imported
) AS parts
JOIN tally ON tally.id = parts.tally_id
WHERE (%(task_type)s::text IS NULL OR tally.task_type = %(task_type)s::text)
    AND (%(model_id)s::text IS NULL OR tally.model_id = %(model_id)s::text);

-- count_decisions --
-- How many decisions of a selection the log has.
SELECT count(*) FROM decision
WHERE (%(task_type)s::text IS NULL OR task_type = %(task_type)s::text)
    AND (%(model_id)s::text IS NULL OR model_id = %(model_id)s::text)
    AND (%(since_ms)s::bigint IS NULL OR made_ms >= %(since_ms)s::bigint)
    AND (%(until_ms)s::bigint IS NULL OR made_ms < %(until_ms)s::bigint);

-- select_events --
-- Note the events of a selection.
INSERT INTO edited_event (event_id)
SELECT event.id FROM event JOIN tally ON tally.id = event.tally_id
WHERE (%(task_type)s::text IS NULL OR tally.task_type = %(task_type)s::text)
    AND (%(model_id)s::text IS NULL OR tally.model_id = %(model_id)s::text)
    AND (%(since_ms)s::bigint IS NULL OR event.ended_ms >= %(since_ms)s::bigint)
    AND (%(until_ms)s::bigint IS NULL OR event.ended_ms < %(until_ms)s::bigint)
    AND (%(outcome_ids)s::text IS NULL OR event.id IN (
        SELECT event_ref.event_id FROM event_ref JOIN outcome_key USING (number)
        WHERE outcome_id IN (SELECT jsonb_array_elements_text(%(outcome_ids)s::jsonb))
    ))
    AND (%(import_id)s::bigint IS NULL OR EXISTS (
        SELECT 1 FROM import_range
        WHERE import_id = %(import_id)s::bigint AND event.id BETWEEN first_event_id AND last_event_id
    ));

-- select_pairs_of_events --
-- Note the pairs of these events.
INSERT INTO edited_pair (tally_id)
SELECT DISTINCT tally_id FROM event JOIN edited_event ON edited_event.event_id = event.id;

-- select_pairs --
-- Note the pairs of a selection.
INSERT INTO edited_pair (tally_id) SELECT id FROM tally
WHERE (%(task_type)s::text IS NULL OR tally.task_type = %(task_type)s::text)
    AND (%(model_id)s::text IS NULL OR tally.model_id = %(model_id)s::text);

-- edited_models --
-- The models of the noted pairs.
SELECT DISTINCT model_id FROM tally JOIN edited_pair ON edited_pair.tally_id = tally.id ORDER BY model_id;

-- tests_of_pairs --
-- The task types with a running A/B test that has counted outcomes of the noted pairs.
SELECT DISTINCT ab_test.task_type
FROM ab_test
JOIN ab_challenger ON ab_challenger.test_id = ab_test.id
JOIN tally ON tally.task_type = ab_test.task_type
JOIN edited_pair ON edited_pair.tally_id = tally.id
WHERE ab_test.ended_ms IS NULL AND tally.model_id IN (ab_test.incumbent, ab_challenger.model_id) ORDER BY 1;

-- note_pair --
-- Note one pair.
INSERT INTO edited_pair (tally_id) VALUES (%(tally_id)s::integer);

-- clear_events --
-- Forget the noted events.
DELETE FROM edited_event;

-- clear_pairs --
-- Forget the noted pairs.
DELETE FROM edited_pair;

-- subtract_tallies --
-- Take the noted events out of the tallies.
UPDATE tally SET
    successes = tally.successes - was.successes,
    failures = tally.failures - was.failures,
    timeouts = tally.timeouts - was.timeouts,
    outages = tally.outages - was.outages,
    caller_errors = tally.caller_errors - was.caller_errors,
    tokens = bounded(tally.tokens::numeric - was.tokens),
    cost_nano_usd = bounded(tally.cost_nano_usd::numeric - was.cost_nano_usd),
    priced = tally.priced - was.priced,
    timeout_failures = tally.timeout_failures - was.timeout_failures,
    later_successes = tally.later_successes - was.later_successes,
    later_failures = tally.later_failures - was.later_failures,
    later_timeout_failures = tally.later_timeout_failures - was.later_timeout_failures,
    graded = tally.graded - was.graded,
    score_shift = tally.score_shift - was.score_shift,
    later_score_shift = tally.later_score_shift - was.later_score_shift
FROM (
    SELECT
        counted_event.tally_id,
        sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts, sum(outages) AS outages,
        sum(caller_errors) AS caller_errors, sum(tokens) AS tokens, sum(cost_nano_usd) AS cost_nano_usd, sum(priced)
        AS priced, sum(timeout_failures) AS timeout_failures, sum(later_successes) AS later_successes,
        sum(later_failures) AS later_failures, sum(later_timeout_failures) AS later_timeout_failures, sum(graded) AS
        graded, sum(score_shift) AS score_shift, sum(later_score_shift) AS later_score_shift
    FROM counted_event JOIN edited_event ON edited_event.event_id = counted_event.id
    GROUP BY counted_event.tally_id
) AS was
WHERE was.tally_id = tally.id;

-- subtract_daily --
-- Take them out of the daily roll-up.
UPDATE daily SET
    successes = daily.successes - was.successes,
    failures = daily.failures - was.failures,
    timeouts = daily.timeouts - was.timeouts,
    outages = daily.outages - was.outages,
    caller_errors = daily.caller_errors - was.caller_errors,
    tokens = bounded(daily.tokens::numeric - was.tokens),
    cost_nano_usd = bounded(daily.cost_nano_usd::numeric - was.cost_nano_usd),
    priced = daily.priced - was.priced,
    timeout_failures = daily.timeout_failures - was.timeout_failures,
    later_successes = daily.later_successes - was.later_successes,
    later_failures = daily.later_failures - was.later_failures,
    later_timeout_failures = daily.later_timeout_failures - was.later_timeout_failures,
    graded = daily.graded - was.graded,
    score_shift = daily.score_shift - was.score_shift,
    later_score_shift = daily.later_score_shift - was.later_score_shift
FROM (
    SELECT
        counted_event.tally_id, day_of(ended_ms) AS day,
        sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts, sum(outages) AS outages,
        sum(caller_errors) AS caller_errors, sum(tokens) AS tokens, sum(cost_nano_usd) AS cost_nano_usd, sum(priced)
        AS priced, sum(timeout_failures) AS timeout_failures, sum(later_successes) AS later_successes,
        sum(later_failures) AS later_failures, sum(later_timeout_failures) AS later_timeout_failures, sum(graded) AS
        graded, sum(score_shift) AS score_shift, sum(later_score_shift) AS later_score_shift
    FROM counted_event JOIN edited_event ON edited_event.event_id = counted_event.id
    GROUP BY 1, 2
) AS was
WHERE was.tally_id = daily.tally_id AND was.day = daily.day;

-- delete_empty_days --
-- Delete days without outcomes.
DELETE FROM daily WHERE successes + failures = 0 AND tally_id IN (SELECT tally_id FROM edited_pair);

-- subtract_baselines --
-- Take them out of the counts from before a change of their model.
UPDATE baseline SET
    successes = baseline.successes - was.successes,
    failures = baseline.failures - was.failures,
    timeout_failures = baseline.timeout_failures - was.timeout_failures,
    later_successes = baseline.later_successes - was.later_successes,
    later_failures = baseline.later_failures - was.later_failures,
    later_timeout_failures = baseline.later_timeout_failures - was.later_timeout_failures,
    score_shift = baseline.score_shift - was.score_shift,
    later_score_shift = baseline.later_score_shift - was.later_score_shift
FROM (
    SELECT
        counted_event.tally_id,
        sum(successes) AS successes, sum(timeout_failures) AS timeout_failures, sum(later_successes) AS
        later_successes, sum(later_failures) AS later_failures, sum(later_timeout_failures) AS
        later_timeout_failures, sum(score_shift) AS score_shift, sum(later_score_shift) AS later_score_shift,
        sum(quality_failures) AS failures
    FROM counted_event
    JOIN edited_event ON edited_event.event_id = counted_event.id
    WHERE counted_event.id <= (
        SELECT change.noticed_event_id FROM baseline AS known JOIN change ON change.id = known.change_id
        WHERE known.tally_id = counted_event.tally_id
    )
    GROUP BY counted_event.tally_id
) AS was
WHERE was.tally_id = baseline.tally_id;

-- subtract_later --
-- Take them out of the later tries by set.
UPDATE later SET
    successes = later.successes - was.successes, failures = later.failures - was.failures,
    timeout_failures = later.timeout_failures - was.timeout_failures,
    score_shift = later.score_shift - was.score_shift
FROM (
    SELECT
        tally_id, tried_id, sum(successes) AS successes, sum(failures) AS failures,
        sum(timeout_failures) AS timeout_failures, sum(score_shift) AS score_shift
    FROM counted_event JOIN edited_event ON edited_event.event_id = counted_event.id
    WHERE is_later GROUP BY tally_id, tried_id
) AS was
WHERE was.tally_id = later.tally_id AND was.tried_id = later.tried_id;

-- delete_empty_later --
-- Delete sets without later tries.
DELETE FROM later WHERE successes = 0 AND failures = 0 AND tally_id IN (SELECT tally_id FROM edited_pair);

-- subtract_durations --
-- Take them out of the durations.
UPDATE duration SET outcomes = duration.outcomes - was.outcomes
FROM (
    SELECT
        tally_id, period_of(ended_ms) AS period,
        (SELECT max(from_ms) FROM duration_border WHERE from_ms <= counted_event.duration_ms) AS from_ms,
        count(*) AS outcomes
    FROM counted_event JOIN edited_event ON edited_event.event_id = counted_event.id WHERE is_timed GROUP BY 1, 2, 3
) AS was
WHERE was.tally_id = duration.tally_id AND was.period = duration.period AND was.from_ms = duration.from_ms;

-- delete_empty_durations --
-- Delete buckets without outcomes.
DELETE FROM duration WHERE outcomes = 0 AND tally_id IN (SELECT tally_id FROM edited_pair);

-- detach_decisions --
-- Take the noted events out of the log: their decisions have no outcome.
UPDATE decision SET
    outcome_model_id = NULL, ended_ms = NULL, success = NULL, timeout = NULL, tokens = NULL, cost_nano_usd = NULL,
    error_kind = NULL, duration_ms = NULL, outcome_number = NULL, score = NULL, outcome_ref = NULL
WHERE outcome_ref IN (
    SELECT to_jsonb(number) FROM event_ref JOIN edited_event USING (event_id)
    UNION ALL
    SELECT to_jsonb(outcome_id) FROM outcome_key JOIN event_ref USING (number) JOIN edited_event USING (event_id)
);

-- delete_attempts --
-- Delete the noted events from the further outcomes of decisions.
DELETE FROM attempt WHERE outcome_ref IN (
    SELECT to_jsonb(number) FROM event_ref JOIN edited_event USING (event_id)
    UNION ALL
    SELECT to_jsonb(outcome_id) FROM outcome_key JOIN event_ref USING (number) JOIN edited_event USING (event_id)
);

-- delete_unmatched --
-- Delete them from the outcomes that wait for a decision.
DELETE FROM unmatched_outcome WHERE outcome_ref IN (
    SELECT to_jsonb(number) FROM event_ref JOIN edited_event USING (event_id)
    UNION ALL
    SELECT to_jsonb(outcome_id) FROM outcome_key JOIN event_ref USING (number) JOIN edited_event USING (event_id)
);

-- delete_served --
-- Delete which models have served them.
DELETE FROM served WHERE event_id IN (SELECT event_id FROM edited_event);

-- delete_revisions --
-- Delete their former verdicts.
DELETE FROM revision WHERE event_id IN (SELECT event_id FROM edited_event);

-- delete_keys --
-- Forget their ids, so that they may be recorded again.
DELETE FROM outcome_key WHERE number IN (SELECT number FROM event_ref JOIN edited_event USING (event_id));

-- delete_refs --
-- Forget their numbers.
DELETE FROM event_ref WHERE event_id IN (SELECT event_id FROM edited_event);

-- delete_events --
-- Delete the noted events.
DELETE FROM event WHERE id IN (SELECT event_id FROM edited_event);

-- delete_daily --
-- Delete the roll-up of the noted pairs.
DELETE FROM daily WHERE tally_id IN (SELECT tally_id FROM edited_pair);

-- delete_later --
-- Delete the later tries of the noted pairs.
DELETE FROM later WHERE tally_id IN (SELECT tally_id FROM edited_pair);

-- delete_duration --
-- Delete the durations of the noted pairs.
DELETE FROM duration WHERE tally_id IN (SELECT tally_id FROM edited_pair);

-- delete_dropped --
-- Delete the sums of dropped events of the noted pairs.
DELETE FROM dropped WHERE tally_id IN (SELECT tally_id FROM edited_pair);

-- delete_imported --
-- Delete the imported sums of the noted pairs.
DELETE FROM imported WHERE tally_id IN (SELECT tally_id FROM edited_pair);

-- delete_baseline --
-- Delete the counts from before a change of the noted pairs.
DELETE FROM baseline WHERE tally_id IN (SELECT tally_id FROM edited_pair);

-- delete_demotion --
-- Delete the demotions of the noted pairs.
DELETE FROM demotion WHERE tally_id IN (SELECT tally_id FROM edited_pair);

-- empty_tallies --
-- Set the tallies of the noted pairs to zero; the rows stay, because hosts know their numbers.
UPDATE tally SET
    successes = 0, failures = 0, timeouts = 0, outages = 0, caller_errors = 0, tokens = 0, cost_nano_usd = 0, priced
    = 0, timeout_failures = 0, later_successes = 0, later_failures = 0, later_timeout_failures = 0, graded = 0,
    score_shift = 0, later_score_shift = 0, last_used_ms = NULL
WHERE id IN (SELECT tally_id FROM edited_pair);

-- refresh_last_used --
-- When the noted pairs were used last; of those with dropped events that may be unknown.
UPDATE tally SET last_used_ms = coalesce(
    (
        SELECT max(used_ms) FROM (
            SELECT max(ended_ms) AS used_ms FROM event WHERE event.tally_id = tally.id
            UNION ALL
            SELECT max(last_used_ms) FROM imported WHERE imported.tally_id = tally.id
        ) AS parts
    ),
    CASE WHEN id IN (SELECT tally_id FROM dropped) THEN last_used_ms END
)
WHERE id IN (SELECT tally_id FROM edited_pair);

-- delete_decisions --
-- Delete the decisions of a selection from the log.
DELETE FROM decision
WHERE (%(task_type)s::text IS NULL OR task_type = %(task_type)s::text)
    AND (%(model_id)s::text IS NULL OR model_id = %(model_id)s::text)
    AND (%(since_ms)s::bigint IS NULL OR made_ms >= %(since_ms)s::bigint)
    AND (%(until_ms)s::bigint IS NULL OR made_ms < %(until_ms)s::bigint);

-- delete_watches --
-- Delete the states of the watches over the noted pairs and their models: these start over.
DELETE FROM watch
WHERE kind IN ('fall', 'probation', 'change') AND EXISTS (
    SELECT 1 FROM tally JOIN edited_pair ON edited_pair.tally_id = tally.id
    WHERE tally.model_id = watch.model_id AND watch.task_type IN ('', tally.task_type)
);

-- delete_test_units --
-- Delete the A/B tests of a task type: the units that they have counted.
DELETE FROM ab_unit WHERE test_id IN (SELECT id FROM ab_test WHERE task_type = %(task_type)s::text);

-- delete_test_bets --
-- Delete the A/B tests of a task type: what they have staked.
DELETE FROM ab_bet WHERE test_id IN (SELECT id FROM ab_test WHERE task_type = %(task_type)s::text);

-- delete_test_sides --
-- Delete the A/B tests of a task type: their challengers.
DELETE FROM ab_challenger WHERE test_id IN (SELECT id FROM ab_test WHERE task_type = %(task_type)s::text);

-- delete_tests --
-- Delete the A/B tests of a task type.
DELETE FROM ab_test WHERE task_type = %(task_type)s::text;

-- delete_changes --
-- Delete the changes of a model.
DELETE FROM change WHERE model_id = %(model_id)s::text;

-- delete_model_watches --
-- Delete what is stored about a model on all task types.
DELETE FROM watch WHERE model_id = %(model_id)s::text AND task_type = '' AND kind <> 'pool';

-- delete_estimated --
-- Delete that costs of a model were estimated.
DELETE FROM estimated_cost WHERE model_id = %(model_id)s::text;

-- end_tests_of_model --
-- End the A/B tests that a model is part of.
UPDATE ab_test SET ended_ms = %(edited_ms)s::bigint
WHERE ended_ms IS NULL AND %(model_id)s::text IN (
    SELECT incumbent UNION ALL SELECT ab_challenger.model_id FROM ab_challenger WHERE ab_challenger.test_id = ab_test.id
);

-- add_edit --
-- Note what was done.
INSERT INTO edit (kind, edited_ms, subject, outcomes)
VALUES (%(kind)s::text, %(edited_ms)s::bigint, %(subject)s::text, %(outcomes)s::bigint);

-- last_edit --
-- The number of the last edit.
SELECT coalesce(max(number), 0) FROM edit;

-- pairs_to_move --
-- The pairs of a name, with their task types and models.
SELECT id, task_type, model_id FROM tally
WHERE (%(task_type)s::text IS NULL OR tally.task_type = %(task_type)s::text)
    AND (%(model_id)s::text IS NULL OR tally.model_id = %(model_id)s::text)
ORDER BY id;

-- used_pairs --
-- How many of some pairs have outcomes.
SELECT count(*) FROM tally
WHERE (%(task_type)s::text IS NULL OR tally.task_type = %(task_type)s::text)
    AND (%(model_id)s::text IS NULL OR tally.model_id = %(model_id)s::text)
    AND successes + failures > 0;

-- add_pair --
-- The number of a pair, which is added if it is new.
SELECT number_of_pair(%(task_type)s::text, %(model_id)s::text);

-- move_events --
-- Give events to another pair.
UPDATE event SET tally_id = %(to_id)s::integer WHERE tally_id = %(from_id)s::integer;

-- move_daily --
-- Add the roll-up of a pair to that of another one.
INSERT INTO daily AS old (
    tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
)
SELECT
    %(to_id)s::integer, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
FROM daily WHERE tally_id = %(from_id)s::integer
ON CONFLICT (tally_id, day) DO UPDATE SET
    successes = old.successes + excluded.successes,
    failures = old.failures + excluded.failures,
    timeouts = old.timeouts + excluded.timeouts,
    outages = old.outages + excluded.outages,
    caller_errors = old.caller_errors + excluded.caller_errors,
    tokens = bounded(old.tokens::numeric + excluded.tokens),
    cost_nano_usd = bounded(old.cost_nano_usd::numeric + excluded.cost_nano_usd),
    priced = old.priced + excluded.priced,
    timeout_failures = old.timeout_failures + excluded.timeout_failures,
    later_successes = old.later_successes + excluded.later_successes,
    later_failures = old.later_failures + excluded.later_failures,
    later_timeout_failures = old.later_timeout_failures + excluded.later_timeout_failures,
    graded = old.graded + excluded.graded,
    score_shift = old.score_shift + excluded.score_shift,
    later_score_shift = old.later_score_shift + excluded.later_score_shift;

-- move_later --
-- Add its later tries.
INSERT INTO later AS old (
    tally_id, tried_id, successes, failures, timeout_failures, score_shift
)
SELECT
    %(to_id)s::integer, tried_id, successes, failures, timeout_failures, score_shift
FROM later WHERE tally_id = %(from_id)s::integer
ON CONFLICT (tally_id, tried_id) DO UPDATE SET
    successes = old.successes + excluded.successes,
    failures = old.failures + excluded.failures,
    timeout_failures = old.timeout_failures + excluded.timeout_failures,
    score_shift = old.score_shift + excluded.score_shift;

-- move_durations --
-- Add its durations.
INSERT INTO duration AS old (
    tally_id, period, from_ms, outcomes
)
SELECT
    %(to_id)s::integer, period, from_ms, outcomes
FROM duration WHERE tally_id = %(from_id)s::integer
ON CONFLICT (tally_id, period, from_ms) DO UPDATE SET
    outcomes = old.outcomes + excluded.outcomes;

-- move_dropped --
-- Add the sums of its dropped events.
INSERT INTO dropped AS old (
    tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
)
SELECT
    %(to_id)s::integer, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
FROM dropped WHERE tally_id = %(from_id)s::integer
ON CONFLICT (tally_id) DO UPDATE SET
    successes = old.successes + excluded.successes,
    failures = old.failures + excluded.failures,
    timeouts = old.timeouts + excluded.timeouts,
    outages = old.outages + excluded.outages,
    caller_errors = old.caller_errors + excluded.caller_errors,
    tokens = bounded(old.tokens::numeric + excluded.tokens),
    cost_nano_usd = bounded(old.cost_nano_usd::numeric + excluded.cost_nano_usd),
    priced = old.priced + excluded.priced,
    timeout_failures = old.timeout_failures + excluded.timeout_failures,
    later_successes = old.later_successes + excluded.later_successes,
    later_failures = old.later_failures + excluded.later_failures,
    later_timeout_failures = old.later_timeout_failures + excluded.later_timeout_failures,
    graded = old.graded + excluded.graded,
    score_shift = old.score_shift + excluded.score_shift,
    later_score_shift = old.later_score_shift + excluded.later_score_shift;

-- add_imported --
-- Add imported sums to those of another pair that has some of the same source.
UPDATE imported AS old SET
    successes = old.successes + given.successes,
    failures = old.failures + given.failures,
    timeouts = old.timeouts + given.timeouts,
    tokens = bounded(old.tokens::numeric + given.tokens),
    cost_nano_usd = bounded(old.cost_nano_usd::numeric + given.cost_nano_usd),
    last_used_ms = greatest(old.last_used_ms, given.last_used_ms)
FROM imported AS given
WHERE given.tally_id = %(from_id)s::integer
    AND old.tally_id = %(to_id)s::integer AND digest_of(old.source) = digest_of(given.source);

-- move_imported --
-- Move the others.
UPDATE imported AS given SET tally_id = %(to_id)s::integer
WHERE tally_id = %(from_id)s::integer AND NOT EXISTS (
    SELECT FROM imported AS old
    WHERE old.tally_id = %(to_id)s::integer AND digest_of(old.source) = digest_of(given.source)
);

-- move_tally --
-- Add the tally of a pair to that of another one.
UPDATE tally SET
    successes = tally.successes + was.successes,
    failures = tally.failures + was.failures,
    timeouts = tally.timeouts + was.timeouts,
    outages = tally.outages + was.outages,
    caller_errors = tally.caller_errors + was.caller_errors,
    tokens = bounded(tally.tokens::numeric + was.tokens),
    cost_nano_usd = bounded(tally.cost_nano_usd::numeric + was.cost_nano_usd),
    priced = tally.priced + was.priced,
    timeout_failures = tally.timeout_failures + was.timeout_failures,
    later_successes = tally.later_successes + was.later_successes,
    later_failures = tally.later_failures + was.later_failures,
    later_timeout_failures = tally.later_timeout_failures + was.later_timeout_failures,
    graded = tally.graded + was.graded,
    score_shift = tally.score_shift + was.score_shift,
    later_score_shift = tally.later_score_shift + was.later_score_shift,
    last_used_ms = greatest(tally.last_used_ms, was.last_used_ms)
FROM tally AS was
WHERE tally.id = %(to_id)s::integer AND was.id = %(from_id)s::integer;

-- end_one_demotion --
-- End the demotion of a pair if another one is demoted, too.
UPDATE demotion SET ended_ms = %(edited_ms)s::bigint, ended_by = 'operator'
WHERE tally_id = %(from_id)s::integer AND ended_ms IS NULL
    AND EXISTS (SELECT 1 FROM demotion AS other WHERE other.tally_id = %(to_id)s::integer AND other.ended_ms IS NULL);

-- move_demotions --
-- Give demotions to another pair.
UPDATE demotion SET tally_id = %(to_id)s::integer WHERE tally_id = %(from_id)s::integer;

-- add_baseline --
-- Add the counts from before a change to those of another pair from before the same change.
UPDATE baseline SET
    successes = baseline.successes + was.successes,
    failures = baseline.failures + was.failures,
    timeout_failures = baseline.timeout_failures + was.timeout_failures,
    later_successes = baseline.later_successes + was.later_successes,
    later_failures = baseline.later_failures + was.later_failures,
    later_timeout_failures = baseline.later_timeout_failures + was.later_timeout_failures,
    score_shift = baseline.score_shift + was.score_shift,
    later_score_shift = baseline.later_score_shift + was.later_score_shift,
    rate = NULL
FROM baseline AS was
WHERE baseline.tally_id = %(to_id)s::integer
    AND was.tally_id = %(from_id)s::integer AND was.change_id = baseline.change_id;

-- move_baseline --
-- Give the counts from before a change to a pair that has none.
UPDATE baseline SET tally_id = %(to_id)s::integer
WHERE tally_id = %(from_id)s::integer
    AND NOT EXISTS (SELECT 1 FROM baseline AS other WHERE other.tally_id = %(to_id)s::integer);

-- delete_baselines_of_model --
-- Delete the counts from before the changes of a model.
DELETE FROM baseline WHERE tally_id IN (SELECT id FROM tally WHERE model_id = %(model_id)s::text);

-- last_change_of_model --
-- The last change of a model.
SELECT id, noticed_event_id FROM change WHERE model_id = %(model_id)s::text ORDER BY id DESC LIMIT 1;

-- rename_task_type_of_decisions --
-- Another task type for decisions.
UPDATE decision SET task_type = %(new)s::text WHERE task_type = %(old)s::text;

-- rename_model_in_records --
-- Another model in the records of decisions, where it is a value.
UPDATE decision SET record = replace(
    replace(
        replace(record::text, %(quoted_old)s::text || ',', %(quoted_new)s::text || ','),
        %(quoted_old)s::text || ']', %(quoted_new)s::text || ']'
    ),
    %(quoted_old)s::text || '}', %(quoted_new)s::text || '}'
)::json
WHERE strpos(record::text, %(quoted_old)s::text) > 0;

-- rename_bets --
-- Another challenger in what A/B tests have staked.
UPDATE ab_bet SET state = replace(state, %(quoted_old)s::text || ':', %(quoted_new)s::text || ':')
WHERE strpos(state, %(quoted_old)s::text) > 0;

-- rename_model_of_decisions --
-- Another model for decisions.
UPDATE decision SET model_id = %(new)s::text WHERE model_id = %(old)s::text;

-- rename_model_of_outcomes --
-- Another model for the outcomes of decisions.
UPDATE decision SET outcome_model_id = %(new)s::text WHERE outcome_model_id = %(old)s::text;

-- rename_model_of_attempts --
-- Another model for their further outcomes.
UPDATE attempt SET model_id = %(new)s::text WHERE model_id = %(old)s::text;

-- rename_model_of_unmatched --
-- Another model for outcomes that wait for a decision.
UPDATE unmatched_outcome AS given SET model_id = %(new)s::text
WHERE model_id = %(old)s::text AND NOT EXISTS (
    SELECT 1 FROM unmatched_outcome AS other
    WHERE other.decision_id = given.decision_id AND other.model_id = %(new)s::text AND other.ended_ms = given.ended_ms
);

-- end_one_test --
-- End the A/B tests of a task type that another one has, too.
UPDATE ab_test SET ended_ms = %(edited_ms)s::bigint
WHERE task_type = %(old)s::text AND ended_ms IS NULL AND EXISTS (
    SELECT 1 FROM ab_test AS other
    WHERE other.task_type = %(new)s::text AND other.ended_ms IS NULL AND other.fingerprint = ab_test.fingerprint
);

-- rename_task_type_of_tests --
-- Another task type for A/B tests.
UPDATE ab_test SET task_type = %(new)s::text WHERE task_type = %(old)s::text;

-- end_tests_of_both --
-- End the A/B tests of two models that become one.
UPDATE ab_test SET ended_ms = %(edited_ms)s::bigint
WHERE ended_ms IS NULL AND %(old)s::text IN (
    SELECT incumbent UNION ALL SELECT ab_challenger.model_id FROM ab_challenger WHERE ab_challenger.test_id = ab_test.id
) AND %(new)s::text IN (
    SELECT incumbent UNION ALL SELECT ab_challenger.model_id FROM ab_challenger WHERE ab_challenger.test_id = ab_test.id
);

-- tests_of_incumbent --
-- The A/B tests with an incumbent.
SELECT id, fingerprint, salt FROM ab_test WHERE incumbent = %(old)s::text;

-- rename_incumbent --
-- Another incumbent for an A/B test.
UPDATE ab_test SET incumbent = %(new)s::text, fingerprint = %(fingerprint)s::text WHERE id = %(test_id)s::bigint;

-- rename_challengers --
-- Another challenger for A/B tests.
UPDATE ab_challenger SET model_id = %(new)s::text WHERE model_id = %(old)s::text;

-- rename_changes --
-- Another model for changes.
UPDATE change SET model_id = %(new)s::text WHERE model_id = %(old)s::text;

-- rename_estimated --
-- Another model for estimated costs.
UPDATE estimated_cost SET model_id = %(new)s::text
WHERE model_id = %(old)s::text
    AND NOT EXISTS (SELECT 1 FROM estimated_cost AS other WHERE other.model_id = %(new)s::text);

-- rename_model_of_watches --
-- Another model for watches; those that the other model has, too, are left.
UPDATE watch SET model_id = %(new)s::text
WHERE model_id = %(old)s::text AND NOT EXISTS (
    SELECT 1 FROM watch AS other
    WHERE other.kind = watch.kind AND other.task_type = watch.task_type AND other.model_id = %(new)s::text
);

-- rename_task_type_of_watches --
-- Another task type for watches; those that the other one has, too, are left.
UPDATE watch SET task_type = %(new)s::text
WHERE task_type = %(old)s::text AND NOT EXISTS (
    SELECT 1 FROM watch AS other
    WHERE other.kind = watch.kind AND other.model_id = watch.model_id AND other.task_type = %(new)s::text
);

-- delete_watches_of_model --
-- Delete the watches over a model.
DELETE FROM watch WHERE model_id = %(model_id)s::text AND kind <> 'pool';

-- delete_watches_of_task_type --
-- Delete the watches over a task type.
DELETE FROM watch WHERE task_type = %(task_type)s::text AND kind <> 'pool';

-- rename_model_of_priors --
-- Another model for merged experience.
UPDATE prior SET model_id = %(new)s::text
WHERE model_id = %(old)s::text AND NOT EXISTS (
    SELECT 1 FROM prior AS other
    WHERE other.merged_id = prior.merged_id AND other.task_type = prior.task_type AND other.model_id = %(new)s::text
);

-- rename_task_type_of_priors --
-- Another task type for merged experience.
UPDATE prior SET task_type = %(new)s::text
WHERE task_type = %(old)s::text AND NOT EXISTS (
    SELECT 1 FROM prior AS other
    WHERE other.merged_id = prior.merged_id AND other.model_id = prior.model_id AND other.task_type = %(new)s::text
);

-- sets --
-- The sets of models that had failed before.
SELECT id, models FROM tried;

-- add_set --
-- The number of a set, which is added if it is new.
SELECT number_of_tried(%(models)s::text);

-- move_set_of_events --
-- Another set for events.
UPDATE event SET tried_id = %(to_id)s::integer WHERE tried_id = %(from_id)s::integer;

-- move_set_of_later --
-- Another set for later tries.
INSERT INTO later AS old (tally_id, tried_id, successes, failures, timeout_failures, score_shift)
SELECT tally_id, %(to_id)s::integer, successes, failures, timeout_failures, score_shift
FROM later WHERE tried_id = %(from_id)s::integer
ON CONFLICT (tally_id, tried_id) DO UPDATE SET
    successes = old.successes + excluded.successes,
    failures = old.failures + excluded.failures,
    timeout_failures = old.timeout_failures + excluded.timeout_failures,
    score_shift = old.score_shift + excluded.score_shift;

-- delete_set_of_later --
-- Delete the later tries of the former set.
DELETE FROM later WHERE tried_id = %(from_id)s::integer;

-- announced --
-- The last change of a model, and whether it was announced.
SELECT id, direction, noticed_ms FROM change WHERE model_id = %(model_id)s::text ORDER BY id DESC LIMIT 1;

-- delete_change --
-- Delete a change.
DELETE FROM change WHERE id = %(change_id)s::bigint;

-- resume_demotions --
-- Resume the demotions that ended with the announcement.
UPDATE demotion SET ended_ms = NULL, ended_by = NULL
WHERE ended_by = 'operator' AND ended_ms = %(noticed_ms)s::bigint
    AND tally_id IN (SELECT id FROM tally WHERE model_id = %(model_id)s::text)
    AND NOT EXISTS (
        SELECT 1 FROM demotion AS other WHERE other.tally_id = demotion.tally_id AND other.ended_ms IS NULL
    );

-- add_baselines --
-- The counts of a changed model's pairs until the change was noticed.
INSERT INTO baseline (
    tally_id, change_id, successes, failures, rate, timeout_failures, later_successes, later_failures,
    later_timeout_failures, score_shift, later_score_shift
)
SELECT
    tally.id,
    %(change_id)s::bigint,
    tally.successes - coalesce(since.successes, 0),
    tally.failures - tally.outages - tally.caller_errors - coalesce(since.quality_failures, 0),
    NULL,
    tally.timeout_failures - coalesce(since.timeout_failures, 0),
    tally.later_successes - coalesce(since.later_successes, 0),
    tally.later_failures - coalesce(since.later_failures, 0),
    tally.later_timeout_failures - coalesce(since.later_timeout_failures, 0),
    tally.score_shift - coalesce(since.score_shift, 0),
    tally.later_score_shift - coalesce(since.later_score_shift, 0)
FROM tally
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(quality_failures) AS quality_failures,
        sum(timeout_failures) AS timeout_failures, sum(later_successes) AS later_successes,
        sum(later_failures) AS later_failures, sum(later_timeout_failures) AS later_timeout_failures,
        sum(score_shift) AS score_shift, sum(later_score_shift) AS later_score_shift
    FROM counted_event WHERE id > %(noticed_event_id)s::bigint GROUP BY tally_id
) AS since ON since.tally_id = tally.id
WHERE tally.model_id = %(model_id)s::text;

-- begin_edit --
-- Let nobody else change a sum until the transaction ends.
SELECT lock_sums(), fold();

-- end_edit --
-- Tell those who keep tallies.
UPDATE progress SET corrections = corrections + 1;

-- sums_of_import --
-- The name under which an import keeps sums, unless a newer version of its source has replaced them.
SELECT kind || ':' || source FROM import AS own
WHERE id = %(import_id)s::bigint AND NOT EXISTS (
    SELECT 1 FROM import AS newer WHERE newer.kind = own.kind AND newer.source = own.source AND newer.id > own.id
);

-- count_imported --
-- How many outcomes the sums of an import have, in how many pairs.
SELECT coalesce(sum(imported.successes + imported.failures), 0)::bigint, count(*)
FROM imported JOIN tally ON tally.id = imported.tally_id
WHERE digest_of(imported.source) = digest_of(%(source)s::text)
    AND (%(task_type)s::text IS NULL OR tally.task_type = %(task_type)s::text)
    AND (%(model_id)s::text IS NULL OR tally.model_id = %(model_id)s::text);

-- note_imported_pairs --
-- Note the pairs of the sums of an import.
INSERT INTO edited_pair (tally_id)
SELECT imported.tally_id FROM imported JOIN tally ON tally.id = imported.tally_id
WHERE digest_of(imported.source) = digest_of(%(source)s::text)
    AND (%(task_type)s::text IS NULL OR tally.task_type = %(task_type)s::text)
    AND (%(model_id)s::text IS NULL OR tally.model_id = %(model_id)s::text)
ON CONFLICT DO NOTHING;

-- subtract_imported --
-- Take the sums of an import out of the tallies.
UPDATE tally SET
    successes = tally.successes - imported.successes,
    failures = tally.failures - imported.failures,
    timeouts = tally.timeouts - imported.timeouts,
    tokens = greatest(0, tally.tokens - imported.tokens),
    cost_nano_usd = greatest(0, tally.cost_nano_usd - imported.cost_nano_usd),
    priced = tally.priced - CASE WHEN imported.cost_nano_usd > 0 THEN imported.successes + imported.failures ELSE 0 END
FROM imported
WHERE imported.tally_id = tally.id AND digest_of(imported.source) = digest_of(%(source)s::text)
    AND (%(task_type)s::text IS NULL OR tally.task_type = %(task_type)s::text)
    AND (%(model_id)s::text IS NULL OR tally.model_id = %(model_id)s::text);

-- subtract_imported_baselines --
-- Take them out of the counts from before a change that was noticed after the import.
UPDATE baseline SET
    successes = greatest(0, baseline.successes - imported.successes),
    failures = greatest(0, baseline.failures - imported.failures)
FROM imported JOIN edited_pair ON edited_pair.tally_id = imported.tally_id
WHERE imported.tally_id = baseline.tally_id AND digest_of(imported.source) = digest_of(%(source)s::text)
    AND (SELECT noticed_ms FROM change WHERE change.id = baseline.change_id) >= (
        SELECT latest_ms FROM import WHERE id = %(import_id)s::bigint
    );

-- delete_imported_sums --
-- Delete the sums of an import.
DELETE FROM imported
WHERE digest_of(imported.source) = digest_of(%(source)s::text) AND tally_id IN (
    SELECT tally.id FROM tally
    WHERE (%(task_type)s::text IS NULL OR tally.task_type = %(task_type)s::text)
        AND (%(model_id)s::text IS NULL OR tally.model_id = %(model_id)s::text)
);

-- keep_import --
-- An import that hosts begin themselves stays known, or they would begin it again.
UPDATE import SET outcomes = 0 WHERE id = %(import_id)s::bigint AND (kind = 'json' AND strpos(source, '/') = 0);

-- delete_import --
-- Delete any other import from the list, so that its source may be imported again.
DELETE FROM import WHERE id = %(import_id)s::bigint AND NOT (kind = 'json' AND strpos(source, '/') = 0);

-- delete_ranges --
-- Forget which events it had brought.
DELETE FROM import_range WHERE import_id = %(import_id)s::bigint;

-- rates_of_change --
-- The success rates expected since the last change of a model, as JSON by task type.
SELECT rates FROM change WHERE model_id = %(model_id)s::text ORDER BY id DESC LIMIT 1;

-- restore_rate --
-- The success rate expected of one pair after the change.
UPDATE baseline SET rate = %(rate)s::double precision
WHERE tally_id = (SELECT id FROM tally WHERE task_type = %(task_type)s::text AND model_id = %(model_id)s::text);
