-- events_after --
-- Outcomes in the order of recording, for the watches.
SELECT
    event.id, tally.task_type, tally.model_id, event.success, event.error_kind, event.ended_ms,
    event.timeout AND NOT event.success, tried.models, event.score, event.retry_after_ms
FROM event JOIN tally ON tally.id = event.tally_id LEFT JOIN tried ON tried.id = event.tried_id
WHERE event.id > %s ORDER BY event.id LIMIT %s;

-- last_event_id --
-- The newest outcome.
SELECT last_event_id FROM progress;

-- revised_after --
-- Verdicts that were replaced, in order: each with the one that replaced it.
SELECT
    was.number, event.id, tally.task_type, tally.model_id, event.ended_ms, tried.models,
    was.success, was.error_kind, was.timeout AND NOT was.success, was.score,
    CASE WHEN next.number IS NULL THEN event.success ELSE next.success END,
    CASE WHEN next.number IS NULL THEN event.error_kind ELSE next.error_kind END,
    CASE WHEN next.number IS NULL THEN event.timeout AND NOT event.success ELSE next.timeout AND NOT next.success END,
    CASE WHEN next.number IS NULL THEN event.score ELSE next.score END
FROM revision AS was
JOIN event ON event.id = was.event_id
JOIN tally ON tally.id = event.tally_id
LEFT JOIN tried ON tried.id = event.tried_id
LEFT JOIN LATERAL (
    SELECT * FROM revision AS later
    WHERE later.event_id = was.event_id AND later.number > was.number ORDER BY later.number LIMIT 1
) AS next ON true
WHERE was.number > %s ORDER BY was.number LIMIT %s;

-- last_revision --
-- The verdict that was replaced last.
SELECT coalesce(max(number), 0) FROM revision;

-- long_outages --
-- Outages of models that are gone, or whose provider said when to retry, since the last answer of each; newest first.
WITH outage AS (
    SELECT * FROM event
    WHERE
        id > %(after_id)s AND id <= %(until_id)s AND NOT success
        AND (error_kind = 'unavailable' OR retry_after_ms > 0)
),
answered (model_id, ended_ms, id) AS (
    SELECT tally.model_id, max(least(event.ended_ms, %(now_ms)s)), max(event.id)
    FROM event JOIN tally ON tally.id = event.tally_id
    WHERE event.id > %(after_id)s AND EXISTS (SELECT FROM outage) AND (
        event.success
        OR (NOT event.timeout AND coalesce(event.error_kind IN ('context_overflow', 'other', 'refused'), true))
    )
    GROUP BY tally.model_id
)
SELECT
    outage.id, tally.task_type, tally.model_id, outage.success, outage.error_kind, outage.ended_ms,
    outage.timeout AND NOT outage.success, NULL, outage.score, outage.retry_after_ms
FROM outage JOIN tally ON tally.id = outage.tally_id LEFT JOIN answered ON answered.model_id = tally.model_id
WHERE (least(outage.ended_ms, %(now_ms)s), outage.id) > (coalesce(answered.ended_ms, -1), coalesce(answered.id, 0))
ORDER BY outage.id DESC LIMIT 1000;

-- models_back --
-- Models that an operator has declared available, each with the newest outcome then.
SELECT model_id, state FROM watch WHERE kind = 'back' AND task_type = '';

-- mark_back --
-- Note such a model.
INSERT INTO watch (kind, task_type, model_id, state) VALUES ('back', '', %s, %s)
ON CONFLICT (kind, task_type, digest_of(model_id)) DO UPDATE SET state = excluded.state;

-- durations_within --
-- What the durations of the pairs within a span of task types weigh, by bucket; a period is as old as its middle.
SELECT
    tally.task_type, tally.model_id, duration.from_ms,
    sum(duration.outcomes * exp(%(decay)s::float8 * least(0, 28 * duration.period + 14 - %(today)s)))
FROM tally JOIN duration_now AS duration ON duration.tally_id = tally.id
WHERE tally.task_type BETWEEN %(first)s AND %(last)s AND duration.outcomes > 0
GROUP BY tally.id, duration.from_ms;

