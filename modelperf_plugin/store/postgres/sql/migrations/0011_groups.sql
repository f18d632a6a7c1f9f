-- Recording at the price of one plain INSERT, and several outcomes in one transaction.
--
-- An outcome in the queue says itself by which statement of which connection it came; when it is folded, that goes to
-- `folded_receipt`. Other statements leave theirs in `sender`, as before: whoever folds must not lock that. As long as a
-- session lives, it holds the advisory lock of its connection's number. Whoever has the lock knows that nothing
-- the connection has sent is executed any more.

-- The client checks what it sends, and `event` checks again: for each statement the server would have to read these anew.
ALTER TABLE fresh
    DROP CONSTRAINT fresh_tokens_check,
    DROP CONSTRAINT fresh_cost_nano_usd_check,
    DROP CONSTRAINT fresh_retry_after_ms_check,
    DROP CONSTRAINT fresh_score_check,
    ADD COLUMN sender bigint,
    ADD COLUMN sent bigint;

-- Whether nothing more that the connection has sent may be executed.
ALTER TABLE sender ADD COLUMN is_closed boolean NOT NULL DEFAULT false;

CREATE TABLE folded_receipt (
    sender bigint PRIMARY KEY,
    sent bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

CREATE FUNCTION keep_receipts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO folded_receipt AS known (sender, sent)
    SELECT sender, max(sent) FROM gone WHERE sender IS NOT NULL GROUP BY sender ORDER BY sender
    ON CONFLICT (sender) DO UPDATE SET sent = excluded.sent WHERE known.sent < excluded.sent;
    RETURN NULL;
END $$;
CREATE TRIGGER fresh_receipts AFTER DELETE ON fresh REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION keep_receipts();

-- The number of a connection, which is its id in `sender` as a number.
CREATE FUNCTION number_of_sender(p_sender text) RETURNS bigint IMMUTABLE LANGUAGE sql AS $$
    SELECT ('x' || p_sender)::bit(64)::bigint
$$;

-- The number of the last statement of a connection that was executed; 0 without any.
CREATE FUNCTION executed(p_sender text) RETURNS bigint STABLE LANGUAGE sql AS $$
    SELECT greatest(
        0,
        (SELECT sent FROM sender WHERE id = p_sender),
        (SELECT sent FROM folded_receipt WHERE sender = number_of_sender(p_sender)),
        (
            SELECT max(sent) FROM fresh
            WHERE number > (SELECT folded FROM progress) AND sender = number_of_sender(p_sender)
        )
    )
$$;

CREATE OR REPLACE FUNCTION is_moved(p_batch_id text) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM moved WHERE batch_id = p_batch_id) OR EXISTS (
        SELECT FROM sender_of(p_batch_id) AS receipt WHERE executed(receipt.id) >= receipt.sent
    )
$$;

-- Wait until the session of a connection is over; one that is left is ended, if the role may do that.
CREATE FUNCTION end_sender(p_sender text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c_number CONSTANT bigint := number_of_sender(p_sender);
BEGIN
    IF NOT pg_try_advisory_xact_lock(c_number) THEN
        BEGIN
            PERFORM pg_terminate_backend(pid) FROM pg_locks
            WHERE locktype = 'advisory' AND objsubid = 1 AND granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (classid::bigint << 32) | objid::bigint = c_number;
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;
        END;
        PERFORM pg_advisory_xact_lock(c_number);
    END IF;
END $$;

-- Write the outcomes of a batch, given by columns, unless they are stored; return how many were new.
CREATE OR REPLACE FUNCTION ingest_batch(
    p_batch_id text, p_task_types text[], p_model_ids text[], p_tried text[], p_served_models text[],
    p_ended_ms bigint[], p_successes boolean[], p_timeouts boolean[], p_tokens bigint[], p_costs bigint[],
    p_error_kinds text[], p_durations_ms bigint[], p_scores integer[], p_retries_after_ms bigint[],
    p_outcome_ids text[], p_are_stamped boolean[]
)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_receipt record;
    v_new bigint;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true); -- whoever has them forgets them then
    INSERT INTO moved (batch_id, moved_ms, outcomes)
    VALUES (p_batch_id, extract(epoch FROM clock_timestamp()) * 1000, 0) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT * INTO v_receipt FROM sender_of(p_batch_id);
    IF v_receipt.id IS NOT NULL THEN
        PERFORM end_sender(v_receipt.id);
        -- a statement that leaves its receipt there, and is still on its way through a pooler, finds that it is closed;
        -- `sent` stays what it is, as other outcomes of the same transaction may follow in any order
        INSERT INTO sender (id, sent, is_closed) VALUES (v_receipt.id, 0, true)
        ON CONFLICT (id) DO UPDATE SET is_closed = true;
        IF executed(v_receipt.id) >= v_receipt.sent THEN
            RETURN 0;
        END IF;
    END IF;
    v_new := record_many(
        p_task_types, p_model_ids, p_tried, p_served_models, p_ended_ms, p_successes, p_timeouts, p_tokens, p_costs,
        p_error_kinds, p_durations_ms, p_scores, p_retries_after_ms, p_outcome_ids, p_are_stamped
    );
    UPDATE moved SET outcomes = v_new WHERE batch_id = p_batch_id;
    RETURN v_new;
