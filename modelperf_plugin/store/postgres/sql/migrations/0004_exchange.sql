-- What came from elsewhere, and how to tell it apart: imports, attached databases, merged experience.

-- Tells this store from others, in exports.
CREATE TABLE identity (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    origin text NOT NULL DEFAULT substr(replace(gen_random_uuid()::text, '-', ''), 1, 16)
);
INSERT INTO identity DEFAULT VALUES;

-- Sources and how far they were imported. A position is written in the transaction of its outcomes.
CREATE TABLE import (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    source text NOT NULL,
    digest text NOT NULL, -- SHA-256 of everything up to the position
    position bigint NOT NULL,
    outcomes bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL,
    begun_ms bigint NOT NULL,
    latest_ms bigint NOT NULL,
    archived text -- the path of the archive
);

-- Tables of other programs' databases that count as evidence without being copied.
CREATE TABLE attached (
    path text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    columns text NOT NULL, -- JSON: from our columns to theirs
    attached_ms bigint NOT NULL
);
CREATE UNIQUE INDEX attached_by_name ON attached (digest_of(path), digest_of(name));

-- Experience of other projects. It is never part of the tallies.
CREATE TABLE merged (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    origin text,
    digest text NOT NULL,
    strength double precision NOT NULL CHECK (strength >= 0),
    merged_ms bigint NOT NULL
);
CREATE UNIQUE INDEX merged_by_name ON merged (digest_of(name));

CREATE TABLE prior (
    merged_id integer NOT NULL REFERENCES merged (id) ON DELETE CASCADE,
    task_type text COLLATE "C" NOT NULL,
    model_id text COLLATE "C" NOT NULL,
    successes bigint NOT NULL CHECK (successes >= 0),
    failures bigint NOT NULL CHECK (failures >= 0),
    timeouts bigint NOT NULL CHECK (timeouts >= 0),
    outages bigint NOT NULL CHECK (outages >= 0),
    caller_errors bigint NOT NULL CHECK (caller_errors >= 0),
    tokens bigint NOT NULL CHECK (tokens >= 0),
    cost_nano_usd bigint NOT NULL CHECK (cost_nano_usd >= 0),
    priced bigint NOT NULL CHECK (priced >= 0),
    last_used_ms bigint,
    timeout_failures bigint NOT NULL CHECK (timeout_failures >= 0),
    graded bigint NOT NULL CHECK (graded >= 0),
    score_shift bigint NOT NULL
);
CREATE UNIQUE INDEX prior_by_pair ON prior (merged_id, task_type, digest_of(model_id));

-- The progress that a batch makes in an import: without an id it begins one.
CREATE TYPE import_step AS (
    kind text, source text, digest text, position bigint, from_position bigint, rejected bigint, at_ms bigint,
    import_id bigint, newest bigint
);

-- Store the position of an import; return its id, or NULL if another process has moved it. Takes the lock on sums, which
-- makes imports run one after another.
CREATE FUNCTION advance_import(p_step import_step) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
BEGIN
    PERFORM lock_sums();
    IF p_step.import_id IS NULL THEN
        INSERT INTO import (kind, source, digest, position, rejected, begun_ms, latest_ms)
        SELECT
            p_step.kind, p_step.source, p_step.digest, p_step.position, p_step.rejected, p_step.at_ms, p_step.at_ms
        WHERE NOT EXISTS (SELECT FROM import WHERE kind = p_step.kind AND id > p_step.newest)
        RETURNING id INTO v_id;
    ELSE
        UPDATE import SET
            digest = p_step.digest, position = p_step.position, rejected = rejected + p_step.rejected,
            latest_ms = p_step.at_ms
        WHERE id = p_step.import_id AND position = p_step.from_position
        RETURNING id INTO v_id;
    END IF;
    RETURN v_id;
END $$;

-- The same for sums: also NULL if a newer version of the source is being imported.
CREATE FUNCTION advance_import_of_sums(p_step import_step) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_sums();
    IF EXISTS (
        SELECT FROM import WHERE kind = p_step.kind AND source = p_step.source AND id > p_step.import_id
    ) THEN
        RETURN NULL;
    END IF;
    RETURN advance_import(p_step);
END $$;

-- Write a batch of outcomes, given by columns, without those whose id is known; return the id of the import (NULL if
-- another process has moved it) and how many were new.
CREATE FUNCTION import_outcomes(
    p_step import_step, p_tally_ids integer[], p_ended_ms bigint[], p_successes boolean[], p_timeouts boolean[],
    p_tokens bigint[], p_costs bigint[], p_error_kinds text[], p_durations_ms bigint[], p_scores integer[],
    p_tried text[], p_outcome_ids text[], OUT import_id bigint, OUT added bigint
)
LANGUAGE plpgsql AS $$
BEGIN
    import_id := advance_import(p_step);
    IF import_id IS NULL THEN
        RETURN;
    END IF;
    PERFORM number_of_tried(models)
    FROM (SELECT DISTINCT models COLLATE "C" AS models FROM unnest(p_tried) AS models ORDER BY 1) AS sets;
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
            tried.id, given.score, given.success, given.timeout, given.outcome_id IS NOT NULL, given.error_kind
        FROM given LEFT JOIN tried ON digest_of(tried.models) = digest_of(given.tried)
        WHERE given.outcome_id IS NULL OR given.number IN (SELECT number FROM keyed)
        RETURNING number
    )
    SELECT count(*) INTO added FROM stored;
    UPDATE import SET outcomes = outcomes + added WHERE id = import_id;
    PERFORM fold(); -- the queue stays short, however long the history is
END $$;

