-- events_after --
-- Outcomes in the order of recording, for the watches.
SELECT
    event.id, tally.task_type, tally.model_id, event.success, event.error_kind, event.ended_ms,
    event.timeout AND NOT event.success, iif(event.tried_id IS NULL, NULL, coalesce(CAST(tried.models AS BLOB), x'')),
    event.score, event.retry_after_ms
FROM event JOIN tally ON tally.id = event.tally_id LEFT JOIN tried ON tried.id = event.tried_id
WHERE event.id > ? ORDER BY event.id LIMIT ?;

-- last_event_of_page --
-- The last outcome of such a page, readable or not.
SELECT max(id) FROM (SELECT id FROM event WHERE id > ? ORDER BY id LIMIT ?);

-- last_event_id --
-- The newest outcome.
SELECT coalesce(max(id), 0) FROM event;

-- revised_after --
-- Verdicts that were replaced, in order: each with the one that replaced it.
SELECT
    was.number, event.id, tally.task_type, tally.model_id, event.ended_ms,
    iif(event.tried_id IS NULL, NULL, coalesce(CAST(tried.models AS BLOB), x'')),
    was.success, was.error_kind, was.timeout AND NOT was.success, was.score,
    iif(next.number IS NULL, event.success, next.success),
    iif(next.number IS NULL, event.error_kind, next.error_kind),
    iif(next.number IS NULL, event.timeout AND NOT event.success, next.timeout AND NOT next.success),
    iif(next.number IS NULL, event.score, next.score)
FROM revision AS was
JOIN event ON event.id = was.event_id
JOIN tally ON tally.id = event.tally_id
LEFT JOIN tried ON tried.id = event.tried_id
LEFT JOIN revision AS next ON next.number = (
    SELECT min(later.number) FROM revision AS later WHERE later.event_id = was.event_id AND later.number > was.number
)
WHERE was.number > ? ORDER BY was.number LIMIT ?;

-- last_revision --
-- The verdict that was replaced last.
SELECT coalesce(max(number), 0) FROM revision;

-- has_long_outages --
-- Whether any outcome tells that its model is gone, or when to retry.
SELECT EXISTS (
    SELECT 1 FROM event
    WHERE id > :after_id AND id <= :until_id AND (error_kind = 'unavailable' OR retry_after_ms > 0)
);

-- long_outages --
-- Outages of models that are gone, or whose provider said when to retry, since the last answer of each; newest first.
WITH answered (model_id, ended_ms, id) AS (
    SELECT tally.model_id, max(min(event.ended_ms, :now_ms)), max(event.id)
    FROM event JOIN tally ON tally.id = event.tally_id
    WHERE event.id > :after_id AND (
        event.success
        OR (NOT event.timeout AND coalesce(event.error_kind IN ('context_overflow', 'other', 'refused'), 1))
    )
    GROUP BY tally.model_id
)
SELECT
    event.id, tally.task_type, tally.model_id, event.success, event.error_kind, event.ended_ms,
    event.timeout AND NOT event.success, NULL, event.score, event.retry_after_ms
FROM event JOIN tally ON tally.id = event.tally_id LEFT JOIN answered ON answered.model_id = tally.model_id
WHERE
    event.id > :after_id AND event.id <= :until_id AND NOT event.success
    AND (event.error_kind = 'unavailable' OR event.retry_after_ms > 0)
    AND (min(event.ended_ms, :now_ms), event.id) > (coalesce(answered.ended_ms, -1), coalesce(answered.id, 0))
ORDER BY event.id DESC LIMIT 1000;

-- models_back --
-- Models that an operator has declared available, each with the newest outcome then.
SELECT model_id, state FROM watch WHERE kind = 'back' AND task_type = '';

-- changes --
-- Changes of models, newest first.
SELECT id, model_id, direction, since_event_id, noticed_event_id, since_ms, noticed_ms, evidence
FROM change ORDER BY id DESC;

-- add_change --
-- Store a change, unless another process has.
INSERT INTO change (model_id, direction, since_event_id, noticed_event_id, since_ms, noticed_ms, evidence, rates)
SELECT :model_id, :direction, :since_event_id, :noticed_event_id, :since_ms, :noticed_ms, :evidence, :rates
WHERE NOT EXISTS (SELECT 1 FROM change WHERE model_id = :model_id AND noticed_event_id > :since_event_id);

-- add_baselines --
-- The counts of a changed model's pairs until the change was noticed: all, less those after it.
INSERT INTO baseline (
    tally_id, change_id, successes, failures, rate, timeout_failures, later_successes, later_failures,
    later_timeout_failures, score_shift, later_score_shift
)
SELECT
    tally.id,
    :change_id,
    tally.successes - coalesce(since.successes, 0),
    tally.failures - tally.outages - tally.caller_errors - coalesce(since.failures, 0),
    NULL,
    tally.timeout_failures - coalesce(since.timeout_failures, 0),
    tally.later_successes - coalesce(tries.successes, 0),
    tally.later_failures - coalesce(tries.failures, 0),
    tally.later_timeout_failures - coalesce(tries.timeout_failures, 0),
    tally.score_shift - coalesce(since.score_shift, 0),
    tally.later_score_shift - coalesce(tries.score_shift, 0)
