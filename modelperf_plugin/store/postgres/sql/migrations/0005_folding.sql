-- Moving outcomes from the queue into the events and their sums; and the sums of both, for whoever only reads.

-- Wait for the lock on events and sums, or see whether it is free. It is released when the transaction ends.
CREATE FUNCTION lock_sums(p_wait boolean DEFAULT true) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF p_wait THEN
        PERFORM pg_advisory_xact_lock('fresh'::regclass::oid::bigint);
        RETURN true;
    END IF;
    RETURN pg_try_advisory_xact_lock('fresh'::regclass::oid::bigint);
END $$;

-- Move what was recorded before the call to the events; return whether that is done: without waiting, another one may
-- be doing it at the moment.
CREATE FUNCTION fold(p_wait boolean DEFAULT true) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    c_batch CONSTANT integer := 10000;
    v_is_first boolean := pg_current_xact_id_if_assigned() IS NULL;
    v_progress progress;
    v_issued bigint;
    v_last bigint;
    v_moved bigint;
BEGIN
    IF (
        SELECT min(number) FROM fresh WHERE number > (SELECT folded FROM progress)
    ) IS NULL THEN
        RETURN true;
    END IF;
    IF NOT lock_sums(p_wait) THEN
        RETURN false;
    END IF;
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO v_issued FROM outcome_number;
    SELECT * INTO v_progress FROM progress;
    v_last := v_progress.last_event_id;
    IF v_progress.issued_until IS NULL THEN
        IF v_is_first THEN -- its id is later than that of any transaction with a number
            UPDATE progress SET issued = v_issued, issued_until = pg_current_xact_id();
        END IF;
    ELSIF pg_snapshot_xmin(pg_current_snapshot()) >= v_progress.issued_until THEN -- they are all over
        UPDATE progress SET folded = issued, issued = NULL, issued_until = NULL; -- with what follows
    END IF;
    LOOP
        WITH taken AS (
            DELETE FROM fresh
            WHERE number > v_progress.folded AND number <= (
                SELECT max(number)
                FROM (
                    SELECT number FROM fresh WHERE number > v_progress.folded ORDER BY number LIMIT c_batch
                ) AS batch
            )
            RETURNING *
        ),
        counted AS MATERIALIZED (
            SELECT
                v_last + row_number() OVER (ORDER BY number) AS id, taken.*, counts.successes, counts.failures,
                counts.timeouts, counts.outages, counts.caller_errors, counts.priced, counts.timeout_failures,
                counts.is_later, counts.graded, counts.score_shift, counts.is_timed
            FROM taken
            CROSS JOIN LATERAL counts_of(
                taken.success, taken.timeout, taken.error_kind, taken.score, taken.cost_nano_usd, taken.tried_id,
                taken.duration_ms
            ) AS counts
        ),
        moved AS (
            INSERT INTO event (
                id, number, ended_ms, tokens, cost_nano_usd, duration_ms, retry_after_ms, tally_id, tried_id, score,
                success, timeout, error_kind
            )
            SELECT
                id, CASE WHEN is_referred THEN number END, ended_ms, tokens, cost_nano_usd, duration_ms,
                retry_after_ms, tally_id, tried_id, score, success, timeout, error_kind
            FROM counted ORDER BY id
        ),
        referred AS (
            INSERT INTO event_ref (number, event_id) SELECT number, id FROM counted WHERE is_referred ORDER BY number
        ),
        served_too AS (
            INSERT INTO served (event_id, served_id) SELECT id, served_id FROM counted WHERE served_id IS NOT NULL
        ),
        days AS MATERIALIZED (
            SELECT
                tally_id, day_of(ended_ms) AS day, max(ended_ms) AS last_used_ms, sum(successes) AS successes,
                sum(failures) AS failures, sum(timeouts) AS timeouts, sum(outages) AS outages,
                sum(caller_errors) AS caller_errors, sum(tokens) AS tokens, sum(cost_nano_usd) AS cost_nano_usd,
                sum(priced) AS priced, sum(timeout_failures) AS timeout_failures,
                coalesce(sum(successes) FILTER (WHERE is_later), 0) AS later_successes,
                coalesce(sum(failures) FILTER (WHERE is_later), 0) AS later_failures,
                coalesce(sum(timeout_failures) FILTER (WHERE is_later), 0) AS later_timeout_failures,
                sum(graded) AS graded, sum(score_shift) AS score_shift,
                coalesce(sum(score_shift) FILTER (WHERE is_later), 0) AS later_score_shift
            FROM counted GROUP BY 1, 2
        ),
        rolled_up AS (
            INSERT INTO daily AS old (
                tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
                timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
                later_score_shift
            )
            SELECT
                tally_id, day, successes, failures, timeouts, outages, caller_errors, bounded(tokens),
                bounded(cost_nano_usd), priced, timeout_failures, later_successes, later_failures,
                later_timeout_failures, graded, score_shift, later_score_shift
            FROM days ORDER BY tally_id, day
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
                later_score_shift = old.later_score_shift + excluded.later_score_shift
        ),
        added AS (
            UPDATE tally SET
                last_used_ms = greatest(tally.last_used_ms, new.last_used_ms),
                successes = tally.successes + new.successes,
                failures = tally.failures + new.failures,
                timeouts = tally.timeouts + new.timeouts,
                outages = tally.outages + new.outages,
                caller_errors = tally.caller_errors + new.caller_errors,
                tokens = bounded(tally.tokens + new.tokens),
                cost_nano_usd = bounded(tally.cost_nano_usd + new.cost_nano_usd),
                priced = tally.priced + new.priced,
                timeout_failures = tally.timeout_failures + new.timeout_failures,
                later_successes = tally.later_successes + new.later_successes,
                later_failures = tally.later_failures + new.later_failures,
                later_timeout_failures = tally.later_timeout_failures + new.later_timeout_failures,
                graded = tally.graded + new.graded,
                score_shift = tally.score_shift + new.score_shift,
                later_score_shift = tally.later_score_shift + new.later_score_shift
            FROM (
                SELECT
                    tally_id, max(last_used_ms) AS last_used_ms, sum(successes) AS successes, sum(failures) AS failures,
                    sum(timeouts) AS timeouts, sum(outages) AS outages, sum(caller_errors) AS caller_errors,
                    sum(tokens) AS tokens, sum(cost_nano_usd) AS cost_nano_usd, sum(priced) AS priced,
                    sum(timeout_failures) AS timeout_failures, sum(later_successes) AS later_successes,
                    sum(later_failures) AS later_failures, sum(later_timeout_failures) AS later_timeout_failures,
                    sum(graded) AS graded, sum(score_shift) AS score_shift, sum(later_score_shift) AS later_score_shift
                FROM days GROUP BY tally_id
            ) AS new
            WHERE tally.id = new.tally_id
        ),
        tried_again AS (
            INSERT INTO later AS old (tally_id, tried_id, successes, failures, timeout_failures, score_shift)
            SELECT tally_id, tried_id, sum(successes), sum(failures), sum(timeout_failures), sum(score_shift)
            FROM counted WHERE is_later GROUP BY 1, 2 ORDER BY 1, 2
            ON CONFLICT (tally_id, tried_id) DO UPDATE SET
                successes = old.successes + excluded.successes,
                failures = old.failures + excluded.failures,
                timeout_failures = old.timeout_failures + excluded.timeout_failures,
                score_shift = old.score_shift + excluded.score_shift
        ),
        timed AS (
            INSERT INTO duration AS old (tally_id, period, from_ms, outcomes)
            SELECT
                tally_id, period_of(ended_ms),
                (SELECT max(from_ms) FROM duration_border WHERE from_ms <= counted.duration_ms), count(*)
            FROM counted WHERE is_timed GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            ON CONFLICT (tally_id, period, from_ms) DO UPDATE SET outcomes = old.outcomes + excluded.outcomes
        )
        SELECT count(*) INTO v_moved FROM counted;
        v_last := v_last + v_moved;
        EXIT WHEN v_moved < c_batch;
    END LOOP;
    UPDATE progress SET last_event_id = v_last WHERE last_event_id <> v_last;
    RETURN true;
