-- Outcomes that name a decision which is not in the log: another process may log it later, and then they are joined.

CREATE TABLE unmatched_outcome (
    -- in the order of arrival: the oldest are dropped first
    number INTEGER PRIMARY KEY,
    decision_id TEXT NOT NULL,
    model_id TEXT NOT NULL,
    ended_ms INTEGER NOT NULL,
    success INTEGER NOT NULL CHECK (success IN (0, 1)),
    timeout INTEGER NOT NULL CHECK (timeout IN (0, 1)),
    tokens INTEGER NOT NULL CHECK (tokens >= 0),
    cost_nano_usd INTEGER NOT NULL CHECK (cost_nano_usd >= 0),
    error_kind TEXT,
    UNIQUE (decision_id, model_id)
) STRICT;
