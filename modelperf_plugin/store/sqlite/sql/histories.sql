-- Queries for importing histories from databases, in the order of recording.

-- relations --
-- All tables and views.
SELECT name FROM sqlite_master WHERE type IN ('table', 'view');

-- count_events --
-- The number of outcomes in one of our files.
SELECT count(*) FROM event;

-- columns_of_events --
-- The columns of our table of outcomes.
SELECT name FROM pragma_table_info('event');

-- events --
-- Every outcome in one of our files, with all details; of a later try what had failed before, or [""] if unknown. Last
-- comes its first verdict, if that was replaced. The names in braces are the column of scores, or NULL in a file without,
-- and one of the next two queries.
SELECT
    tally.task_type, tally.model_id, event.success, event.timeout, event.tokens, event.cost_nano_usd / 1e9,
    event.ended_ms, event.duration_ms / 1e3, event.error_kind, outcome_key.outcome_id,
    iif(event.tried_id IS NULL, NULL, coalesce(tried.models, '[""]')),
    {score} / 1e6,
    first.success, first.timeout, first.tokens, first.cost_nano_usd / 1e9, first.error_kind, first.score / 1e6
FROM event
JOIN tally ON tally.id = event.tally_id
LEFT JOIN outcome_key ON outcome_key.event_id = event.id
LEFT JOIN tried ON tried.id = event.tried_id
LEFT JOIN ({first}) AS first ON first.event_id = event.id
ORDER BY event.id;

-- first_verdicts --
-- The first verdict of each outcome whose verdict was replaced: a bare column of min() is that of the row found.
SELECT min(number), event_id, success, timeout, tokens, cost_nano_usd, error_kind, score FROM revision GROUP BY event_id;

-- no_verdicts --
-- The same in a file without replaced verdicts.
SELECT NULL AS event_id, NULL AS success, NULL AS timeout, NULL AS tokens, NULL AS cost_nano_usd, NULL AS error_kind,
    NULL AS score
WHERE 0;

-- older_events --
-- The same in a file of an earlier version, which does not tell later tries.
SELECT
    tally.task_type, tally.model_id, event.success, event.timeout, event.tokens, event.cost_nano_usd / 1e9,
    event.ended_ms, event.duration_ms / 1e3, event.error_kind, outcome_key.outcome_id
FROM event
JOIN tally ON tally.id = event.tally_id
LEFT JOIN outcome_key ON outcome_key.event_id = event.id
ORDER BY event.id;

-- sums --
-- The sums without events in one of our files.
SELECT
    imported.source, tally.task_type, tally.model_id, imported.successes, imported.failures, imported.timeouts,
    imported.tokens, imported.cost_nano_usd, imported.last_used_ms
FROM imported JOIN tally ON tally.id = imported.tally_id
ORDER BY imported.source, imported.tally_id;

-- count_outcomes --
-- The number of outcomes in a file with the migration guide's tables.
SELECT count(*) FROM model_outcomes;

-- outcomes --
-- The outcomes in a file with the migration guide's tables.
SELECT task_type, model_id, success, timeout, tokens_used, cost_usd, timestamp, NULL, NULL, NULL
FROM model_outcomes ORDER BY id;

-- count_responses --
-- The number of answers in the log of llm.
SELECT count(*) FROM responses;

-- responses --
-- The log of llm.
SELECT * FROM responses ORDER BY datetime_utc, id;
