-- The lean schema behind the two documented relations, model_outcomes and model_stats.
-- Times are whole milliseconds since the Unix epoch (UTC), money is whole nano-dollars: integers sum to the
-- same number in every order. Every relation says in its comment what it promises.

-- One row for each (task type, model): its id stands for the pair everywhere else. Rows are never deleted.
-- Always equal to the aggregate of event plus imported.
CREATE TABLE tally (
    id INTEGER PRIMARY KEY,
    task_type TEXT NOT NULL,
    model_id TEXT NOT NULL,
    successes INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    timeouts INTEGER NOT NULL DEFAULT 0,
    outages INTEGER NOT NULL DEFAULT 0,
    caller_errors INTEGER NOT NULL DEFAULT 0,
    tokens INTEGER NOT NULL DEFAULT 0,
    cost_nano_usd INTEGER NOT NULL DEFAULT 0,
    priced INTEGER NOT NULL DEFAULT 0,
    last_used_ms INTEGER,
    UNIQUE (task_type, model_id)
) STRICT;

-- One row for each recorded outcome, in the order of recording. No secondary index: it is read by id or as a whole.
CREATE TABLE event (
    id INTEGER PRIMARY KEY,
    tally_id INTEGER NOT NULL REFERENCES tally (id),
    ended_ms INTEGER NOT NULL,
    success INTEGER NOT NULL CHECK (success IN (0, 1)),
    timeout INTEGER NOT NULL CHECK (timeout IN (0, 1)),
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    cost_nano_usd INTEGER NOT NULL CHECK (cost_nano_usd >= 0),
    error_kind TEXT,
    duration_ms INTEGER
) STRICT;

-- The same counts for each day (days since the Unix epoch, UTC): trends and fading read this, not the events.
CREATE TABLE daily (
    tally_id INTEGER NOT NULL REFERENCES tally (id),
    day INTEGER NOT NULL,
    successes INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    timeouts INTEGER NOT NULL,
    outages INTEGER NOT NULL,
    caller_errors INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    PRIMARY KEY (tally_id, day)
) STRICT, WITHOUT ROWID;

-- Ids of outcomes that came with one, so that recording it again changes nothing.
CREATE TABLE outcome_key (
    outcome_id TEXT PRIMARY KEY,
    event_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Counts that came as sums, without events: inserted into model_stats. Part of the tally, told apart by source.
CREATE TABLE imported (
    tally_id INTEGER NOT NULL REFERENCES tally (id),
    source TEXT NOT NULL,
    successes INTEGER NOT NULL CHECK (successes >= 0),
    failures INTEGER NOT NULL CHECK (failures >= 0),
    timeouts INTEGER NOT NULL CHECK (timeouts >= 0),
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    cost_nano_usd INTEGER NOT NULL CHECK (cost_nano_usd >= 0),
    last_used_ms INTEGER,
    PRIMARY KEY (tally_id, source)
) STRICT, WITHOUT ROWID;

-- What went wrong in a host, for `modelperf doctor`: one row for each kind of failure.
CREATE TABLE problem (
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    times INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, message)
) STRICT, WITHOUT ROWID;

-- How the plugin records: one INSERT here writes event, tally and daily roll-up, or nothing of them.
CREATE VIEW recording AS
SELECT tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms FROM event;

CREATE TRIGGER recording_insert INSTEAD OF INSERT ON recording
BEGIN
    INSERT INTO event (tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms)
    VALUES (
        NEW.tally_id, NEW.ended_ms, NEW.success, NEW.timeout, NEW.tokens, NEW.cost_nano_usd, NEW.error_kind,
        NEW.duration_ms
    );
    UPDATE tally SET
        successes = successes + NEW.success,
        failures = failures + (1 - NEW.success),
        timeouts = timeouts + NEW.timeout,
        outages = outages + (NOT NEW.success AND coalesce(NEW.error_kind IN ('rate_limit', 'server_error', 'network'), 0)),
        caller_errors = caller_errors + (NOT NEW.success AND coalesce(NEW.error_kind IN ('cancelled', 'caller_error'), 0)),
        tokens = tokens + NEW.tokens,
        cost_nano_usd = cost_nano_usd + NEW.cost_nano_usd,
        priced = priced + (NEW.cost_nano_usd > 0),
        last_used_ms = max(coalesce(last_used_ms, NEW.ended_ms), NEW.ended_ms)
    WHERE id = NEW.tally_id;
    INSERT INTO daily (
        tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced
    )
    VALUES (
        NEW.tally_id,
        -- floored also before 1970, where integer division would round towards zero
        (NEW.ended_ms - (NEW.ended_ms % 86400000 + 86400000) % 86400000) / 86400000,
        NEW.success,
        1 - NEW.success,
        NEW.timeout,
        NOT NEW.success AND coalesce(NEW.error_kind IN ('rate_limit', 'server_error', 'network'), 0),
        NOT NEW.success AND coalesce(NEW.error_kind IN ('cancelled', 'caller_error'), 0),
        NEW.tokens,
        NEW.cost_nano_usd,
        NEW.cost_nano_usd > 0
    )
    ON CONFLICT (tally_id, day) DO UPDATE SET
        successes = successes + excluded.successes,
        failures = failures + excluded.failures,
        timeouts = timeouts + excluded.timeouts,
        outages = outages + excluded.outages,
        caller_errors = caller_errors + excluded.caller_errors,
        tokens = tokens + excluded.tokens,
        cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd,
        priced = priced + excluded.priced;
