-- The same promises at less cost: outcomes without an error kind (nearly all) are not asked what kind they have.

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
        -- a CASE for each: what SQLite computes it computes in full, also beside a 0 in an AND
        outages = outages + CASE WHEN NEW.success OR NEW.error_kind IS NULL THEN 0
            ELSE NEW.error_kind IN ('rate_limit', 'server_error', 'network') END,
        caller_errors = caller_errors + CASE WHEN NEW.success OR NEW.error_kind IS NULL THEN 0
            ELSE NEW.error_kind IN ('cancelled', 'caller_error') END,
        tokens = tokens + NEW.tokens,
        cost_nano_usd = cost_nano_usd + NEW.cost_nano_usd,
        priced = priced + (NEW.cost_nano_usd > 0),
        last_used_ms = max(coalesce(last_used_ms, NEW.ended_ms), NEW.ended_ms),
        timeout_failures = timeout_failures + CASE WHEN NEW.success OR NOT NEW.timeout THEN 0
            ELSE coalesce(NEW.error_kind IN ('context_overflow', 'other'), 1) END
    WHERE id = NEW.tally_id;
    INSERT INTO daily (
        tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
        timeout_failures
    )
    VALUES (
        NEW.tally_id,
        -- floored also before 1970, where integer division rounds towards zero
        NEW.ended_ms / 86400000 - (NEW.ended_ms % 86400000 < 0),
        NEW.success,
        1 - NEW.success,
        NEW.timeout,
        CASE WHEN NEW.success OR NEW.error_kind IS NULL THEN 0
            ELSE NEW.error_kind IN ('rate_limit', 'server_error', 'network') END,
        CASE WHEN NEW.success OR NEW.error_kind IS NULL THEN 0
            ELSE NEW.error_kind IN ('cancelled', 'caller_error') END,
        NEW.tokens,
        NEW.cost_nano_usd,
        NEW.cost_nano_usd > 0,
        CASE WHEN NEW.success OR NOT NEW.timeout THEN 0
            ELSE coalesce(NEW.error_kind IN ('context_overflow', 'other'), 1) END
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

-- The same for an outcome that came with an id: if it is known, nothing is written.
CREATE VIEW recording_once AS
SELECT
    outcome_key.outcome_id, event.tally_id, event.ended_ms, event.success, event.timeout, event.tokens,
    event.cost_nano_usd, event.error_kind, event.duration_ms
FROM outcome_key JOIN event ON event.id = outcome_key.event_id;

CREATE TRIGGER recording_once_insert INSTEAD OF INSERT ON recording_once
WHEN NOT EXISTS (SELECT 1 FROM outcome_key WHERE outcome_id = NEW.outcome_id)
BEGIN
    INSERT INTO outcome_key (outcome_id, event_id)
    VALUES (NEW.outcome_id, (SELECT coalesce(max(id), 0) + 1 FROM event));
    INSERT INTO recording (tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms)
    VALUES (
        NEW.tally_id, NEW.ended_ms, NEW.success, NEW.timeout, NEW.tokens, NEW.cost_nano_usd, NEW.error_kind,
        NEW.duration_ms
    );
END;
