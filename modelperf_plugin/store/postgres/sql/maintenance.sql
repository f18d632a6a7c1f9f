-- tally_drift --
-- Pairs whose tally is not the sum of events, dropped events and imports: must be none.
SELECT task_type, model_id
FROM tally
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts,
        sum(outages) AS outages, sum(caller_errors) AS caller_errors, sum(tokens) AS tokens,
        sum(cost_nano_usd) AS cost_nano_usd, sum(timeout_failures) AS timeout_failures,
        sum(later_successes) AS later_successes, sum(later_failures) AS later_failures,
        sum(later_timeout_failures) AS later_timeout_failures, sum(graded) AS graded, sum(score_shift) AS score_shift,
        sum(later_score_shift) AS later_score_shift
    FROM (
        SELECT
            tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, timeout_failures,
            later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
        FROM counted_event
        UNION ALL
        SELECT
            tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, timeout_failures,
            later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
        FROM dropped
        UNION ALL
        SELECT tally_id, successes, failures, timeouts, 0, 0, tokens, cost_nano_usd, 0, 0, 0, 0, 0, 0, 0 FROM imported
    ) AS parts
    GROUP BY tally_id
) AS sums ON sums.tally_id = tally.id
WHERE (
    tally.successes, tally.failures, tally.timeouts, tally.outages, tally.caller_errors, tally.tokens,
    tally.cost_nano_usd, tally.timeout_failures, tally.later_successes, tally.later_failures,
    tally.later_timeout_failures, tally.graded, tally.score_shift, tally.later_score_shift
) IS DISTINCT FROM (
    coalesce(sums.successes, 0), coalesce(sums.failures, 0), coalesce(sums.timeouts, 0), coalesce(sums.outages, 0),
    coalesce(sums.caller_errors, 0), bounded(coalesce(sums.tokens, 0)), bounded(coalesce(sums.cost_nano_usd, 0)),
    coalesce(sums.timeout_failures, 0), coalesce(sums.later_successes, 0), coalesce(sums.later_failures, 0),
    coalesce(sums.later_timeout_failures, 0), coalesce(sums.graded, 0), coalesce(sums.score_shift, 0),
    coalesce(sums.later_score_shift, 0)
)
ORDER BY task_type, model_id;

-- daily_drift --
-- Pairs whose roll-up, with the imports, is not their tally: must be none.
SELECT task_type, model_id
FROM tally
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts,
        sum(outages) AS outages, sum(caller_errors) AS caller_errors, sum(tokens) AS tokens,
        sum(cost_nano_usd) AS cost_nano_usd, sum(timeout_failures) AS timeout_failures,
        sum(later_successes) AS later_successes, sum(later_failures) AS later_failures,
        sum(later_timeout_failures) AS later_timeout_failures, sum(graded) AS graded, sum(score_shift) AS score_shift,
        sum(later_score_shift) AS later_score_shift
    FROM (
        SELECT
            tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, timeout_failures,
            later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
        FROM daily
        UNION ALL
        SELECT tally_id, successes, failures, timeouts, 0, 0, tokens, cost_nano_usd, 0, 0, 0, 0, 0, 0, 0 FROM imported
    ) AS parts
    GROUP BY tally_id
) AS sums ON sums.tally_id = tally.id
WHERE (
    tally.successes, tally.failures, tally.timeouts, tally.outages, tally.caller_errors, tally.tokens,
    tally.cost_nano_usd, tally.timeout_failures, tally.later_successes, tally.later_failures,
    tally.later_timeout_failures, tally.graded, tally.score_shift, tally.later_score_shift
) IS DISTINCT FROM (
    coalesce(sums.successes, 0), coalesce(sums.failures, 0), coalesce(sums.timeouts, 0), coalesce(sums.outages, 0),
    coalesce(sums.caller_errors, 0), bounded(coalesce(sums.tokens, 0)), bounded(coalesce(sums.cost_nano_usd, 0)),
    coalesce(sums.timeout_failures, 0), coalesce(sums.later_successes, 0), coalesce(sums.later_failures, 0),
    coalesce(sums.later_timeout_failures, 0), coalesce(sums.graded, 0), coalesce(sums.score_shift, 0),
    coalesce(sums.later_score_shift, 0)
)
ORDER BY task_type, model_id;

-- later_drift --
-- Pairs whose later tries, by what had failed before, are not those of their tally, or fewer than their events.
SELECT task_type, model_id
FROM tally
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeout_failures) AS timeout_failures,
        sum(score_shift) AS score_shift
    FROM later GROUP BY tally_id
) AS sets ON sets.tally_id = tally.id
WHERE (tally.later_successes, tally.later_failures, tally.later_timeout_failures, tally.later_score_shift)
    IS DISTINCT FROM (
        coalesce(sets.successes, 0), coalesce(sets.failures, 0), coalesce(sets.timeout_failures, 0),
        coalesce(sets.score_shift, 0)
    )
UNION
SELECT tally.task_type, tally.model_id
FROM (
    SELECT tally_id, tried_id, sum(successes) AS successes, sum(failures) AS failures
    FROM counted_event WHERE is_later GROUP BY 1, 2
) AS events
JOIN tally ON tally.id = events.tally_id
LEFT JOIN later USING (tally_id, tried_id)
WHERE events.successes > coalesce(later.successes, 0) OR events.failures > coalesce(later.failures, 0)
ORDER BY 1, 2;

-- duration_drift --
-- Pairs whose durations lack some of their events', or are more than these and those that were dropped can be.
SELECT tally.task_type, tally.model_id
FROM tally
JOIN (SELECT tally_id, sum(outcomes) AS outcomes, min(outcomes) AS least FROM duration GROUP BY tally_id) AS known
    ON known.tally_id = tally.id
LEFT JOIN (SELECT tally_id, count(*) AS outcomes FROM counted_event WHERE is_timed GROUP BY tally_id) AS events
    ON events.tally_id = tally.id
LEFT JOIN dropped AS gone ON gone.tally_id = tally.id
WHERE known.least < 1
    OR known.outcomes > coalesce(events.outcomes, 0)
        + coalesce(gone.successes + gone.failures - gone.outages - gone.caller_errors, 0)
UNION
SELECT tally.task_type, tally.model_id
FROM (
    SELECT
        tally_id, period_of(ended_ms) AS period,
        (SELECT max(from_ms) FROM duration_border WHERE from_ms <= counted_event.duration_ms) AS from_ms,
        count(*) AS outcomes
    FROM counted_event WHERE is_timed GROUP BY 1, 2, 3
) AS events
JOIN tally ON tally.id = events.tally_id
LEFT JOIN duration USING (tally_id, period, from_ms)
WHERE events.outcomes > coalesce(duration.outcomes, 0)
ORDER BY 1, 2;

-- size --
-- How large the tables are, how many outcomes wait to be added up, and the version of the server.
SELECT
    (
        SELECT sum(pg_total_relation_size(oid)) FROM pg_class
        WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
    )::bigint,
    (SELECT count(*) FROM fresh), current_setting('server_version');
