-- How long tasks take: the durations of each pair as a histogram, a row of sums as small as the roll-up.

-- The lower borders of its buckets in milliseconds. Each is a fifth above the one before, rounded down, and at least 1
-- more, so that the middle of a bucket is within 10 % of all that is in it; from 30 days on there is one.
CREATE TABLE duration_border (
    from_ms INTEGER PRIMARY KEY
) STRICT;

INSERT INTO duration_border (from_ms)
WITH RECURSIVE border (from_ms) AS (
    SELECT 0 UNION ALL SELECT max(from_ms + 1, from_ms * 6 / 5) FROM border WHERE from_ms < 2592000000
)
SELECT from_ms FROM border;

-- By 28 days, so that old durations can fade as everything else does.
CREATE TABLE duration (
    tally_id INTEGER NOT NULL REFERENCES tally (id),
    period INTEGER NOT NULL, -- of 28 days, from the Unix epoch in UTC
    from_ms INTEGER NOT NULL, -- a border
    outcomes INTEGER NOT NULL,
    PRIMARY KEY (tally_id, period, from_ms)
) STRICT, WITHOUT ROWID;

-- The outcomes that say how long a model takes: successes and its own failures, if the host has reported a duration.
CREATE VIEW timed_outcome AS
SELECT
    id, tally_id,
    -- floored also before 1970, where integer division rounds towards zero
    ended_ms / 2419200000 - (ended_ms % 2419200000 < 0) AS period,
    (SELECT max(from_ms) FROM duration_border WHERE from_ms <= duration_ms) AS from_ms
FROM event
WHERE duration_ms >= 0
    AND (success OR error_kind IS NULL OR error_kind IN ('context_overflow', 'other', 'refused'));

INSERT INTO duration (tally_id, period, from_ms, outcomes)
SELECT tally_id, period, from_ms, count(*) FROM timed_outcome GROUP BY 1, 2, 3;

