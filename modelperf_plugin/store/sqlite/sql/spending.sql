-- costs_after --
-- The costs of outcomes in the order of recording, as they were after a correction and all before it.
SELECT
    event.id, tally.task_type, tally.model_id, event.ended_ms,
    coalesce(
        (SELECT cost_nano_usd FROM revision WHERE event_id = event.id AND number > ? ORDER BY number LIMIT 1),
        event.cost_nano_usd
    )
FROM event JOIN tally ON tally.id = event.tally_id
WHERE event.id > ? ORDER BY event.id LIMIT ?;

-- last_cost_of_page --
-- The last outcome of such a page, readable or not.
SELECT max(id) FROM (SELECT id FROM event WHERE id > ? ORDER BY id LIMIT ?);

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
WHERE was.number > ? ORDER BY was.number LIMIT ?;

-- costs_by_day --
-- First the newest outcome and correction, as of the same moment; then the sums of each day, the costs of one model
-- or of all.
SELECT NULL, coalesce(max(id), 0), (SELECT coalesce(max(number), 0) FROM revision) FROM event
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
SELECT NULL, coalesce(max(id), 0), (SELECT coalesce(max(number), 0) FROM revision) FROM event
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

-- estimated_costs --
-- The models whose costs were estimated, with the day of the prices.
SELECT model_id, prices_day FROM estimated_cost
WHERE length(model_id) BETWEEN 1 AND 512 AND prices_day BETWEEN 0 AND 2932896;

-- mark_estimated --
-- Note that costs of a model were estimated.
INSERT INTO estimated_cost (model_id, prices_day) VALUES (?, ?)
ON CONFLICT (model_id) DO UPDATE SET prices_day = max(prices_day, excluded.prices_day);