-- baselines --
-- The counts from before the last change of each model was noticed.
SELECT
    tally.task_type, tally.model_id, baseline.successes, baseline.failures, baseline.rate, baseline.timeout_failures,
    change.noticed_ms, change.direction, baseline.later_successes, baseline.later_failures,
    baseline.later_timeout_failures, baseline.score_shift, baseline.later_score_shift
FROM baseline JOIN tally ON tally.id = baseline.tally_id JOIN change ON change.id = baseline.change_id;

-- baselines_within --
-- The same on the task types from one to another.
SELECT
    tally.task_type, tally.model_id, baseline.successes, baseline.failures, baseline.rate, baseline.timeout_failures,
    change.noticed_ms, change.direction, baseline.later_successes, baseline.later_failures,
    baseline.later_timeout_failures, baseline.score_shift, baseline.later_score_shift
FROM baseline JOIN tally ON tally.id = baseline.tally_id JOIN change ON change.id = baseline.change_id
WHERE tally.task_type BETWEEN %s AND %s;

-- faded_within --
-- Discounted and undiscounted counts of each pair, from the days after the last change of its model, on the task types
-- from one to another. The parameter decay is ln 2 over the half-life in days.
SELECT
    task_type, model_id, sum(successes * weight), sum(failures * weight), sum(timeout_failures * weight),
    sum(successes)::bigint, sum(failures)::bigint, sum(timeout_failures)::bigint, count(DISTINCT day),
    sum(score_shift * weight), sum(score_shift)::bigint
FROM (
    SELECT
        tally.task_type, tally.model_id, daily.day, daily.successes,
        daily.failures - daily.outages - daily.caller_errors AS failures, daily.timeout_failures, daily.score_shift,
        exp(%(decay)s::float8 * least(0, daily.day - %(today)s)) AS weight
    FROM tally
    LEFT JOIN baseline ON baseline.tally_id = tally.id
    LEFT JOIN change ON change.id = baseline.change_id
    JOIN daily_now AS daily ON daily.tally_id = tally.id
    WHERE
        tally.task_type BETWEEN %(first)s AND %(last)s
        AND (change.noticed_ms IS NULL OR daily.day > change.noticed_ms / 86400000)
) AS days
GROUP BY task_type, model_id;

-- faded_later_within --
-- The part of them that are later tries, of the pairs that have any.
SELECT
    task_type, model_id, sum(later_successes * weight), sum(later_failures * weight),
    sum(later_timeout_failures * weight), sum(later_successes)::bigint, sum(later_failures)::bigint,
    sum(later_timeout_failures)::bigint, sum(later_score_shift * weight), sum(later_score_shift)::bigint
FROM (
    SELECT
        tally.task_type, tally.model_id, daily.later_successes, daily.later_failures, daily.later_timeout_failures,
        daily.later_score_shift, exp(%(decay)s::float8 * least(0, daily.day - %(today)s)) AS weight
    FROM tally
    LEFT JOIN baseline ON baseline.tally_id = tally.id
    LEFT JOIN change ON change.id = baseline.change_id
    JOIN daily_now AS daily ON daily.tally_id = tally.id
    WHERE
        tally.task_type BETWEEN %(first)s AND %(last)s
        AND (change.noticed_ms IS NULL OR daily.day > change.noticed_ms / 86400000)
) AS days
GROUP BY task_type, model_id HAVING sum(later_successes) + sum(later_failures) > 0;

-- costs --
-- Discounted and undiscounted costs of each model on one task type, from the days after the last announced change of
-- the model and from ``since_ms`` of it on. The parameter decay is ln 2 over the half-life in days.
SELECT
    reset.model_id,
    coalesce(sum(daily.cost_nano_usd * exp(%(decay)s::float8 * least(0, daily.day - %(today)s))), 0.0),
    coalesce(sum(daily.priced * exp(%(decay)s::float8 * least(0, daily.day - %(today)s))), 0.0),
    bounded(coalesce(sum(daily.cost_nano_usd), 0)),
    coalesce(sum(daily.priced), 0)::bigint,
    nullif(greatest(reset.announced_ms, reset.dated_ms), -1)
