-- What one bad value may cost: nothing but itself. Names that are not UTF-8 are refused, sums stop at 2^63 - 1 instead
-- of overflowing, and rows that another program has written past all checks are left out of every choice.

-- The positions of the characters in a name, for the check of each.
CREATE TABLE name_position (n INTEGER PRIMARY KEY) STRICT;
WITH RECURSIVE position (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM position WHERE n < 512)
INSERT INTO name_position (n) SELECT n FROM position;

-- The tallies with counts that outcomes can add up to. A time beyond the years 1 to 9999 is unknown.
CREATE VIEW usable_tally AS
SELECT
    id, task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    iif(last_used_ms BETWEEN -62135596800000 AND 253402300799999, last_used_ms, NULL) AS last_used_ms, timeout_failures
FROM tally
WHERE length(task_type) BETWEEN 1 AND 512 AND length(model_id) BETWEEN 1 AND 512
    AND successes >= 0 AND failures >= 0 AND successes <= 9007199254740992 AND failures <= 9007199254740992
    AND timeouts >= 0 AND outages >= 0 AND caller_errors >= 0 AND timeout_failures >= 0
    AND outages <= failures AND caller_errors <= failures - outages
    AND timeout_failures <= failures - outages - caller_errors
    AND tokens >= 0 AND cost_nano_usd >= 0 AND priced >= 0;

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
        tokens = iif(tokens > 9223372036854775807 - NEW.tokens, 9223372036854775807, tokens + NEW.tokens),
        cost_nano_usd = iif(
            cost_nano_usd > 9223372036854775807 - NEW.cost_nano_usd,
            9223372036854775807,
            cost_nano_usd + NEW.cost_nano_usd
        ),
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
        tokens = iif(tokens > 9223372036854775807 - excluded.tokens, 9223372036854775807, tokens + excluded.tokens),
        cost_nano_usd = iif(
            cost_nano_usd > 9223372036854775807 - excluded.cost_nano_usd,
            9223372036854775807,
            cost_nano_usd + excluded.cost_nano_usd
        ),
        priced = priced + excluded.priced,
        timeout_failures = timeout_failures + excluded.timeout_failures;
END;

DROP TRIGGER model_outcomes_insert;

-- A character is intact if it is what its code point is written as.
CREATE TRIGGER model_outcomes_insert INSTEAD OF INSERT ON model_outcomes
BEGIN
    SELECT CASE
        WHEN typeof(NEW.task_type) <> 'text' OR length(NEW.task_type) NOT BETWEEN 1 AND 512
            THEN RAISE(ABORT, 'model_outcomes.task_type must be text of 1 to 512 characters')
        WHEN NEW.task_type GLOB '*[^ -~]*' AND EXISTS (
            SELECT 1 FROM name_position
            WHERE n <= length(NEW.task_type)
                AND CAST(substr(NEW.task_type, n, 1) AS BLOB)
                    <> CAST(char(unicode(substr(NEW.task_type, n, 1))) AS BLOB)
        )
            THEN RAISE(ABORT, 'model_outcomes.task_type must be text in UTF-8')
        WHEN NEW.task_type GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || char(8232, 8233) || ']*'
            OR instr(NEW.task_type, char(0)) > 0
            THEN RAISE(ABORT, 'model_outcomes.task_type must be free of control characters and line separators')
        WHEN typeof(NEW.model_id) <> 'text' OR length(NEW.model_id) NOT BETWEEN 1 AND 512
            THEN RAISE(ABORT, 'model_outcomes.model_id must be text of 1 to 512 characters')
        WHEN NEW.model_id GLOB '*[^ -~]*' AND EXISTS (
            SELECT 1 FROM name_position
            WHERE n <= length(NEW.model_id)
                AND CAST(substr(NEW.model_id, n, 1) AS BLOB)
                    <> CAST(char(unicode(substr(NEW.model_id, n, 1))) AS BLOB)
        )
            THEN RAISE(ABORT, 'model_outcomes.model_id must be text in UTF-8')
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

DROP TRIGGER model_stats_insert;

