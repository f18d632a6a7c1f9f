-- imports --
-- What was imported, newest first; of one kind, or all.
SELECT id, kind, source, digest, position, outcomes, rejected, begun_ms, latest_ms, archived
FROM import WHERE coalesce(kind = ?, 1) ORDER BY id DESC;

-- begin_import --
-- The first batch of a source, unless another of its kind has begun since the imports were read.
INSERT INTO import (kind, source, digest, position, outcomes, rejected, begun_ms, latest_ms)
SELECT :kind, :source, :digest, :position, 0, :rejected, :at_ms, :at_ms
WHERE NOT EXISTS (SELECT 1 FROM import WHERE kind = :kind AND id > :newest);

-- continue_import --
-- A further batch of a source, unless another process has gone on with it.
UPDATE import SET
    digest = :digest, position = :position, rejected = rejected + :rejected, latest_ms = :at_ms
WHERE id = :import_id AND position = :from_position;

-- count_imported --
-- How many outcomes a batch brought.
UPDATE import SET outcomes = outcomes + :outcomes WHERE id = :import_id;

-- set_archived --
-- Where the file of an import is kept now.
UPDATE import SET archived = ? WHERE id = ? AND archived IS NULL;

-- not_archived --
-- Whether the file of an import is where it was.
SELECT 1 FROM import WHERE id = ? AND archived IS NULL;

-- newest_event --
-- The id before those of a batch.
SELECT coalesce(max(id), 0) FROM event;

-- add_event --
-- One outcome of a batch; what is counted of it follows for the whole batch.
INSERT INTO event (tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- add_outcome_key --
-- Remember the id of the outcome that the next event will hold; changes nothing if it is known.
INSERT INTO outcome_key (outcome_id, event_id)
VALUES (?, (SELECT coalesce(max(id), 0) + 1 FROM event))
ON CONFLICT (outcome_id) DO NOTHING;

-- sums_of_batch --
-- What a batch adds to each pair and day (floored also before 1970), and when its newest outcome was.
SELECT
    tally_id,
    (ended_ms - (ended_ms % 86400000 + 86400000) % 86400000) / 86400000 AS day,
    sum(success), sum(1 - success), sum(timeout),
    sum(NOT success AND coalesce(error_kind IN ('rate_limit', 'server_error', 'network'), 0)),
    sum(NOT success AND coalesce(error_kind IN ('cancelled', 'caller_error'), 0)),
    sum(tokens), sum(cost_nano_usd), sum(cost_nano_usd > 0),
    sum(timeout AND NOT success AND coalesce(error_kind IN ('context_overflow', 'other'), 1)), max(ended_ms)
FROM event WHERE id > ? GROUP BY tally_id, day;

-- forget_sums --
-- Take the imported sums of one source out of the tallies.
UPDATE tally SET
    successes = tally.successes - imported.successes,
    failures = tally.failures - imported.failures,
    timeouts = tally.timeouts - imported.timeouts,
    tokens = tally.tokens - imported.tokens,
    cost_nano_usd = tally.cost_nano_usd - imported.cost_nano_usd,
    priced = tally.priced - iif(imported.cost_nano_usd > 0, imported.successes + imported.failures, 0)
FROM imported WHERE imported.tally_id = tally.id AND imported.source = ?;

-- delete_sums --
-- Forget the imported sums of one source, which are no part of the tallies any more.
DELETE FROM imported WHERE source = ?;

-- add_sums --
-- Imported sums of one pair.
INSERT INTO imported (tally_id, source, successes, failures, timeouts, tokens, cost_nano_usd, last_used_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- count_sums --
-- Make the imported sums of one source part of the tallies; a cost, where there is one, is that of all outcomes.
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
FROM imported WHERE imported.tally_id = tally.id AND imported.source = ?;

-- origin --
-- What tells this store from others.
SELECT origin FROM identity;

-- attached --
-- The tables of other databases that count as evidence.
SELECT path, name, columns, attached_ms FROM attached ORDER BY path, name;

-- attach --
-- Count a table of another database as evidence, from now on.
INSERT INTO attached (path, name, columns, attached_ms) VALUES (?, ?, ?, ?)
ON CONFLICT (path, name) DO UPDATE SET columns = excluded.columns;

-- detach --
-- Count what is in another database no longer.
DELETE FROM attached WHERE path = ?;

-- merged --
-- The sources of merged experience.
SELECT
    merged.id, merged.name, merged.origin, merged.digest, merged.strength, merged.merged_ms,
    count(prior.merged_id), coalesce(sum(prior.successes + prior.failures), 0)
FROM merged LEFT JOIN prior ON prior.merged_id = merged.id
GROUP BY merged.id ORDER BY merged.name;

-- merged_version --
-- Changes with every merge and removal: ids are not used again while a later one is there.
SELECT count(*), coalesce(max(id), 0), total(strength), coalesce(max(merged_ms), 0) FROM merged;

-- priors --
-- What other projects counted, each row with its source and strength.
SELECT
    prior.task_type, prior.model_id, prior.successes, prior.failures, prior.timeouts, prior.outages,
    prior.caller_errors, prior.tokens, prior.cost_nano_usd, prior.priced, prior.last_used_ms, prior.timeout_failures,
    merged.name, merged.strength
FROM prior JOIN merged ON merged.id = prior.merged_id
ORDER BY prior.task_type, prior.model_id, merged.name;

-- add_merged --
-- A source of merged experience.
INSERT INTO merged (name, origin, digest, strength, merged_ms) VALUES (?, ?, ?, ?, ?);

-- add_prior --
-- What one source counted of a pair.
INSERT INTO prior (
    merged_id, task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd,
    priced, last_used_ms, timeout_failures
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- forget_priors --
-- Take one source out again: first its rows.
DELETE FROM prior WHERE merged_id IN (SELECT id FROM merged WHERE name = ?);

-- forget_merged --
-- Then the source itself.
DELETE FROM merged WHERE name = ?;
