-- tally_drift --
-- Pairs whose tally is not the sum of events, dropped events and imports: must be none.
SELECT task_type, model_id
FROM tally
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts,
        sum(outages) AS outages, sum(caller_errors) AS caller_errors, sum(tokens) AS tokens,
        sum(cost_nano_usd) AS cost_nano_usd, sum(timeout_failures) AS timeout_failures,
        sum(later_successes) AS later_successes, sum(later_failures) AS later_failures,
        sum(later_timeout_failures) AS later_timeout_failures, sum(graded) AS graded, sum(score_shift) AS score_shift,
        sum(later_score_shift) AS later_score_shift
    FROM (
        SELECT
            tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, timeout_failures,
            later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
        FROM counted_event
        UNION ALL
        SELECT
            tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, timeout_failures,
            later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
        FROM dropped
        UNION ALL
        SELECT tally_id, successes, failures, timeouts, 0, 0, tokens, cost_nano_usd, 0, 0, 0, 0, 0, 0, 0 FROM imported
    ) AS parts
    GROUP BY tally_id
) AS sums ON sums.tally_id = tally.id
WHERE (
    tally.successes, tally.failures, tally.timeouts, tally.outages, tally.caller_errors, tally.tokens,
    tally.cost_nano_usd, tally.timeout_failures, tally.later_successes, tally.later_failures,
    tally.later_timeout_failures, tally.graded, tally.score_shift, tally.later_score_shift
) IS DISTINCT FROM (
    coalesce(sums.successes, 0), coalesce(sums.failures, 0), coalesce(sums.timeouts, 0), coalesce(sums.outages, 0),
    coalesce(sums.caller_errors, 0), bounded(coalesce(sums.tokens, 0)), bounded(coalesce(sums.cost_nano_usd, 0)),
    coalesce(sums.timeout_failures, 0), coalesce(sums.later_successes, 0), coalesce(sums.later_failures, 0),
    coalesce(sums.later_timeout_failures, 0), coalesce(sums.graded, 0), coalesce(sums.score_shift, 0),
    coalesce(sums.later_score_shift, 0)
)
ORDER BY task_type, model_id;

-- daily_drift --
-- Pairs whose roll-up, with the imports, is not their tally: must be none.
SELECT task_type, model_id
FROM tally
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeouts) AS timeouts,
        sum(outages) AS outages, sum(caller_errors) AS caller_errors, sum(tokens) AS tokens,
        sum(cost_nano_usd) AS cost_nano_usd, sum(timeout_failures) AS timeout_failures,
        sum(later_successes) AS later_successes, sum(later_failures) AS later_failures,
        sum(later_timeout_failures) AS later_timeout_failures, sum(graded) AS graded, sum(score_shift) AS score_shift,
        sum(later_score_shift) AS later_score_shift
    FROM (
        SELECT
            tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, timeout_failures,
            later_successes, later_failures, later_timeout_failures, graded, score_shift, later_score_shift
        FROM daily
        UNION ALL
        SELECT tally_id, successes, failures, timeouts, 0, 0, tokens, cost_nano_usd, 0, 0, 0, 0, 0, 0, 0 FROM imported
    ) AS parts
    GROUP BY tally_id
) AS sums ON sums.tally_id = tally.id
WHERE (
    tally.successes, tally.failures, tally.timeouts, tally.outages, tally.caller_errors, tally.tokens,
    tally.cost_nano_usd, tally.timeout_failures, tally.later_successes, tally.later_failures,
    tally.later_timeout_failures, tally.graded, tally.score_shift, tally.later_score_shift
) IS DISTINCT FROM (
    coalesce(sums.successes, 0), coalesce(sums.failures, 0), coalesce(sums.timeouts, 0), coalesce(sums.outages, 0),
    coalesce(sums.caller_errors, 0), bounded(coalesce(sums.tokens, 0)), bounded(coalesce(sums.cost_nano_usd, 0)),
    coalesce(sums.timeout_failures, 0), coalesce(sums.later_successes, 0), coalesce(sums.later_failures, 0),
    coalesce(sums.later_timeout_failures, 0), coalesce(sums.graded, 0), coalesce(sums.score_shift, 0),
    coalesce(sums.later_score_shift, 0)
)
ORDER BY task_type, model_id;

