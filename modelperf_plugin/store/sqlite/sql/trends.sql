-- totals --
-- The counts of each pair over some days. CROSS JOIN: pair by pair, each by a range of its own days.
SELECT
    tally.task_type, tally.model_id, sum(daily.successes), sum(daily.failures), sum(daily.timeouts),
    sum(daily.outages), sum(daily.caller_errors), sum(daily.tokens), sum(daily.cost_nano_usd), sum(daily.priced),
    NULL, sum(daily.timeout_failures), sum(daily.later_successes), sum(daily.later_failures),
    sum(daily.later_timeout_failures), sum(daily.graded), sum(daily.score_shift), sum(daily.later_score_shift)
FROM tally CROSS JOIN daily ON daily.tally_id = tally.id AND daily.day >= ? AND daily.day < ?
WHERE tally.task_type = coalesce(?, tally.task_type) AND tally.model_id = coalesce(?, tally.model_id)
GROUP BY tally.id ORDER BY tally.task_type, tally.model_id;

-- totals_of_task_types --
-- The same over all models; pairs in the order of the index, so that nothing has to be sorted.
SELECT
    tally.task_type, '', sum(daily.successes), sum(daily.failures), sum(daily.timeouts), sum(daily.outages),
    sum(daily.caller_errors), sum(daily.tokens), sum(daily.cost_nano_usd), sum(daily.priced),
    NULL, sum(daily.timeout_failures), sum(daily.later_successes), sum(daily.later_failures),
    sum(daily.later_timeout_failures), sum(daily.graded), sum(daily.score_shift), sum(daily.later_score_shift)
FROM tally CROSS JOIN daily ON daily.tally_id = tally.id AND daily.day >= ? AND daily.day < ?
GROUP BY tally.task_type ORDER BY tally.task_type;

-- keep_pages --
-- Cache up to 32 MB of pages: the steps of a long period read the same pages one after the other.
PRAGMA cache_size = -32000;

-- series --
-- The counts of each pair in each step, back from the last day; a JSON list can restrict the models.
SELECT
    (? - 1 - daily.day) / ? AS step, tally.task_type, tally.model_id, sum(daily.successes), sum(daily.failures),
    sum(daily.timeouts), sum(daily.outages), sum(daily.caller_errors), sum(daily.tokens), sum(daily.cost_nano_usd),
    sum(daily.priced), NULL, sum(daily.timeout_failures), sum(daily.later_successes), sum(daily.later_failures),
    sum(daily.later_timeout_failures), sum(daily.graded), sum(daily.score_shift), sum(daily.later_score_shift)
FROM tally CROSS JOIN daily ON daily.tally_id = tally.id AND daily.day >= ? AND daily.day < ?
WHERE tally.task_type = coalesce(?, tally.task_type)
    AND (? IS NULL OR tally.model_id IN (SELECT value FROM json_each(?)))
GROUP BY tally.id, step ORDER BY tally.task_type, tally.model_id, step DESC;

-- series_of_task_types --
-- The same over all models.
SELECT
    (? - 1 - daily.day) / ? AS step, tally.task_type, '', sum(daily.successes), sum(daily.failures),
    sum(daily.timeouts), sum(daily.outages), sum(daily.caller_errors), sum(daily.tokens), sum(daily.cost_nano_usd),
    sum(daily.priced), NULL, sum(daily.timeout_failures), sum(daily.later_successes), sum(daily.later_failures),
    sum(daily.later_timeout_failures), sum(daily.graded), sum(daily.score_shift), sum(daily.later_score_shift)
FROM tally CROSS JOIN daily ON daily.tally_id = tally.id AND daily.day >= ? AND daily.day < ?
GROUP BY tally.task_type, step ORDER BY tally.task_type, step DESC;

-- decision_sums --
-- Counts over the newest decisions, up to a limit.
SELECT
    task_type, mode, count(*), count(outcome_model_id), sum(outcome_model_id IS NULL AND made_ms <= ?), sum(explored),
    sum(exploring), coalesce(sum(cost_nano_usd), 0), coalesce(sum(iif(explored, cost_nano_usd, 0)), 0), min(made_ms)