FROM tally
LEFT JOIN (
    SELECT
        tally_id,
        sum(success) AS successes,
        sum(NOT success AND (error_kind IS NULL OR error_kind IN ('context_overflow', 'other', 'refused'))) AS failures,
        sum(
            timeout AND NOT success AND score IS NULL
            AND (error_kind IS NULL OR error_kind IN ('context_overflow', 'other', 'refused'))
        ) AS timeout_failures,
        sum(score - 1000000 * success) AS score_shift
    FROM event WHERE id > :noticed_event_id GROUP BY tally_id
) AS since ON since.tally_id = tally.id
LEFT JOIN (
    SELECT
        tally_id, sum(success) AS successes, sum(failure) AS failures, sum(timeout_failure) AS timeout_failures,
        sum(score_shift) AS score_shift
    FROM later_try WHERE id > :noticed_event_id GROUP BY tally_id
) AS tries ON tries.tally_id = tally.id
WHERE tally.model_id = :model_id
ON CONFLICT (tally_id) DO UPDATE SET
    change_id = excluded.change_id, successes = excluded.successes, failures = excluded.failures, rate = NULL,
    timeout_failures = excluded.timeout_failures, later_successes = excluded.later_successes,
    later_failures = excluded.later_failures, later_timeout_failures = excluded.later_timeout_failures,
    score_shift = excluded.score_shift, later_score_shift = excluded.later_score_shift;

-- set_baseline_rate --
-- The success rate expected of one pair after the change.
UPDATE baseline SET rate = ? WHERE tally_id = (SELECT id FROM tally WHERE task_type = ? AND model_id = ?);

-- durations_within --
-- What the durations of the pairs within a span of task types weigh, by bucket; a period is as old as its middle.
SELECT
    tally.task_type, tally.model_id, duration.from_ms,
    sum(duration.outcomes * exp(:decay * min(0, 28 * duration.period + 14 - :today)))
FROM tally CROSS JOIN duration ON duration.tally_id = tally.id
WHERE tally.task_type BETWEEN :first AND :last AND duration.outcomes > 0
GROUP BY tally.id, duration.from_ms;

-- baselines --
-- The counts from before the last change of each model was noticed.
SELECT
    tally.task_type, tally.model_id, baseline.successes, baseline.failures, baseline.rate, baseline.timeout_failures,
    change.noticed_ms, change.direction, baseline.later_successes, baseline.later_failures,
    baseline.later_timeout_failures, baseline.score_shift, baseline.later_score_shift
FROM baseline JOIN tally ON tally.id = baseline.tally_id JOIN change ON change.id = baseline.change_id;

-- baselines_within --
-- The same on the task types from one to another, if there are any at all.
SELECT
    tally.task_type, tally.model_id, baseline.successes, baseline.failures, baseline.rate, baseline.timeout_failures,
    change.noticed_ms, change.direction, baseline.later_successes, baseline.later_failures,
    baseline.later_timeout_failures, baseline.score_shift, baseline.later_score_shift
FROM tally CROSS JOIN baseline ON baseline.tally_id = tally.id JOIN change ON change.id = baseline.change_id
WHERE tally.task_type BETWEEN ? AND ? AND EXISTS (SELECT 1 FROM baseline);

-- faded_within --
-- Discounted and undiscounted counts of each pair, from the days after the last change of its model, on the task types
-- from one to another. The parameter decay is ln 2 over the half-life in days. CROSS JOIN keeps the order of the tables:
-- only these pairs are read, however large the roll-up is, and in the order of the groups.
SELECT
    task_type,
    model_id,
    sum(successes * weight),
    sum(failures * weight),
    sum(timeout_failures * weight),
    sum(successes),
    sum(failures),
    sum(timeout_failures),
    count(*),
    sum(score_shift * weight),
    sum(score_shift)
FROM (
    SELECT
        tally.task_type,
        tally.model_id,
        daily.successes,
        daily.failures - daily.outages - daily.caller_errors AS failures,
        daily.timeout_failures,
        daily.score_shift,
        exp(:decay * min(0, daily.day - :today)) AS weight
    FROM tally
    LEFT JOIN baseline ON baseline.tally_id = tally.id
    LEFT JOIN change ON change.id = baseline.change_id
    CROSS JOIN daily ON daily.tally_id = tally.id
    WHERE
        tally.task_type BETWEEN :first AND :last
        AND (change.noticed_ms IS NULL OR daily.day > change.noticed_ms / 86400000)
)
GROUP BY task_type, model_id;