FROM (
    SELECT
        tally.id,
        tally.model_id,
        coalesce(
            (SELECT max(since_ms) FROM change WHERE model_id = tally.model_id AND direction = 'announced'), -1
        ) AS announced_ms,
        coalesce((%(since_ms)s::jsonb ->> tally.model_id)::bigint, -1) AS dated_ms
    FROM tally WHERE tally.task_type = %(task_type)s
) AS reset
LEFT JOIN daily_now AS daily
    ON daily.tally_id = reset.id
    AND (reset.announced_ms < 0 OR daily.day > reset.announced_ms / 86400000)
    AND (reset.dated_ms < 0 OR daily.day >= reset.dated_ms / 86400000)
GROUP BY reset.id, reset.model_id, reset.announced_ms, reset.dated_ms;

-- newest_costs --
-- The costs among the last thousand outcomes, of one task type and since such a change.
SELECT tally.model_id, event.cost_nano_usd
FROM event JOIN tally ON tally.id = event.tally_id
WHERE
    event.id > (SELECT last_event_id - 1000 FROM progress)
    AND tally.task_type = %(task_type)s
    AND event.id > coalesce(
        (SELECT max(since_event_id) FROM change WHERE model_id = tally.model_id AND direction = 'announced'), 0
    )
    AND event.ended_ms >= coalesce((%(since_ms)s::jsonb ->> tally.model_id)::bigint, event.ended_ms)
ORDER BY event.id;

-- changes --
-- Changes of models, newest first.
SELECT id, model_id, direction, since_event_id, noticed_event_id, since_ms, noticed_ms, evidence
FROM change ORDER BY id DESC;

-- add_change --
-- Store a change and the counts before it, unless another process has.
SELECT add_change(
    %(model_id)s, %(direction)s, %(since_event_id)s, %(noticed_event_id)s, %(since_ms)s, %(noticed_ms)s, %(evidence)s,
    %(rates)s::jsonb
);

-- demotions --
-- Demotions, newest first; all, or only those in force.
SELECT
    demotion.id, tally.task_type, tally.model_id, demotion.since_ms, demotion.threshold, demotion.evidence,
    demotion.reason, demotion.ended_ms, demotion.ended_by, demotion.event_id
FROM demotion JOIN tally ON tally.id = demotion.tally_id
WHERE %s = 0 OR demotion.ended_ms IS NULL ORDER BY demotion.id DESC;

-- add_demotion --
-- Demote, unless another process has done so.
SELECT add_demotion(%s, %s, %s, %s, %s, %s);

-- end_demotion --
-- Reinstate.
SELECT end_demotion(%s, %s, %s, %s);

-- watches --
-- The last outcome that the watches have processed, with each saved state; NULLs if there is none.
SELECT watch_position.event_id, kind, task_type, model_id, state FROM watch_position LEFT JOIN watch ON true
ORDER BY kind, task_type, model_id;

-- model_watches --
-- The same with the states that belong to a model on all task types, or to no model.
SELECT watch_position.event_id, kind, task_type, model_id, state
FROM watch_position LEFT JOIN watch ON watch.kind IN ('change', 'pool') AND watch.task_type = ''
ORDER BY kind, task_type, model_id;

-- pair_watches --
-- The same with the states of one pair.
SELECT watch_position.event_id, kind, task_type, model_id, state
FROM watch_position
LEFT JOIN watch
    ON watch.kind IN ('fall', 'probation') AND watch.task_type = %s AND digest_of(watch.model_id) = digest_of(%s)
ORDER BY kind, task_type, model_id;

-- claim_watches --
-- Follow the outcomes for so many seconds, unless another process does.
SELECT claim('watches', %s, %s::float8);

-- save_watches --
-- Save the states of watches, unless another process has saved later ones.
SELECT save_watches(
    %s, %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[]
);

-- drop_step --
-- Drop some old events.
SELECT looked_at, dropped, last_id, at_end FROM drop_step(%s, %s, %s);

-- count_served --
-- How often each model has answered for each; for itself where nothing else is known.
SELECT tally.model_id, coalesce(served_model.model_id, tally.model_id) AS answered, count(*)
FROM event
JOIN tally ON tally.id = event.tally_id
LEFT JOIN served ON served.event_id = event.id
LEFT JOIN served_model ON served_model.id = served.served_id
WHERE EXISTS (SELECT FROM served) AND (
    event.success
    OR (NOT event.timeout AND coalesce(event.error_kind IN ('context_overflow', 'other', 'refused'), true))
)
GROUP BY tally.model_id, answered;
