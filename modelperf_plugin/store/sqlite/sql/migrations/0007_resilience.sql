-- What must be known when outcomes come late (after SQLite could not be used) or go early (retention).

-- One row for each batch of outcomes that waited in a file: its row is written together with its outcomes, so that
-- none is moved twice, whenever the process that moves them dies.
CREATE TABLE moved (
    batch_id TEXT PRIMARY KEY,
    moved_ms INTEGER NOT NULL,
    outcomes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The sums of the events that are gone, by retention or by damage. Part of the tally, and still in the daily roll-up.
CREATE TABLE dropped (
    tally_id INTEGER PRIMARY KEY REFERENCES tally (id),
    successes INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    timeouts INTEGER NOT NULL,
    outages INTEGER NOT NULL,
    caller_errors INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    timeout_failures INTEGER NOT NULL
) STRICT;
