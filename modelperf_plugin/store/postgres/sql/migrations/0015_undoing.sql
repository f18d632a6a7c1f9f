-- What it takes to undo: which outcomes an import has brought, and what was expected when a change was noticed.

-- The events of an import, from one to another; all in between that exist are its own.
CREATE TABLE import_range (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    import_id bigint NOT NULL,
    first_event_id bigint NOT NULL,
    last_event_id bigint NOT NULL
);
CREATE INDEX import_range_by_import ON import_range (import_id, last_event_id);

ALTER TABLE change ADD COLUMN rates text; -- JSON: the success rate expected since the change, by task type
UPDATE change SET rates = known.rates
FROM (
    SELECT baseline.change_id, jsonb_object_agg(tally.task_type, baseline.rate)::text AS rates
    FROM baseline JOIN tally ON tally.id = baseline.tally_id
    WHERE baseline.rate IS NOT NULL GROUP BY baseline.change_id
) AS known
WHERE known.change_id = change.id AND change.direction <> 'announced';

-- The same as before, and the expected rates stay with the change when the counts before it are replaced.
CREATE OR REPLACE FUNCTION add_change(
    p_model_id text, p_direction text, p_since_event_id bigint, p_noticed_event_id bigint, p_since_ms bigint,
    p_noticed_ms bigint, p_evidence double precision, p_rates jsonb
)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_change_id bigint;
BEGIN
    PERFORM lock_sums();
    PERFORM fold();
    INSERT INTO change (model_id, direction, since_event_id, noticed_event_id, since_ms, noticed_ms, evidence, rates)
    SELECT
        p_model_id, p_direction, p_since_event_id, p_noticed_event_id, p_since_ms, p_noticed_ms, p_evidence,
        nullif(p_rates, '{}')::text
    WHERE NOT EXISTS (SELECT FROM change WHERE model_id = p_model_id AND noticed_event_id > p_since_event_id)
    RETURNING id INTO v_change_id;
    IF v_change_id IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO baseline (
        tally_id, change_id, successes, failures, rate, timeout_failures, later_successes, later_failures,
        later_timeout_failures, score_shift, later_score_shift
    )
    SELECT
        tally.id,
        v_change_id,
        tally.successes - coalesce(since.successes, 0),
        tally.failures - tally.outages - tally.caller_errors - coalesce(since.quality_failures, 0),
        (p_rates ->> tally.task_type)::double precision,
        tally.timeout_failures - coalesce(since.timeout_failures, 0),
        tally.later_successes - coalesce(since.later_successes, 0),
        tally.later_failures - coalesce(since.later_failures, 0),
        tally.later_timeout_failures - coalesce(since.later_timeout_failures, 0),
        tally.score_shift - coalesce(since.score_shift, 0),
        tally.later_score_shift - coalesce(since.later_score_shift, 0)
    FROM tally
    LEFT JOIN (
        SELECT
            tally_id, sum(successes) AS successes, sum(quality_failures) AS quality_failures,
            sum(timeout_failures) AS timeout_failures, sum(later_successes) AS later_successes,
            sum(later_failures) AS later_failures, sum(later_timeout_failures) AS later_timeout_failures,
            sum(score_shift) AS score_shift, sum(later_score_shift) AS later_score_shift
        FROM counted_event WHERE id > p_noticed_event_id GROUP BY tally_id
    ) AS since ON since.tally_id = tally.id
    WHERE tally.model_id = p_model_id
    ON CONFLICT (tally_id) DO UPDATE SET
        change_id = excluded.change_id, successes = excluded.successes, failures = excluded.failures,
        rate = excluded.rate, timeout_failures = excluded.timeout_failures, later_successes = excluded.later_successes,
        later_failures = excluded.later_failures, later_timeout_failures = excluded.later_timeout_failures,
        score_shift = excluded.score_shift, later_score_shift = excluded.later_score_shift;
    RETURN true;
END $$;

-- Note which of the events after one an import has brought; they are known by their numbers.
CREATE FUNCTION note_imported(p_import_id bigint, p_after_id bigint, p_numbers bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_range record;
BEGIN
    FOR v_range IN
        SELECT min(id) AS first_id, max(id) AS last_id
        FROM (
            SELECT id, id - row_number() OVER (ORDER BY id) AS island
            FROM event WHERE id > p_after_id AND number = ANY (p_numbers)
        ) AS own
        GROUP BY island ORDER BY 1
    LOOP
        UPDATE import_range SET last_event_id = v_range.last_id
        WHERE import_id = p_import_id AND last_event_id = v_range.first_id - 1;
        IF NOT FOUND THEN
            INSERT INTO import_range (import_id, first_event_id, last_event_id)
            VALUES (p_import_id, v_range.first_id, v_range.last_id);
        END IF;
    END LOOP;
END $$;

-- The same as before, and it notes which events it has brought: others may be recorded at the same time.
CREATE OR REPLACE FUNCTION import_outcomes(
    p_step import_step, p_tally_ids integer[], p_ended_ms bigint[], p_successes boolean[], p_timeouts boolean[],
    p_tokens bigint[], p_costs bigint[], p_error_kinds text[], p_durations_ms bigint[], p_scores integer[],
    p_tried text[], p_outcome_ids text[], OUT import_id bigint, OUT added bigint
)
LANGUAGE plpgsql AS $$
DECLARE
    v_after bigint;
    v_numbers bigint[];
BEGIN
    import_id := advance_import(p_step);
    IF import_id IS NULL THEN
        RETURN;
    END IF;
    PERFORM number_of_tried(models)
    FROM (SELECT DISTINCT models COLLATE "C" AS models FROM unnest(p_tried) AS models ORDER BY 1) AS sets;
    SELECT last_event_id INTO v_after FROM progress;
    WITH given AS MATERIALIZED (
        SELECT batch.*, next_number() AS number
        FROM (
            SELECT *
            FROM unnest(
                p_tally_ids, p_ended_ms, p_successes, p_timeouts, p_tokens, p_costs, p_error_kinds, p_durations_ms,
                p_scores, p_tried, p_outcome_ids
            ) WITH ORDINALITY AS entry (
                tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, tried,
                outcome_id, place
            )
            ORDER BY place
        ) AS batch
    ),
    keyed AS (
        INSERT INTO outcome_key (outcome_id, number)
        SELECT outcome_id, min(number) FROM given WHERE outcome_id IS NOT NULL
        GROUP BY outcome_id ORDER BY outcome_id COLLATE "C"
        ON CONFLICT DO NOTHING
        RETURNING number
    ),
    stored AS (
        INSERT INTO fresh (
            number, ended_ms, tokens, cost_nano_usd, duration_ms, tally_id, tried_id, score, success, timeout,
            is_referred, error_kind
        )
        SELECT
            given.number, given.ended_ms, given.tokens, given.cost_nano_usd, given.duration_ms, given.tally_id,
            tried.id, given.score, given.success, given.timeout, true, given.error_kind
        FROM given LEFT JOIN tried ON digest_of(tried.models) = digest_of(given.tried)
        WHERE given.outcome_id IS NULL OR given.number IN (SELECT number FROM keyed)
        RETURNING number
    )
    SELECT count(*), array_agg(number) INTO added, v_numbers FROM stored;
    UPDATE import SET outcomes = outcomes + added WHERE id = import_id;
    PERFORM fold(); -- the queue stays short, however long the history is
    PERFORM note_imported(import_id, v_after, v_numbers);
END $$;