END;

-- Documented: every outcome. INSERT into it counts like a recorded outcome.
CREATE VIEW model_outcomes AS
SELECT
    event.id AS id,
    tally.task_type AS task_type,
    tally.model_id AS model_id,
    event.success AS success,
    event.timeout AS timeout,
    event.tokens AS tokens_used,
    event.cost_nano_usd / 1e9 AS cost_usd,
    strftime('%Y-%m-%dT%H:%M:%fZ', event.ended_ms / 1000.0, 'unixepoch') AS timestamp
FROM event JOIN tally ON tally.id = event.tally_id;

CREATE TRIGGER model_outcomes_insert INSTEAD OF INSERT ON model_outcomes
BEGIN
    SELECT CASE
        WHEN typeof(NEW.task_type) <> 'text' OR length(NEW.task_type) NOT BETWEEN 1 AND 512
            THEN RAISE(ABORT, 'model_outcomes.task_type must be text of 1 to 512 characters')
        WHEN NEW.task_type GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || char(8232, 8233) || ']*'
            OR instr(NEW.task_type, char(0)) > 0
            THEN RAISE(ABORT, 'model_outcomes.task_type must be free of control characters and line separators')
        WHEN typeof(NEW.model_id) <> 'text' OR length(NEW.model_id) NOT BETWEEN 1 AND 512
            THEN RAISE(ABORT, 'model_outcomes.model_id must be text of 1 to 512 characters')
        WHEN NEW.model_id GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || char(8232, 8233) || ']*'
            OR instr(NEW.model_id, char(0)) > 0
            THEN RAISE(ABORT, 'model_outcomes.model_id must be free of control characters and line separators')
        WHEN NEW.success IS NULL OR NEW.success NOT IN (0, 1)
            THEN RAISE(ABORT, 'model_outcomes.success must be 1 or 0')
        WHEN coalesce(NEW.timeout, 0) NOT IN (0, 1)
            THEN RAISE(ABORT, 'model_outcomes.timeout must be 1 or 0')
        WHEN typeof(coalesce(NEW.tokens_used, 0)) <> 'integer'
            OR coalesce(NEW.tokens_used, 0) NOT BETWEEN 0 AND 9007199254740992
            THEN RAISE(ABORT, 'model_outcomes.tokens_used must be a whole number from 0 to 2^53')
        WHEN typeof(coalesce(NEW.cost_usd, 0)) NOT IN ('integer', 'real')
            OR coalesce(NEW.cost_usd, 0) NOT BETWEEN 0 AND 1000000
            THEN RAISE(ABORT, 'model_outcomes.cost_usd must be a number from 0 to 1,000,000')
        WHEN NEW.timestamp IS NOT NULL AND (
            typeof(NEW.timestamp) <> 'text'
            OR NEW.timestamp NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'
            OR julianday(NEW.timestamp) IS NULL
        )
            THEN RAISE(ABORT, 'model_outcomes.timestamp must be an ISO 8601 time such as 2026-01-31T12:00:00Z')
    END;
    INSERT INTO tally (task_type, model_id) VALUES (NEW.task_type, NEW.model_id)
    ON CONFLICT (task_type, model_id) DO NOTHING;
    INSERT INTO recording (tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms)
    SELECT
        id,
        CAST(round((julianday(coalesce(NEW.timestamp, 'now')) - 2440587.5) * 86400000.0) AS INTEGER),
        NEW.success,
        coalesce(NEW.timeout, 0),
        coalesce(NEW.tokens_used, 0),
        CAST(round(coalesce(NEW.cost_usd, 0) * 1e9) AS INTEGER),
        NULL,
        NULL
    FROM tally WHERE task_type = NEW.task_type AND model_id = NEW.model_id;
END;

-- Documented: the tallies, with the success rate beside them. INSERT adds sums that have no events (an import).
CREATE VIEW model_stats AS
SELECT
    id,
    task_type,
    model_id,
    successes,
    failures,
    timeouts,
    tokens AS total_tokens,
    cost_nano_usd / 1e9 AS total_cost,
    strftime('%Y-%m-%dT%H:%M:%fZ', last_used_ms / 1000.0, 'unixepoch') AS last_used,
    CAST(successes AS REAL) / nullif(successes + failures, 0) AS success_rate
FROM tally;

