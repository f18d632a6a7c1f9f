-- Graded verdicts: an outcome may have a score from 0 to 1 beside its success, in whole millionths so that sums are the
-- same in any order. And what providers say: that a model is gone, and when it will be back.

-- NULL for an outcome without a score, and for a failure that says nothing about its model.
ALTER TABLE event ADD COLUMN score INTEGER CHECK (score BETWEEN 0 AND 1000000);
-- How long the provider asked to wait.
ALTER TABLE event ADD COLUMN retry_after_ms INTEGER CHECK (retry_after_ms >= 0);

-- How many outcomes have a score; the sum of score - success over them, in millionths; and the part of that in later
-- tries. So successes * 1000000 + score_shift is the sum of all verdicts, where one without a score is 0 or 1.
ALTER TABLE tally ADD COLUMN graded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN score_shift INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN later_score_shift INTEGER NOT NULL DEFAULT 0;
ALTER TABLE daily ADD COLUMN graded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE daily ADD COLUMN score_shift INTEGER NOT NULL DEFAULT 0;
ALTER TABLE daily ADD COLUMN later_score_shift INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dropped ADD COLUMN graded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dropped ADD COLUMN score_shift INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dropped ADD COLUMN later_score_shift INTEGER NOT NULL DEFAULT 0;
ALTER TABLE baseline ADD COLUMN score_shift INTEGER NOT NULL DEFAULT 0;
ALTER TABLE baseline ADD COLUMN later_score_shift INTEGER NOT NULL DEFAULT 0;
ALTER TABLE later ADD COLUMN score_shift INTEGER NOT NULL DEFAULT 0;
ALTER TABLE prior ADD COLUMN graded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE prior ADD COLUMN score_shift INTEGER NOT NULL DEFAULT 0;
ALTER TABLE decision ADD COLUMN score INTEGER;
ALTER TABLE attempt ADD COLUMN score INTEGER;
ALTER TABLE unmatched_outcome ADD COLUMN score INTEGER;

DROP VIEW usable_tally;

CREATE VIEW usable_tally AS
SELECT
    id, task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    iif(last_used_ms BETWEEN -62135596800000 AND 253402300799999, last_used_ms, NULL) AS last_used_ms, timeout_failures,
    later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
FROM tally
WHERE length(task_type) BETWEEN 1 AND 512 AND length(model_id) BETWEEN 1 AND 512
    AND successes >= 0 AND failures >= 0 AND successes <= 9007199254740992 AND failures <= 9007199254740992
    AND timeouts >= 0 AND outages >= 0 AND caller_errors >= 0 AND timeout_failures >= 0
    AND outages <= failures AND caller_errors <= failures - outages
    AND timeout_failures <= failures - outages - caller_errors
    AND tokens >= 0 AND cost_nano_usd >= 0 AND priced >= 0
    AND later_successes BETWEEN 0 AND successes AND later_failures BETWEEN 0 AND failures - outages - caller_errors
    AND later_timeout_failures BETWEEN 0 AND min(later_failures, timeout_failures)
    AND timeout_failures - later_timeout_failures <= failures - outages - caller_errors - later_failures
    AND graded BETWEEN 0 AND successes + failures - outages - caller_errors - timeout_failures
    -- a success shifts by at most -1, a failure by at most +1
    AND later_score_shift / 1000000.0
        BETWEEN -later_successes AND later_failures - later_timeout_failures
    AND (score_shift - later_score_shift) / 1000000.0
        BETWEEN later_successes - successes
        AND failures - outages - caller_errors - timeout_failures - later_failures + later_timeout_failures
    AND abs(score_shift / 1000000.0) <= graded;

DROP VIEW later_try;

CREATE VIEW later_try AS
SELECT
    id, tally_id, tried_id, ended_ms, success, 1 - success AS failure,
    timeout AND NOT success AND score IS NULL AS timeout_failure, coalesce(score - 1000000 * success, 0) AS score_shift
FROM event
WHERE tried_id IS NOT NULL AND (success OR error_kind IS NULL OR error_kind IN ('context_overflow', 'other', 'refused'));

-- Its trigger comes with the next migration, which adds durations to what an outcome counts for.
DROP VIEW recording;

CREATE VIEW recording AS
SELECT
    tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms
FROM event;

DROP VIEW recording_once;

CREATE VIEW recording_once AS
SELECT
    outcome_key.outcome_id, event.tally_id, event.ended_ms, event.success, event.timeout, event.tokens,
    event.cost_nano_usd, event.error_kind, event.duration_ms, event.score, event.retry_after_ms
