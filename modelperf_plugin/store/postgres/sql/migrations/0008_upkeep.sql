-- Deleting old events, whose sums stay.

-- Delete what is older than a moment among the next `p_most` events after one that have any. Answers as `DroppedStep`.
CREATE FUNCTION drop_step(
    p_before_ms bigint, p_after_id bigint, p_most integer,
    OUT looked_at bigint, OUT dropped bigint, OUT last_id bigint, OUT at_end boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    v_newest bigint;
    v_count bigint;
    v_old bigint;
    v_end bigint;
BEGIN
    looked_at := 0;
    dropped := 0;
    last_id := p_after_id;
    PERFORM fold();
    FOR i IN 1..8 LOOP
        SELECT last_event_id INTO v_newest FROM progress; -- it always stays
        SELECT max(id), count(*), count(*) FILTER (WHERE ended_ms < p_before_ms) INTO v_end, v_count, v_old
        FROM (
            SELECT id, ended_ms FROM event WHERE id > last_id AND id < v_newest ORDER BY id LIMIT p_most
        ) AS step;
        looked_at := looked_at + v_count;
        at_end := v_count < p_most;
        EXIT WHEN v_old > 0;
        last_id := coalesce(v_end, last_id);
        IF at_end THEN
            RETURN;
        END IF;
    END LOOP;
    IF v_old = 0 THEN
        RETURN;
    END IF;
    PERFORM lock_sums();
    INSERT INTO dropped AS old (
        tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
        timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
        later_score_shift
    )
    SELECT
        tally_id, sum(successes), sum(failures), sum(timeouts), sum(outages), sum(caller_errors), bounded(sum(tokens)),
        bounded(sum(cost_nano_usd)), sum(priced), sum(timeout_failures), sum(later_successes), sum(later_failures),
        sum(later_timeout_failures), sum(graded), sum(score_shift), sum(later_score_shift)
    FROM counted_event WHERE id > last_id AND id <= v_end AND ended_ms < p_before_ms GROUP BY tally_id
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
    WITH gone AS (
        DELETE FROM event WHERE id > last_id AND id <= v_end AND ended_ms < p_before_ms RETURNING id, number
    ),
    unreferred AS (
        DELETE FROM event_ref WHERE number IN (SELECT number FROM gone)
    ),
    unserved AS (
        DELETE FROM served WHERE event_id IN (SELECT id FROM gone)
    ),
    unrevised AS ( -- the newest stays: readers go by its number
        DELETE FROM revision
        WHERE event_id IN (SELECT id FROM gone) AND number < (SELECT max(number) FROM revision)
    )
    SELECT count(*) INTO dropped FROM gone;
    last_id := v_end;
END $$;
