-- Events in partitions, and folding in parts.
--
-- `event` and `served` are partitioned by ranges of event ids, which are ranges of time too: old ones are dropped as a
-- whole. Hosts may change rows only, so they say in the table `event_partition` which partitions there should be, and
-- `follow_partitions`, which runs with the rights of the owner, makes and drops the tables.

ALTER TABLE progress ADD COLUMN partition_size bigint NOT NULL DEFAULT 10000000 CHECK (partition_size > 0);

CREATE TABLE event_partition (
    first_id bigint PRIMARY KEY,
    end_id bigint NOT NULL CHECK (end_id > first_id), -- the first id after it
    newest_ms bigint, -- when the newest of its last events ended, or a later one; NULL until it is full
    counted_to bigint, -- up to here its events are counted in `leaving`, for it is to be dropped
    revision bigint, -- the last one before that began
    tried timestamptz, -- when it could not be dropped, because others were reading
    is_over boolean NOT NULL DEFAULT false
);

-- The sums of events that are about to be dropped, by partition.
CREATE TABLE leaving (first_id bigint NOT NULL, LIKE dropped, PRIMARY KEY (first_id, tally_id));

-- Make the tables of new partitions, and drop those of partitions that are over. That waits for whoever uses the
-- tables, and makes all others wait meanwhile; making does not. The path of names is set below.
CREATE FUNCTION follow_partitions() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    v_part event_partition;
    v_table text;
BEGIN
    FOR v_part IN
        SELECT * FROM event_partition WHERE is_over OR to_regclass('event_' || first_id) IS NULL ORDER BY first_id
    LOOP
        IF v_part.is_over THEN
            LOCK TABLE ONLY event, ONLY served IN ACCESS EXCLUSIVE MODE; -- before the partitions, as readers do
        END IF;
        FOREACH v_table IN ARRAY ARRAY['event', 'served'] LOOP
            IF v_part.is_over THEN
                EXECUTE format('DROP TABLE %I', v_table || '_' || v_part.first_id);
            ELSE
                EXECUTE format(
                    'CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH (autovacuum_vacuum_insert_scale_factor = 0.05)',
                    v_table || '_' || v_part.first_id, v_table
                );
                EXECUTE format(
                    'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                    v_table, v_table || '_' || v_part.first_id, v_part.first_id, v_part.end_id
                );
            END IF;
        END LOOP;
        IF v_part.is_over THEN
            DELETE FROM event_partition WHERE first_id = v_part.first_id;
        END IF;
    END LOOP;
END $$;