FROM outcome_key JOIN event ON event.id = outcome_key.event_id;

CREATE TRIGGER recording_once_insert INSTEAD OF INSERT ON recording_once
WHEN NOT EXISTS (SELECT 1 FROM outcome_key WHERE outcome_id = NEW.outcome_id)
BEGIN
    INSERT INTO outcome_key (outcome_id, event_id)
    VALUES (NEW.outcome_id, (SELECT coalesce(max(id), 0) + 1 FROM event));
    INSERT INTO recording (
        tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms
    )
    VALUES (
        NEW.tally_id, NEW.ended_ms, NEW.success, NEW.timeout, NEW.tokens, NEW.cost_nano_usd, NEW.error_kind,
        NEW.duration_ms, NEW.score, NEW.retry_after_ms
    );
END;

DROP VIEW recording_later;

CREATE VIEW recording_later AS
SELECT
    tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms,
    NULL AS outcome_id, tried_id
FROM event;

-- Sums stop at 2^63 - 1: an integer that overflows becomes a real number, and a CAST takes that back to the largest one.
CREATE TRIGGER recording_later_insert INSTEAD OF INSERT ON recording_later
WHEN NEW.outcome_id IS NULL OR NOT EXISTS (SELECT 1 FROM outcome_key WHERE outcome_id = NEW.outcome_id)
BEGIN
    INSERT INTO outcome_key (outcome_id, event_id)
    SELECT NEW.outcome_id, (SELECT coalesce(max(id), 0) + 1 FROM event) WHERE NEW.outcome_id IS NOT NULL;
    INSERT INTO recording (
        tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms
    )
    VALUES (
        NEW.tally_id, NEW.ended_ms, NEW.success, NEW.timeout, NEW.tokens, NEW.cost_nano_usd, NEW.error_kind,
        NEW.duration_ms, NEW.score, NEW.retry_after_ms
    );
    UPDATE event SET tried_id = NEW.tried_id WHERE id = (SELECT max(id) FROM event);
    INSERT INTO later (tally_id, tried_id, successes, failures, timeout_failures, score_shift)
    SELECT
        NEW.tally_id, NEW.tried_id, NEW.success, 1 - NEW.success,
        NEW.timeout AND NOT NEW.success AND NEW.score IS NULL, coalesce(NEW.score - 1000000 * NEW.success, 0)
    WHERE NEW.success OR NEW.error_kind IS NULL OR NEW.error_kind IN ('context_overflow', 'other', 'refused')
    ON CONFLICT (tally_id, tried_id) DO UPDATE SET
        successes = CAST(successes + excluded.successes AS INTEGER),
        failures = CAST(failures + excluded.failures AS INTEGER),
        timeout_failures = CAST(timeout_failures + excluded.timeout_failures AS INTEGER),
        score_shift = max(CAST(score_shift + excluded.score_shift AS INTEGER), -9223372036854775807);
    UPDATE tally SET
        later_successes = CAST(later_successes + NEW.success AS INTEGER),
        later_failures = CAST(later_failures + (1 - NEW.success) AS INTEGER),
        later_timeout_failures = CAST(
            later_timeout_failures + (NEW.timeout AND NOT NEW.success AND NEW.score IS NULL) AS INTEGER
        ),
        later_score_shift = max(
            CAST(later_score_shift + coalesce(NEW.score - 1000000 * NEW.success, 0) AS INTEGER), -9223372036854775807
        )
    WHERE id = NEW.tally_id
        AND (NEW.success OR NEW.error_kind IS NULL OR NEW.error_kind IN ('context_overflow', 'other', 'refused'));
    UPDATE daily SET
        later_successes = CAST(later_successes + NEW.success AS INTEGER),
        later_failures = CAST(later_failures + (1 - NEW.success) AS INTEGER),
        later_timeout_failures = CAST(
            later_timeout_failures + (NEW.timeout AND NOT NEW.success AND NEW.score IS NULL) AS INTEGER
        ),
        later_score_shift = max(
            CAST(later_score_shift + coalesce(NEW.score - 1000000 * NEW.success, 0) AS INTEGER), -9223372036854775807
        )
    WHERE tally_id = NEW.tally_id AND day = NEW.ended_ms / 86400000 - (NEW.ended_ms % 86400000 < 0)
        AND (NEW.success OR NEW.error_kind IS NULL OR NEW.error_kind IN ('context_overflow', 'other', 'refused'));
END;
