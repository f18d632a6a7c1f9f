-- costs_after --
-- The costs of outcomes in the order of recording.
SELECT event.id, tally.task_type, tally.model_id, event.ended_ms, event.cost_nano_usd
FROM event JOIN tally ON tally.id = event.tally_id
WHERE event.id > ? ORDER BY event.id LIMIT ?;

-- last_cost_of_page --
-- The last outcome of such a page, readable or not.
SELECT max(id) FROM (SELECT id FROM event WHERE id > ? ORDER BY id LIMIT ?);

-- costs_by_day --
-- First the newest outcome, as of the same moment; then the sums of each day, the costs of one model or of all.
SELECT NULL, coalesce(max(id), 0), 0 FROM event
UNION ALL
SELECT * FROM (
    SELECT
        daily.day, sum(daily.successes + daily.failures),
        sum(daily.cost_nano_usd * (tally.model_id = coalesce(?, tally.model_id)))
    FROM tally CROSS JOIN daily ON daily.tally_id = tally.id AND daily.day >= ?
    WHERE tally.task_type = coalesce(?, tally.task_type)
    GROUP BY daily.day
);

-- costs_by_step --
-- The same for shorter steps, from so many of the newest outcomes.
SELECT NULL, coalesce(max(id), 0), 0 FROM event
UNION ALL
SELECT * FROM (
    SELECT
        event.ended_ms / ?, count(*),
        sum(event.cost_nano_usd * (tally.model_id = coalesce(?, tally.model_id)))
    FROM event JOIN tally ON tally.id = event.tally_id
    WHERE event.id > (SELECT coalesce(max(id), 0) FROM event) - ? AND event.ended_ms >= ?
        AND tally.task_type = coalesce(?, tally.task_type)
    GROUP BY 1
);
