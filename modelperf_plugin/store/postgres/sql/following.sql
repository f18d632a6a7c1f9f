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
