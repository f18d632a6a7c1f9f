-- Outcomes that come by way of a file, or may have come before: each is stored once.

-- The batches of spooled outcomes that were ingested; each row is written together with its outcomes.
CREATE TABLE moved (
    batch_id text COLLATE "C" PRIMARY KEY CHECK (length(batch_id) BETWEEN 1 AND 512),
    moved_ms bigint NOT NULL,
    outcomes bigint NOT NULL
);

-- How far each connection of a client has come: the number of its last statement that was executed. A client whose
-- connection broke in the middle of one gives the outcomes a batch id of `sender_sent`, and takes another sender. Few rows
-- to a page, as each is changed with every outcome of its connection.
CREATE TABLE sender (
    id text COLLATE "C" PRIMARY KEY CHECK (length(id) <= 512),
    sent bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 1);

-- The sender in the id of a batch that a broken connection left, and the number of its statement.
CREATE FUNCTION sender_of(p_batch_id text, OUT id text, OUT sent bigint) IMMUTABLE LANGUAGE sql AS $$
    SELECT parts[1], parts[2]::bigint FROM regexp_match(p_batch_id, '^([0-9a-f]{16})_([0-9]{1,18})$') AS parts
$$;

-- Return whether the outcomes of a batch are stored.
CREATE FUNCTION is_moved(p_batch_id text) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM moved WHERE batch_id = p_batch_id) OR EXISTS (
        SELECT FROM sender_of(p_batch_id) AS receipt JOIN sender ON sender.id = receipt.id AND sender.sent >= receipt.sent
    )
$$;

-- Write the outcomes of a batch, given by columns, unless they are stored; return how many were new. If a connection broke
-- before the server got its statement, that must not be executed any more: it finds the number taken.
CREATE FUNCTION ingest_batch(
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
        INSERT INTO sender AS old (id, sent) VALUES (v_receipt.id, v_receipt.sent)
        ON CONFLICT (id) DO UPDATE SET sent = excluded.sent WHERE old.sent < excluded.sent;
        IF NOT FOUND THEN
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

-- Write again what a server has lost that had to stop before it was on its disk, or a standby in its place never got: those
-- of a connection's outcomes, given by columns, whose statements come after the last one that is stored; return how many.
CREATE FUNCTION restore_lost(
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
    INSERT INTO sender (id, sent) VALUES (p_sender, 0) ON CONFLICT DO NOTHING;
    SELECT sent INTO v_stored FROM sender WHERE id = p_sender FOR UPDATE;
    WHILE v_first <= c_last AND p_sent[v_first] <= v_stored LOOP
        v_first := v_first + 1;
    END LOOP;
    IF v_first > c_last THEN
        RETURN 0;
    END IF;
    UPDATE sender SET sent = p_sent[c_last] WHERE id = p_sender;
    RETURN record_many(
        p_task_types[v_first:], p_model_ids[v_first:], p_tried[v_first:], p_served_models[v_first:],
        p_ended_ms[v_first:], p_successes[v_first:], p_timeouts[v_first:], p_tokens[v_first:], p_costs[v_first:],
        p_error_kinds[v_first:], p_durations_ms[v_first:], p_scores[v_first:], p_retries_after_ms[v_first:],
        p_outcome_ids[v_first:], p_are_stamped[v_first:]
    );
END $$;
