-- What is found by watching: changes of models with the counts from before them, demotions, and how far watching has
-- come. Further: models of which costs were estimated.

CREATE TABLE change (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id text COLLATE "C" NOT NULL,
    direction text NOT NULL CHECK (direction IN ('up', 'down', 'announced')),
    since_event_id bigint NOT NULL,
    noticed_event_id bigint NOT NULL,
    since_ms bigint NOT NULL,
    noticed_ms bigint NOT NULL,
    evidence double precision
);
CREATE INDEX change_by_model ON change (model_id);

-- The counts of a changed model's pairs that no longer count as evidence, and the rate expected since then.
CREATE TABLE baseline (
    tally_id integer PRIMARY KEY REFERENCES tally (id),
    change_id bigint NOT NULL REFERENCES change (id),
    successes bigint NOT NULL,
    failures bigint NOT NULL,
    rate double precision,
    timeout_failures bigint NOT NULL,
    later_successes bigint NOT NULL,
    later_failures bigint NOT NULL,
    later_timeout_failures bigint NOT NULL,
    score_shift bigint NOT NULL,
    later_score_shift bigint NOT NULL
);

-- `ended_ms` is NULL while a demotion lasts. `event_id` is the newest event when it began or ended.
CREATE TABLE demotion (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tally_id integer NOT NULL REFERENCES tally (id),
    since_ms bigint NOT NULL,
    threshold double precision NOT NULL,
    evidence double precision NOT NULL,
    reason text NOT NULL,
    ended_ms bigint,
    ended_by text,
    event_id bigint NOT NULL
);
CREATE UNIQUE INDEX demotion_in_force ON demotion (tally_id) WHERE ended_ms IS NULL;

-- The states of the watches after the event in `watch_position`.
CREATE TABLE watch (
    kind text COLLATE "C" NOT NULL,
    task_type text COLLATE "C" NOT NULL,
    model_id text COLLATE "C" NOT NULL,
    state text NOT NULL -- a JSON array of numbers
);
CREATE UNIQUE INDEX watch_by_key ON watch (kind, task_type, digest_of(model_id));

CREATE TABLE watch_position (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    event_id bigint NOT NULL
);

-- Store a change and the counts of the model's pairs until it was noticed (all, less those after it); return false if
-- the change is stored already. `p_rates` has the expected rates by task type.
CREATE FUNCTION add_change(
    p_model_id text, p_direction text, p_since_event_id bigint, p_noticed_event_id bigint, p_since_ms bigint,
    p_noticed_ms bigint, p_evidence double precision, p_rates jsonb
)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_change_id bigint;
BEGIN
    PERFORM lock_sums();
    PERFORM fold();
    INSERT INTO change (model_id, direction, since_event_id, noticed_event_id, since_ms, noticed_ms, evidence)
    SELECT
        p_model_id, p_direction, p_since_event_id, p_noticed_event_id, p_since_ms, p_noticed_ms, p_evidence
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

-- Demote a model; return false if it is demoted already, or unknown.
CREATE FUNCTION add_demotion(
    p_task_type text, p_model_id text, p_since_ms bigint, p_threshold double precision, p_evidence double precision,
    p_reason text
)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fold();
    INSERT INTO demotion (tally_id, since_ms, threshold, evidence, reason, event_id)
    SELECT tally.id, p_since_ms, p_threshold, p_evidence, p_reason, progress.last_event_id
    FROM tally CROSS JOIN progress
    WHERE tally.task_type = p_task_type AND digest_of(tally.model_id) = digest_of(p_model_id)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;

-- Reinstate a model; return false if it was not demoted.
CREATE FUNCTION end_demotion(p_task_type text, p_model_id text, p_ended_ms bigint, p_ended_by text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fold();
    UPDATE demotion SET
        ended_ms = p_ended_ms, ended_by = p_ended_by, event_id = (SELECT last_event_id FROM progress)
    WHERE ended_ms IS NULL AND tally_id = (
        SELECT id FROM tally WHERE task_type = p_task_type AND digest_of(model_id) = digest_of(p_model_id)
    );
    RETURN FOUND;
END $$;

-- Move the position of the watches on, delete the states of those that have ended and replace those that are given,
-- each key at most once; a process behind another changes nothing.
CREATE FUNCTION save_watches(
    p_event_id bigint, p_kinds text[], p_task_types text[], p_model_ids text[], p_states text[],
    p_ended_kinds text[], p_ended_task_types text[], p_ended_model_ids text[]
)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO watch_position AS old (event_id) VALUES (p_event_id)
    ON CONFLICT (single) DO UPDATE SET event_id = excluded.event_id WHERE excluded.event_id > old.event_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM watch
    USING unnest(p_ended_kinds, p_ended_task_types, p_ended_model_ids) AS ended (kind, task_type, model_id)
    WHERE watch.kind = ended.kind AND watch.task_type = ended.task_type
        AND digest_of(watch.model_id) = digest_of(ended.model_id);
    INSERT INTO watch (kind, task_type, model_id, state)
    SELECT * FROM unnest(p_kinds, p_task_types, p_model_ids, p_states)
    ON CONFLICT (kind, task_type, digest_of(model_id)) DO UPDATE SET state = excluded.state;
    RETURN true;
END $$;

-- Models of which hosts report tokens without a cost: their costs were estimated by a list of prices.
CREATE TABLE estimated_cost (
    model_id text COLLATE "C" PRIMARY KEY CHECK (length(model_id) BETWEEN 1 AND 512),
    prices_day integer NOT NULL CHECK (prices_day BETWEEN 0 AND 2932896) -- of the last list, from the Unix epoch in UTC
);