-- Take care that there are partitions for events up to one, the new ones of a size. The next one is made when the last
-- is half full: then another fold may do it if somebody is in the way.
CREATE FUNCTION make_room(p_last_id bigint, p_size bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c_timeout CONSTANT text := current_setting('lock_timeout');
    v_end bigint := (SELECT max(end_id) FROM event_partition);
BEGIN
    WHILE v_end <= p_last_id LOOP
        INSERT INTO event_partition (first_id, end_id) VALUES (v_end, v_end + p_size);
        v_end := v_end + p_size;
        PERFORM follow_partitions();
    END LOOP;
    IF v_end - p_size / 2 <= p_last_id THEN
        BEGIN
            PERFORM set_config('lock_timeout', '5', true);
            INSERT INTO event_partition (first_id, end_id) VALUES (v_end, v_end + p_size);
            PERFORM follow_partitions();
        EXCEPTION WHEN lock_not_available OR object_in_use THEN
            NULL;
        END;
        PERFORM set_config('lock_timeout', c_timeout, true);
    END IF;
END $$;

-- The tables of events so far become the first partitions; views and functions on them are created again.
DO $$
DECLARE
    c_schema CONSTANT regnamespace := quote_ident(current_schema())::regnamespace;
    v_functions CONSTANT text[] := ARRAY(
        SELECT pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = c_schema AND 'event'::regtype = ANY (proargtypes::oid[])
    );
    v_views CONSTANT text[] := ARRAY(
        SELECT DISTINCT format('CREATE OR REPLACE VIEW %s AS %s', ev_class::regclass, pg_get_viewdef(ev_class))
        FROM pg_depend
        JOIN pg_rewrite ON classid = 'pg_rewrite'::regclass AND objid = pg_rewrite.oid
        JOIN pg_class ON pg_class.oid = ev_class
        WHERE refobjid = 'event'::regclass AND relnamespace = c_schema
    );
    v_end bigint;
    v_each record;
    v_text text;
BEGIN
    PERFORM lock_sums();
    SELECT (last_event_id / partition_size + 1) * partition_size INTO v_end FROM progress;
    FOR v_each IN
        SELECT oid::regprocedure AS name FROM pg_proc
        WHERE pronamespace = c_schema AND 'event'::regtype = ANY (proargtypes::oid[])
    LOOP
        EXECUTE 'DROP FUNCTION ' || v_each.name;
    END LOOP;
    ALTER TABLE served DROP CONSTRAINT served_served_id_fkey; -- it would lock the table of names for every partition
    ALTER TABLE event RENAME TO event_0;
    ALTER TABLE served RENAME TO served_0;
    ALTER INDEX event_pkey RENAME TO event_0_pkey;
    ALTER INDEX served_pkey RENAME TO served_0_pkey;
    CREATE TABLE event (LIKE event_0 INCLUDING CONSTRAINTS, PRIMARY KEY (id)) PARTITION BY RANGE (id);
    CREATE INDEX event_by_number ON event (number) WHERE number IS NOT NULL;
    CREATE TABLE served (LIKE served_0 INCLUDING CONSTRAINTS, PRIMARY KEY (event_id)) PARTITION BY RANGE (event_id);
    EXECUTE format('ALTER TABLE event ATTACH PARTITION event_0 FOR VALUES FROM (MINVALUE) TO (%s)', v_end);
    EXECUTE format('ALTER TABLE served ATTACH PARTITION served_0 FOR VALUES FROM (MINVALUE) TO (%s)', v_end);
    INSERT INTO event_partition (first_id, end_id) VALUES (0, v_end);
    FOREACH v_text IN ARRAY v_functions || v_views LOOP
        EXECUTE v_text;
    END LOOP;
    DROP TABLE event_ref;
    CREATE VIEW event_ref AS SELECT number, id AS event_id FROM event WHERE number IS NOT NULL;
    FOR v_each IN -- whoever could read or change the events still can
        SELECT relname, privilege_type, is_grantable, grantee
        FROM pg_class CROSS JOIN LATERAL aclexplode(relacl)
        WHERE oid IN ('event_0'::regclass, 'served_0'::regclass) AND grantee NOT IN (0, relowner)
    LOOP
        EXECUTE format(
            'GRANT %s ON %s TO %s %s', v_each.privilege_type,
            CASE v_each.relname WHEN 'event_0' THEN 'event, event_ref' ELSE 'served' END, v_each.grantee::regrole,
            CASE WHEN v_each.is_grantable THEN 'WITH GRANT OPTION' ELSE '' END
        );
    END LOOP;
    FOR v_each IN -- sessions forget what they know of the former tables
        SELECT pg_proc.oid::regprocedure AS name
        FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
        WHERE pronamespace = c_schema AND lanname = 'plpgsql' AND prosrc ~ '\mevent\M'
            AND proowner = (SELECT relowner FROM pg_class WHERE oid = 'event_0'::regclass)
    LOOP
        EXECUTE format('ALTER FUNCTION %s COST 100', v_each.name);
    END LOOP;
    EXECUTE format('ALTER FUNCTION follow_partitions() SET search_path = %I, pg_temp', current_schema());
END $$;

-- Who writes events under numbers of its own may refer to them afterwards.
CREATE FUNCTION refer_to_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE event SET number = NEW.number WHERE id = NEW.event_id AND number IS NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER event_ref_insert INSTEAD OF INSERT ON event_ref FOR EACH ROW EXECUTE FUNCTION refer_to_event();

-- Fold until a moment, at least one batch; return whether everything is moved that was recorded before the call.
CREATE FUNCTION fold_until(p_until timestamptz, p_wait boolean) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    c_batch CONSTANT integer := 5000;
    c_far CONSTANT integer := 1000; -- numbers to look through again, before that is avoided at a cost
    v_is_first boolean := pg_current_xact_id_if_assigned() IS NULL;
    v_progress progress;
    v_are_over boolean := false;
    v_issued bigint;
    v_last bigint;
    v_from bigint;
    v_moved bigint;
    v_reached bigint;
BEGIN
    IF (
        SELECT min(number) FROM fresh WHERE number > (SELECT folded FROM progress)
    ) IS NULL THEN
        RETURN true;
    END IF;
    IF NOT lock_sums(p_wait) THEN
        RETURN false;
    END IF;
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO v_issued FROM outcome_number;
    SELECT * INTO v_progress FROM progress;
    v_last := v_progress.last_event_id;
    v_from := v_progress.folded;
    IF v_progress.issued_until IS NOT NULL THEN -- are those that had a number then all over?
        v_are_over := pg_snapshot_xmin(pg_current_snapshot()) >= v_progress.issued_until OR (
            v_issued - v_progress.folded > c_far AND are_numbers_settled(v_progress.issued_until)
        );
    END IF;
    LOOP
        PERFORM make_room(v_last + c_batch, v_progress.partition_size);
        WITH taken AS (
            DELETE FROM fresh
            WHERE number > v_from AND number <= (
                SELECT max(number)
                FROM (SELECT number FROM fresh WHERE number > v_from ORDER BY number LIMIT c_batch) AS batch
            )
            RETURNING *
        ),
        counted AS MATERIALIZED (
            SELECT
                v_last + row_number() OVER (ORDER BY number) AS id, taken.*, counts.successes, counts.failures,
                counts.timeouts, counts.outages, counts.caller_errors, counts.priced, counts.timeout_failures,
                counts.is_later, counts.graded, counts.score_shift, counts.is_timed
            FROM taken
            CROSS JOIN LATERAL counts_of(
                taken.success, taken.timeout, taken.error_kind, taken.score, taken.cost_nano_usd, taken.tried_id,
                taken.duration_ms
            ) AS counts
        ),
        moved AS (
            INSERT INTO event (
                id, number, ended_ms, tokens, cost_nano_usd, duration_ms, retry_after_ms, tally_id, tried_id, score,
                success, timeout, error_kind
            )
            SELECT
                id, CASE WHEN is_referred THEN number END, ended_ms, tokens, cost_nano_usd, duration_ms,
                retry_after_ms, tally_id, tried_id, score, success, timeout, error_kind
            FROM counted ORDER BY id
        ),
        served_too AS (
            INSERT INTO served (event_id, served_id) SELECT id, served_id FROM counted WHERE served_id IS NOT NULL
        ),
        days AS MATERIALIZED (
            SELECT
                tally_id, day_of(ended_ms) AS day, max(ended_ms) AS last_used_ms, sum(successes) AS successes,
                sum(failures) AS failures, sum(timeouts) AS timeouts, sum(outages) AS outages,
                sum(caller_errors) AS caller_errors, sum(tokens) AS tokens, sum(cost_nano_usd) AS cost_nano_usd,
                sum(priced) AS priced, sum(timeout_failures) AS timeout_failures,
                coalesce(sum(successes) FILTER (WHERE is_later), 0) AS later_successes,
                coalesce(sum(failures) FILTER (WHERE is_later), 0) AS later_failures,
                coalesce(sum(timeout_failures) FILTER (WHERE is_later), 0) AS later_timeout_failures,
                sum(graded) AS graded, sum(score_shift) AS score_shift,
                coalesce(sum(score_shift) FILTER (WHERE is_later), 0) AS later_score_shift
            FROM counted GROUP BY 1, 2
        ),
        rolled_up AS (
            INSERT INTO daily AS old (
                tally_id, day, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
                timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
                later_score_shift
            )
            SELECT
                tally_id, day, successes, failures, timeouts, outages, caller_errors, bounded(tokens),
                bounded(cost_nano_usd), priced, timeout_failures, later_successes, later_failures,
                later_timeout_failures, graded, score_shift, later_score_shift
            FROM days ORDER BY tally_id, day
            ON CONFLICT (tally_id, day) DO UPDATE SET
                successes = old.successes + excluded.successes,
                failures = old.failures + excluded.failures,
                timeouts = old.timeouts + excluded.timeouts,
                outages = old.outages + excluded.outages,
                caller_errors = old.caller_errors + excluded.caller_errors,
                tokens = bounded(old.tokens::numeric + excluded.tokens),
                cost_nano_usd = bounded(old.cost_nano_usd::numeric + excluded.cost_nano_usd),
                priced = old.priced + excluded.priced,
                timeout_failures = old.timeout_failures + excluded.timeout_failures,
                later_successes = old.later_successes + excluded.later_successes,
                later_failures = old.later_failures + excluded.later_failures,
                later_timeout_failures = old.later_timeout_failures + excluded.later_timeout_failures,
                graded = old.graded + excluded.graded,
                score_shift = old.score_shift + excluded.score_shift,
                later_score_shift = old.later_score_shift + excluded.later_score_shift
        ),
        added AS (
            UPDATE tally SET
                last_used_ms = greatest(tally.last_used_ms, new.last_used_ms),
                successes = tally.successes + new.successes,
                failures = tally.failures + new.failures,
                timeouts = tally.timeouts + new.timeouts,
                outages = tally.outages + new.outages,
                caller_errors = tally.caller_errors + new.caller_errors,
                tokens = bounded(tally.tokens + new.tokens),
                cost_nano_usd = bounded(tally.cost_nano_usd + new.cost_nano_usd),
                priced = tally.priced + new.priced,
                timeout_failures = tally.timeout_failures + new.timeout_failures,
                later_successes = tally.later_successes + new.later_successes,
                later_failures = tally.later_failures + new.later_failures,
                later_timeout_failures = tally.later_timeout_failures + new.later_timeout_failures,
                graded = tally.graded + new.graded,
                score_shift = tally.score_shift + new.score_shift,
                later_score_shift = tally.later_score_shift + new.later_score_shift
            FROM (
                SELECT
                    tally_id, max(last_used_ms) AS last_used_ms, sum(successes) AS successes, sum(failures) AS failures,
                    sum(timeouts) AS timeouts, sum(outages) AS outages, sum(caller_errors) AS caller_errors,
                    sum(tokens) AS tokens, sum(cost_nano_usd) AS cost_nano_usd, sum(priced) AS priced,
                    sum(timeout_failures) AS timeout_failures, sum(later_successes) AS later_successes,
                    sum(later_failures) AS later_failures, sum(later_timeout_failures) AS later_timeout_failures,
                    sum(graded) AS graded, sum(score_shift) AS score_shift, sum(later_score_shift) AS later_score_shift
                FROM days GROUP BY tally_id
            ) AS new
            WHERE tally.id = new.tally_id
        ),
        tried_again AS (
            INSERT INTO later AS old (tally_id, tried_id, successes, failures, timeout_failures, score_shift)
            SELECT tally_id, tried_id, sum(successes), sum(failures), sum(timeout_failures), sum(score_shift)
            FROM counted WHERE is_later GROUP BY 1, 2 ORDER BY 1, 2
            ON CONFLICT (tally_id, tried_id) DO UPDATE SET
                successes = old.successes + excluded.successes,
                failures = old.failures + excluded.failures,
                timeout_failures = old.timeout_failures + excluded.timeout_failures,
                score_shift = old.score_shift + excluded.score_shift
        ),
        timed AS (
            INSERT INTO duration AS old (tally_id, period, from_ms, outcomes)
            SELECT
                tally_id, period_of(ended_ms),
                (SELECT max(from_ms) FROM duration_border WHERE from_ms <= counted.duration_ms), count(*)
            FROM counted WHERE is_timed GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            ON CONFLICT (tally_id, period, from_ms) DO UPDATE SET outcomes = old.outcomes + excluded.outcomes
        )
        SELECT count(*), max(number) INTO v_moved, v_reached FROM counted;
        v_last := v_last + v_moved;
        v_from := coalesce(v_reached, v_from); -- what comes before it and is committed only now is left to the next call
        EXIT WHEN v_moved < c_batch OR clock_timestamp() >= p_until;
    END LOOP;
    IF v_are_over AND (v_moved < c_batch OR v_from >= v_progress.issued) THEN
        v_progress.folded := v_progress.issued;
        v_progress.issued := NULL;
        v_progress.issued_until := NULL;
    ELSIF v_are_over THEN
        v_progress.folded := v_from;
    END IF;
    IF v_is_first AND v_progress.issued_until IS NULL THEN -- its id is later than that of any with a number
        v_progress.issued := v_issued;
        v_progress.issued_until := pg_current_xact_id();
    END IF;
    UPDATE progress SET
        last_event_id = v_last, folded = v_progress.folded, issued = v_progress.issued,
        issued_until = v_progress.issued_until;
    RETURN v_moved < c_batch;
END $$;

-- Return whether all transactions from before one that have a number are over, even if others are not. Who has a number
-- keeps the lock on its sequence until it ends.
CREATE FUNCTION are_numbers_settled(p_until xid8) RETURNS boolean VOLATILE LANGUAGE sql AS $$
    SELECT NOT EXISTS (
        SELECT FROM pg_locks AS numbered
        JOIN pg_locks AS running USING (virtualtransaction)
        WHERE numbered.locktype = 'relation' AND numbered.relation = 'outcome_number'::regclass
            AND numbered.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND running.locktype = 'transactionid' AND running.mode = 'ExclusiveLock' AND running.granted
            AND numbered.mode = 'RowExclusiveLock' AND age(running.transactionid) > age(p_until::xid)
    )
$$;

-- Move what was recorded before the call to the events; return whether that is done: without waiting, another one may
-- be doing it at the moment.
CREATE OR REPLACE FUNCTION fold(p_wait boolean DEFAULT true) RETURNS boolean LANGUAGE sql AS $$
    SELECT fold_until('infinity', p_wait)
$$;

-- Move a part of it that takes a tenth of a second; return whether that was all. However much has been recorded, each
-- transaction is short.
CREATE FUNCTION fold_some(p_wait boolean DEFAULT true) RETURNS boolean LANGUAGE sql AS $$
    SELECT fold_until(clock_timestamp() + interval '100 milliseconds', p_wait)
$$;

-- Count events up to one that ended before a moment as leaving.
CREATE FUNCTION count_leaving(p_first_id bigint, p_after_id bigint, p_until_id bigint, p_before_ms bigint)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO leaving AS old (
        first_id, tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
        timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
        later_score_shift
    )
    SELECT
        p_first_id, tally_id, sum(successes), sum(failures), sum(timeouts), sum(outages), sum(caller_errors),
        bounded(sum(tokens)), bounded(sum(cost_nano_usd)), sum(priced), sum(timeout_failures), sum(later_successes),
        sum(later_failures), sum(later_timeout_failures), sum(graded), sum(score_shift), sum(later_score_shift)
    FROM counted_event
    WHERE id > p_after_id AND id <= p_until_id AND ended_ms < p_before_ms GROUP BY tally_id
    ON CONFLICT (first_id, tally_id) DO UPDATE SET
        successes = old.successes + excluded.successes,
        failures = old.failures + excluded.failures,
        timeouts = old.timeouts + excluded.timeouts,
        outages = old.outages + excluded.outages,
        caller_errors = old.caller_errors + excluded.caller_errors,
        tokens = bounded(old.tokens::numeric + excluded.tokens),
        cost_nano_usd = bounded(old.cost_nano_usd::numeric + excluded.cost_nano_usd),
        priced = old.priced + excluded.priced,
        timeout_failures = old.timeout_failures + excluded.timeout_failures,
        later_successes = old.later_successes + excluded.later_successes,
        later_failures = old.later_failures + excluded.later_failures,
        later_timeout_failures = old.later_timeout_failures + excluded.later_timeout_failures,
        graded = old.graded + excluded.graded,
        score_shift = old.score_shift + excluded.score_shift,
        later_score_shift = old.later_score_shift + excluded.later_score_shift
$$;

-- Add what was counted so to `dropped`. The caller holds the lock on sums.
CREATE FUNCTION add_leaving_to_dropped(p_first_id bigint) RETURNS void LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM leaving WHERE first_id = p_first_id RETURNING *
    )
    INSERT INTO dropped AS old (
        tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
        timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
        later_score_shift
    )
    SELECT
        tally_id, successes, failures, timeouts, outages, caller_errors, tokens, cost_nano_usd, priced,
        timeout_failures, later_successes, later_failures, later_timeout_failures, graded, score_shift,
        later_score_shift
    FROM gone ORDER BY tally_id
    ON CONFLICT (tally_id) DO UPDATE SET
        successes = old.successes + excluded.successes,
        failures = old.failures + excluded.failures,
        timeouts = old.timeouts + excluded.timeouts,
        outages = old.outages + excluded.outages,
        caller_errors = old.caller_errors + excluded.caller_errors,
        tokens = bounded(old.tokens::numeric + excluded.tokens),
        cost_nano_usd = bounded(old.cost_nano_usd::numeric + excluded.cost_nano_usd),
        priced = old.priced + excluded.priced,
        timeout_failures = old.timeout_failures + excluded.timeout_failures,
        later_successes = old.later_successes + excluded.later_successes,
        later_failures = old.later_failures + excluded.later_failures,
        later_timeout_failures = old.later_timeout_failures + excluded.later_timeout_failures,
        graded = old.graded + excluded.graded,
        score_shift = old.score_shift + excluded.score_shift,
        later_score_shift = old.later_score_shift + excluded.later_score_shift