CREATE TRIGGER model_stats_insert INSTEAD OF INSERT ON model_stats
BEGIN
    SELECT CASE
        WHEN typeof(NEW.task_type) <> 'text' OR length(NEW.task_type) NOT BETWEEN 1 AND 512
            THEN RAISE(ABORT, 'model_stats.task_type must be text of 1 to 512 characters')
        WHEN NEW.task_type GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || char(8232, 8233) || ']*'
            OR instr(NEW.task_type, char(0)) > 0
            THEN RAISE(ABORT, 'model_stats.task_type must be free of control characters and line separators')
        WHEN typeof(NEW.model_id) <> 'text' OR length(NEW.model_id) NOT BETWEEN 1 AND 512
            THEN RAISE(ABORT, 'model_stats.model_id must be text of 1 to 512 characters')
        WHEN NEW.model_id GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || char(8232, 8233) || ']*'
            OR instr(NEW.model_id, char(0)) > 0
            THEN RAISE(ABORT, 'model_stats.model_id must be free of control characters and line separators')
        WHEN typeof(coalesce(NEW.successes, 0)) <> 'integer' OR coalesce(NEW.successes, 0) < 0
            THEN RAISE(ABORT, 'model_stats.successes must be a whole number of 0 or more')
        WHEN typeof(coalesce(NEW.failures, 0)) <> 'integer' OR coalesce(NEW.failures, 0) < 0
            THEN RAISE(ABORT, 'model_stats.failures must be a whole number of 0 or more')
        WHEN typeof(coalesce(NEW.timeouts, 0)) <> 'integer' OR coalesce(NEW.timeouts, 0) < 0
            THEN RAISE(ABORT, 'model_stats.timeouts must be a whole number of 0 or more')
        WHEN typeof(coalesce(NEW.total_tokens, 0)) <> 'integer' OR coalesce(NEW.total_tokens, 0) < 0
            THEN RAISE(ABORT, 'model_stats.total_tokens must be a whole number of 0 or more')
        WHEN typeof(coalesce(NEW.total_cost, 0)) NOT IN ('integer', 'real')
            OR coalesce(NEW.total_cost, 0) NOT BETWEEN 0 AND 1000000000
            THEN RAISE(ABORT, 'model_stats.total_cost must be a number from 0 to 1,000,000,000')
        WHEN NEW.last_used IS NOT NULL AND (
            typeof(NEW.last_used) <> 'text'
            OR NEW.last_used NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*'
            OR julianday(NEW.last_used) IS NULL
        )
            THEN RAISE(ABORT, 'model_stats.last_used must be an ISO 8601 time such as 2026-01-31T12:00:00Z')
    END;
    INSERT INTO tally (task_type, model_id) VALUES (NEW.task_type, NEW.model_id)
    ON CONFLICT (task_type, model_id) DO NOTHING;
    INSERT INTO imported (tally_id, source, successes, failures, timeouts, tokens, cost_nano_usd, last_used_ms)
    SELECT
        id,
        'model_stats',
        coalesce(NEW.successes, 0),
        coalesce(NEW.failures, 0),
        coalesce(NEW.timeouts, 0),
        coalesce(NEW.total_tokens, 0),
        CAST(round(coalesce(NEW.total_cost, 0) * 1e9) AS INTEGER),
        CAST(round((julianday(NEW.last_used) - 2440587.5) * 86400000.0) AS INTEGER)
    FROM tally WHERE task_type = NEW.task_type AND model_id = NEW.model_id
    ON CONFLICT (tally_id, source) DO UPDATE SET
        successes = successes + excluded.successes,
        failures = failures + excluded.failures,
        timeouts = timeouts + excluded.timeouts,
        tokens = tokens + excluded.tokens,
        cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd,
        last_used_ms = max(coalesce(last_used_ms, excluded.last_used_ms), coalesce(excluded.last_used_ms, last_used_ms));
    UPDATE tally SET
        successes = successes + coalesce(NEW.successes, 0),
        failures = failures + coalesce(NEW.failures, 0),
        timeouts = timeouts + coalesce(NEW.timeouts, 0),
        tokens = tokens + coalesce(NEW.total_tokens, 0),
        cost_nano_usd = cost_nano_usd + CAST(round(coalesce(NEW.total_cost, 0) * 1e9) AS INTEGER),
        -- sums do not say how many outcomes had a cost: all of them, where there is a cost at all
        priced = priced + iif(coalesce(NEW.total_cost, 0) > 0, coalesce(NEW.successes, 0) + coalesce(NEW.failures, 0), 0),
        last_used_ms = nullif(
            max(
                coalesce(last_used_ms, -9223372036854775808),
                coalesce(CAST(round((julianday(NEW.last_used) - 2440587.5) * 86400000.0) AS INTEGER), -9223372036854775808)
            ),
            -9223372036854775808
        )
    WHERE task_type = NEW.task_type AND model_id = NEW.model_id;
END;