-- later_drift --
-- Pairs whose later tries, by what had failed before, are not those of their tally, or fewer than their events.
SELECT task_type, model_id
FROM tally
LEFT JOIN (
    SELECT
        tally_id, sum(successes) AS successes, sum(failures) AS failures, sum(timeout_failures) AS timeout_failures,
        sum(score_shift) AS score_shift
    FROM later GROUP BY tally_id
) AS sets ON sets.tally_id = tally.id
WHERE (tally.later_successes, tally.later_failures, tally.later_timeout_failures, tally.later_score_shift)
    IS DISTINCT FROM (
        coalesce(sets.successes, 0), coalesce(sets.failures, 0), coalesce(sets.timeout_failures, 0),
        coalesce(sets.score_shift, 0)
    )
UNION
SELECT tally.task_type, tally.model_id
FROM (
    SELECT tally_id, tried_id, sum(successes) AS successes, sum(failures) AS failures
    FROM counted_event WHERE is_later GROUP BY 1, 2
) AS events
JOIN tally ON tally.id = events.tally_id
LEFT JOIN later USING (tally_id, tried_id)
WHERE events.successes > coalesce(later.successes, 0) OR events.failures > coalesce(later.failures, 0)
ORDER BY 1, 2;

-- duration_drift --
-- Pairs whose durations lack some of their events', or are more than these and those that were dropped can be.
SELECT tally.task_type, tally.model_id
FROM tally
JOIN (SELECT tally_id, sum(outcomes) AS outcomes, min(outcomes) AS least FROM duration GROUP BY tally_id) AS known
    ON known.tally_id = tally.id
LEFT JOIN (SELECT tally_id, count(*) AS outcomes FROM counted_event WHERE is_timed GROUP BY tally_id) AS events
    ON events.tally_id = tally.id
LEFT JOIN dropped AS gone ON gone.tally_id = tally.id
WHERE known.least < 1
    OR known.outcomes > coalesce(events.outcomes, 0)
        + coalesce(gone.successes + gone.failures - gone.outages - gone.caller_errors, 0)
UNION
SELECT tally.task_type, tally.model_id
FROM (
    SELECT
        tally_id, period_of(ended_ms) AS period,
        (SELECT max(from_ms) FROM duration_border WHERE from_ms <= counted_event.duration_ms) AS from_ms,
        count(*) AS outcomes
    FROM counted_event WHERE is_timed GROUP BY 1, 2, 3
) AS events
JOIN tally ON tally.id = events.tally_id
LEFT JOIN duration USING (tally_id, period, from_ms)
WHERE events.outcomes > coalesce(duration.outcomes, 0)
ORDER BY 1, 2;

-- fold_on_primary --
-- Fold for a short time, unless the server is a standby; false: there is more.
SELECT fold_some() WHERE NOT pg_is_in_recovery();

