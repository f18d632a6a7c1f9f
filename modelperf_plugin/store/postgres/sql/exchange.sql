-- imports --
-- The imports of one kind, or all, newest first.
SELECT id, kind, source, digest, position, outcomes, rejected, begun_ms, latest_ms, archived
FROM import WHERE kind = coalesce(%s, kind) ORDER BY id DESC;

-- pair_id --
-- The number of a (task type, model), which is added if need be.
SELECT number_of_pair(%s, %s);

-- import_outcomes --
-- Write a batch of outcomes, given by columns.
SELECT import_id, added FROM import_outcomes(
    jsonb_populate_record(NULL::import_step, %s), %s::integer[], %s::bigint[], %s::integer[]::boolean[],
    %s::integer[]::boolean[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::integer[], %s::text[],
    %s::text[]
);

-- import_sums --
-- Write all sums of a source, given by columns.
SELECT import_sums(
    jsonb_populate_record(NULL::import_step, %s), %s, %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::bigint[], %s::bigint[]
);

-- import_some_sums --
-- Write a part of them.
SELECT import_some_sums(
    jsonb_populate_record(NULL::import_step, %s), %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::bigint[], %s::bigint[]
);

-- unimport_some_sums --
-- Take a part of them away.
SELECT unimport_some_sums(jsonb_populate_record(NULL::import_step, %s), %s);

-- not_archived --
-- Whether the file of an import has not been archived; another process that asks waits until the transaction ends.
SELECT 1 FROM import WHERE id = %s AND archived IS NULL FOR UPDATE;

-- set_archived --
-- The archive of an import's file.
UPDATE import SET archived = %s WHERE id = %s;

-- origin --
-- The id that tells this store from others.
SELECT origin FROM identity;

-- attached --
-- The tables of other databases that count as evidence.
SELECT path, name, columns, attached_ms FROM attached ORDER BY path, name;

-- attach --
-- Attach a table.
INSERT INTO attached (path, name, columns, attached_ms) VALUES (%s, %s, %s, %s)
ON CONFLICT (digest_of(path), digest_of(name)) DO UPDATE SET columns = excluded.columns;

-- detach --
-- Detach a database.
DELETE FROM attached WHERE path = %s;

-- merged --
-- The sources of merged experience.
SELECT
    merged.id, merged.name, merged.origin, merged.digest, merged.strength, merged.merged_ms,
    count(prior.merged_id), bounded(coalesce(sum(prior.successes + prior.failures), 0))
FROM merged LEFT JOIN prior ON prior.merged_id = merged.id
GROUP BY merged.id ORDER BY merged.name;

-- merged_version --
-- Changes with every merge and removal: an id is not used again.
SELECT count(*), coalesce(max(id), 0), coalesce(sum(strength), 0), coalesce(max(merged_ms), 0) FROM merged;

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
FROM merged JOIN prior ON prior.merged_id = merged.id
WHERE prior.task_type BETWEEN %s AND %s
ORDER BY prior.task_type, prior.model_id, merged.name;

-- prior_task_types --
-- The next task types of merged sources, each with its first source.
SELECT DISTINCT merged_id, task_type
FROM prior
WHERE (merged_id, task_type) > (%s, %s) AND NOT EXISTS (
    SELECT FROM merged JOIN prior AS other ON other.merged_id = merged.id
    WHERE merged.id < prior.merged_id AND other.task_type = prior.task_type
)
ORDER BY merged_id, task_type LIMIT %s;

-- lock_merged --
-- Let others wait who change the sources of merged experience.
LOCK TABLE merged IN SHARE ROW EXCLUSIVE MODE;

-- add_merged --
-- A source of merged experience.
INSERT INTO merged (name, origin, digest, strength, merged_ms) VALUES (%s, %s, %s, %s, %s) RETURNING id;

-- add_priors --
-- The tallies of the pairs in one source.
COPY prior (
    merged_id, task_type, model_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd,
    priced, last_used_ms, timeout_failures, graded, score_shift
)
FROM STDIN;

-- look_at_priors --
-- Let the planner know at once how many there are.
ANALYZE merged, prior;

-- forget_merged --
-- Delete one source, with its rows.
DELETE FROM merged WHERE name = %s;
