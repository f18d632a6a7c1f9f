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

-- Outcomes without a duration do not pay for it.
CREATE TRIGGER recording_duration INSTEAD OF INSERT ON recording
WHEN NEW.duration_ms >= 0
    AND (NEW.success OR NEW.error_kind IS NULL OR NEW.error_kind IN ('context_overflow', 'other', 'refused'))
BEGIN
    INSERT INTO duration (tally_id, period, from_ms, outcomes)
    VALUES (
        NEW.tally_id, NEW.ended_ms / 2419200000 - (NEW.ended_ms % 2419200000 < 0),
        (SELECT max(from_ms) FROM duration_border WHERE from_ms <= NEW.duration_ms), 1
    )
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
