-- The log of decisions: to come. What evidence calls of it:

-- Give the outcome of a decision in the log the verdict of its event.
CREATE FUNCTION revise_log(p_decision_id text, p_outcome_id text, p_event event) RETURNS void LANGUAGE sql AS $$ SELECT $$;

-- Give the last outcome of a decision a verdict: 2 if that replaced another one, 0 if it did not, NULL if the log knows
-- of no outcome.
CREATE FUNCTION report_verdict(
    p_decision_id text, p_success boolean, p_score integer, p_given_ms bigint, p_is_stamped boolean
)
RETURNS integer LANGUAGE sql AS $$ SELECT NULL::integer $$;

-- Store decisions, then join outcomes; see `write` of the decision log. Each outcome has the `number` of its event's
-- outcome, and its `outcome_id` if it has one.
CREATE FUNCTION join_decisions(p_decisions jsonb, p_outcomes jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;

-- Add what an outcome says beside its verdict, if that was reported before it: 2, or NULL if it was not.
CREATE FUNCTION complete_reported(
    p_decision_id text, p_model_id text, p_timeout boolean, p_tokens bigint, p_cost_nano_usd bigint, p_error_kind text,
    p_duration_ms bigint, p_retry_after_ms bigint, p_given_ms bigint, p_served_model text
)
RETURNS integer LANGUAGE sql AS $$ SELECT NULL::integer $$;
