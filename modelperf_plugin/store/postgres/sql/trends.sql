-- totals --
-- The counts of each pair over some days.
SELECT
    tally.task_type, tally.model_id, sum(daily.successes)::bigint, sum(daily.failures)::bigint,
    sum(daily.timeouts)::bigint, sum(daily.outages)::bigint, sum(daily.caller_errors)::bigint,
    bounded(sum(daily.tokens)), bounded(sum(daily.cost_nano_usd)), sum(daily.priced)::bigint, NULL,
    sum(daily.timeout_failures)::bigint, sum(daily.later_successes)::bigint, sum(daily.later_failures)::bigint,
    sum(daily.later_timeout_failures)::bigint, sum(daily.graded)::bigint, sum(daily.score_shift)::bigint,
    sum(daily.later_score_shift)::bigint
FROM tally JOIN daily_now AS daily ON daily.tally_id = tally.id
WHERE daily.day >= %s AND daily.day < %s
    AND tally.task_type = coalesce(%s, tally.task_type) AND tally.model_id = coalesce(%s, tally.model_id)
GROUP BY tally.id ORDER BY tally.task_type, tally.model_id;

-- totals_of_task_types --
-- The same over all models.
SELECT
    tally.task_type, '', sum(daily.successes)::bigint, sum(daily.failures)::bigint, sum(daily.timeouts)::bigint,
    sum(daily.outages)::bigint, sum(daily.caller_errors)::bigint, bounded(sum(daily.tokens)),
    bounded(sum(daily.cost_nano_usd)), sum(daily.priced)::bigint, NULL, sum(daily.timeout_failures)::bigint,
    sum(daily.later_successes)::bigint, sum(daily.later_failures)::bigint, sum(daily.later_timeout_failures)::bigint,
    sum(daily.graded)::bigint, sum(daily.score_shift)::bigint, sum(daily.later_score_shift)::bigint
FROM tally JOIN daily_now AS daily ON daily.tally_id = tally.id
WHERE daily.day >= %s AND daily.day < %s
GROUP BY tally.task_type ORDER BY tally.task_type;

-- series --
-- The counts of each pair in each step, back from the last day; a JSON list can restrict the models.
SELECT
    (%s::bigint - 1 - daily.day) / %s::bigint AS step, tally.task_type, tally.model_id, sum(daily.successes)::bigint,
    sum(daily.failures)::bigint, sum(daily.timeouts)::bigint, sum(daily.outages)::bigint,
    sum(daily.caller_errors)::bigint, bounded(sum(daily.tokens)), bounded(sum(daily.cost_nano_usd)),
    sum(daily.priced)::bigint, NULL, sum(daily.timeout_failures)::bigint, sum(daily.later_successes)::bigint,
    sum(daily.later_failures)::bigint, sum(daily.later_timeout_failures)::bigint, sum(daily.graded)::bigint,
    sum(daily.score_shift)::bigint, sum(daily.later_score_shift)::bigint
FROM tally JOIN daily_now AS daily ON daily.tally_id = tally.id
WHERE daily.day >= %s AND daily.day < %s AND tally.task_type = coalesce(%s, tally.task_type)
    AND (%s::text IS NULL OR tally.model_id IN (SELECT jsonb_array_elements_text(%s::jsonb)))
GROUP BY tally.id, step ORDER BY tally.task_type, tally.model_id, step DESC;

-- series_of_task_types --
-- The same over all models.
SELECT
    (%s::bigint - 1 - daily.day) / %s::bigint AS step, tally.task_type, '', sum(daily.successes)::bigint,
    sum(daily.failures)::bigint, sum(daily.timeouts)::bigint, sum(daily.outages)::bigint,
    sum(daily.caller_errors)::bigint, bounded(sum(daily.tokens)), bounded(sum(daily.cost_nano_usd)),
    sum(daily.priced)::bigint, NULL, sum(daily.timeout_failures)::bigint, sum(daily.later_successes)::bigint,
    sum(daily.later_failures)::bigint, sum(daily.later_timeout_failures)::bigint, sum(daily.graded)::bigint,
    sum(daily.score_shift)::bigint, sum(daily.later_score_shift)::bigint
FROM tally JOIN daily_now AS daily ON daily.tally_id = tally.id
WHERE daily.day >= %s AND daily.day < %s
GROUP BY tally.task_type, step ORDER BY tally.task_type, step DESC;

