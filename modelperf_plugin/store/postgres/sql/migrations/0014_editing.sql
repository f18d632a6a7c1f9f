-- What operators have taken out or renamed, so that running hosts notice.

CREATE TABLE edit (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of editing
    kind text NOT NULL CHECK (kind IN ('forget', 'rename', 'unannounce')),
    edited_ms bigint NOT NULL,
    subject text NOT NULL, -- JSON: what was asked for
    outcomes bigint NOT NULL
);

-- The events and the pairs of the edit that is under way; empty outside of its transaction, which holds the lock on sums.
CREATE TABLE edited_event (event_id bigint PRIMARY KEY);
CREATE TABLE edited_pair (tally_id integer PRIMARY KEY);

CREATE TRIGGER tell AFTER INSERT OR UPDATE ON edit FOR EACH STATEMENT EXECUTE FUNCTION tell_of_verdict();
