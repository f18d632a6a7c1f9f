-- Verdicts that come later or change: recording a known outcome with another verdict replaces the old one, everywhere
-- and once. What it was before is kept.

-- What verdicts were before they were replaced: the first of an outcome is its first verdict.
CREATE TABLE revision (
    -- in the order of replacing
    number INTEGER PRIMARY KEY,
    event_id INTEGER NOT NULL,
    -- when the verdict that replaced this one was given
    revised_ms INTEGER NOT NULL,
    success INTEGER NOT NULL CHECK (success IN (0, 1)),
    timeout INTEGER NOT NULL CHECK (timeout IN (0, 1)),
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    cost_nano_usd INTEGER NOT NULL CHECK (cost_nano_usd >= 0),
    error_kind TEXT,
    score INTEGER CHECK (score BETWEEN 0 AND 1000000)
) STRICT;

CREATE INDEX revision_by_event ON revision (event_id);

-- The decision that an outcome with an id belongs to: whoever replaces its verdict need not know it.
ALTER TABLE outcome_key ADD COLUMN decision_id TEXT;

-- Which outcome it is: its id or, without one, the number of its event. NULL if neither was known when it was written.
ALTER TABLE decision ADD COLUMN outcome_ref ANY;
ALTER TABLE attempt ADD COLUMN outcome_ref ANY;
ALTER TABLE unmatched_outcome ADD COLUMN outcome_ref ANY;

-- Verdicts that were reported on decisions which are not in the log, or not yet.
CREATE TABLE waiting_verdict (
    -- in the order of arrival: the oldest are dropped first
    number INTEGER PRIMARY KEY,
    decision_id TEXT NOT NULL,
    given_ms INTEGER NOT NULL,
    success INTEGER NOT NULL CHECK (success IN (0, 1)),
    score INTEGER CHECK (score BETWEEN 0 AND 1000000)
) STRICT;

CREATE INDEX waiting_verdict_by_decision ON waiting_verdict (decision_id);

