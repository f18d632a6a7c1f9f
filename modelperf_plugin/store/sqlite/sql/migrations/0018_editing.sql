-- What operators have taken out or renamed, so that running hosts notice.

CREATE TABLE edit (
    -- in the order of editing; rows are never deleted, or a number would be used again
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('forget', 'rename', 'unannounce')),
    edited_ms INTEGER NOT NULL,
    -- JSON: what was asked for
    subject TEXT NOT NULL,
    outcomes INTEGER NOT NULL
) STRICT;

-- The events and the pairs of the edit that is under way; empty outside of its transaction.
CREATE TABLE edited_event (event_id INTEGER PRIMARY KEY) STRICT;
CREATE TABLE edited_pair (tally_id INTEGER PRIMARY KEY) STRICT;
