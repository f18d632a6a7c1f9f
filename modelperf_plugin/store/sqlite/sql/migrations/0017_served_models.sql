-- The models that have really answered, where a router, a gateway or an alias decides that behind the name of a model.

CREATE TABLE served_model (
    id INTEGER PRIMARY KEY,
    model_id TEXT NOT NULL UNIQUE
) STRICT;

-- Of which events they are known, and another name than that of the event's model.
CREATE TABLE served (
    event_id INTEGER PRIMARY KEY,
    served_id INTEGER NOT NULL REFERENCES served_model (id)
) STRICT;

-- How the plugin records an outcome with a served model, of whatever kind.
CREATE VIEW recording_served AS
SELECT *, NULL AS served_model FROM recording_later;

CREATE TRIGGER recording_served_insert INSTEAD OF INSERT ON recording_served
WHEN NEW.outcome_id IS NULL OR NOT EXISTS (SELECT 1 FROM outcome_key WHERE outcome_id = NEW.outcome_id)
BEGIN
    INSERT INTO recording (
        tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms
    )
    SELECT
        NEW.tally_id, NEW.ended_ms, NEW.success, NEW.timeout, NEW.tokens, NEW.cost_nano_usd, NEW.error_kind,
        NEW.duration_ms, NEW.score, NEW.retry_after_ms
    WHERE NEW.tried_id IS NULL AND NEW.outcome_id IS NULL;
    INSERT INTO recording_once (
        tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms,
        outcome_id
    )
    SELECT
        NEW.tally_id, NEW.ended_ms, NEW.success, NEW.timeout, NEW.tokens, NEW.cost_nano_usd, NEW.error_kind,
        NEW.duration_ms, NEW.score, NEW.retry_after_ms, NEW.outcome_id
    WHERE NEW.tried_id IS NULL AND NEW.outcome_id IS NOT NULL;
    INSERT INTO recording_later (
        tally_id, ended_ms, success, timeout, tokens, cost_nano_usd, error_kind, duration_ms, score, retry_after_ms,
        outcome_id, tried_id
    )
    SELECT
        NEW.tally_id, NEW.ended_ms, NEW.success, NEW.timeout, NEW.tokens, NEW.cost_nano_usd, NEW.error_kind,
        NEW.duration_ms, NEW.score, NEW.retry_after_ms, NEW.outcome_id, NEW.tried_id
    WHERE NEW.tried_id IS NOT NULL;
    INSERT INTO served_model (model_id) VALUES (NEW.served_model) ON CONFLICT (model_id) DO NOTHING;
    INSERT OR REPLACE INTO served (event_id, served_id)
    SELECT (SELECT max(id) FROM event), id FROM served_model WHERE model_id = NEW.served_model;
END;

-- How the plugin replaces a verdict by one with a served model; one without keeps what is known.
CREATE VIEW revising_served AS
SELECT *, NULL AS served_model FROM revising;

CREATE TRIGGER revising_served_insert INSTEAD OF INSERT ON revising_served
WHEN EXISTS (
    SELECT 1 FROM event
    WHERE id = NEW.event_id AND tally_id = NEW.tally_id
        AND NOT (
            NEW.is_stamped AND NEW.given_ms < coalesce(
                (SELECT revised_ms FROM revision WHERE event_id = event.id ORDER BY number DESC LIMIT 1), ended_ms
            )
        )
)
BEGIN
    INSERT INTO served_model (model_id) VALUES (NEW.served_model) ON CONFLICT (model_id) DO NOTHING;
    INSERT INTO served (event_id, served_id)
    SELECT NEW.event_id, id FROM served_model WHERE model_id = NEW.served_model
    ON CONFLICT (event_id) DO UPDATE SET served_id = excluded.served_id WHERE served_id <> excluded.served_id;
    INSERT INTO revising (
        event_id, tally_id, success, timeout, tokens, cost_nano_usd, error_kind, score, given_ms, is_stamped,
        outcome_id, decision_id
    )
    VALUES (
        NEW.event_id, NEW.tally_id, NEW.success, NEW.timeout, NEW.tokens, NEW.cost_nano_usd, NEW.error_kind,
        NEW.score, NEW.given_ms, NEW.is_stamped, NEW.outcome_id, NEW.decision_id
    );
END;