$$;

-- Whether a partition is left to be dropped as a whole: it is being counted, or all of it will be old within a day, or
-- another transaction finds that out at the moment.
CREATE FUNCTION is_left_whole(p_part event_partition, p_before_ms bigint) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT p_part.counted_to IS NOT NULL OR coalesce(
        p_part.newest_ms < p_before_ms + 86400000, p_part.end_id <= (SELECT last_event_id FROM progress)
    )
$$;

-- Go on with a full partition all of which is older than a moment: count its events for a short time or, once all are
-- counted, drop it; return how many events were counted, or NULL if there is no such partition, or another one does it.
CREATE FUNCTION drop_partition_step(p_before_ms bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    c_batch CONSTANT integer := 10000;
    c_until CONSTANT timestamptz := clock_timestamp() + interval '50 milliseconds';
    c_timeout CONSTANT text := current_setting('lock_timeout');
    v_may_drop CONSTANT boolean := NOT EXISTS (
        SELECT FROM event_partition WHERE tried > clock_timestamp() - interval '1 minute'
    );
    v_part event_partition;
    v_end bigint;
    v_count bigint;
    v_newest_ms bigint;
    v_counted bigint := 0;
BEGIN
    UPDATE event_partition AS part SET newest_ms = coalesce((
        SELECT max(ended_ms)
        FROM (
            SELECT ended_ms FROM event WHERE id >= part.first_id AND id < part.end_id ORDER BY id DESC LIMIT 1000
        ) AS last_events
    ), 0)
    WHERE first_id IN (
        SELECT first_id FROM event_partition
        WHERE newest_ms IS NULL AND end_id <= (SELECT last_event_id FROM progress)
        ORDER BY first_id LIMIT 10 FOR UPDATE SKIP LOCKED
    );
    SELECT * INTO v_part FROM event_partition
    WHERE newest_ms < p_before_ms AND (v_may_drop OR counted_to IS NULL OR counted_to < end_id - 1)
    ORDER BY first_id LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF v_part.counted_to IS NULL THEN
        v_part.counted_to := v_part.first_id - 1;
        SELECT coalesce(max(number), 0) INTO v_part.revision FROM revision;
    END IF;
    WHILE v_part.counted_to < v_part.end_id - 1 AND clock_timestamp() < c_until LOOP
        SELECT max(id), count(*), max(ended_ms) INTO v_end, v_count, v_newest_ms
        FROM (
            SELECT id, ended_ms FROM event WHERE id > v_part.counted_to AND id < v_part.end_id ORDER BY id LIMIT c_batch
        ) AS step;
        IF v_newest_ms >= p_before_ms THEN -- not all is old
            UPDATE event_partition SET newest_ms = v_newest_ms, counted_to = NULL WHERE first_id = v_part.first_id;
            DELETE FROM leaving WHERE first_id = v_part.first_id;
            RETURN NULL;
        END IF;
        v_end := coalesce(v_end, v_part.end_id - 1);
        PERFORM count_leaving(v_part.first_id, v_part.counted_to, v_end, p_before_ms);
        DELETE FROM revision -- the newest stays: readers go by its number
        WHERE event_id > v_part.counted_to AND event_id <= v_end AND number <= v_part.revision
            AND number < (SELECT max(number) FROM revision);
        v_part.counted_to := v_end;
        v_counted := v_counted + v_count;
    END LOOP;
    UPDATE event_partition SET counted_to = v_part.counted_to, revision = v_part.revision
    WHERE first_id = v_part.first_id;
    IF v_part.counted_to < v_part.end_id - 1 OR NOT v_may_drop THEN
        RETURN v_counted;
    END IF;
    BEGIN
        PERFORM lock_sums();
        IF EXISTS (
            SELECT FROM revision
            WHERE event_id >= v_part.first_id AND event_id < v_part.end_id AND number > v_part.revision
        ) THEN -- what was counted has changed
            UPDATE event_partition SET counted_to = NULL WHERE first_id = v_part.first_id;
            DELETE FROM leaving WHERE first_id = v_part.first_id;
            RETURN v_counted;
        END IF;
        PERFORM add_leaving_to_dropped(v_part.first_id);
        UPDATE event_partition SET is_over = true WHERE first_id = v_part.first_id;
        PERFORM set_config('lock_timeout', '50', true); -- all who read events wait for that long
        PERFORM follow_partitions();
    EXCEPTION WHEN lock_not_available THEN
        UPDATE event_partition SET tried = clock_timestamp() WHERE first_id = v_part.first_id;
    END;
    PERFORM set_config('lock_timeout', c_timeout, true);
    RETURN v_counted;
END $$;

-- Delete what is older than a moment: go on with an old partition or, if there is none, with what is old among the next
-- `p_most` events after one that have any. Answers as `DroppedStep`; the events of a partition, as they are counted.
CREATE OR REPLACE FUNCTION drop_step(
    p_before_ms bigint, p_after_id bigint, p_most integer,
    OUT looked_at bigint, OUT dropped bigint, OUT last_id bigint, OUT at_end boolean
)
LANGUAGE plpgsql AS $$
DECLARE
    v_newest bigint;
    v_until bigint;
    v_count bigint;
    v_old bigint;
    v_end bigint;
BEGIN
    last_id := p_after_id;
    at_end := false;
    PERFORM fold_some(false);
    LOOP
        looked_at := drop_partition_step(p_before_ms);
        EXIT WHEN looked_at IS NULL;
        dropped := looked_at;
        IF dropped > 0 THEN
            RETURN;
        END IF;
    END LOOP;
    looked_at := 0;
    dropped := 0;
    FOR i IN 1..8 LOOP
        LOOP -- skip partitions that are dropped as a whole
            SELECT end_id - 1 INTO v_end FROM event_partition AS part
            WHERE last_id + 1 >= first_id AND last_id + 1 < end_id AND is_left_whole(part, p_before_ms);
            EXIT WHEN NOT FOUND;
            last_id := v_end;
        END LOOP;
        SELECT last_event_id INTO v_newest FROM progress; -- it always stays
        SELECT least(v_newest, min(first_id)) INTO v_until FROM event_partition AS part
        WHERE first_id > last_id AND is_left_whole(part, p_before_ms);
        SELECT max(id), count(*), count(*) FILTER (WHERE ended_ms < p_before_ms) INTO v_end, v_count, v_old
        FROM (
            SELECT id, ended_ms FROM event WHERE id > last_id AND id < v_until ORDER BY id LIMIT p_most
        ) AS step;
        looked_at := looked_at + v_count;
        at_end := v_count < p_most AND v_until = v_newest;
        EXIT WHEN v_old > 0;
        last_id := CASE WHEN v_count < p_most AND NOT at_end THEN v_until - 1 ELSE coalesce(v_end, last_id) END;
        IF at_end THEN
            RETURN;
        END IF;
    END LOOP;
    IF v_old = 0 THEN
        RETURN;
    END IF;
    -- nobody may begin to count the partitions of these events until they are gone
    IF (SELECT count(*) FROM event_partition WHERE first_id <= v_end AND end_id > last_id + 1) > (
        SELECT count(*)
        FROM (
            SELECT FROM event_partition AS part
            WHERE first_id <= v_end AND end_id > last_id + 1 AND NOT is_left_whole(part, p_before_ms)
            FOR SHARE SKIP LOCKED
        ) AS free
    ) THEN
        RETURN;
    END IF;
    PERFORM lock_sums();
    PERFORM count_leaving(-1, last_id, v_end, p_before_ms);
    PERFORM add_leaving_to_dropped(-1);
    WITH gone AS (
        DELETE FROM event WHERE id > last_id AND id <= v_end AND ended_ms < p_before_ms RETURNING id
    ),
    unserved AS (
        DELETE FROM served WHERE event_id IN (SELECT id FROM gone)
    ),
    unrevised AS ( -- the newest stays: readers go by its number
        DELETE FROM revision
        WHERE event_id IN (SELECT id FROM gone) AND number < (SELECT max(number) FROM revision)
    )
    SELECT count(*) INTO dropped FROM gone;
    last_id := v_end;
END $$;

-- Delete the oldest decisions, and what waits for one, from before a moment: up to a limit of each; return how many
-- decisions there were. While one host does so, others leave it to that.
CREATE OR REPLACE FUNCTION forget_decisions(p_before_ms bigint, p_limit integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_deleted bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock('decision'::regclass::oid::bigint) THEN
        RETURN 0;
    END IF;
    DELETE FROM unmatched_outcome
    WHERE ended_ms < p_before_ms
        AND number IN (SELECT number FROM unmatched_outcome ORDER BY number LIMIT p_limit);
    DELETE FROM waiting_verdict
    WHERE given_ms < p_before_ms
        AND number IN (SELECT number FROM waiting_verdict ORDER BY number LIMIT p_limit);
    DELETE FROM decision WHERE id IN (
        SELECT id FROM decision WHERE made_ms < p_before_ms ORDER BY made_ms LIMIT p_limit
    );
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    RETURN v_deleted;
END $$;
