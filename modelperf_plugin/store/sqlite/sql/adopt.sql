-- Moves the rows of a file with the migration guide's two tables (renamed to document_*) into our schema, in one
-- transaction with the first migration. The renamed tables stay, untouched.

INSERT INTO model_outcomes (task_type, model_id, success, timeout, tokens_used, cost_usd, timestamp)
SELECT task_type, model_id, success, timeout, tokens_used, cost_usd, timestamp
FROM document_model_outcomes ORDER BY id;

-- Counts of its aggregate beyond its events (an import of the older JSON file) become imported sums.
INSERT INTO model_stats (task_type, model_id, successes, failures, timeouts, total_tokens, total_cost, last_used)
SELECT
    stats.task_type,
    stats.model_id,
    max(0, stats.successes - coalesce(tally.successes, 0)),
    max(0, stats.failures - coalesce(tally.failures, 0)),
    max(0, stats.timeouts - coalesce(tally.timeouts, 0)),
    max(0, stats.total_tokens - coalesce(tally.tokens, 0)),
    -- REAL sums wobble in the last digits: what is below a ten-thousandth of a cent is no import
    iif(
        stats.total_cost - coalesce(tally.cost_nano_usd, 0) / 1e9 > 1e-6,
        stats.total_cost - coalesce(tally.cost_nano_usd, 0) / 1e9,
        0
    ),
    stats.last_used
FROM document_model_stats AS stats
LEFT JOIN tally ON tally.task_type = stats.task_type AND tally.model_id = stats.model_id;
