-- Telling hosts that there is something new: they listen on the channel of `news_channel()`, and read then.
--
-- Whoever records an outcome tells nobody: a notification is a lock that all transactions with one take in turn. Folding
-- tells of all outcomes together, twenty times a second at most; hosts that are told of nothing look by themselves.

-- What one process does for all others, and until when others leave it to it.
CREATE TABLE lease (
    task text PRIMARY KEY,
    holder text NOT NULL,
    until timestamptz NOT NULL
);

-- Take a task, or keep it; return false while another one has it. With 0 seconds it is given up.
CREATE FUNCTION claim(p_task text, p_holder text, p_seconds float8) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO lease AS old (task, holder, until)
    VALUES (p_task, p_holder, clock_timestamp() + p_seconds * interval '1 second')
    ON CONFLICT (task) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE old.holder = excluded.holder OR old.until < clock_timestamp();
    RETURN FOUND;
END $$;

CREATE FUNCTION news_channel() RETURNS text STABLE LANGUAGE sql AS $$
    SELECT 'modelperf_' || 'progress'::regclass::oid
$$;

ALTER TABLE progress ADD COLUMN told_at timestamptz NOT NULL DEFAULT '-infinity';

CREATE FUNCTION tell_of_outcomes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.told_at := clock_timestamp();
    PERFORM pg_notify(news_channel(), 'outcomes');
    RETURN NEW;
END $$;

CREATE TRIGGER tell_of_outcomes BEFORE UPDATE ON progress FOR EACH ROW
WHEN (
    (NEW.last_event_id, NEW.corrections) IS DISTINCT FROM (OLD.last_event_id, OLD.corrections)
    AND OLD.told_at < clock_timestamp() - interval '50 milliseconds'
)
EXECUTE FUNCTION tell_of_outcomes();

-- Everything else that choices depend on is seldom changed, and told at once.
CREATE FUNCTION tell_of_verdict() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(news_channel(), 'verdicts');
    RETURN NULL;
END $$;

CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON demotion
FOR EACH STATEMENT EXECUTE FUNCTION tell_of_verdict();
CREATE TRIGGER tell AFTER INSERT ON change FOR EACH STATEMENT EXECUTE FUNCTION tell_of_verdict();
CREATE TRIGGER tell AFTER INSERT OR UPDATE ON watch FOR EACH ROW
WHEN (NEW.kind = 'back') EXECUTE FUNCTION tell_of_verdict();
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON ab_test
FOR EACH STATEMENT EXECUTE FUNCTION tell_of_verdict();
CREATE TRIGGER tell AFTER UPDATE ON ab_challenger FOR EACH ROW
WHEN ((NEW.verdict, NEW.share) IS DISTINCT FROM (OLD.verdict, OLD.share)) EXECUTE FUNCTION tell_of_verdict();
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON attached
FOR EACH STATEMENT EXECUTE FUNCTION tell_of_verdict();
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON merged
FOR EACH STATEMENT EXECUTE FUNCTION tell_of_verdict();

DROP FUNCTION fold_and_tell(); -- hosts asked by it whether there was news