END $$;

CREATE OR REPLACE FUNCTION restore_lost(
    p_sender text, p_sent bigint[], p_task_types text[], p_model_ids text[], p_tried text[], p_served_models text[],
    p_ended_ms bigint[], p_successes boolean[], p_timeouts boolean[], p_tokens bigint[], p_costs bigint[],
    p_error_kinds text[], p_durations_ms bigint[], p_scores integer[], p_retries_after_ms bigint[],
    p_outcome_ids text[], p_are_stamped boolean[]
)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    c_last CONSTANT integer := array_length(p_sent, 1);
    v_stored bigint;
    v_first integer := 1;
BEGIN
    PERFORM set_config('synchronous_commit', 'on', true);
    PERFORM end_sender(p_sender);
    v_stored := executed(p_sender);
    WHILE v_first <= c_last AND p_sent[v_first] <= v_stored LOOP
        v_first := v_first + 1;
    END LOOP;
    IF v_first > c_last THEN
        RETURN 0;
    END IF;
    INSERT INTO sender (id, sent) VALUES (p_sender, p_sent[c_last]) ON CONFLICT (id) DO UPDATE SET sent = excluded.sent;
    RETURN record_many(
        p_task_types[v_first:], p_model_ids[v_first:], p_tried[v_first:], p_served_models[v_first:],
        p_ended_ms[v_first:], p_successes[v_first:], p_timeouts[v_first:], p_tokens[v_first:], p_costs[v_first:],
        p_error_kinds[v_first:], p_durations_ms[v_first:], p_scores[v_first:], p_retries_after_ms[v_first:],
        p_outcome_ids[v_first:], p_are_stamped[v_first:]
    );
END $$;