-- decision_sums --
-- Counts over the newest decisions, up to a limit.
SELECT
    task_type, mode, count(*), count(outcome_model_id),
    count(*) FILTER (WHERE outcome_model_id IS NULL AND made_ms <= %s), count(*) FILTER (WHERE explored),
    sum(exploring), coalesce(sum(cost_nano_usd), 0)::bigint,
    coalesce(sum(cost_nano_usd) FILTER (WHERE explored), 0)::bigint, min(made_ms)
FROM (
    SELECT task_type, mode, outcome_model_id, made_ms, explored, exploring, cost_nano_usd
    FROM decision WHERE made_ms >= %s AND made_ms < %s ORDER BY made_ms DESC LIMIT %s
) AS newest
GROUP BY task_type, mode ORDER BY task_type, mode;

-- latest_choices --
-- Of each task type the model that its newest decisions chose without exploring, since when no other one was, how often,
-- and whether no other one was chosen before; among the same sample.
SELECT
    task_type, max(model_id) FILTER (WHERE run = 0), min(made_ms) FILTER (WHERE run = 0),
    count(*) FILTER (WHERE run = 0), max(run) = 0
FROM (
    SELECT
        task_type, model_id, made_ms,
        count(*) FILTER (WHERE is_other) OVER (PARTITION BY task_type ORDER BY made_ms DESC, number DESC) AS run
    FROM (
        SELECT
            number, task_type, model_id, made_ms,
            model_id <> lag(model_id) OVER (PARTITION BY task_type ORDER BY made_ms DESC, number DESC) AS is_other
        FROM (
            SELECT number, task_type, model_id, made_ms, explored, retry_of
            FROM decision WHERE made_ms >= %s AND made_ms < %s ORDER BY made_ms DESC, number DESC LIMIT %s
        ) AS newest
        WHERE NOT explored AND retry_of IS NULL
    ) AS compared
) AS counted
GROUP BY task_type ORDER BY task_type;

-- recent_decisions --
-- The newest decisions of a task type or model, among the same sample.
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record::text, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref,
    outcome_number
FROM decision
WHERE number IN (
    SELECT number
    FROM (
        SELECT number, task_type, model_id, made_ms
        FROM decision WHERE made_ms >= %s AND made_ms < %s ORDER BY made_ms DESC, number DESC LIMIT %s
    ) AS newest
    WHERE task_type = coalesce(%s, task_type) AND model_id = coalesce(%s, model_id)
    ORDER BY made_ms DESC, number DESC LIMIT %s
)
ORDER BY made_ms DESC, number DESC;

-- searched_decisions --
-- How many decisions a search looks at, and the time of the oldest one.
SELECT count(*), min(made_ms)
FROM (SELECT made_ms FROM decision WHERE made_ms >= %s AND made_ms < %s ORDER BY made_ms DESC LIMIT %s) AS newest;

-- find_decisions --
-- The ids of those among them that match, in order. A decision succeeded if any of its outcomes did.
SELECT id
FROM (
    SELECT
        number, id, made_ms, task_type, model_id, propensity, explored, outcome_model_id, success,
        cost_nano_usd, duration_ms
    FROM decision WHERE made_ms >= %s AND made_ms < %s ORDER BY made_ms DESC, number DESC LIMIT %s
) AS newest
WHERE task_type = coalesce(%s, task_type)
    AND (%s::text IS NULL OR model_id IN (SELECT jsonb_array_elements_text(%s::jsonb)))
    AND explored = coalesce(%s::boolean, explored)
    AND CASE %s::text
        WHEN 'none' THEN outcome_model_id IS NULL
        WHEN 'succeeded' THEN
            coalesce(success, false)
            OR EXISTS (SELECT 1 FROM attempt WHERE attempt.decision_id = newest.id AND attempt.success)
        WHEN 'failed' THEN
            NOT coalesce(success, true)
            AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.decision_id = newest.id AND attempt.success)
        ELSE true
    END
    AND strpos(lower(id || ' ' || task_type || ' ' || model_id), lower(%s::text)) > 0
ORDER BY
    CASE %s::text
        WHEN 'oldest' THEN made_ms
        WHEN 'rarest' THEN propensity
        WHEN 'costliest' THEN -coalesce(cost_nano_usd, -1)
        WHEN 'slowest' THEN -coalesce(duration_ms, -1)
    END,
    made_ms DESC, number DESC;

-- decisions_by_id --
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record::text, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref,
    outcome_number
FROM decision WHERE id IN (SELECT jsonb_array_elements_text(%s::jsonb));