-- Write sums of pairs that have none of this source, and add them to the tallies. The caller holds the lock.
CREATE FUNCTION add_imported(
    p_import_id bigint, p_source text, p_task_types text[], p_model_ids text[], p_successes bigint[],
    p_failures bigint[], p_timeouts bigint[], p_tokens bigint[], p_costs bigint[], p_last_used_ms bigint[]
)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM number_of_pair(task_type, model_id)
    FROM (
        SELECT DISTINCT task_type COLLATE "C" AS task_type, model_id COLLATE "C" AS model_id
        FROM unnest(p_task_types, p_model_ids) AS pair (task_type, model_id) ORDER BY 1, 2
    ) AS pairs;
    WITH new AS (
        INSERT INTO imported (
            tally_id, source, successes, failures, timeouts, tokens, cost_nano_usd, last_used_ms
        )
        SELECT
            tally.id, p_source, entry.successes, entry.failures, entry.timeouts, entry.tokens, entry.cost_nano_usd,
            entry.last_used_ms
        FROM unnest(
            p_task_types, p_model_ids, p_successes, p_failures, p_timeouts, p_tokens, p_costs, p_last_used_ms
        ) AS entry (task_type, model_id, successes, failures, timeouts, tokens, cost_nano_usd, last_used_ms)
        JOIN tally ON tally.task_type = entry.task_type AND digest_of(tally.model_id) = digest_of(entry.model_id)
        RETURNING *
    )
    UPDATE tally SET
        successes = tally.successes + new.successes,
        failures = tally.failures + new.failures,
        timeouts = tally.timeouts + new.timeouts,
        tokens = bounded(tally.tokens::numeric + new.tokens),
        cost_nano_usd = bounded(tally.cost_nano_usd::numeric + new.cost_nano_usd),
        -- a cost, if there is one, is that of all outcomes
        priced = tally.priced + CASE WHEN new.cost_nano_usd > 0 THEN new.successes + new.failures ELSE 0 END,
        last_used_ms = greatest(tally.last_used_ms, new.last_used_ms)
    FROM new WHERE new.tally_id = tally.id;
    UPDATE import SET outcomes = outcomes + (
        SELECT coalesce(sum(successes + failures), 0) FROM unnest(p_successes, p_failures) AS sums (successes, failures)
    )
    WHERE id = p_import_id;
    UPDATE progress SET corrections = corrections + 1;
END $$;

-- Take the sums of the first pairs of a source away again (NULL: all); return how many. The caller holds the lock.
CREATE FUNCTION remove_imported(p_source text, p_limit bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_removed bigint;
BEGIN
    WITH gone AS (
        DELETE FROM imported
        WHERE digest_of(source) = digest_of(p_source) AND tally_id IN (
            SELECT tally_id FROM imported WHERE digest_of(source) = digest_of(p_source) ORDER BY tally_id LIMIT p_limit
        )
        RETURNING *
    )
    UPDATE tally SET
        successes = tally.successes - gone.successes,
        failures = tally.failures - gone.failures,
        timeouts = tally.timeouts - gone.timeouts,
        tokens = tally.tokens - gone.tokens,
        cost_nano_usd = tally.cost_nano_usd - gone.cost_nano_usd,
        priced = tally.priced - CASE WHEN gone.cost_nano_usd > 0 THEN gone.successes + gone.failures ELSE 0 END
    FROM gone WHERE gone.tally_id = tally.id;
    GET DIAGNOSTICS v_removed = ROW_COUNT;
    UPDATE progress SET corrections = corrections + 1;
    RETURN v_removed;
END $$;

-- Write all sums of a source in place of earlier ones; return false if the same content was imported before or, with
-- `p_once`, anything of that source.
CREATE FUNCTION import_sums(
    p_step import_step, p_once boolean, p_task_types text[], p_model_ids text[], p_successes bigint[],
    p_failures bigint[], p_timeouts bigint[], p_tokens bigint[], p_costs bigint[], p_last_used_ms bigint[]
)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_source CONSTANT text := p_step.kind || ':' || p_step.source;
BEGIN
    PERFORM lock_sums();
    IF EXISTS (
        SELECT FROM (
            SELECT DISTINCT ON (source) source, digest FROM import WHERE kind = p_step.kind ORDER BY source, id DESC
        ) AS newest
        WHERE digest = p_step.digest OR p_once AND source = p_step.source
    ) THEN
        RETURN false;
    END IF;
    p_step.import_id := NULL;
    p_step.newest := 9223372036854775807; -- begin an import, whichever others there are
    PERFORM remove_imported(v_source, NULL);
    PERFORM add_imported(
        advance_import(p_step), v_source, p_task_types, p_model_ids, p_successes, p_failures, p_timeouts, p_tokens,
        p_costs, p_last_used_ms
    );
    RETURN true;
END $$;

-- Write a part of the sums of a source; return the id of the import, or NULL if another process has moved it.
CREATE FUNCTION import_some_sums(
    p_step import_step, p_task_types text[], p_model_ids text[], p_successes bigint[], p_failures bigint[],
    p_timeouts bigint[], p_tokens bigint[], p_costs bigint[], p_last_used_ms bigint[]
)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_import_id CONSTANT bigint := advance_import_of_sums(p_step);
BEGIN
    PERFORM add_imported(
        v_import_id, p_step.kind || ':' || p_step.source, p_task_types, p_model_ids, p_successes, p_failures,
        p_timeouts, p_tokens, p_costs, p_last_used_ms
    )
    WHERE v_import_id IS NOT NULL;
    RETURN v_import_id;
END $$;

-- Take up to `p_limit` sums of a source away; return how many, or NULL if another process has moved the import.
CREATE FUNCTION unimport_some_sums(p_step import_step, p_limit bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    IF advance_import_of_sums(p_step) IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN remove_imported(p_step.kind || ':' || p_step.source, p_limit);
END $$;
