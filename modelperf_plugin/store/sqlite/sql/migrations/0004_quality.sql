-- Failures that ran out of time, counted on their own: what they say about a model is configured.

-- Those among them that are neither outages nor the caller's own errors.
ALTER TABLE tally ADD COLUMN timeout_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE daily ADD COLUMN timeout_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE baseline ADD COLUMN timeout_failures INTEGER NOT NULL DEFAULT 0;

UPDATE tally SET timeout_failures = found.failures
FROM (
    SELECT tally_id, count(*) AS failures
    FROM event
    WHERE timeout AND NOT success AND (error_kind IS NULL OR error_kind IN ('context_overflow', 'other'))
    GROUP BY tally_id
) AS found
WHERE found.tally_id = tally.id;

UPDATE daily SET timeout_failures = found.failures
FROM (
    SELECT
        tally_id,
        (ended_ms - (ended_ms % 86400000 + 86400000) % 86400000) / 86400000 AS day,
        count(*) AS failures
    FROM event
    WHERE timeout AND NOT success AND (error_kind IS NULL OR error_kind IN ('context_overflow', 'other'))
    GROUP BY 1, 2
) AS found
WHERE found.tally_id = daily.tally_id AND found.day = daily.day;

DROP TRIGGER recording_insert;

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
        last_used_ms = max(coalesce(last_used_ms, NEW.ended_ms), NEW.ended_ms),
        timeout_failures = timeout_failures + (
            NEW.timeout AND NOT NEW.success AND coalesce(NEW.error_kind IN ('context_overflow', 'other'), 1)
        )
    WHERE id = NEW.tally_id;
    INSERT INTO daily (
        tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
        timeout_failures
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
        NEW.cost_nano_usd > 0,
        NEW.timeout AND NOT NEW.success AND coalesce(NEW.error_kind IN ('context_overflow', 'other'), 1)
    )
    ON CONFLICT (tally_id, day) DO UPDATE SET
        successes = successes + excluded.successes,
        failures = failures + excluded.failures,
        timeouts = timeouts + excluded.timeouts,
        outages = outages + excluded.outages,
        caller_errors = caller_errors + excluded.caller_errors,
        tokens = tokens + excluded.tokens,
        cost_nano_usd = cost_nano_usd + excluded.cost_nano_usd,
        priced = priced + excluded.priced,
        timeout_failures = timeout_failures + excluded.timeout_failures;
END;