CREATE TRIGGER model_stats_insert INSTEAD OF INSERT ON model_stats
BEGIN
    SELECT CASE
        WHEN typeof(NEW.task_type) <> 'text' OR length(NEW.task_type) NOT BETWEEN 1 AND 512
            THEN RAISE(ABORT, 'model_stats.task_type must be text of 1 to 512 characters')
        WHEN NEW.task_type GLOB '*[^ -~]*' AND EXISTS (
            SELECT 1 FROM name_position
            WHERE n <= length(NEW.task_type)
                AND CAST(substr(NEW.task_type, n, 1) AS BLOB)
                    <> CAST(char(unicode(substr(NEW.task_type, n, 1))) AS BLOB)
        )
            THEN RAISE(ABORT, 'model_stats.task_type must be text in UTF-8')
        WHEN NEW.task_type GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || char(8232, 8233) || ']*'
            OR instr(NEW.task_type, char(0)) > 0
            THEN RAISE(ABORT, 'model_stats.task_type must be free of control characters and line separators')
        WHEN typeof(NEW.model_id) <> 'text' OR length(NEW.model_id) NOT BETWEEN 1 AND 512
            THEN RAISE(ABORT, 'model_stats.model_id must be text of 1 to 512 characters')
        WHEN NEW.model_id GLOB '*[^ -~]*' AND EXISTS (
            SELECT 1 FROM name_position
            WHERE n <= length(NEW.model_id)
                AND CAST(substr(NEW.model_id, n, 1) AS BLOB)
                    <> CAST(char(unicode(substr(NEW.model_id, n, 1))) AS BLOB)
        )
            THEN RAISE(ABORT, 'model_stats.model_id must be text in UTF-8')
        WHEN NEW.model_id GLOB '*[' || char(1) || '-' || char(31) || char(127) || '-' || char(159) || char(8232, 8233) || ']*'
            OR instr(NEW.model_id, char(0)) > 0
            THEN RAISE(ABORT, 'model_stats.model_id must be free of control characters and line separators')
        WHEN typeof(coalesce(NEW.successes, 0)) <> 'integer' OR coalesce(NEW.successes, 0) < 0
            THEN RAISE(ABORT, 'model_stats.successes must be a whole number of 0 or more')
        WHEN coalesce(NEW.successes, 0) > 9007199254740992
            THEN RAISE(ABORT, 'model_stats.successes must be at most 2^53')
        WHEN typeof(coalesce(NEW.failures, 0)) <> 'integer' OR coalesce(NEW.failures, 0) < 0
            THEN RAISE(ABORT, 'model_stats.failures must be a whole number of 0 or more')
        WHEN coalesce(NEW.failures, 0) > 9007199254740992
            THEN RAISE(ABORT, 'model_stats.failures must be at most 2^53')
        WHEN typeof(coalesce(NEW.timeouts, 0)) <> 'integer' OR coalesce(NEW.timeouts, 0) < 0
            THEN RAISE(ABORT, 'model_stats.timeouts must be a whole number of 0 or more')
        WHEN coalesce(NEW.timeouts, 0) > 9007199254740992
            THEN RAISE(ABORT, 'model_stats.timeouts must be at most 2^53')
        WHEN typeof(coalesce(NEW.total_tokens, 0)) <> 'integer' OR coalesce(NEW.total_tokens, 0) < 0
            THEN RAISE(ABORT, 'model_stats.total_tokens must be a whole number of 0 or more')
        WHEN coalesce(NEW.total_tokens, 0) > 9007199254740992
            THEN RAISE(ABORT, 'model_stats.total_tokens must be at most 2^53')
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
        tokens = iif(tokens > 9223372036854775807 - excluded.tokens, 9223372036854775807, tokens + excluded.tokens),
        cost_nano_usd = iif(
            cost_nano_usd > 9223372036854775807 - excluded.cost_nano_usd,
            9223372036854775807,
            cost_nano_usd + excluded.cost_nano_usd
        ),
        last_used_ms = max(coalesce(last_used_ms, excluded.last_used_ms), coalesce(excluded.last_used_ms, last_used_ms));
    UPDATE tally SET
        successes = successes + coalesce(NEW.successes, 0),
        failures = failures + coalesce(NEW.failures, 0),
        timeouts = timeouts + coalesce(NEW.timeouts, 0),
        tokens = iif(
            tokens > 9223372036854775807 - coalesce(NEW.total_tokens, 0),
            9223372036854775807,
            tokens + coalesce(NEW.total_tokens, 0)
        ),
        cost_nano_usd = iif(
            cost_nano_usd > 9223372036854775807 - CAST(round(coalesce(NEW.total_cost, 0) * 1e9) AS INTEGER),
            9223372036854775807,
            cost_nano_usd + CAST(round(coalesce(NEW.total_cost, 0) * 1e9) AS INTEGER)
        ),
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