-- Record several outcomes with their decisions, in one transaction with others: arrays of objects, or null where an outcome
-- has no decision, or one that is stored. Return the number of each, or null for those that were left out: their ids are
-- known, or a verdict was reported before them. These are recorded one by one, as they may wait for others. Also return the
-- numbers of their names, and what `join_decisions` returns for those that have an object in `p_outcomes`.
CREATE FUNCTION record_group(
    p_sender bigint, p_sent bigint, p_rows jsonb, p_decisions jsonb, p_outcomes jsonb, p_most_tries integer,
    p_most_waiting integer, OUT numbers bigint[], OUT tally_ids integer[], OUT tried_ids integer[], OUT log jsonb
)
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM waiting_verdict
        WHERE decision_id IN (
            SELECT value ->> 'id' FROM jsonb_array_elements(p_decisions) WHERE jsonb_typeof(value) = 'object'
        )
    ) THEN
        PERFORM lock_sums(); -- before anything that another transaction could wait for
    END IF;
    PERFORM number_of_pair(task_type, model_id)
    FROM (
        SELECT DISTINCT value ->> 'task_type' COLLATE "C" AS task_type, value ->> 'model_id' COLLATE "C" AS model_id
        FROM jsonb_array_elements(p_rows) ORDER BY 1, 2
    ) AS pairs;
    PERFORM number_of_tried(models)
    FROM (
        SELECT DISTINCT value ->> 'tried' COLLATE "C" AS models FROM jsonb_array_elements(p_rows) ORDER BY 1
    ) AS sets;
    PERFORM number_of_served(model_id)
    FROM (
        SELECT DISTINCT value ->> 'served_model' COLLATE "C" AS model_id FROM jsonb_array_elements(p_rows) ORDER BY 1
    ) AS names;
    WITH given AS MATERIALIZED (
        SELECT each.*, place, next_number() AS number
        FROM jsonb_array_elements(p_rows) WITH ORDINALITY AS all_given (value, place)
        CROSS JOIN LATERAL jsonb_to_record(value) AS each (
            task_type text, model_id text, tried text, served_model text, ended_ms bigint, success boolean,
            timeout boolean, tokens bigint, cost_nano_usd bigint, error_kind text, duration_ms bigint, score integer,
            retry_after_ms bigint, outcome_id text, decision_id text, is_decided boolean
        )
        WHERE CASE
            WHEN outcome_id IS NOT NULL THEN outcome_id !~ '^decision:[0-9a-f]{20}$'
            WHEN is_decided OR decision_id IS NULL THEN true
            ELSE NOT EXISTS (
                SELECT FROM decision
                WHERE id = decision_id AND outcome_ref = to_jsonb('decision:' || decision_id)
                    AND outcome_model_id = each.model_id
            )
        END
        ORDER BY place
    ),
    keyed AS (
        INSERT INTO outcome_key (outcome_id, number, decision_id)
        SELECT DISTINCT ON (outcome_id COLLATE "C") outcome_id, number, decision_id
        FROM given WHERE outcome_id IS NOT NULL ORDER BY outcome_id COLLATE "C", number
        ON CONFLICT DO NOTHING
        RETURNING number
    ),
    added AS (
        INSERT INTO fresh (
            number, ended_ms, tokens, cost_nano_usd, duration_ms, retry_after_ms, tally_id, tried_id, served_id, score,
            success, timeout, is_referred, error_kind, sender, sent
        )
        SELECT
            given.number, ended_ms, tokens, cost_nano_usd, duration_ms, retry_after_ms,
            number_of_pair(task_type, model_id), number_of_tried(tried), number_of_served(served_model), score, success,
            timeout, outcome_id IS NOT NULL OR decision_id IS NOT NULL, error_kind, p_sender, p_sent
        FROM given WHERE outcome_id IS NULL OR given.number IN (SELECT number FROM keyed)
        RETURNING number, tally_id, tried_id
    )
    SELECT
        array_agg(added.number ORDER BY place), array_agg(added.tally_id ORDER BY place),
        array_agg(added.tried_id ORDER BY place)
    INTO numbers, tally_ids, tried_ids
    FROM generate_series(1, jsonb_array_length(p_rows)) AS places (place)
    LEFT JOIN given USING (place)
    LEFT JOIN added ON added.number = given.number;
    IF EXISTS (SELECT FROM jsonb_array_elements(p_outcomes) WHERE jsonb_typeof(value) = 'object') THEN
        log := join_decisions(
            (
                SELECT coalesce(jsonb_agg(value ORDER BY place), '[]')
                FROM jsonb_array_elements(p_decisions) WITH ORDINALITY AS decisions (value, place)
                WHERE numbers[place] IS NOT NULL AND jsonb_typeof(value) = 'object'
            ),
            (
                SELECT coalesce(jsonb_agg(value || jsonb_build_object('number', numbers[place]) ORDER BY place), '[]')
                FROM jsonb_array_elements(p_outcomes) WITH ORDINALITY AS outcomes (value, place)
                WHERE numbers[place] IS NOT NULL AND jsonb_typeof(value) = 'object'
            ),
            p_most_tries, p_most_waiting
        );
    END IF;
END $$;
