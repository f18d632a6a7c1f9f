-- costs_after --
-- The costs of outcomes in the order of recording, as they were after a correction and all before it.
SELECT
    event.id, tally.task_type, tally.model_id, event.ended_ms,
    coalesce(
        (SELECT cost_nano_usd FROM revision WHERE event_id = event.id AND number > %s ORDER BY number LIMIT 1),
        event.cost_nano_usd
    )
FROM event JOIN tally ON tally.id = event.tally_id
WHERE event.id > %s ORDER BY event.id LIMIT %s;

-- corrections_after --
-- Verdicts that were replaced, in order: what the outcome costs since then, and what it cost before.
SELECT
    was.number, event.id, tally.task_type, tally.model_id, event.ended_ms,
    coalesce(
        (
            SELECT next.cost_nano_usd FROM revision AS next
            WHERE next.event_id = was.event_id AND next.number > was.number ORDER BY next.number LIMIT 1
        ),
        event.cost_nano_usd
    ),
    was.cost_nano_usd
FROM revision AS was JOIN event ON event.id = was.event_id JOIN tally ON tally.id = event.tally_id
WHERE was.number > %s ORDER BY was.number LIMIT %s;

-- costs_by_day --
-- First the newest outcome and correction, as of the same moment; then the sums of each day, the costs of one model
-- or of all.
SELECT NULL::bigint, last_event_id, (SELECT coalesce(max(number), 0) FROM revision) FROM progress
UNION ALL
SELECT * FROM (
    SELECT
        daily.day, sum(daily.successes + daily.failures)::bigint,
        bounded(coalesce(sum(daily.cost_nano_usd) FILTER (WHERE tally.model_id = coalesce(%s, tally.model_id)), 0))
    FROM tally JOIN daily ON daily.tally_id = tally.id AND daily.day >= %s
    WHERE tally.task_type = coalesce(%s, tally.task_type)
    GROUP BY daily.day
) AS days;

-- costs_by_step --
-- The same for shorter steps, from so many of the newest outcomes.
SELECT NULL::bigint, last_event_id, (SELECT coalesce(max(number), 0) FROM revision) FROM progress
UNION ALL
SELECT * FROM (
    SELECT
        event.ended_ms / %s, count(*),
        bounded(coalesce(sum(event.cost_nano_usd) FILTER (WHERE tally.model_id = coalesce(%s, tally.model_id)), 0))
    FROM event JOIN tally ON tally.id = event.tally_id
    WHERE event.id > (SELECT last_event_id FROM progress) - %s AND event.ended_ms >= %s
        AND tally.task_type = coalesce(%s, tally.task_type)
    GROUP BY 1
) AS steps;

-- estimated_costs --
-- The models whose costs were estimated, with the day of the prices.
SELECT model_id, prices_day FROM estimated_cost;

-- mark_estimated --
-- Note that costs of a model were estimated.
INSERT INTO estimated_cost AS old (model_id, prices_day) VALUES (%s, %s)
ON CONFLICT (model_id) DO UPDATE SET prices_day = greatest(old.prices_day, excluded.prices_day)
RETURNING prices_day;
