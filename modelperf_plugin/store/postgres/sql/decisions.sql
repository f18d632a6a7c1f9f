-- join_decisions --
-- Store decisions and join outcomes.
SELECT join_decisions(%s::jsonb, %s::jsonb, %s::integer, %s::integer);

-- report --
-- Give the last outcome of a decision a verdict, or let it wait for the decision.
SELECT report_or_wait(%s, %s, %s::integer, %s::bigint, %s::integer, %s::integer);

-- forget_decisions --
-- Delete the oldest decisions from before a moment, and what waits for one.
SELECT forget_decisions(%s::bigint, %s::integer);

-- attempts --
-- The further outcomes of some decisions, a JSON array of ids, in the order of arrival.
SELECT
    decision_id, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref,
    number
FROM attempt WHERE decision_id IN (SELECT jsonb_array_elements_text(%s::jsonb)) ORDER BY decision_id, number;

-- unmatched_outcomes --
-- The outcomes that wait for a decision, in the order of arrival.
SELECT
    decision_id, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref
FROM unmatched_outcome WHERE decision_id = %s ORDER BY number;

-- count_unmatched --
-- How many outcomes have waited for their decision since before a moment.
SELECT count(*) FROM unmatched_outcome WHERE ended_ms <= %s;

-- revisions --
-- What the verdicts of some outcomes were before, in order: a JSON array of ids and numbers.
SELECT wanted.ref, revised_ms, success, timeout, error_kind, score, tokens, cost_nano_usd
FROM jsonb_array_elements(%s::jsonb) AS wanted (ref)
JOIN revision ON revision.event_id = event_of_ref(wanted.ref)
ORDER BY revision.number;

-- served_models --
-- Which models have served some outcomes: a JSON array of ids and numbers.
SELECT wanted.ref, served_model.model_id
FROM jsonb_array_elements(%s::jsonb) AS wanted (ref)
CROSS JOIN LATERAL (
    SELECT served_id FROM served WHERE event_id = event_of_ref(wanted.ref)
    UNION ALL
    SELECT served_id FROM fresh WHERE number = number_of_ref(wanted.ref)
) AS outcome
JOIN served_model ON served_model.id = outcome.served_id;

-- decision --
-- One decision, by its id.
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record::text, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref,
    outcome_number
FROM decision WHERE id = %s;

-- decisions_by_prefix --
-- The decisions whose id has a prefix.
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record::text, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref,
    outcome_number
FROM decision WHERE id >= %s AND id < %s || chr(1114111) ORDER BY id LIMIT %s;

-- decisions --
-- The newest decisions, of one task type or all.
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record::text, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref,
    outcome_number
FROM decision
WHERE made_ms >= %s AND (%s::text IS NULL OR task_type = %s)
ORDER BY made_ms DESC, number DESC LIMIT %s;

-- follow_ups --
-- The decisions that follow one, for the same task.
SELECT
    id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record::text, retry_of, ab_test_id,
    outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, outcome_ref,
    outcome_number
FROM decision WHERE retry_of = %s ORDER BY made_ms, number;

-- logged_after --
-- Decisions in the order of storing, for reading many of them in batches.
SELECT
    number, id, made_ms, task_type, model_id, propensity, explored, exploring, mode, policy_id, record::text, retry_of,
    ab_test_id, outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score,
    outcome_ref, outcome_number
FROM decision WHERE number > %s ORDER BY number LIMIT %s;

-- last_logged --
-- The number of the decision stored last.
SELECT max(number) FROM decision;

-- decision_summary --
-- For each mode: how many decisions, with and without outcome (made after and before a moment), and what was explored.
SELECT
    mode, count(*), count(outcome_model_id),
    count(*) FILTER (WHERE outcome_model_id IS NULL AND made_ms > %s),
    count(*) FILTER (WHERE outcome_model_id IS NULL AND made_ms <= %s),
    count(*) FILTER (WHERE explored), sum(exploring)
FROM decision GROUP BY mode ORDER BY mode;
