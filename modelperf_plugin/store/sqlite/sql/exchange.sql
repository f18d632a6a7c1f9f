-- imports --
-- The imports of one kind, or all, newest first.
SELECT id, kind, source, digest, position, outcomes, rejected, begun_ms, latest_ms, archived
FROM import WHERE coalesce(kind = ?, 1) ORDER BY id DESC;

-- begin_import --
-- The first batch of a source, unless another of its kind has begun since the imports were read.
INSERT INTO import (kind, source, digest, position, outcomes, rejected, begun_ms, latest_ms)
SELECT :kind, :source, :digest, :position, 0, :rejected, :at_ms, :at_ms
WHERE NOT EXISTS (SELECT 1 FROM import WHERE kind = :kind AND id > :newest);

-- continue_import --
-- A further batch of a source, unless another process has continued it.
UPDATE import SET
    digest = :digest, position = :position, rejected = rejected + :rejected, latest_ms = :at_ms
WHERE id = :import_id AND position = :from_position;

-- superseded --
-- Whether a later import of the same source has begun.
SELECT 1 FROM import WHERE kind = :kind AND source = :source AND id > :import_id;

-- count_imported --
-- Add the outcomes of a batch.
UPDATE import SET outcomes = outcomes + :outcomes WHERE id = :import_id;

-- extend_range --
-- The events of a further batch, if nothing was recorded in between.
UPDATE import_range SET last_event_id = :newest WHERE import_id = :import_id AND last_event_id = :before;

-- add_range --
-- The events of a batch.
INSERT INTO import_range (import_id, first_event_id, last_event_id) VALUES (:import_id, :before + 1, :newest);

-- set_archived --
-- The archive of an import's file.
UPDATE import SET archived = ? WHERE id = ? AND archived IS NULL;

-- not_archived --
-- Whether the file of an import has not been archived.
SELECT 1 FROM import WHERE id = ? AND archived IS NULL;

-- newest_event --
-- The id before those of a batch.
SELECT coalesce(max(id), 0) FROM event;

