-- events_after --
-- Outcomes in the order of recording, for the watches.
SELECT
    event.id, tally.task_type, tally.model_id, event.success, event.error_kind, event.ended_ms,
    event.timeout AND NOT event.success
FROM event JOIN tally ON tally.id = event.tally_id WHERE event.id > ? ORDER BY event.id LIMIT ?;

-- last_event_id --
-- The newest outcome.
SELECT coalesce(max(id), 0) FROM event;

-- changes --
-- Changes of models, newest first.
SELECT id, model_id, direction, since_event_id, noticed_event_id, since_ms, noticed_ms, evidence
FROM change ORDER BY id DESC;

-- add_change --
-- Store a change, unless another process has.
INSERT INTO change (model_id, direction, since_event_id, noticed_event_id, since_ms, noticed_ms, evidence)
SELECT :model_id, :direction, :since_event_id, :noticed_event_id, :since_ms, :noticed_ms, :evidence
WHERE NOT EXISTS (SELECT 1 FROM change WHERE model_id = :model_id AND noticed_event_id > :since_event_id);

-- add_baselines --
-- The counts of a changed model's pairs up to the change: all, less those after it.
INSERT INTO baseline (tally_id, change_id, successes, failures, rate, timeout_failures)
SELECT
    tally.id,
    :change_id,
    tally.successes - coalesce(later.successes, 0),
    tally.failures - tally.outages - tally.caller_errors - coalesce(later.failures, 0),
    NULL,
    tally.timeout_failures - coalesce(later.timeout_failures, 0)
FROM tally
LEFT JOIN (
    SELECT
        tally_id,
        sum(success) AS successes,
        sum(NOT success AND (error_kind IS NULL OR error_kind IN ('context_overflow', 'other'))) AS failures,
        sum(
            timeout AND NOT success AND (error_kind IS NULL OR error_kind IN ('context_overflow', 'other'))
        ) AS timeout_failures
    FROM event WHERE id > :since_event_id GROUP BY tally_id
) AS later ON later.tally_id = tally.id
WHERE tally.model_id = :model_id
ON CONFLICT (tally_id) DO UPDATE SET
    change_id = excluded.change_id, successes = excluded.successes, failures = excluded.failures, rate = NULL,
    timeout_failures = excluded.timeout_failures;

-- set_baseline_rate --
-- The success rate expected of one pair after the change.
UPDATE baseline SET rate = ? WHERE tally_id = (SELECT id FROM tally WHERE task_type = ? AND model_id = ?);

-- baselines --
-- The counts from before the last change of each model.
SELECT
    tally.task_type, tally.model_id, baseline.successes, baseline.failures, baseline.rate, baseline.timeout_failures,
    change.since_ms
FROM baseline JOIN tally ON tally.id = baseline.tally_id JOIN change ON change.id = baseline.change_id;

-- faded --
-- Discounted and undiscounted counts of each pair, from the days after the last change of its model. The parameter decay
-- is ln 2 over the half-life in days. Pairs without a change, nearly all, are summed without looking for one.
SELECT tally.task_type, tally.model_id, sums.*
FROM (
    SELECT
        tally_id,
        sum(successes * weight),
        sum((failures - outages - caller_errors) * weight),
        sum(timeout_failures * weight),
        sum(successes),
        sum(failures - outages - caller_errors),
        sum(timeout_failures),
        count(*)
    FROM (SELECT *, exp(:decay * min(0, day - :today)) AS weight FROM daily)
    WHERE tally_id NOT IN (SELECT tally_id FROM baseline)
    GROUP BY tally_id
    UNION ALL
    SELECT
        day.tally_id,
        sum(day.successes * exp(:decay * min(0, day.day - :today))),
        sum((day.failures - day.outages - day.caller_errors) * exp(:decay * min(0, day.day - :today))),
        sum(day.timeout_failures * exp(:decay * min(0, day.day - :today))),
        sum(day.successes),
        sum(day.failures - day.outages - day.caller_errors),
        sum(day.timeout_failures),
        count(*)
    FROM baseline
    JOIN change ON change.id = baseline.change_id
    JOIN daily AS day ON day.tally_id = baseline.tally_id AND day.day > change.since_ms / 86400000
    GROUP BY day.tally_id
) AS sums
JOIN tally ON tally.id = sums.tally_id;

-- demotions --
-- Demotions, newest first; all, or only those in force.
SELECT
    demotion.id, tally.task_type, tally.model_id, demotion.since_ms, demotion.threshold, demotion.evidence,
    demotion.reason, demotion.ended_ms, demotion.ended_by, demotion.event_id
FROM demotion JOIN tally ON tally.id = demotion.tally_id
WHERE NOT ? OR demotion.ended_ms IS NULL ORDER BY demotion.id DESC;

-- add_demotion --
-- Demote, unless another process has done so.
INSERT INTO demotion (tally_id, since_ms, threshold, evidence, reason, event_id)
SELECT id, ?, ?, ?, ?, (SELECT coalesce(max(id), 0) FROM event) FROM tally WHERE task_type = ? AND model_id = ?
ON CONFLICT DO NOTHING;

-- end_demotion --
-- Reinstate.
UPDATE demotion SET ended_ms = ?, ended_by = ?, event_id = (SELECT coalesce(max(id), 0) FROM event)
WHERE ended_ms IS NULL AND tally_id = (SELECT id FROM tally WHERE task_type = ? AND model_id = ?);

-- watches --
-- The last outcome that the watches have processed, with each saved state; NULLs if there is none.
SELECT watch_position.event_id, kind, task_type, model_id, state FROM watch_position LEFT JOIN watch ON TRUE;

-- save_watch_position --
-- The position of the watches; a process behind another changes nothing.
INSERT INTO watch_position (only, event_id) VALUES (1, ?)
ON CONFLICT (only) DO UPDATE SET event_id = excluded.event_id WHERE excluded.event_id > event_id;

-- forget_watches --
-- Delete the old states.
DELETE FROM watch;

-- add_watch --
-- The state of one watch.
INSERT INTO watch (kind, task_type, model_id, state) VALUES (?, ?, ?, ?);