-- server --
-- What the health of the store depends on; see `ServerState`.
WITH ours AS (
    SELECT oid, relname, relkind, reloptions, relacl, relowner
    FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relkind IN ('r', 'p', 'v')
),
session AS (
    SELECT
        numbackends AS of_database, datconnlimit, rolconnlimit, checksum_failures, age(datfrozenxid) AS xid_age,
        current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
        - coalesce(current_setting('reserved_connections', true)::integer, 0) AS most,
        (SELECT sum(numbackends) FROM pg_stat_database) AS used,
        (SELECT count(*) FROM pg_stat_activity WHERE usesysid = pg_roles.oid) AS of_role
    FROM pg_database
    JOIN pg_stat_database ON datid = pg_database.oid
    JOIN pg_roles ON rolname = current_user
    WHERE pg_database.datname = current_database()
)
SELECT
    current_setting('server_version'),
    (SELECT max(version) FROM migration),
    (SELECT sum(pg_total_relation_size(oid)) FROM ours WHERE relkind = 'r')::bigint,
    (SELECT count(*) FROM fresh),
    pg_is_in_recovery(),
    current_setting('data_checksums') = 'on',
    coalesce(session.checksum_failures, 0),
    ARRAY(
        SELECT indexrelid::regclass::text
        FROM pg_index JOIN ours ON ours.oid = indrelid WHERE NOT indisvalid ORDER BY 1
    ),
    ARRAY(
        SELECT name FROM unnest(ARRAY['fsync', 'full_page_writes']) AS name WHERE current_setting(name) = 'off'
    ),
    current_setting('synchronous_commit'),
    ARRAY(
        SELECT name FROM unnest(ARRAY['autovacuum', 'track_counts']) AS name WHERE current_setting(name) = 'off'
    ),
    ARRAY(
        SELECT relname::text
        FROM ours CROSS JOIN LATERAL pg_options_to_table(reloptions)
        WHERE option_name = 'autovacuum_enabled' AND NOT option_value::boolean ORDER BY 1
    ),
    ARRAY(
        SELECT relname::text FROM pg_stat_user_tables
        WHERE relid IN (SELECT oid FROM ours) AND n_dead_tup > 1000000 + n_live_tup ORDER BY 1
    ),
    session.used::integer,
    least(
        session.most - session.used,
        session.datconnlimit - session.of_database + CASE WHEN session.datconnlimit < 0 THEN 1000000 ELSE 0 END,
        session.rolconnlimit - session.of_role + CASE WHEN session.rolconnlimit < 0 THEN 1000000 ELSE 0 END
    )::integer,
    session.xid_age,
    ARRAY(
        SELECT DISTINCT relname::text
        FROM ours CROSS JOIN LATERAL aclexplode(relacl) AS granted WHERE granted.grantee = 0 ORDER BY 1
    ),
    pg_has_role('pg_read_all_stats', 'USAGE')
FROM session;

-- holders --
-- What has kept deleted rows from being cleared away for longer than some seconds.
WITH long (seconds) AS (VALUES (%s::double precision))
SELECT
    'the transaction of process ' || pid || ' (' || concat_ws(', ', usename, nullif(application_name, ''), state) || ')',
    'end it, for example by SELECT pg_terminate_backend(' || pid || ')'
FROM pg_stat_activity CROSS JOIN long
WHERE coalesce(backend_xid, backend_xmin) IS NOT NULL AND now() - xact_start > make_interval(secs => long.seconds)
    AND (datname = current_database() OR datname IS NULL) AND backend_type <> 'autovacuum worker'
    AND pid <> pg_backend_pid()
UNION ALL
SELECT
    'the prepared transaction ' || quote_literal(gid),
    'COMMIT PREPARED or ROLLBACK PREPARED ' || quote_literal(gid) || ' ends it'
FROM pg_prepared_xacts CROSS JOIN long
WHERE database = current_database() AND now() - prepared > make_interval(secs => long.seconds)
UNION ALL
SELECT
    'the unused replication slot ' || slot_name,
    'if no standby needs it any more: SELECT pg_drop_replication_slot(' || quote_literal(slot_name) || ')'
FROM pg_replication_slots WHERE NOT active AND xmin IS NOT NULL;

-- begin_recount --
-- Let nobody else change a sum until the transaction ends.
SELECT lock_sums(), fold();

-- recount_tallies --
-- Recompute the tallies of some pairs.
SELECT recount_tallies(numbers_of_pairs(%(task_types)s, %(model_ids)s));

-- recount_days --
-- Recompute the daily roll-up of some pairs.
SELECT recount_days(numbers_of_pairs(%(task_types)s, %(model_ids)s));

-- recount_later --
-- Recompute the later tries of some pairs.
SELECT recount_later(numbers_of_pairs(%(task_types)s, %(model_ids)s), %(unknown)s);

-- recount_durations --
-- Recompute the durations of some pairs.
SELECT recount_durations(numbers_of_pairs(%(task_types)s, %(model_ids)s));

-- end_recount --
-- Tell those who keep tallies.
UPDATE progress SET corrections = corrections + 1;
