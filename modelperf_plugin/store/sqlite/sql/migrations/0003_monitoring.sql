-- What is watched over time: changes of models, demotions, and how far the watching has come.

-- One row for each change of a model that was noticed, or announced by an operator.
CREATE TABLE change (
    id INTEGER PRIMARY KEY,
    model_id TEXT NOT NULL,
    direction TEXT NOT NULL CHECK (direction IN ('up', 'down', 'announced')),
    since_event_id INTEGER NOT NULL,
    noticed_event_id INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    noticed_ms INTEGER NOT NULL,
    evidence REAL
) STRICT;

-- For each pair of a changed model the counts that say nothing about it any more, and the rate that was expected of
-- it after the change. Only quality counts: neither outages nor the caller's errors.
CREATE TABLE baseline (
    tally_id INTEGER PRIMARY KEY REFERENCES tally (id),
    change_id INTEGER NOT NULL REFERENCES change (id),
    successes INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    rate REAL
) STRICT;

-- One row for each demotion by evidence; ended_ms is NULL while it lasts. Of the pair's outcomes only those after
-- event_id, the newest when it was made or ended, count for what comes next.
CREATE TABLE demotion (
    id INTEGER PRIMARY KEY,
    tally_id INTEGER NOT NULL REFERENCES tally (id),
    since_ms INTEGER NOT NULL,
    threshold REAL NOT NULL,
    evidence REAL NOT NULL,
    reason TEXT NOT NULL,
    ended_ms INTEGER,
    ended_by TEXT,
    event_id INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX demotion_in_force ON demotion (tally_id) WHERE ended_ms IS NULL;

-- The state of each watch after the event in position, so that a restart goes on where the last process stopped.
CREATE TABLE watch (
    kind TEXT NOT NULL,
    task_type TEXT NOT NULL,
    model_id TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (kind, task_type, model_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE watch_position (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    event_id INTEGER NOT NULL
) STRICT;