-- One trigger counts everything: each further one costs every outcome as much as ten columns.
-- Sums stop at 2^63 - 1, as in migration 12.
CREATE TRIGGER recording_insert INSTEAD OF INSERT ON recording
BEGIN
    INSERT INTO event (
        tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms
    )
    VALUES (
        NEW.tally_id, NEW.ended_ms, NEW.success, NEW.timeout, NEW.tokens, NEW.cost_nano_usd, NEW.error_kind,
        NEW.duration_ms, NEW.score, NEW.retry_after_ms
    );
    UPDATE tally SET
        successes = CAST(successes + NEW.success AS INTEGER),
        failures = CAST(failures + (1 - NEW.success) AS INTEGER),
        timeouts = CAST(timeouts + NEW.timeout AS INTEGER),
        -- a CASE for each: what SQLite computes it computes in full, also beside a 0 in an AND
        outages = CASE WHEN NEW.error_kind IS NULL OR NEW.success THEN outages ELSE CAST(
            outages + (NEW.error_kind IN ('rate_limit', 'server_error', 'network', 'unavailable')) AS INTEGER) END,
        caller_errors = CASE WHEN NEW.error_kind IS NULL OR NEW.success THEN caller_errors ELSE CAST(
            caller_errors + (NEW.error_kind IN ('cancelled', 'caller_error')) AS INTEGER) END,
        tokens = CAST(tokens + NEW.tokens AS INTEGER),
        cost_nano_usd = CAST(cost_nano_usd + NEW.cost_nano_usd AS INTEGER),
        priced = CAST(priced + (NEW.cost_nano_usd > 0) AS INTEGER),
        last_used_ms = max(coalesce(last_used_ms, NEW.ended_ms), NEW.ended_ms),
        timeout_failures = CASE WHEN NEW.success OR NOT NEW.timeout OR NEW.score IS NOT NULL THEN timeout_failures
            ELSE CAST(timeout_failures + coalesce(NEW.error_kind IN ('context_overflow', 'other', 'refused'), 1)
                AS INTEGER) END,
        graded = CASE WHEN NEW.score IS NULL THEN graded ELSE CAST(graded + 1 AS INTEGER) END,
        score_shift = CASE WHEN NEW.score IS NULL THEN score_shift
            ELSE max(CAST(score_shift + NEW.score - 1000000 * NEW.success AS INTEGER), -9223372036854775807) END
    WHERE id = NEW.tally_id;
    INSERT INTO daily (
        tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
        timeout_failures, graded, score_shift
    )
    VALUES (
        NEW.tally_id,
        -- floored also before 1970, where integer division rounds towards zero
        NEW.ended_ms / 86400000 - (NEW.ended_ms % 86400000 < 0),
        NEW.success,
        1 - NEW.success,
        NEW.timeout,
        CASE WHEN NEW.error_kind IS NULL OR NEW.success THEN 0
            ELSE NEW.error_kind IN ('rate_limit', 'server_error', 'network', 'unavailable') END,
        CASE WHEN NEW.error_kind IS NULL OR NEW.success THEN 0
            ELSE NEW.error_kind IN ('cancelled', 'caller_error') END,
        NEW.tokens,
        NEW.cost_nano_usd,
        NEW.cost_nano_usd > 0,
        CASE WHEN NEW.success OR NOT NEW.timeout OR NEW.score IS NOT NULL THEN 0
            ELSE coalesce(NEW.error_kind IN ('context_overflow', 'other', 'refused'), 1) END,
        NEW.score IS NOT NULL,
        coalesce(NEW.score - 1000000 * NEW.success, 0)
    )
    ON CONFLICT (tally_id, day) DO UPDATE SET
        successes = CAST(successes + excluded.successes AS INTEGER),
        failures = CAST(failures + excluded.failures AS INTEGER),
        timeouts = CAST(timeouts + excluded.timeouts AS INTEGER),
        outages = CASE WHEN NEW.error_kind IS NULL THEN outages ELSE CAST(outages + excluded.outages AS INTEGER) END,
        caller_errors = CASE WHEN NEW.error_kind IS NULL THEN caller_errors
            ELSE CAST(caller_errors + excluded.caller_errors AS INTEGER) END,
        tokens = CAST(tokens + excluded.tokens AS INTEGER),
        cost_nano_usd = CAST(cost_nano_usd + excluded.cost_nano_usd AS INTEGER),
        priced = CAST(priced + excluded.priced AS INTEGER),
        timeout_failures = CAST(timeout_failures + excluded.timeout_failures AS INTEGER),
        graded = CASE WHEN NEW.score IS NULL THEN graded ELSE CAST(graded + 1 AS INTEGER) END,
        score_shift = CASE WHEN NEW.score IS NULL THEN score_shift
            ELSE max(CAST(score_shift + excluded.score_shift AS INTEGER), -9223372036854775807) END;
    INSERT INTO duration (tally_id, period, from_ms, outcomes)
    SELECT
        NEW.tally_id, NEW.ended_ms / 2419200000 - (NEW.ended_ms % 2419200000 < 0),
        (SELECT max(from_ms) FROM duration_border WHERE from_ms <= NEW.duration_ms), 1
    WHERE NEW.duration_ms >= 0
        AND (NEW.success OR NEW.error_kind IS NULL OR NEW.error_kind IN ('context_overflow', 'other', 'refused'))
    ON CONFLICT (tally_id, period, from_ms) DO UPDATE SET outcomes = outcomes + 1;
END;

-- A verdict that is replaced may begin or cease to say something about the model.
CREATE TRIGGER event_update_duration AFTER UPDATE OF success, error_kind ON event
WHEN NEW.duration_ms >= 0
    AND (OLD.success OR coalesce(OLD.error_kind IN ('context_overflow', 'other', 'refused'), 1))
        <> (NEW.success OR coalesce(NEW.error_kind IN ('context_overflow', 'other', 'refused'), 1))
BEGIN
    INSERT INTO duration (tally_id, period, from_ms, outcomes)
    VALUES (
        NEW.tally_id, NEW.ended_ms / 2419200000 - (NEW.ended_ms % 2419200000 < 0),
        (SELECT max(from_ms) FROM duration_border WHERE from_ms <= NEW.duration_ms),
        iif(NEW.success OR coalesce(NEW.error_kind IN ('context_overflow', 'other', 'refused'), 1), 1, -1)
    )
    ON CONFLICT (tally_id, period, from_ms) DO UPDATE SET outcomes = outcomes + excluded.outcomes;
    DELETE FROM duration WHERE tally_id = NEW.tally_id AND outcomes = 0;
END;
