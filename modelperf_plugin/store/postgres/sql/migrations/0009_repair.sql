-- Recomputing sums from the events, of the pairs of which they are wrong. The caller holds the lock and has folded, and
-- goes on in this order: tallies, daily roll-up, later tries, durations.

CREATE FUNCTION numbers_of_pairs(p_task_types text[], p_model_ids text[]) RETURNS integer[] STABLE LANGUAGE sql AS $$
    SELECT ARRAY(
        SELECT tally.id
        FROM unnest(p_task_types, p_model_ids) AS pair (task_type, model_id)
        JOIN tally ON tally.task_type = pair.task_type AND digest_of(tally.model_id) = digest_of(pair.model_id)
    )
$$;

CREATE FUNCTION recount_tallies(p_tally_ids integer[]) RETURNS void LANGUAGE sql AS $$
    UPDATE tally SET
        successes = sums.successes, failures = sums.failures, timeouts = sums.timeouts, outages = sums.outages,
        caller_errors = sums.caller_errors, tokens = sums.tokens, cost_nano_usd = sums.cost_nano_usd,
        priced = sums.priced, timeout_failures = sums.timeout_failures, later_successes = sums.later_successes,
        later_failures = sums.later_failures, later_timeout_failures = sums.later_timeout_failures,
        graded = sums.graded, score_shift = sums.score_shift, later_score_shift = sums.later_score_shift,
        -- the newest may be among those that are gone
        last_used_ms = CASE
            WHEN tally.id IN (SELECT tally_id FROM dropped) THEN greatest(sums.last_used_ms, tally.last_used_ms)
            ELSE coalesce(sums.last_used_ms, tally.last_used_ms)
        END
    FROM (
        SELECT
            each.id, coalesce(sum(part.successes), 0) AS successes, coalesce(sum(part.failures), 0) AS failures,
            coalesce(sum(part.timeouts), 0) AS timeouts, coalesce(sum(part.outages), 0) AS outages,
            coalesce(sum(part.caller_errors), 0) AS caller_errors, bounded(coalesce(sum(part.tokens), 0)) AS tokens,
            bounded(coalesce(sum(part.cost_nano_usd), 0)) AS cost_nano_usd, coalesce(sum(part.priced), 0) AS priced,
            coalesce(sum(part.timeout_failures), 0) AS timeout_failures,
            coalesce(sum(part.later_successes), 0) AS later_successes,
            coalesce(sum(part.later_failures), 0) AS later_failures,
            coalesce(sum(part.later_timeout_failures), 0) AS later_timeout_failures,
            coalesce(sum(part.graded), 0) AS graded, coalesce(sum(part.score_shift), 0) AS score_shift,
            coalesce(sum(part.later_score_shift), 0) AS later_score_shift, max(part.last_used_ms) AS last_used_ms
        FROM tally AS each
        LEFT JOIN (
            SELECT
                tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
                timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
                later_score_shift, ended_ms AS last_used_ms
            FROM counted_event
            UNION ALL
            SELECT
                tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
                timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
                later_score_shift, NULL
            FROM dropped
            UNION ALL
            SELECT
                tally_id, successes, failures, timeouts, 0, 0, tokens, cost_nano_usd,
                CASE WHEN cost_nano_usd > 0 THEN successes + failures ELSE 0 END, 0, 0, 0, 0, 0, 0, 0, last_used_ms
            FROM imported
        ) AS part ON part.tally_id = each.id
        WHERE each.id = ANY (p_tally_ids)
        GROUP BY each.id
    ) AS sums
    WHERE tally.id = sums.id
$$;

-- When the dropped events of a pair ended is lost: they count on the day before its first event.
CREATE FUNCTION recount_days(p_tally_ids integer[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM daily WHERE tally_id = ANY (p_tally_ids);
    INSERT INTO daily (
        tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
        timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
        later_score_shift
    )
    SELECT
        tally_id, day_of(ended_ms), sum(successes), sum(failures), sum(timeouts), sum(outages), sum(caller_errors),
        bounded(sum(tokens)), bounded(sum(cost_nano_usd)), sum(priced), sum(timeout_failures), sum(later_successes),
        sum(later_failures), sum(later_timeout_failures), sum(graded), sum(score_shift), sum(later_score_shift)
    FROM counted_event WHERE tally_id = ANY (p_tally_ids) GROUP BY 1, 2
    UNION ALL
    SELECT
        dropped.tally_id,
        coalesce(
            (SELECT day_of(min(ended_ms)) - 1 FROM event WHERE event.tally_id = dropped.tally_id),
            day_of(tally.last_used_ms), 0
        ),
        dropped.successes, dropped.failures, dropped.timeouts, dropped.outages, dropped.caller_errors, dropped.tokens,
        dropped.cost_nano_usd, dropped.priced, dropped.timeout_failures, dropped.later_successes,
        dropped.later_failures, dropped.later_timeout_failures, dropped.graded, dropped.score_shift,
        dropped.later_score_shift
    FROM dropped JOIN tally ON tally.id = dropped.tally_id WHERE dropped.tally_id = ANY (p_tally_ids)
$$;

-- What had failed before the dropped later tries of a pair is lost: they count under the unknown set.
CREATE FUNCTION recount_later(p_tally_ids integer[], p_unknown text) RETURNS void LANGUAGE sql AS $$
    SELECT number_of_tried(p_unknown);
    DELETE FROM later WHERE tally_id = ANY (p_tally_ids);
    INSERT INTO later (tally_id, tried_id, successes, failures, timeout_failures, score_shift)
    SELECT tally_id, tried_id, sum(successes), sum(failures), sum(timeout_failures), sum(score_shift)
    FROM (
        SELECT
            tally_id, tried_id, later_successes AS successes, later_failures AS failures,
            later_timeout_failures AS timeout_failures, later_score_shift AS score_shift
        FROM counted_event WHERE is_later
        UNION ALL
        SELECT
            dropped.tally_id, tried.id, dropped.later_successes, dropped.later_failures,
            dropped.later_timeout_failures, dropped.later_score_shift
        FROM dropped JOIN tried ON digest_of(tried.models) = digest_of(p_unknown)
        WHERE dropped.later_successes + dropped.later_failures > 0
    ) AS tries
    WHERE tally_id = ANY (p_tally_ids) GROUP BY 1, 2
$$;

-- Those of the dropped events of a pair are lost.
CREATE FUNCTION recount_durations(p_tally_ids integer[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM duration WHERE tally_id = ANY (p_tally_ids);
    INSERT INTO duration (tally_id, period, from_ms, outcomes)
    SELECT
        tally_id, period_of(ended_ms),
        (SELECT max(from_ms) FROM duration_border WHERE from_ms <= counted_event.duration_ms), count(*)
    FROM counted_event WHERE is_timed AND tally_id = ANY (p_tally_ids) GROUP BY 1, 2, 3
$$;