FROM (
    SELECT task_type, mode, outcome_model_id, made_ms, explored, exploring, cost_nano_usd
    FROM decision WHERE made_ms >= ? AND made_ms < ? ORDER BY made_ms DESC LIMIT ?
)
GROUP BY task_type, mode ORDER BY task_type, mode;

-- latest_choices --
-- Of each task type the model that its newest decisions chose without exploring, since when no other one was, how often,
-- and whether no other one was chosen before; among the same sample.
SELECT
    task_type, max(iif(run = 0, model_id, NULL)), min(iif(run = 0, made_ms, NULL)), sum(run = 0), max(run) = 0
FROM (
    SELECT
        task_type, model_id, made_ms,
        sum(is_other) OVER (PARTITION BY task_type ORDER BY made_ms DESC, number DESC) AS run
    FROM (
        SELECT
            number, task_type, model_id, made_ms,
            coalesce(
                model_id <> lag(model_id) OVER (PARTITION BY task_type ORDER BY made_ms DESC, number DESC), 0
            ) AS is_other
        FROM (
            SELECT rowid AS number, task_type, model_id, made_ms, explored, retry_of
            FROM decision WHERE made_ms >= ? AND made_ms < ? ORDER BY made_ms DESC, rowid DESC LIMIT ?
        )
        WHERE NOT explored AND retry_of IS NULL
    )
)
GROUP BY task_type ORDER BY task_type;

-- recent_decisions --
-- The newest decisions of a task type or model, among the same sample.
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref,
    outcome_number
FROM decision
WHERE rowid IN (
    SELECT number
    FROM (
        SELECT rowid AS number, task_type AS task, model_id AS model, made_ms
        FROM decision WHERE made_ms >= ? AND made_ms < ? ORDER BY made_ms DESC, rowid DESC LIMIT ?
    )
    WHERE task = coalesce(?, task) AND model = coalesce(?, model)
    ORDER BY made_ms DESC, number DESC LIMIT ?
)
ORDER BY made_ms DESC, rowid DESC;

-- searched_decisions --
-- How many decisions a search looks at, and the time of the oldest one.
SELECT count(*), min(made_ms)
FROM (SELECT made_ms FROM decision WHERE made_ms >= ? AND made_ms < ? ORDER BY made_ms DESC LIMIT ?);

-- find_decisions --
-- The ids of those among them that match, in order. A decision succeeded if any of its outcomes did.
SELECT id
FROM (
    SELECT
        rowid AS number, id, made_ms, task_type, model_id, propensity, explored, outcome_model_id, success,
        cost_nano_usd, duration_ms
    FROM decision WHERE made_ms >= ? AND made_ms < ? ORDER BY made_ms DESC, rowid DESC LIMIT ?
) AS newest
WHERE task_type = coalesce(?, task_type)
    AND (? IS NULL OR model_id IN (SELECT value FROM json_each(?)))
    AND explored = coalesce(?, explored)
    AND CASE ?
        WHEN 'none' THEN outcome_model_id IS NULL
        WHEN 'succeeded' THEN
            coalesce(success, 0)
            OR EXISTS (SELECT 1 FROM attempt WHERE attempt.decision_id = newest.id AND attempt.success)
        WHEN 'failed' THEN
            NOT coalesce(success, 1)
            AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.decision_id = newest.id AND attempt.success)
        ELSE 1
    END
    AND instr(lower(id || ' ' || task_type || ' ' || model_id), lower(?)) > 0
ORDER BY
    CASE ?
        WHEN 'oldest' THEN made_ms
        WHEN 'rarest' THEN propensity
        WHEN 'costliest' THEN -coalesce(cost_nano_usd, -1)
        WHEN 'slowest' THEN -coalesce(duration_ms, -1)
    END,
    made_ms DESC, number DESC;

-- decisions_by_id --
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref,
    outcome_number
FROM decision WHERE id IN (SELECT value FROM json_each(?));
