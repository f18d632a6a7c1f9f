-- What a process reads to follow what others record.

-- channel --
-- Where the database tells of news.
SELECT news_channel();

-- fold --
-- Fold for a short time, unless another one is doing it.
SELECT fold_some(false);

-- senders --
-- How far connections have come.
SELECT id, executed(id) FROM unnest(%s::text[]) AS id;

-- tallies --
-- The tallies of some task types. A pair without outcomes is skipped.
SELECT
    task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    last_used_ms, timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
    later_score_shift
FROM tally_now WHERE task_type = ANY(%s) AND successes + failures > 0 ORDER BY task_type, model_id;

-- later --
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
