-- Outcomes and what they add up to.
--
-- Whoever records an outcome only inserts it into the queue `fresh`. `fold` moves what is there to `event`, with the
-- next numbers, and adds it up: so events are numbered in the order in which their transactions were committed, and no
-- two recorders wait for each other because of a sum. Whoever changes `event` or a sum holds the lock of `lock_sums`.

CREATE FUNCTION digest_of(text) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE LANGUAGE sql
RETURN sha256(convert_to($1, 'UTF8'));

CREATE FUNCTION day_of(p_ms bigint) RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN p_ms / 86400000 - (p_ms % 86400000 < 0)::integer; -- floored also before 1970

CREATE FUNCTION period_of(p_ms bigint) RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN p_ms / 2419200000 - (p_ms % 2419200000 < 0)::integer;

-- A sum that stops at 2^63 - 1 instead of failing, and at 0.
CREATE FUNCTION bounded(p_sum numeric) RETURNS bigint IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN greatest(least(p_sum, 9223372036854775807), 0)::bigint;

-- An index entry has at most 2704 bytes, fewer than two names may have: hence the digests.
CREATE TABLE tally (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_type text COLLATE "C" NOT NULL CHECK (length(task_type) BETWEEN 1 AND 512),
    model_id text COLLATE "C" NOT NULL CHECK (length(model_id) BETWEEN 1 AND 512),
    last_used_ms bigint,
    successes bigint NOT NULL DEFAULT 0,
    failures bigint NOT NULL DEFAULT 0,
    timeouts bigint NOT NULL DEFAULT 0,
    outages bigint NOT NULL DEFAULT 0,
    caller_errors bigint NOT NULL DEFAULT 0,
    tokens bigint NOT NULL DEFAULT 0,
    cost_nano_usd bigint NOT NULL DEFAULT 0,
    priced bigint NOT NULL DEFAULT 0,
    timeout_failures bigint NOT NULL DEFAULT 0,
    later_successes bigint NOT NULL DEFAULT 0,
    later_failures bigint NOT NULL DEFAULT 0,
    later_timeout_failures bigint NOT NULL DEFAULT 0,
    graded bigint NOT NULL DEFAULT 0,
    score_shift bigint NOT NULL DEFAULT 0,
    later_score_shift bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX tally_by_pair ON tally (task_type, digest_of(model_id));
CREATE INDEX tally_by_model ON tally (model_id);

-- The sets of models that had failed before, as JSON arrays.
CREATE TABLE tried (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    models text NOT NULL
);
CREATE UNIQUE INDEX tried_by_models ON tried (digest_of(models));

CREATE TABLE served_model (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id text NOT NULL CHECK (length(model_id) BETWEEN 1 AND 512) UNIQUE
);

-- Every outcome has a number, which it is known by from the moment of recording. That of its event comes later.
CREATE SEQUENCE outcome_number;

-- The next number. Its transaction gets an id before it: whoever has a later id knows of every number before its own.
CREATE FUNCTION next_number() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_current_xact_id();
    RETURN nextval('outcome_number');
END $$;

CREATE TABLE fresh (
    number bigint PRIMARY KEY,
    ended_ms bigint NOT NULL,
    tokens bigint NOT NULL CHECK (tokens >= 0),
    cost_nano_usd bigint NOT NULL CHECK (cost_nano_usd >= 0),
    duration_ms bigint,
    retry_after_ms bigint CHECK (retry_after_ms >= 0),
    tally_id integer NOT NULL,
    tried_id integer,
    served_id integer,
    score integer CHECK (score BETWEEN 0 AND 1000000),
    success boolean NOT NULL,
    timeout boolean NOT NULL,
    -- whether its number is in `outcome_key` or in the log of decisions
    is_referred boolean NOT NULL,
    error_kind text
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_analyze_threshold = 1000000000);

-- Partitions, when they come, are ranges of `id`: what refers to an event does so by its number, without a foreign key.
CREATE TABLE event (
    id bigint PRIMARY KEY,
    number bigint, -- if something refers to it
    ended_ms bigint NOT NULL,
    tokens bigint NOT NULL CHECK (tokens >= 0),
    cost_nano_usd bigint NOT NULL CHECK (cost_nano_usd >= 0),
    duration_ms bigint,
    retry_after_ms bigint CHECK (retry_after_ms >= 0),
    tally_id integer NOT NULL,
    tried_id integer,
    score integer CHECK (score BETWEEN 0 AND 1000000),
    success boolean NOT NULL,
    timeout boolean NOT NULL,
    error_kind text
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05);

-- One row: the last event, and how often sums were changed otherwise than by new events. Numbers up to `folded` are in
-- the queue no more, so that nobody has to look through rows that are deleted but not cleaned up yet; those up to
-- `issued` were given to transactions whose ids are before `issued_until`.
CREATE TABLE progress (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    last_event_id bigint NOT NULL DEFAULT 0,
    corrections bigint NOT NULL DEFAULT 0,
    folded bigint NOT NULL DEFAULT 0,
    issued bigint,
    issued_until xid8
);
INSERT INTO progress DEFAULT VALUES;

CREATE TABLE outcome_key (
    outcome_id text COLLATE "C" PRIMARY KEY CHECK (length(outcome_id) BETWEEN 1 AND 512),
    number bigint NOT NULL,
    decision_id text COLLATE "C"
);

-- The events of numbers that something refers to.
CREATE TABLE event_ref (
    number bigint PRIMARY KEY,
    event_id bigint NOT NULL
);

-- What the verdicts of events were before they were replaced, in that order.
CREATE TABLE revision (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id bigint NOT NULL,
    revised_ms bigint NOT NULL, -- when the verdict that replaced this one was given
    tokens bigint NOT NULL CHECK (tokens >= 0),
    cost_nano_usd bigint NOT NULL CHECK (cost_nano_usd >= 0),
    score integer CHECK (score BETWEEN 0 AND 1000000),
    success boolean NOT NULL,
    timeout boolean NOT NULL,
    error_kind text
);
CREATE INDEX revision_by_event ON revision (event_id, number);

CREATE TABLE served (
    event_id bigint PRIMARY KEY,
    served_id integer NOT NULL REFERENCES served_model (id)
);

CREATE TABLE daily (
    tally_id integer NOT NULL,
    day bigint NOT NULL, -- from the Unix epoch in UTC
    successes bigint NOT NULL,
    failures bigint NOT NULL,
    timeouts bigint NOT NULL,
    outages bigint NOT NULL,
    caller_errors bigint NOT NULL,
    tokens bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    priced bigint NOT NULL,
    timeout_failures bigint NOT NULL,
    later_successes bigint NOT NULL,
    later_failures bigint NOT NULL,
    later_timeout_failures bigint NOT NULL,
    graded bigint NOT NULL,
    score_shift bigint NOT NULL,
    later_score_shift bigint NOT NULL,
    PRIMARY KEY (tally_id, day)
) WITH (fillfactor = 70);

-- Later tries by what had failed before.
CREATE TABLE later (
    tally_id integer NOT NULL,
    tried_id integer NOT NULL REFERENCES tried (id),
    successes bigint NOT NULL,
    failures bigint NOT NULL,
    timeout_failures bigint NOT NULL,
    score_shift bigint NOT NULL,
    PRIMARY KEY (tally_id, tried_id)
) WITH (fillfactor = 70);

CREATE TABLE duration_border (from_ms bigint PRIMARY KEY);
INSERT INTO duration_border
WITH RECURSIVE border (from_ms) AS (
    VALUES (0::bigint)
    UNION ALL
    SELECT greatest(from_ms + 1, from_ms * 6 / 5) FROM border WHERE from_ms < 2592000000
)
SELECT from_ms FROM border;

CREATE TABLE duration (
    tally_id integer NOT NULL,
    period bigint NOT NULL, -- of 28 days, from the Unix epoch in UTC
    from_ms bigint NOT NULL, -- a border
    outcomes bigint NOT NULL,
    PRIMARY KEY (tally_id, period, from_ms)
) WITH (fillfactor = 70);

-- The sums of events that retention has deleted.
CREATE TABLE dropped (
    tally_id integer PRIMARY KEY,
    successes bigint NOT NULL,
    failures bigint NOT NULL,
    timeouts bigint NOT NULL,
    outages bigint NOT NULL,
    caller_errors bigint NOT NULL,
    tokens bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    priced bigint NOT NULL,
    timeout_failures bigint NOT NULL,
    later_successes bigint NOT NULL,
    later_failures bigint NOT NULL,
    later_timeout_failures bigint NOT NULL,
    graded bigint NOT NULL,
    score_shift bigint NOT NULL,
    later_score_shift bigint NOT NULL
);

-- Sums without events, from other places.
CREATE TABLE imported (
    tally_id integer NOT NULL REFERENCES tally (id),
    source text NOT NULL,
    successes bigint NOT NULL CHECK (successes >= 0),
    failures bigint NOT NULL CHECK (failures >= 0),
    timeouts bigint NOT NULL CHECK (timeouts >= 0),
    tokens bigint NOT NULL CHECK (tokens >= 0),
    cost_nano_usd bigint NOT NULL CHECK (cost_nano_usd >= 0),
    last_used_ms bigint
);
CREATE UNIQUE INDEX imported_by_source ON imported (digest_of(source), tally_id);

CREATE TABLE problem (
    kind text NOT NULL,
    message text NOT NULL,
    times bigint NOT NULL,
    first_ms bigint NOT NULL,
    last_ms bigint NOT NULL
);
CREATE UNIQUE INDEX problem_by_kind ON problem (digest_of(kind), digest_of(message));

-- What one outcome adds to the sums. A set-returning function, because only those are inlined into a query.
CREATE FUNCTION counts_of(
    p_success boolean, p_timeout boolean, p_error_kind text, p_score integer, p_cost_nano_usd bigint, p_tried_id integer,
    p_duration_ms bigint
)
RETURNS TABLE (
    successes integer, failures integer, timeouts integer, outages integer, caller_errors integer,
    quality_failures integer, priced integer, timeout_failures integer, is_later boolean, graded integer,
    score_shift integer, is_timed boolean
)
IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
    SELECT
        p_success::integer,
        (NOT p_success)::integer,
        p_timeout::integer,
        (NOT p_success AND coalesce(p_error_kind IN ('rate_limit', 'server_error', 'network', 'unavailable'), false))::integer,
        (NOT p_success AND coalesce(p_error_kind IN ('cancelled', 'caller_error'), false))::integer,
        (NOT p_success AND coalesce(p_error_kind IN ('context_overflow', 'other', 'refused'), true))::integer,
        (p_cost_nano_usd > 0)::integer,
        (
            p_timeout AND NOT p_success AND p_score IS NULL
            AND coalesce(p_error_kind IN ('context_overflow', 'other', 'refused'), true)
        )::integer,
        p_tried_id IS NOT NULL
            AND (p_success OR coalesce(p_error_kind IN ('context_overflow', 'other', 'refused'), true)),
        (p_score IS NOT NULL)::integer,
        coalesce(p_score - 1000000 * p_success::integer, 0),
        p_duration_ms >= 0
            AND (p_success OR coalesce(p_error_kind IN ('context_overflow', 'other', 'refused'), true))
$$;
