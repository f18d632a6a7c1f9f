-- What came from elsewhere, and how to tell it apart: imports, attached databases, merged experience.

-- Tells this store from others, in exports: who merges one can replace it by a later one.
CREATE TABLE identity (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    origin TEXT NOT NULL
) STRICT;
INSERT INTO identity (only, origin) VALUES (1, lower(hex(randomblob(8))));

-- One row for each source that was imported, up to which position. It is written in the transaction of the outcomes
-- themselves, so that an import goes on where it was interrupted, and runs once however often it is started.
CREATE TABLE import (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    -- SHA-256 of what was read up to the position, which is counted in bytes (of a file of lines) or rows
    digest TEXT NOT NULL,
    position INTEGER NOT NULL,
    outcomes INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    begun_ms INTEGER NOT NULL,
    latest_ms INTEGER NOT NULL,
    -- where the file went when it was archived; NULL until then
    archived TEXT
) STRICT;

-- Tables of other programs' databases whose outcomes count as evidence without being copied.
CREATE TABLE attached (
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    -- JSON: which of their columns stands for which of ours; {} where the shape is recognised
    columns TEXT NOT NULL,
    attached_ms INTEGER NOT NULL,
    PRIMARY KEY (path, name)
) STRICT, WITHOUT ROWID;

-- Experience of other projects. It is never part of the tallies: it only shapes what is believed before they speak.
CREATE TABLE merged (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    origin TEXT,
    digest TEXT NOT NULL,
    -- as how many outcomes of one's own a pair of this source counts at most
    strength REAL NOT NULL CHECK (strength >= 0),
    merged_ms INTEGER NOT NULL
) STRICT;

-- One row for each (task type, model) of a merged source, as its project counted it.
CREATE TABLE prior (
    merged_id INTEGER NOT NULL REFERENCES merged (id),
    task_type TEXT NOT NULL,
    model_id TEXT NOT NULL,
    successes INTEGER NOT NULL CHECK (successes >= 0),
    failures INTEGER NOT NULL CHECK (failures >= 0),
    timeouts INTEGER NOT NULL CHECK (timeouts >= 0),
    outages INTEGER NOT NULL CHECK (outages >= 0),
    caller_errors INTEGER NOT NULL CHECK (caller_errors >= 0),
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    cost_nano_usd INTEGER NOT NULL CHECK (cost_nano_usd >= 0),
    priced INTEGER NOT NULL CHECK (priced >= 0),
    last_used_ms INTEGER,
    timeout_failures INTEGER NOT NULL DEFAULT 0 CHECK (timeout_failures >= 0),
    PRIMARY KEY (merged_id, task_type, model_id)
) STRICT, WITHOUT ROWID;
