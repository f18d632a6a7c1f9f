-- Recording outcomes and replacing their verdicts: one call for each.

CREATE FUNCTION number_of_pair(p_task_type text, p_model_id text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    v_id integer;
BEGIN
    SELECT id INTO v_id FROM tally WHERE task_type = p_task_type AND digest_of(model_id) = digest_of(p_model_id);
    IF NOT FOUND THEN
        INSERT INTO tally (task_type, model_id) VALUES (p_task_type, p_model_id) ON CONFLICT DO NOTHING;
        SELECT id INTO STRICT v_id FROM tally
        WHERE task_type = p_task_type AND digest_of(model_id) = digest_of(p_model_id);
    END IF;
    RETURN v_id;
END $$;

CREATE FUNCTION number_of_tried(p_models text) RETURNS integer STRICT LANGUAGE plpgsql AS $$
DECLARE
    v_id integer;
BEGIN
    SELECT id INTO v_id FROM tried WHERE digest_of(models) = digest_of(p_models);
    IF NOT FOUND THEN
        INSERT INTO tried (models) VALUES (p_models) ON CONFLICT DO NOTHING;
        SELECT id INTO STRICT v_id FROM tried WHERE digest_of(models) = digest_of(p_models);
    END IF;
    RETURN v_id;
END $$;

CREATE FUNCTION number_of_served(p_model_id text) RETURNS integer STRICT LANGUAGE plpgsql AS $$
DECLARE
    v_id integer;
BEGIN
    SELECT id INTO v_id FROM served_model WHERE model_id = p_model_id;
    IF NOT FOUND THEN
        INSERT INTO served_model (model_id) VALUES (p_model_id) ON CONFLICT DO NOTHING;
        SELECT id INTO STRICT v_id FROM served_model WHERE model_id = p_model_id;
    END IF;
    RETURN v_id;
END $$;

-- Replace the verdict of an event, in the log as well; return whether it was another one. The caller holds the lock,
-- and has folded. Tokens, cost and the served model stay where the new verdict does not know them.
CREATE FUNCTION revise_event(
    p_event_id bigint, p_tally_id integer, p_success boolean, p_timeout boolean, p_tokens bigint, p_cost_nano_usd bigint,
    p_error_kind text, p_score integer, p_given_ms bigint, p_is_stamped boolean, p_outcome_id text, p_decision_id text,
    p_served_model text
)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_was event;
    v_now event;
    v_reserved boolean := false;
BEGIN
    SELECT * INTO v_was FROM event WHERE id = p_event_id AND tally_id = p_tally_id;
    IF NOT FOUND OR p_is_stamped AND p_given_ms < coalesce(
        (SELECT revised_ms FROM revision WHERE event_id = p_event_id ORDER BY number DESC LIMIT 1), v_was.ended_ms
    ) THEN
        RETURN false;
    END IF;
    IF p_served_model IS NOT NULL THEN
        INSERT INTO served AS old (event_id, served_id) VALUES (p_event_id, number_of_served(p_served_model))
        ON CONFLICT (event_id) DO UPDATE SET served_id = excluded.served_id WHERE old.served_id <> excluded.served_id;
        v_reserved := FOUND;
    END IF;
    v_now := v_was;
    v_now.success := p_success;
    v_now.timeout := p_timeout;
    v_now.error_kind := p_error_kind;
    v_now.score := p_score;
    v_now.tokens := CASE WHEN p_tokens > 0 THEN p_tokens ELSE v_was.tokens END;
    v_now.cost_nano_usd := CASE WHEN p_cost_nano_usd > 0 THEN p_cost_nano_usd ELSE v_was.cost_nano_usd END;
    IF v_now IS NOT DISTINCT FROM v_was THEN
        RETURN v_reserved;
    END IF;
    INSERT INTO revision (event_id, revised_ms, success, timeout, tokens, cost_nano_usd, error_kind, score)
    VALUES (
        p_event_id, p_given_ms, v_was.success, v_was.timeout, v_was.tokens, v_was.cost_nano_usd, v_was.error_kind,
        v_was.score
    );
    UPDATE event SET
        success = v_now.success, timeout = v_now.timeout, error_kind = v_now.error_kind, score = v_now.score,
        tokens = v_now.tokens, cost_nano_usd = v_now.cost_nano_usd
    WHERE id = p_event_id;
    PERFORM add_to_sums(v_was, -1);
    PERFORM add_to_sums(v_now, 1);
    UPDATE progress SET corrections = corrections + 1;
    PERFORM revise_log(p_decision_id, p_outcome_id, v_now) WHERE p_decision_id IS NOT NULL;
    RETURN true;
END $$;

-- Record one outcome; return what that has changed (0: nothing, 1: it is new, 2: it has replaced a
-- verdict, -1: nothing, because its event was dropped) and the
-- number that a new one is known by. One with an id, or with a decision, can be found by its number.
CREATE FUNCTION record(
    p_task_type text, p_model_id text, p_tried text, p_served_model text, p_ended_ms bigint, p_success boolean,
    p_timeout boolean, p_tokens bigint, p_cost_nano_usd bigint, p_error_kind text, p_duration_ms bigint, p_score integer,
    p_retry_after_ms bigint, p_outcome_id text, p_is_stamped boolean, p_decision_id text,
    OUT answer integer, OUT outcome bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    v_tally_id integer := number_of_pair(p_task_type, p_model_id);
    v_key record;
BEGIN
    IF p_outcome_id IS NOT NULL THEN
        IF p_outcome_id ~ '^decision:[0-9a-f]{20}$' THEN
            answer := report_verdict(substr(p_outcome_id, 10), p_success, p_score, p_ended_ms, p_is_stamped);
            IF answer IS NOT NULL THEN
                RETURN;
            END IF;
        END IF;
        outcome := next_number();
        INSERT INTO outcome_key (outcome_id, number, decision_id) VALUES (p_outcome_id, outcome, p_decision_id)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            outcome := NULL;
            PERFORM lock_sums();
            PERFORM fold();
            SELECT event_id, decision_id INTO v_key
            FROM outcome_key JOIN event_ref USING (number) WHERE outcome_id = p_outcome_id;
            answer := CASE WHEN NOT FOUND THEN -1 WHEN revise_event(
                v_key.event_id, v_tally_id, p_success, p_timeout, p_tokens, p_cost_nano_usd, p_error_kind, p_score,
                p_ended_ms, p_is_stamped, p_outcome_id, coalesce(v_key.decision_id, p_decision_id), p_served_model
            ) THEN 2 ELSE 0 END;
            RETURN;
        END IF;
    ELSE
        outcome := next_number();
    END IF;
    INSERT INTO fresh (
        number, ended_ms, tokens, cost_nano_usd, duration_ms, retry_after_ms, tally_id, tried_id, served_id, score,
        success, timeout, is_referred, error_kind
    )
    VALUES (
        outcome, p_ended_ms, p_tokens, p_cost_nano_usd, p_duration_ms, p_retry_after_ms, v_tally_id,
        number_of_tried(p_tried), number_of_served(p_served_model), p_score, p_success, p_timeout,
        p_outcome_id IS NOT NULL OR p_decision_id IS NOT NULL, p_error_kind
    );
    answer := 1;
END $$;

-- Record one outcome and, if it is new, join it to its decision; `is_stored` says whether the log has it then, and `log` is
-- what `join_decisions` returns. If only the log refuses, the outcome is recorded alone.
CREATE FUNCTION record_joined(
    p_task_type text, p_model_id text, p_tried text, p_served_model text, p_ended_ms bigint, p_success boolean,
    p_timeout boolean, p_tokens bigint, p_cost_nano_usd bigint, p_error_kind text, p_duration_ms bigint, p_score integer,
    p_retry_after_ms bigint, p_outcome_id text, p_is_stamped boolean, p_decision_id text, p_decision text,
    p_outcome text, p_most_tries integer, p_most_waiting integer, OUT answer integer, OUT outcome bigint,
    OUT is_stored boolean, OUT log jsonb
)
LANGUAGE plpgsql AS $$
BEGIN
    is_stored := false;
    IF p_decision IS NULL AND p_outcome_id IS NULL THEN
        answer := complete_reported(
            p_decision_id, p_model_id, p_timeout, p_tokens, p_cost_nano_usd, p_error_kind, p_duration_ms,
            p_retry_after_ms, p_ended_ms, p_served_model
        );
        IF answer IS NOT NULL THEN
            is_stored := true;
            RETURN;
        END IF;
    END IF;
    SELECT recorded.answer, recorded.outcome INTO answer, outcome FROM record(
        p_task_type, p_model_id, p_tried, p_served_model, p_ended_ms, p_success, p_timeout, p_tokens, p_cost_nano_usd,
        p_error_kind, p_duration_ms, p_score, p_retry_after_ms, p_outcome_id, p_is_stamped, p_decision_id
    ) AS recorded;
    IF answer = 1 THEN
        BEGIN
            log := join_decisions(
                CASE WHEN p_decision IS NULL THEN '[]' ELSE jsonb_build_array(p_decision::jsonb) END,
                jsonb_build_array(p_outcome::jsonb || jsonb_build_object('number', outcome)), p_most_tries,
                p_most_waiting
            );
            is_stored := true;
        EXCEPTION WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded THEN
            log := NULL;
        END;
    END IF;
END $$;

-- Record many outcomes; return how many were new or have replaced a verdict. Names and ids are added in order, so that
-- two callers never wait for each other.
CREATE FUNCTION record_many(
    p_task_types text[], p_model_ids text[], p_tried text[], p_served_models text[], p_ended_ms bigint[],
    p_successes boolean[], p_timeouts boolean[], p_tokens bigint[], p_costs bigint[], p_error_kinds text[],
    p_durations_ms bigint[], p_scores integer[], p_retries_after_ms bigint[], p_outcome_ids text[],
    p_are_stamped boolean[]
)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_new bigint;
    v_others bigint[];
    v_answer integer;
    i bigint;
BEGIN
    IF (SELECT count(id) > count(DISTINCT id) FROM unnest(p_outcome_ids) AS id) OR EXISTS (
        SELECT FROM unnest(p_outcome_ids) AS id
        WHERE id LIKE 'decision:%' OR EXISTS (SELECT FROM outcome_key WHERE outcome_id = id)
    ) THEN
        PERFORM lock_sums(); -- before anything that another transaction could wait for
    END IF;
    PERFORM number_of_pair(task_type, model_id)
    FROM (
        SELECT DISTINCT task_type COLLATE "C" AS task_type, model_id COLLATE "C" AS model_id
        FROM unnest(p_task_types, p_model_ids) AS pair (task_type, model_id) ORDER BY 1, 2
    ) AS pairs;
    PERFORM number_of_tried(models)
    FROM (SELECT DISTINCT models COLLATE "C" AS models FROM unnest(p_tried) AS models ORDER BY 1) AS sets;
    PERFORM number_of_served(model_id)
    FROM (SELECT DISTINCT model_id COLLATE "C" AS model_id FROM unnest(p_served_models) AS model_id ORDER BY 1) AS names;
    WITH given AS MATERIALIZED (
        SELECT place, outcome_id, next_number() AS number
        FROM (
            SELECT * FROM unnest(p_outcome_ids) WITH ORDINALITY AS ids (outcome_id, place) ORDER BY place
        ) AS ids
    ),
    keyed AS (
        INSERT INTO outcome_key (outcome_id, number)
        SELECT outcome_id, min(number) FROM given
        WHERE outcome_id IS NOT NULL AND outcome_id !~ '^decision:[0-9a-f]{20}$'
        GROUP BY outcome_id COLLATE "C", outcome_id ORDER BY outcome_id COLLATE "C"
        ON CONFLICT DO NOTHING
        RETURNING number
    ),
    added AS (
        INSERT INTO fresh (
            number, ended_ms, tokens, cost_nano_usd, duration_ms, retry_after_ms, tally_id, tried_id, served_id, score,
            success, timeout, is_referred, error_kind
        )
        SELECT
            given.number, entry.ended_ms, entry.tokens, entry.cost_nano_usd, entry.duration_ms, entry.retry_after_ms,
            tally.id, tried.id, served_model.id, entry.score, entry.success, entry.timeout,
            given.outcome_id IS NOT NULL, entry.error_kind
        FROM unnest(
            p_task_types, p_model_ids, p_tried, p_served_models, p_ended_ms, p_successes, p_timeouts, p_tokens, p_costs,
            p_error_kinds, p_durations_ms, p_scores, p_retries_after_ms
        ) WITH ORDINALITY AS entry (
            task_type, model_id, tried, served_model, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind,
            duration_ms, score, retry_after_ms, place
        )
        JOIN given USING (place)
        JOIN tally ON tally.task_type = entry.task_type AND digest_of(tally.model_id) = digest_of(entry.model_id)
        LEFT JOIN tried ON digest_of(tried.models) = digest_of(entry.tried)
        LEFT JOIN served_model ON served_model.model_id = entry.served_model
        WHERE given.outcome_id IS NULL OR given.number IN (SELECT number FROM keyed)
        RETURNING number
    )
    SELECT count(added.number), array_agg(given.place ORDER BY given.place) FILTER (WHERE added.number IS NULL)
    INTO v_new, v_others
    FROM given LEFT JOIN added USING (number);
    FOREACH i IN ARRAY coalesce(v_others, '{}') LOOP
        SELECT answer INTO v_answer FROM record(
            p_task_types[i], p_model_ids[i], p_tried[i], p_served_models[i], p_ended_ms[i], p_successes[i],
            p_timeouts[i], p_tokens[i], p_costs[i], p_error_kinds[i], p_durations_ms[i], p_scores[i],
            p_retries_after_ms[i], p_outcome_ids[i], p_are_stamped[i], NULL
        );
        v_new := v_new + (v_answer > 0)::integer;
    END LOOP;
    RETURN v_new;
END $$;