-- What an A/B test staked on an outcome: the sides, the odds and the state before it for each contest, as JSON. So a
-- later verdict can take the place of the first one, until the test has a verdict of its own.
CREATE TABLE ab_bet (
    decision_id TEXT PRIMARY KEY,
    test_id INTEGER NOT NULL REFERENCES ab_test (id),
    ended_ms INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER decision_delete_ab_bet AFTER DELETE ON decision
BEGIN
    DELETE FROM ab_bet WHERE decision_id = OLD.id;
END;

-- What an event adds to the sums.
CREATE VIEW counted_event AS
SELECT
    id, tally_id, tried_id, ended_ms / 86400000 - (ended_ms % 86400000 < 0) AS day,
    success AS successes, 1 - success AS failures, timeout AS timeouts,
    NOT success AND coalesce(error_kind IN ('rate_limit', 'server_error', 'network', 'unavailable'), 0) AS outages,
    NOT success AND coalesce(error_kind IN ('cancelled', 'caller_error'), 0) AS caller_errors,
    NOT success AND coalesce(error_kind IN ('context_overflow', 'other', 'refused'), 1) AS quality_failures,
    tokens, cost_nano_usd, cost_nano_usd > 0 AS priced,
    timeout AND NOT success AND score IS NULL
        AND coalesce(error_kind IN ('context_overflow', 'other', 'refused'), 1) AS timeout_failures,
    score IS NOT NULL AS graded, coalesce(score - 1000000 * success, 0) AS score_shift,
    tried_id IS NOT NULL
        AND (success OR coalesce(error_kind IN ('context_overflow', 'other', 'refused'), 1)) AS is_later
FROM event;

-- How the plugin replaces a verdict: one INSERT here corrects event and sums and keeps what was, or does nothing of it.
-- The verdict is replaced as a whole; tokens and cost only where they are known. Nothing happens if the event is gone,
-- or another pair's, or the same as before; or if the time of the new verdict is that of its host (is_stamped), and the
-- one in force is later.
CREATE VIEW revising AS
SELECT
    id AS event_id, tally_id, success, timeout, tokens, cost_nano_usd, error_kind, score, ended_ms AS given_ms,
    0 AS is_stamped, NULL AS outcome_id, NULL AS decision_id
FROM event;

CREATE TRIGGER revising_insert INSTEAD OF INSERT ON revising
WHEN EXISTS (
    SELECT 1 FROM event
    WHERE id = NEW.event_id AND tally_id = NEW.tally_id
        AND (
            success <> NEW.success OR timeout <> NEW.timeout OR error_kind IS NOT NEW.error_kind
            OR score IS NOT NEW.score OR (NEW.tokens > 0 AND tokens <> NEW.tokens)
            OR (NEW.cost_nano_usd > 0 AND cost_nano_usd <> NEW.cost_nano_usd)
        )
        AND NOT (
            NEW.is_stamped AND NEW.given_ms < coalesce(
                (SELECT revised_ms FROM revision WHERE event_id = event.id ORDER BY number DESC LIMIT 1), ended_ms
            )
        )
)
BEGIN
    INSERT INTO revision (event_id, revised_ms, success, timeout, tokens, cost_nano_usd, error_kind, score)
    SELECT id, NEW.given_ms, success, timeout, tokens, cost_nano_usd, error_kind, score
    FROM event WHERE id = NEW.event_id;
    UPDATE tally SET
        successes = tally.successes - was.successes, failures = tally.failures - was.failures,
        timeouts = tally.timeouts - was.timeouts, outages = tally.outages - was.outages,
        caller_errors = tally.caller_errors - was.caller_errors,
        tokens = max(0, tally.tokens - was.tokens), cost_nano_usd = max(0, tally.cost_nano_usd - was.cost_nano_usd),
        priced = tally.priced - was.priced, timeout_failures = tally.timeout_failures - was.timeout_failures,
        graded = tally.graded - was.graded, score_shift = tally.score_shift - was.score_shift,
        later_successes = tally.later_successes - was.is_later * was.successes,
        later_failures = tally.later_failures - was.is_later * was.failures,
        later_timeout_failures = tally.later_timeout_failures - was.is_later * was.timeout_failures,
        later_score_shift = tally.later_score_shift - was.is_later * was.score_shift
    FROM counted_event AS was WHERE was.id = NEW.event_id AND tally.id = was.tally_id;
    UPDATE daily SET
        successes = daily.successes - was.successes, failures = daily.failures - was.failures,
        timeouts = daily.timeouts - was.timeouts, outages = daily.outages - was.outages,
        caller_errors = daily.caller_errors - was.caller_errors,
        tokens = max(0, daily.tokens - was.tokens), cost_nano_usd = max(0, daily.cost_nano_usd - was.cost_nano_usd),
        priced = daily.priced - was.priced, timeout_failures = daily.timeout_failures - was.timeout_failures,
        graded = daily.graded - was.graded, score_shift = daily.score_shift - was.score_shift,
        later_successes = daily.later_successes - was.is_later * was.successes,
        later_failures = daily.later_failures - was.is_later * was.failures,
        later_timeout_failures = daily.later_timeout_failures - was.is_later * was.timeout_failures,
        later_score_shift = daily.later_score_shift - was.is_later * was.score_shift
    FROM counted_event AS was WHERE was.id = NEW.event_id AND daily.tally_id = was.tally_id AND daily.day = was.day;
    UPDATE later SET
        successes = later.successes - was.successes, failures = later.failures - was.failures,
        timeout_failures = later.timeout_failures - was.timeout_failures,
        score_shift = later.score_shift - was.score_shift
    FROM counted_event AS was
    WHERE was.id = NEW.event_id AND was.is_later AND later.tally_id = was.tally_id AND later.tried_id = was.tried_id;
    -- the counts from before a change of the model, if the event is one of them
    UPDATE baseline SET
        successes = baseline.successes - was.successes, failures = baseline.failures - was.quality_failures,
        timeout_failures = baseline.timeout_failures - was.timeout_failures,
        score_shift = baseline.score_shift - was.score_shift,
        later_successes = baseline.later_successes - was.is_later * was.successes,
        later_failures = baseline.later_failures - was.is_later * was.failures,
        later_timeout_failures = baseline.later_timeout_failures - was.is_later * was.timeout_failures,
        later_score_shift = baseline.later_score_shift - was.is_later * was.score_shift
    FROM counted_event AS was
    WHERE was.id = NEW.event_id AND baseline.tally_id = was.tally_id
        AND was.id <= (SELECT noticed_event_id FROM change WHERE change.id = baseline.change_id);
    UPDATE event SET
        success = NEW.success, timeout = NEW.timeout, error_kind = NEW.error_kind, score = NEW.score,
        tokens = iif(NEW.tokens > 0, NEW.tokens, tokens),
        cost_nano_usd = iif(NEW.cost_nano_usd > 0, NEW.cost_nano_usd, cost_nano_usd)
    WHERE id = NEW.event_id;
    UPDATE tally SET
        successes = tally.successes + now.successes, failures = tally.failures + now.failures,
        timeouts = tally.timeouts + now.timeouts, outages = tally.outages + now.outages,
        caller_errors = tally.caller_errors + now.caller_errors,
        tokens = iif(tally.tokens > 9223372036854775807 - now.tokens, 9223372036854775807, tally.tokens + now.tokens),
        cost_nano_usd = iif(
            tally.cost_nano_usd > 9223372036854775807 - now.cost_nano_usd,
            9223372036854775807,
            tally.cost_nano_usd + now.cost_nano_usd
        ),
        priced = tally.priced + now.priced, timeout_failures = tally.timeout_failures + now.timeout_failures,
        graded = tally.graded + now.graded, score_shift = tally.score_shift + now.score_shift,
        later_successes = tally.later_successes + now.is_later * now.successes,
        later_failures = tally.later_failures + now.is_later * now.failures,
        later_timeout_failures = tally.later_timeout_failures + now.is_later * now.timeout_failures,
        later_score_shift = tally.later_score_shift + now.is_later * now.score_shift
    FROM counted_event AS now WHERE now.id = NEW.event_id AND tally.id = now.tally_id;
    UPDATE daily SET
        successes = daily.successes + now.successes, failures = daily.failures + now.failures,
        timeouts = daily.timeouts + now.timeouts, outages = daily.outages + now.outages,
        caller_errors = daily.caller_errors + now.caller_errors,
        tokens = iif(daily.tokens > 9223372036854775807 - now.tokens, 9223372036854775807, daily.tokens + now.tokens),
        cost_nano_usd = iif(
            daily.cost_nano_usd > 9223372036854775807 - now.cost_nano_usd,
            9223372036854775807,
            daily.cost_nano_usd + now.cost_nano_usd
        ),
        priced = daily.priced + now.priced, timeout_failures = daily.timeout_failures + now.timeout_failures,
        graded = daily.graded + now.graded, score_shift = daily.score_shift + now.score_shift,
        later_successes = daily.later_successes + now.is_later * now.successes,
        later_failures = daily.later_failures + now.is_later * now.failures,
        later_timeout_failures = daily.later_timeout_failures + now.is_later * now.timeout_failures,
        later_score_shift = daily.later_score_shift + now.is_later * now.score_shift
    FROM counted_event AS now WHERE now.id = NEW.event_id AND daily.tally_id = now.tally_id AND daily.day = now.day;
    INSERT INTO later (tally_id, tried_id, successes, failures, timeout_failures, score_shift)
    SELECT tally_id, tried_id, successes, failures, timeout_failures, score_shift
    FROM counted_event WHERE id = NEW.event_id AND is_later
    ON CONFLICT (tally_id, tried_id) DO UPDATE SET
        successes = successes + excluded.successes,
        failures = failures + excluded.failures,
        timeout_failures = timeout_failures + excluded.timeout_failures,
        score_shift = score_shift + excluded.score_shift;
    DELETE FROM later
    WHERE tally_id = NEW.tally_id AND tried_id = (SELECT tried_id FROM event WHERE id = NEW.event_id)
        AND successes = 0 AND failures = 0;
    UPDATE baseline SET
        successes = baseline.successes + now.successes, failures = baseline.failures + now.quality_failures,
        timeout_failures = baseline.timeout_failures + now.timeout_failures,
        score_shift = baseline.score_shift + now.score_shift,
        later_successes = baseline.later_successes + now.is_later * now.successes,
        later_failures = baseline.later_failures + now.is_later * now.failures,
        later_timeout_failures = baseline.later_timeout_failures + now.is_later * now.timeout_failures,
        later_score_shift = baseline.later_score_shift + now.is_later * now.score_shift
    FROM counted_event AS now
    WHERE now.id = NEW.event_id AND baseline.tally_id = now.tally_id
        AND now.id <= (SELECT noticed_event_id FROM change WHERE change.id = baseline.change_id);
    UPDATE decision SET
        success = NEW.success, timeout = NEW.timeout, error_kind = NEW.error_kind, score = NEW.score,
        tokens = iif(NEW.tokens > 0, NEW.tokens, tokens),
        cost_nano_usd = iif(NEW.cost_nano_usd > 0, NEW.cost_nano_usd, cost_nano_usd)
    WHERE id = NEW.decision_id AND outcome_ref IN (NEW.outcome_id, NEW.event_id);
    UPDATE attempt SET
        success = NEW.success, timeout = NEW.timeout, error_kind = NEW.error_kind, score = NEW.score,
        tokens = iif(NEW.tokens > 0, NEW.tokens, tokens),
        cost_nano_usd = iif(NEW.cost_nano_usd > 0, NEW.cost_nano_usd, cost_nano_usd)
    WHERE decision_id = NEW.decision_id AND outcome_ref IN (NEW.outcome_id, NEW.event_id);
END;