END $$;

-- Fold, unless another one is doing it, and tell how many events there are, how often sums were corrected, and whether
-- that is all that was recorded before the call.
CREATE FUNCTION fold_and_tell(OUT events bigint, OUT corrected bigint, OUT is_complete boolean) LANGUAGE plpgsql AS $$
BEGIN
    is_complete := fold(false);
    SELECT last_event_id, corrections INTO events, corrected FROM progress;
END $$;

-- Add one event to the sums, or with -1 take it away. The caller holds the lock.
CREATE FUNCTION add_to_sums(p_event event, p_times integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v record;
    v_later integer;
BEGIN
    SELECT * INTO v FROM counts_of(
        p_event.success, p_event.timeout, p_event.error_kind, p_event.score, p_event.cost_nano_usd, p_event.tried_id,
        p_event.duration_ms
    );
    v_later := CASE WHEN v.is_later THEN p_times ELSE 0 END;
    UPDATE tally SET
        last_used_ms = CASE WHEN p_times > 0 THEN greatest(last_used_ms, p_event.ended_ms) ELSE last_used_ms END,
        successes = successes + p_times * v.successes,
        failures = failures + p_times * v.failures,
        timeouts = timeouts + p_times * v.timeouts,
        outages = outages + p_times * v.outages,
        caller_errors = caller_errors + p_times * v.caller_errors,
        tokens = bounded(tokens::numeric + p_times * p_event.tokens),
        cost_nano_usd = bounded(cost_nano_usd::numeric + p_times * p_event.cost_nano_usd),
        priced = priced + p_times * v.priced,
        timeout_failures = timeout_failures + p_times * v.timeout_failures,
        later_successes = later_successes + v_later * v.successes,
        later_failures = later_failures + v_later * v.failures,
        later_timeout_failures = later_timeout_failures + v_later * v.timeout_failures,
        graded = graded + p_times * v.graded,
        score_shift = score_shift + p_times * v.score_shift,
        later_score_shift = later_score_shift + v_later * v.score_shift
    WHERE id = p_event.tally_id;
    UPDATE daily SET
        successes = successes + p_times * v.successes,
        failures = failures + p_times * v.failures,
        timeouts = timeouts + p_times * v.timeouts,
        outages = outages + p_times * v.outages,
        caller_errors = caller_errors + p_times * v.caller_errors,
        tokens = bounded(tokens::numeric + p_times * p_event.tokens),
        cost_nano_usd = bounded(cost_nano_usd::numeric + p_times * p_event.cost_nano_usd),
        priced = priced + p_times * v.priced,
        timeout_failures = timeout_failures + p_times * v.timeout_failures,
        later_successes = later_successes + v_later * v.successes,
        later_failures = later_failures + v_later * v.failures,
        later_timeout_failures = later_timeout_failures + v_later * v.timeout_failures,
        graded = graded + p_times * v.graded,
        score_shift = score_shift + p_times * v.score_shift,
        later_score_shift = later_score_shift + v_later * v.score_shift
    WHERE tally_id = p_event.tally_id AND day = day_of(p_event.ended_ms);
    -- the counts from before a change of the model, if the event is one of them
    UPDATE baseline SET
        successes = successes + p_times * v.successes,
        failures = failures + p_times * v.quality_failures,
        timeout_failures = timeout_failures + p_times * v.timeout_failures,
        later_successes = later_successes + v_later * v.successes,
        later_failures = later_failures + v_later * v.failures,
        later_timeout_failures = later_timeout_failures + v_later * v.timeout_failures,
        score_shift = score_shift + p_times * v.score_shift,
        later_score_shift = later_score_shift + v_later * v.score_shift
    WHERE tally_id = p_event.tally_id
        AND p_event.id <= (SELECT noticed_event_id FROM change WHERE change.id = baseline.change_id);
    IF v.is_later THEN
        INSERT INTO later AS old (tally_id, tried_id, successes, failures, timeout_failures, score_shift)
        VALUES (
            p_event.tally_id, p_event.tried_id, p_times * v.successes, p_times * v.failures,
            p_times * v.timeout_failures, p_times * v.score_shift
        )
        ON CONFLICT (tally_id, tried_id) DO UPDATE SET
            successes = old.successes + excluded.successes,
            failures = old.failures + excluded.failures,
            timeout_failures = old.timeout_failures + excluded.timeout_failures,
            score_shift = old.score_shift + excluded.score_shift;
        DELETE FROM later
        WHERE tally_id = p_event.tally_id AND tried_id = p_event.tried_id AND successes = 0 AND failures = 0;
    END IF;
    IF v.is_timed THEN
        INSERT INTO duration AS old (tally_id, period, from_ms, outcomes)
        SELECT p_event.tally_id, period_of(p_event.ended_ms), max(from_ms), p_times
        FROM duration_border WHERE from_ms <= p_event.duration_ms
        ON CONFLICT (tally_id, period, from_ms) DO UPDATE SET outcomes = old.outcomes + excluded.outcomes;
        DELETE FROM duration
        WHERE tally_id = p_event.tally_id AND period = period_of(p_event.ended_ms) AND outcomes = 0;
    END IF;
END $$;

CREATE VIEW counted_fresh AS
SELECT
    fresh.tally_id, fresh.tried_id, fresh.ended_ms, fresh.duration_ms, fresh.tokens, fresh.cost_nano_usd, counts.*,
    is_later::integer * counts.successes AS later_successes, is_later::integer * counts.failures AS later_failures,
    is_later::integer * counts.timeout_failures AS later_timeout_failures,
    is_later::integer * counts.score_shift AS later_score_shift
FROM fresh
CROSS JOIN LATERAL counts_of(
    fresh.success, fresh.timeout, fresh.error_kind, fresh.score, fresh.cost_nano_usd, fresh.tried_id, fresh.duration_ms
) AS counts
WHERE fresh.number > (SELECT folded FROM progress);

CREATE VIEW counted_event AS
SELECT
    event.id, event.tally_id, event.tried_id, event.ended_ms, event.duration_ms, event.tokens, event.cost_nano_usd,
    counts.*, is_later::integer * counts.successes AS later_successes,
    is_later::integer * counts.failures AS later_failures,
    is_later::integer * counts.timeout_failures AS later_timeout_failures,
    is_later::integer * counts.score_shift AS later_score_shift
FROM event
CROSS JOIN LATERAL counts_of(
    event.success, event.timeout, event.error_kind, event.score, event.cost_nano_usd, event.tried_id, event.duration_ms
) AS counts;

-- The sums with what is still in the queue: `..._now` instead of the table of that name.
CREATE VIEW tally_now AS
SELECT
    tally.id, tally.task_type, tally.model_id,
    greatest(tally.last_used_ms, new.last_used_ms) AS last_used_ms,
    tally.successes + coalesce(new.successes, 0) AS successes,
    tally.failures + coalesce(new.failures, 0) AS failures,
    tally.timeouts + coalesce(new.timeouts, 0) AS timeouts,
    tally.outages + coalesce(new.outages, 0) AS outages,
    tally.caller_errors + coalesce(new.caller_errors, 0) AS caller_errors,
    bounded(tally.tokens + coalesce(new.tokens, 0)) AS tokens,
    bounded(tally.cost_nano_usd + coalesce(new.cost_nano_usd, 0)) AS cost_nano_usd,
    tally.priced + coalesce(new.priced, 0) AS priced,
    tally.timeout_failures + coalesce(new.timeout_failures, 0) AS timeout_failures,
    tally.later_successes + coalesce(new.later_successes, 0) AS later_successes,
    tally.later_failures + coalesce(new.later_failures, 0) AS later_failures,
    tally.later_timeout_failures + coalesce(new.later_timeout_failures, 0) AS later_timeout_failures,
    tally.graded + coalesce(new.graded, 0) AS graded,
    tally.score_shift + coalesce(new.score_shift, 0) AS score_shift,
    tally.later_score_shift + coalesce(new.later_score_shift, 0) AS later_score_shift
FROM tally
LEFT JOIN (
    SELECT
        tally_id, max(ended_ms) AS last_used_ms, sum(successes) AS successes, sum(failures) AS failures,
        sum(timeouts) AS timeouts, sum(outages) AS outages, sum(caller_errors) AS caller_errors, sum(tokens) AS tokens,
        sum(cost_nano_usd) AS cost_nano_usd, sum(priced) AS priced, sum(timeout_failures) AS timeout_failures,
        sum(later_successes) AS later_successes, sum(later_failures) AS later_failures,
        sum(later_timeout_failures) AS later_timeout_failures, sum(graded) AS graded, sum(score_shift) AS score_shift,
        sum(later_score_shift) AS later_score_shift
    FROM counted_fresh GROUP BY tally_id
) AS new ON new.tally_id = tally.id;

-- A day, a set or a bucket may have a row for each outcome in the queue.
CREATE VIEW daily_now AS
SELECT
    tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
FROM daily
UNION ALL
SELECT
    tally_id, day_of(ended_ms), successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
FROM counted_fresh;

CREATE VIEW later_now AS
SELECT tally_id, tried_id, successes, failures, timeout_failures, score_shift FROM later
UNION ALL
SELECT tally_id, tried_id, successes, failures, timeout_failures, score_shift FROM counted_fresh WHERE is_later;

CREATE VIEW duration_now AS
SELECT tally_id, period, from_ms, outcomes FROM duration
UNION ALL
SELECT
    tally_id, period_of(ended_ms),
    (SELECT max(from_ms) FROM duration_border WHERE from_ms <= counted_fresh.duration_ms), 1
FROM counted_fresh WHERE is_timed;
