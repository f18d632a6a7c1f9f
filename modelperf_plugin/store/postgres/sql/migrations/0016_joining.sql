-- An outcome whose decision is stored by another host at the same moment is the one in the decision, not a further one.

-- The same as before, but what is found by the second statement only is looked at again, now that it is locked.
CREATE OR REPLACE FUNCTION join_outcome(p_new unmatched_outcome, p_most_tries integer, p_most_waiting integer)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_decision record;
    v_tries integer;
BEGIN
    UPDATE decision SET
        outcome_model_id = p_new.model_id, ended_ms = p_new.ended_ms, success = p_new.success, timeout = p_new.timeout,
        tokens = p_new.tokens, cost_nano_usd = p_new.cost_nano_usd, error_kind = p_new.error_kind,
        duration_ms = p_new.duration_ms, score = p_new.score, outcome_ref = p_new.outcome_ref
    WHERE id = p_new.decision_id AND outcome_model_id IS NULL;
    IF FOUND THEN
        RETURN true;
    END IF;
    SELECT model_id, outcome_model_id, outcome_ref INTO v_decision
    FROM decision WHERE id = p_new.decision_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        PERFORM lock_decisions('{}', ARRAY[p_new.decision_id]);
        IF EXISTS (SELECT FROM decision WHERE id = p_new.decision_id) THEN
            RETURN join_outcome(p_new, p_most_tries, p_most_waiting);
        END IF;
        IF NOT EXISTS (
            SELECT FROM unmatched_outcome
            WHERE decision_id = p_new.decision_id AND digest_of(model_id) = digest_of(p_new.model_id)
                AND ended_ms = p_new.ended_ms
        ) THEN
            INSERT INTO unmatched_outcome (
                ended_ms, tokens, cost_nano_usd, duration_ms, score, success, timeout, decision_id, model_id,
                error_kind, outcome_ref
            )
            VALUES (
                p_new.ended_ms, p_new.tokens, p_new.cost_nano_usd, p_new.duration_ms, p_new.score, p_new.success,
                p_new.timeout, p_new.decision_id, p_new.model_id, p_new.error_kind, p_new.outcome_ref
            );
            DELETE FROM unmatched_outcome WHERE number IN (
                SELECT number FROM unmatched_outcome
                WHERE number <= (
                    SELECT number FROM unmatched_outcome
                    WHERE (SELECT max(number) - min(number) FROM unmatched_outcome) >= p_most_waiting
                    ORDER BY number DESC OFFSET p_most_waiting LIMIT 1
                )
                FOR UPDATE SKIP LOCKED
            );
        END IF;
        RETURN false;
    END IF;
    IF v_decision.outcome_model_id IS NULL THEN -- it was stored after the first statement had looked for it
        RETURN join_outcome(p_new, p_most_tries, p_most_waiting);
    END IF;
    IF jsonb_typeof(p_new.outcome_ref) = 'string' AND (
        v_decision.outcome_ref = p_new.outcome_ref
        OR EXISTS (SELECT FROM attempt WHERE decision_id = p_new.decision_id AND outcome_ref = p_new.outcome_ref)
    ) THEN
        RETURN false;
    END IF;
    SELECT 1 + count(*) INTO v_tries FROM attempt WHERE decision_id = p_new.decision_id;
    IF p_new.model_id = v_decision.model_id AND p_new.model_id <> v_decision.outcome_model_id THEN
        INSERT INTO attempt (
            decision_id, number, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms,
            score, outcome_ref
        )
        SELECT
            id, coalesce(outcome_number, 1), outcome_model_id, ended_ms, success, timeout, tokens, cost_nano_usd,
            error_kind, duration_ms, score, outcome_ref
        FROM decision WHERE id = p_new.decision_id;
        UPDATE decision SET
            outcome_model_id = p_new.model_id, ended_ms = p_new.ended_ms, success = p_new.success,
            timeout = p_new.timeout, tokens = p_new.tokens, cost_nano_usd = p_new.cost_nano_usd,
            error_kind = p_new.error_kind, duration_ms = p_new.duration_ms, score = p_new.score,
            outcome_ref = p_new.outcome_ref, outcome_number = v_tries + 1
        WHERE id = p_new.decision_id;
        RETURN true;
    END IF;
    IF v_tries < p_most_tries THEN
        INSERT INTO attempt (
            decision_id, number, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms,
            score, outcome_ref
        )
        VALUES (
            p_new.decision_id, v_tries + 1, p_new.model_id, p_new.ended_ms, p_new.success, p_new.timeout, p_new.tokens,
            p_new.cost_nano_usd, p_new.error_kind, p_new.duration_ms, p_new.score, p_new.outcome_ref
        );
    END IF;
    RETURN false;
END $$;