-- add_event --
-- One outcome of a batch; its counts are added with those of the whole batch.
INSERT INTO event (
    tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, tried_id
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- add_outcome_key --
-- Store the id of the next event's outcome; changes nothing if it is known.
INSERT INTO outcome_key (outcome_id, event_id)
VALUES (?, (SELECT coalesce(max(id), 0) + 1 FROM event))
ON CONFLICT (outcome_id) DO NOTHING;

-- sums_of_batch --
-- The sums of a batch by pair and day (floored, also before 1970), and the time of its newest outcome.
SELECT
    tally_id,
    (ended_ms - (ended_ms % 86400000 + 86400000) % 86400000) / 86400000 AS day,
    sum(success), sum(1 - success), sum(timeout),
    sum(NOT success AND coalesce(error_kind IN ('rate_limit', 'server_error', 'network', 'unavailable'), 0)),
    sum(NOT success AND coalesce(error_kind IN ('cancelled', 'caller_error'), 0)),
    sum(tokens), sum(cost_nano_usd), sum(cost_nano_usd > 0),
    sum(
        timeout AND NOT success AND score IS NULL
        AND coalesce(error_kind IN ('context_overflow', 'other', 'refused'), 1)
    ),
    sum(tried_id IS NOT NULL AND success),
    sum(tried_id IS NOT NULL AND NOT success AND coalesce(error_kind IN ('context_overflow', 'other', 'refused'), 1)),
    sum(
        tried_id IS NOT NULL AND timeout AND NOT success AND score IS NULL
        AND coalesce(error_kind IN ('context_overflow', 'other', 'refused'), 1)
    ),
    sum(score IS NOT NULL), coalesce(sum(score - 1000000 * success), 0),
    coalesce(sum(iif(
        tried_id IS NOT NULL AND (success OR coalesce(error_kind IN ('context_overflow', 'other', 'refused'), 1)),
        score - 1000000 * success, NULL
    )), 0),
    max(ended_ms)
FROM event WHERE id > ? GROUP BY tally_id, day;

-- add_later_of_batch --
-- Add the later tries of a batch to those of their pairs.
INSERT INTO later (tally_id, tried_id, successes, failures, timeout_failures, score_shift)
SELECT tally_id, tried_id, sum(success), sum(failure), sum(timeout_failure), sum(score_shift)
FROM later_try WHERE id > ? GROUP BY tally_id, tried_id
ON CONFLICT (tally_id, tried_id) DO UPDATE SET
    successes = successes + excluded.successes,
    failures = failures + excluded.failures,
    timeout_failures = timeout_failures + excluded.timeout_failures,
    score_shift = score_shift + excluded.score_shift;

-- forget_sums --
-- Subtract the imported sums of one source from the tallies.
UPDATE tally SET
    successes = tally.successes - imported.successes,
    failures = tally.failures - imported.failures,
    timeouts = tally.timeouts - imported.timeouts,
    tokens = tally.tokens - imported.tokens,
    cost_nano_usd = tally.cost_nano_usd - imported.cost_nano_usd,
    priced = tally.priced - iif(imported.cost_nano_usd > 0, imported.successes + imported.failures, 0)
FROM imported WHERE imported.tally_id = tally.id AND imported.source = ?;

-- delete_sums --
-- Delete the imported sums of one source, after they were subtracted from the tallies.
DELETE FROM imported WHERE source = ?;

-- forget_some_sums --
-- The same for the first pairs of one source.
UPDATE tally SET
    successes = tally.successes - imported.successes,
    failures = tally.failures - imported.failures,
    timeouts = tally.timeouts - imported.timeouts,
    tokens = tally.tokens - imported.tokens,
    cost_nano_usd = tally.cost_nano_usd - imported.cost_nano_usd,
    priced = tally.priced - iif(imported.cost_nano_usd > 0, imported.successes + imported.failures, 0)
FROM (SELECT * FROM imported WHERE source = :source ORDER BY tally_id LIMIT :limit) AS imported
WHERE imported.tally_id = tally.id;

-- delete_some_sums --
-- Delete the imported sums of those pairs.
DELETE FROM imported WHERE source = :source AND tally_id IN (
    SELECT tally_id FROM imported WHERE source = :source ORDER BY tally_id LIMIT :limit
);

-- add_sums --
-- Imported sums of one pair.
INSERT INTO imported (tally_id, source, successes, failures, timeouts, tokens, cost_nano_usd, last_used_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- count_sums --
-- Add the imported sums of one source to the tallies; a cost, if there is one, is that of all outcomes.
UPDATE tally SET
    successes = tally.successes + imported.successes,
    failures = tally.failures + imported.failures,
    timeouts = tally.timeouts + imported.timeouts,
    tokens = iif(
        tally.tokens > 9223372036854775807 - imported.tokens, 9223372036854775807, tally.tokens + imported.tokens
    ),
    cost_nano_usd = iif(
        tally.cost_nano_usd > 9223372036854775807 - imported.cost_nano_usd,
        9223372036854775807,
        tally.cost_nano_usd + imported.cost_nano_usd
    ),
    priced = tally.priced + iif(imported.cost_nano_usd > 0, imported.successes + imported.failures, 0),
    last_used_ms = max(
        coalesce(tally.last_used_ms, imported.last_used_ms), coalesce(imported.last_used_ms, tally.last_used_ms)
    )
FROM imported WHERE imported.tally_id = tally.id AND imported.source = ?;

-- count_sums_of_pair --
-- The same for one pair.
UPDATE tally SET
    successes = tally.successes + imported.successes,
    failures = tally.failures + imported.failures,
    timeouts = tally.timeouts + imported.timeouts,
    tokens = tally.tokens + imported.tokens,
    cost_nano_usd = tally.cost_nano_usd + imported.cost_nano_usd,
    priced = tally.priced + iif(imported.cost_nano_usd > 0, imported.successes + imported.failures, 0),
    last_used_ms = max(
        coalesce(tally.last_used_ms, imported.last_used_ms), coalesce(imported.last_used_ms, tally.last_used_ms)
    )
FROM imported WHERE imported.tally_id = tally.id AND imported.source = ? AND tally.id = ?;

-- origin --
-- The id that tells this store from others.
SELECT origin FROM identity;

-- attached --
-- The tables of other databases that count as evidence.
SELECT path, name, columns, attached_ms FROM attached ORDER BY path, name;

-- attach --
-- Attach a table.
INSERT INTO attached (path, name, columns, attached_ms) VALUES (?, ?, ?, ?)
ON CONFLICT (path, name) DO UPDATE SET columns = excluded.columns;

-- detach --
-- Detach a database.
DELETE FROM attached WHERE path = ?;

-- merged --
-- The sources of merged experience.
SELECT
    merged.id, merged.name, merged.origin, merged.digest, merged.strength, merged.merged_ms,
    count(prior.merged_id), coalesce(sum(prior.successes + prior.failures), 0)
FROM merged LEFT JOIN prior ON prior.merged_id = merged.id
GROUP BY merged.id ORDER BY merged.name;

-- merged_version --
-- Changes with every merge and removal: an id is not reused while a later one exists.
SELECT count(*), coalesce(max(id), 0), total(strength), coalesce(max(merged_ms), 0) FROM merged;

-- priors --
-- The tallies of other projects, each with its source and strength.
SELECT
    prior.task_type, prior.model_id, prior.successes, prior.failures, prior.timeouts, prior.outages,
    prior.caller_errors, prior.tokens, prior.cost_nano_usd, prior.priced, prior.last_used_ms, prior.timeout_failures,
    0, 0, 0, prior.graded, prior.score_shift, 0, merged.name, merged.strength
FROM prior JOIN merged ON merged.id = prior.merged_id
ORDER BY prior.task_type, prior.model_id, merged.name;

-- priors_within --
-- The same on the task types from one to another.
SELECT
    prior.task_type, prior.model_id, prior.successes, prior.failures, prior.timeouts, prior.outages,
    prior.caller_errors, prior.tokens, prior.cost_nano_usd, prior.priced, prior.last_used_ms, prior.timeout_failures,
    0, 0, 0, prior.graded, prior.score_shift, 0, merged.name, merged.strength
FROM merged CROSS JOIN prior ON prior.merged_id = merged.id AND prior.task_type BETWEEN ? AND ?
ORDER BY prior.task_type, prior.model_id, merged.name;

-- prior_task_types --
-- The next task types of merged sources, each with its first source.
SELECT DISTINCT merged_id, task_type
FROM prior
WHERE (merged_id, task_type) > (?, ?) AND NOT EXISTS (
    SELECT 1
    FROM merged CROSS JOIN prior AS other ON other.merged_id = merged.id AND other.task_type = prior.task_type
    WHERE merged.id < prior.merged_id
)
ORDER BY merged_id, task_type LIMIT ?;

-- add_merged --
-- A source of merged experience.
INSERT INTO merged (name, origin, digest, strength, merged_ms) VALUES (?, ?, ?, ?, ?);

-- add_prior --
-- The tally of one pair in one source.
INSERT INTO prior (
    merged_id, task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd,
    priced, last_used_ms, timeout_failures, graded, score_shift
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- forget_priors --
-- Delete one source: its rows first.
DELETE FROM prior WHERE merged_id IN (SELECT id FROM merged WHERE name = ?);

-- forget_merged --
-- Delete one source: then the source itself.
DELETE FROM merged WHERE name = ?;
