-- Moves the rows of a file with the migration guide's two tables (renamed to document_*) into our schema, in one
-- transaction with the first migration. The renamed tables stay, untouched. A row that could not have been inserted
-- into our relations stays there alone.

CREATE VIEW document_usable_outcomes AS
SELECT * FROM document_model_outcomes
WHERE typeof(task_type) = 'text' AND length(task_type) BETWEEN 1 AND 512 AND instr(task_type, char(0)) = 0
    AND task_type NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || char(8232, 8233) || ']*'
    AND typeof(model_id) = 'text' AND length(model_id) BETWEEN 1 AND 512 AND instr(model_id, char(0)) = 0
    AND model_id NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || char(8232, 8233) || ']*'
    AND success IN (0, 1) AND coalesce(timeout, 0) IN (0, 1)
    AND typeof(coalesce(tokens_used, 0)) = 'integer' AND coalesce(tokens_used, 0) BETWEEN 0 AND 9007199254740992
    AND typeof(coalesce(cost_usd, 0)) IN ('integer', 'real') AND coalesce(cost_usd, 0) BETWEEN 0 AND 1000000
    AND (timestamp IS NULL OR (
        typeof(timestamp) = 'text' AND timestamp GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'
        AND julianday(timestamp) IS NOT NULL
    ));

CREATE VIEW document_usable_stats AS
SELECT * FROM document_model_stats
WHERE typeof(task_type) = 'text' AND length(task_type) BETWEEN 1 AND 512 AND instr(task_type, char(0)) = 0
    AND task_type NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || char(8232, 8233) || ']*'
    AND typeof(model_id) = 'text' AND length(model_id) BETWEEN 1 AND 512 AND instr(model_id, char(0)) = 0
    AND model_id NOT GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || char(8232, 8233) || ']*'
    AND typeof(coalesce(successes, 0)) = 'integer' AND coalesce(successes, 0) BETWEEN 0 AND 9007199254740992
    AND typeof(coalesce(failures, 0)) = 'integer' AND coalesce(failures, 0) BETWEEN 0 AND 9007199254740992
    AND typeof(coalesce(timeouts, 0)) = 'integer' AND coalesce(timeouts, 0) BETWEEN 0 AND 9007199254740992
    AND typeof(coalesce(total_tokens, 0)) = 'integer' AND coalesce(total_tokens, 0) BETWEEN 0 AND 9007199254740992
    AND typeof(coalesce(total_cost, 0)) IN ('integer', 'real') AND coalesce(total_cost, 0) BETWEEN 0 AND 1000000000
    AND (last_used IS NULL OR (
        typeof(last_used) = 'text' AND last_used GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'
        AND julianday(last_used) IS NOT NULL
    ));

INSERT INTO model_outcomes (task_type, model_id, success, timeout, tokens_used, cost_usd, timestamp)
SELECT task_type, model_id, success, timeout, tokens_used, cost_usd, timestamp
FROM document_usable_outcomes ORDER BY id;

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
FROM document_usable_stats AS stats
LEFT JOIN tally ON tally.task_type = stats.task_type AND tally.model_id = stats.model_id;
