-- Which try of its task an outcome is. Hosts try again with another model after a failure, and these later tries only
-- see tasks that others have failed: they count, but apart from first tries. Outcomes of older files are first tries.

-- The sets of models that had failed on a task before: a JSON array of model ids, sorted, with repeats; [""] if they
-- are not known, as after damage.
CREATE TABLE tried (
    id INTEGER PRIMARY KEY,
    models TEXT NOT NULL UNIQUE
) STRICT;

-- NULL for a first try.
ALTER TABLE event ADD COLUMN tried_id INTEGER REFERENCES tried (id);

-- Parts of successes, quality failures (neither outages nor the caller's errors) and timeout failures.
ALTER TABLE tally ADD COLUMN later_successes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN later_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tally ADD COLUMN later_timeout_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE daily ADD COLUMN later_successes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE daily ADD COLUMN later_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE daily ADD COLUMN later_timeout_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dropped ADD COLUMN later_successes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dropped ADD COLUMN later_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dropped ADD COLUMN later_timeout_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE baseline ADD COLUMN later_successes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE baseline ADD COLUMN later_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE baseline ADD COLUMN later_timeout_failures INTEGER NOT NULL DEFAULT 0;

-- The same parts of a tally by what had failed before: its rows add up to them.
CREATE TABLE later (
    tally_id INTEGER NOT NULL REFERENCES tally (id),
    tried_id INTEGER NOT NULL REFERENCES tried (id),
    successes INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    timeout_failures INTEGER NOT NULL,
    PRIMARY KEY (tally_id, tried_id)
) STRICT, WITHOUT ROWID;

-- The later tries that say something about their model.
CREATE VIEW later_try AS
SELECT
    id, tally_id, tried_id, ended_ms, success, 1 - success AS failure, timeout AND NOT success AS timeout_failure
FROM event
WHERE tried_id IS NOT NULL AND (success OR error_kind IS NULL OR error_kind IN ('context_overflow', 'other'));

-- How the plugin records a later try: like the view recording, which first tries use, with an id or without.
CREATE VIEW recording_later AS
SELECT
    tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, NULL AS outcome_id, tried_id
FROM event;

CREATE TRIGGER recording_later_insert INSTEAD OF INSERT ON recording_later
WHEN NEW.outcome_id IS NULL OR NOT EXISTS (SELECT 1 FROM outcome_key WHERE outcome_id = NEW.outcome_id)
BEGIN
    INSERT INTO outcome_key (outcome_id, event_id)
    SELECT NEW.outcome_id, (SELECT coalesce(max(id), 0) + 1 FROM event) WHERE NEW.outcome_id IS NOT NULL;
    INSERT INTO recording (tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms)
    VALUES (
        NEW.tally_id, NEW.ended_ms, NEW.success, NEW.timeout, NEW.tokens, NEW.cost_nano_usd, NEW.error_kind,
        NEW.duration_ms
    );
    UPDATE event SET tried_id = NEW.tried_id WHERE id = (SELECT max(id) FROM event);
    INSERT INTO later (tally_id, tried_id, successes, failures, timeout_failures)
    SELECT NEW.tally_id, NEW.tried_id, NEW.success, 1 - NEW.success, NEW.timeout AND NOT NEW.success
    WHERE NEW.success OR NEW.error_kind IS NULL OR NEW.error_kind IN ('context_overflow', 'other')
    ON CONFLICT (tally_id, tried_id) DO UPDATE SET
        successes = successes + excluded.successes,
        failures = failures + excluded.failures,
        timeout_failures = timeout_failures + excluded.timeout_failures;
    UPDATE tally SET
        later_successes = later_successes + NEW.success,
        later_failures = later_failures + (1 - NEW.success),
        later_timeout_failures = later_timeout_failures + (NEW.timeout AND NOT NEW.success)
    WHERE id = NEW.tally_id
        AND (NEW.success OR NEW.error_kind IS NULL OR NEW.error_kind IN ('context_overflow', 'other'));
    UPDATE daily SET
        later_successes = later_successes + NEW.success,
        later_failures = later_failures + (1 - NEW.success),
        later_timeout_failures = later_timeout_failures + (NEW.timeout AND NOT NEW.success)
    WHERE tally_id = NEW.tally_id AND day = NEW.ended_ms / 86400000 - (NEW.ended_ms % 86400000 < 0)
        AND (NEW.success OR NEW.error_kind IS NULL OR NEW.error_kind IN ('context_overflow', 'other'));
END;

DROP VIEW usable_tally;

CREATE VIEW usable_tally AS
SELECT
    id, task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
    iif(last_used_ms BETWEEN -62135596800000 AND 253402300799999, last_used_ms, NULL) AS last_used_ms, timeout_failures,
    later_successes, later_failures, later_timeout_failures
FROM tally
WHERE length(task_type) BETWEEN 1 AND 512 AND length(model_id) BETWEEN 1 AND 512
    AND successes >= 0 AND failures >= 0 AND successes <= 9007199254740992 AND failures <= 9007199254740992
    AND timeouts >= 0 AND outages >= 0 AND caller_errors >= 0 AND timeout_failures >= 0
    AND outages <= failures AND caller_errors <= failures - outages
    AND timeout_failures <= failures - outages - caller_errors
    AND tokens >= 0 AND cost_nano_usd >= 0 AND priced >= 0
    AND later_successes BETWEEN 0 AND successes AND later_failures BETWEEN 0 AND failures - outages - caller_errors
    AND later_timeout_failures BETWEEN 0 AND min(later_failures, timeout_failures)
    AND timeout_failures - later_timeout_failures <= failures - outages - caller_errors - later_failures;

-- All outcomes of a decision: those of its fallbacks and of repeated tries, too.

-- How long the try took, as reported; which outcome of the decision it is in the order of arrival (NULL: the first);
-- and the earlier decision for the same task that this one follows.
ALTER TABLE decision ADD COLUMN duration_ms INTEGER;
ALTER TABLE decision ADD COLUMN outcome_number INTEGER;
ALTER TABLE decision ADD COLUMN retry_of TEXT;

CREATE INDEX decision_by_retry ON decision (retry_of, made_ms) WHERE retry_of IS NOT NULL;

-- The outcomes of a decision from the second on, and those whose place in the decision a later one has taken.
CREATE TABLE attempt (
    decision_id TEXT NOT NULL,
    -- in the order of arrival, from 1; the number that is missing is that of the outcome in the decision
    number INTEGER NOT NULL,
    model_id TEXT NOT NULL,
    ended_ms INTEGER NOT NULL,
    success INTEGER NOT NULL CHECK (success IN (0, 1)),
    timeout INTEGER NOT NULL CHECK (timeout IN (0, 1)),
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    cost_nano_usd INTEGER NOT NULL CHECK (cost_nano_usd >= 0),
    error_kind TEXT,
    duration_ms INTEGER,
    PRIMARY KEY (decision_id, number)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER decision_delete AFTER DELETE ON decision
BEGIN
    DELETE FROM attempt WHERE decision_id = OLD.id;
END;

-- Outcomes that wait for their decision: now several of one model as well. The rows are copied: to rename a table takes
-- SQLite as long as six other changes of a table.
CREATE TABLE waiting_outcome AS SELECT * FROM unmatched_outcome;

DROP TABLE unmatched_outcome;

CREATE TABLE unmatched_outcome (
    -- in the order of arrival: the oldest are dropped first
    number INTEGER PRIMARY KEY,
    decision_id TEXT NOT NULL,
    model_id TEXT NOT NULL,
    ended_ms INTEGER NOT NULL,
    success INTEGER NOT NULL CHECK (success IN (0, 1)),
    timeout INTEGER NOT NULL CHECK (timeout IN (0, 1)),
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    cost_nano_usd INTEGER NOT NULL CHECK (cost_nano_usd >= 0),
    error_kind TEXT,
    duration_ms INTEGER,
    UNIQUE (decision_id, model_id, ended_ms)
) STRICT;

INSERT INTO unmatched_outcome (
    number, decision_id, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind
)
SELECT number, decision_id, model_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind
FROM waiting_outcome;

DROP TABLE waiting_outcome;