-- faded_later_within --
-- The part of them that are later tries, of the pairs that have any.
SELECT
    task_type,
    model_id,
    sum(later_successes * weight),
    sum(later_failures * weight),
    sum(later_timeout_failures * weight),
    sum(later_successes),
    sum(later_failures),
    sum(later_timeout_failures),
    sum(later_score_shift * weight),
    sum(later_score_shift)
FROM (
    SELECT
        tally.task_type,
        tally.model_id,
        daily.later_successes,
        daily.later_failures,
        daily.later_timeout_failures,
        daily.later_score_shift,
        exp(:decay * min(0, daily.day - :today)) AS weight
    FROM tally
    LEFT JOIN baseline ON baseline.tally_id = tally.id
    LEFT JOIN change ON change.id = baseline.change_id
    CROSS JOIN daily ON daily.tally_id = tally.id
    WHERE
        tally.task_type BETWEEN :first AND :last
        AND tally.later_successes + tally.later_failures > 0
        AND (change.noticed_ms IS NULL OR daily.day > change.noticed_ms / 86400000)
)
GROUP BY task_type, model_id;

-- costs --
-- Discounted and undiscounted costs of each model on one task type, from the days after the last announced change of
-- the model and from ``since_ms`` of it on. The parameter decay is ln 2 over the half-life in days.
SELECT
    reset.model_id,
    coalesce(sum(daily.cost_nano_usd * exp(:decay * min(0, daily.day - :today))), 0.0),
    coalesce(sum(daily.priced * exp(:decay * min(0, daily.day - :today))), 0.0),
    coalesce(sum(daily.cost_nano_usd), 0),
    coalesce(sum(daily.priced), 0),
    nullif(max(reset.announced_ms, reset.dated_ms), -1)
FROM (
    SELECT
        tally.id,
        tally.model_id,
        coalesce(
            (SELECT max(since_ms) FROM change WHERE model_id = tally.model_id AND direction = 'announced'), -1
        ) AS announced_ms,
        coalesce((SELECT value FROM json_each(:since_ms) WHERE key = tally.model_id), -1) AS dated_ms
    FROM tally WHERE tally.task_type = :task_type
) AS reset
LEFT JOIN daily
    ON daily.tally_id = reset.id
    AND (reset.announced_ms < 0 OR daily.day > reset.announced_ms / 86400000)
    AND (reset.dated_ms < 0 OR daily.day >= reset.dated_ms / 86400000)
GROUP BY reset.model_id;

-- newest_costs --
-- The costs among the last thousand outcomes, of one task type and since such a change.
SELECT tally.model_id, event.cost_nano_usd
FROM event CROSS JOIN tally ON tally.id = event.tally_id
WHERE
    event.id > (SELECT coalesce(max(id), 0) - 1000 FROM event)
    AND tally.task_type = :task_type
    AND event.id > coalesce(
        (SELECT max(since_event_id) FROM change WHERE model_id = tally.model_id AND direction = 'announced'), 0
    )
    AND event.ended_ms >= coalesce((SELECT value FROM json_each(:since_ms) WHERE key = tally.model_id), event.ended_ms)
ORDER BY event.id;

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

-- model_watches --
-- The same with the states that belong to a model on all task types, or to no model.
SELECT watch_position.event_id, kind, task_type, model_id, state
FROM watch_position LEFT JOIN watch ON watch.kind IN ('change', 'pool') AND watch.task_type = '';

-- pair_watches --
-- The same with the states of one pair.
SELECT watch_position.event_id, kind, task_type, model_id, state
FROM watch_position
LEFT JOIN watch ON watch.kind IN ('fall', 'probation') AND watch.task_type = ? AND watch.model_id = ?;

-- save_watch_position --
-- The position of the watches; a process behind another changes nothing.
INSERT INTO watch_position (only, event_id) VALUES (1, ?)
ON CONFLICT (only) DO UPDATE SET event_id = excluded.event_id WHERE excluded.event_id > event_id;

-- end_watch --
-- Delete the state of one watch.
DELETE FROM watch WHERE kind = ? AND task_type = ? AND model_id = ?;

-- set_watch --
-- The state of one watch.
INSERT INTO watch (kind, task_type, model_id, state) VALUES (?, ?, ?, ?)
ON CONFLICT (kind, task_type, model_id) DO UPDATE SET state = excluded.state;

-- count_served --
-- How often each model has answered for each; for itself where nothing else is known.
SELECT tally.model_id, coalesce(served_model.model_id, tally.model_id) AS answered, count(*)
FROM event
JOIN tally ON tally.id = event.tally_id
LEFT JOIN served ON served.event_id = event.id
LEFT JOIN served_model ON served_model.id = served.served_id
WHERE EXISTS (SELECT 1 FROM served) AND (
    event.success
    OR (NOT event.timeout AND coalesce(event.error_kind IN ('context_overflow', 'other', 'refused'), 1))
)
GROUP BY tally.model_id, answered;
