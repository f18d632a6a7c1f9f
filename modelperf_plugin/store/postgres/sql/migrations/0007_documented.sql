-- The relations of the migration guide, complete at any time.

-- What its queries expect of DATE; ISO 8601 text, as in the columns.
CREATE FUNCTION date(p_moment text) RETURNS text STABLE LANGUAGE sql AS $$
    SELECT to_char((p_moment::timestamptz AT TIME ZONE 'UTC'), 'YYYY-MM-DD')
$$;
CREATE FUNCTION date(p_moment text, p_change text) RETURNS text STABLE LANGUAGE sql AS $$
    SELECT to_char((p_moment::timestamptz AT TIME ZONE 'UTC') + p_change::interval, 'YYYY-MM-DD')
$$;

CREATE FUNCTION iso_8601(p_ms bigint) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
    SELECT to_char(timestamp '1970-01-01' + p_ms * interval '1 millisecond', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

CREATE FUNCTION milliseconds(p_moment text) RETURNS bigint STABLE LANGUAGE plpgsql SET timezone = 'UTC' AS $$
BEGIN
    IF p_moment !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN
        RETURN NULL;
    END IF;
    RETURN round(extract(epoch FROM p_moment::timestamptz) * 1000)::bigint;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END $$;

CREATE VIEW model_outcomes AS
SELECT
    each.id, tally.task_type, tally.model_id, each.success::integer AS success, each.timeout::integer AS timeout,
    each.tokens AS tokens_used, trim_scale(each.cost_nano_usd / 1e9) AS cost_usd,
    iso_8601(each.ended_ms) AS timestamp
FROM (
    SELECT id, tally_id, ended_ms, tokens, cost_nano_usd, success, timeout FROM event
    UNION ALL
    SELECT
        (SELECT last_event_id FROM progress) + row_number() OVER (ORDER BY number), tally_id, ended_ms, tokens,
        cost_nano_usd, success, timeout
    FROM fresh
) AS each
JOIN tally ON tally.id = each.tally_id;

CREATE VIEW model_stats AS
SELECT
    id, task_type, model_id, successes, failures, timeouts, tokens AS total_tokens,
    trim_scale(cost_nano_usd / 1e9) AS total_cost, iso_8601(last_used_ms) AS last_used,
    successes::double precision / nullif(successes + failures, 0) AS success_rate
FROM tally_now;

-- Raise an error unless a name is one.
CREATE FUNCTION check_name(p_column text, p_name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_name IS NULL OR length(p_name) NOT BETWEEN 1 AND 512 THEN
        RAISE check_violation USING MESSAGE = p_column || ' must be text of 1 to 512 characters';
    ELSIF p_name ~ '[\u0001-\u001f\u007f-\u009f\u2028\u2029]' THEN
        RAISE check_violation USING MESSAGE = p_column || ' must be free of control characters and line separators';
    END IF;
END $$;

CREATE FUNCTION insert_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_name('model_outcomes.task_type', NEW.task_type);
    PERFORM check_name('model_outcomes.model_id', NEW.model_id);
    IF NEW.success IS NULL OR NEW.success NOT IN (0, 1) THEN
        RAISE check_violation USING MESSAGE = 'model_outcomes.success must be 1 or 0';
    ELSIF coalesce(NEW.timeout, 0) NOT IN (0, 1) THEN
        RAISE check_violation USING MESSAGE = 'model_outcomes.timeout must be 1 or 0';
    ELSIF coalesce(NEW.tokens_used, 0) NOT BETWEEN 0 AND 9007199254740992 THEN
        RAISE check_violation USING MESSAGE = 'model_outcomes.tokens_used must be a whole number from 0 to 2^53';
    ELSIF coalesce(NEW.cost_usd, 0) NOT BETWEEN 0 AND 1000000 THEN
        RAISE check_violation USING MESSAGE = 'model_outcomes.cost_usd must be a number from 0 to 1,000,000';
    ELSIF NEW.timestamp IS NOT NULL AND milliseconds(NEW.timestamp) IS NULL THEN
        RAISE check_violation
            USING MESSAGE = 'model_outcomes.timestamp must be an ISO 8601 time such as 2026-01-31T12:00:00Z';
    END IF;
    PERFORM record(
        NEW.task_type, NEW.model_id, NULL, NULL, coalesce(milliseconds(NEW.timestamp), milliseconds(now()::text)),
        NEW.success = 1, coalesce(NEW.timeout, 0) = 1, coalesce(NEW.tokens_used, 0),
        round(coalesce(NEW.cost_usd, 0) * 1e9)::bigint, NULL, NULL, NULL, NULL, NULL, false, NULL
    );
    RETURN NEW;
END $$;
CREATE TRIGGER model_outcomes_insert INSTEAD OF INSERT ON model_outcomes
FOR EACH ROW EXECUTE FUNCTION insert_outcome();

CREATE FUNCTION insert_stats() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_tally_id integer;
    v_cost_nano_usd bigint;
    v_last_used_ms bigint := milliseconds(NEW.last_used);
BEGIN
    PERFORM check_name('model_stats.task_type', NEW.task_type);
    PERFORM check_name('model_stats.model_id', NEW.model_id);
    NEW.successes := coalesce(NEW.successes, 0);
    NEW.failures := coalesce(NEW.failures, 0);
    NEW.timeouts := coalesce(NEW.timeouts, 0);
    NEW.total_tokens := coalesce(NEW.total_tokens, 0);
    NEW.total_cost := coalesce(NEW.total_cost, 0);
    IF least(NEW.successes, NEW.failures, NEW.timeouts, NEW.total_tokens) < 0 THEN
        RAISE check_violation USING MESSAGE = 'the counts of model_stats must be whole numbers of 0 or more';
    ELSIF greatest(NEW.successes, NEW.failures, NEW.timeouts, NEW.total_tokens) > 9007199254740992 THEN
        RAISE check_violation USING MESSAGE = 'the counts of model_stats must be at most 2^53';
    ELSIF NEW.total_cost NOT BETWEEN 0 AND 1000000000 THEN
        RAISE check_violation USING MESSAGE = 'model_stats.total_cost must be a number from 0 to 1,000,000,000';
    ELSIF NEW.last_used IS NOT NULL AND v_last_used_ms IS NULL THEN
        RAISE check_violation
            USING MESSAGE = 'model_stats.last_used must be an ISO 8601 time such as 2026-01-31T12:00:00Z';
    END IF;
    v_cost_nano_usd := round(NEW.total_cost * 1e9)::bigint;
    PERFORM lock_sums();
    v_tally_id := number_of_pair(NEW.task_type, NEW.model_id);
    INSERT INTO imported AS known (tally_id, source, successes, failures, timeouts, tokens, cost_nano_usd, last_used_ms)
    VALUES (
        v_tally_id, 'model_stats', NEW.successes, NEW.failures, NEW.timeouts, NEW.total_tokens, v_cost_nano_usd,
        v_last_used_ms
    )
    ON CONFLICT (digest_of(source), tally_id) DO UPDATE SET
        successes = known.successes + excluded.successes,
        failures = known.failures + excluded.failures,
        timeouts = known.timeouts + excluded.timeouts,
        tokens = bounded(known.tokens::numeric + excluded.tokens),
        cost_nano_usd = bounded(known.cost_nano_usd::numeric + excluded.cost_nano_usd),
        last_used_ms = greatest(known.last_used_ms, excluded.last_used_ms);
    UPDATE tally SET
        successes = successes + NEW.successes,
        failures = failures + NEW.failures,
        timeouts = timeouts + NEW.timeouts,
        tokens = bounded(tokens::numeric + NEW.total_tokens),
        cost_nano_usd = bounded(cost_nano_usd::numeric + v_cost_nano_usd),
        -- sums do not say how many outcomes had a cost: all of them, where there is a cost at all
        priced = priced + CASE WHEN v_cost_nano_usd > 0 THEN NEW.successes + NEW.failures ELSE 0 END,
        last_used_ms = greatest(last_used_ms, v_last_used_ms)
    WHERE id = v_tally_id;
    UPDATE progress SET corrections = corrections + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER model_stats_insert INSTEAD OF INSERT ON model_stats
FOR EACH ROW EXECUTE FUNCTION insert_stats();
