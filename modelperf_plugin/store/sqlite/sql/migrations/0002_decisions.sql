-- The record of decisions: what was chosen, from what, how likely, and what came of it.
-- It is for people and analysts; no choice is made from it. A configurable share is kept for a configurable time.

-- One row for each decision that was kept. The id is the one that hosts hand back with the outcome.
-- The table has row ids although its key is text: the ids are random and the rows are long, so without row ids
-- every row would be written into a page of its own (measured: four times the time, twice the size).
CREATE TABLE decision (
    id TEXT NOT NULL PRIMARY KEY,
    made_ms INTEGER NOT NULL,
    task_type TEXT NOT NULL,
    -- the model that was chosen, and the probability with which it was
    model_id TEXT NOT NULL,
    propensity REAL NOT NULL,
    -- whether something else than the best was chosen to learn about it, and the probability with which it would be
    explored INTEGER NOT NULL CHECK (explored IN (0, 1)),
    exploring REAL NOT NULL,
    mode TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    -- What came of it; all NULL until an outcome comes that names the decision. The outcome of the chosen model is
    -- kept, and among several the first; that of a fallback only as long as there is none of the chosen model.
    outcome_model_id TEXT,
    ended_ms INTEGER,
    success INTEGER CHECK (success IN (0, 1)),
    timeout INTEGER CHECK (timeout IN (0, 1)),
    tokens INTEGER CHECK (tokens >= 0),
    cost_nano_usd INTEGER CHECK (cost_nano_usd >= 0),
    error_kind TEXT,
    -- JSON: {"ranking_strategy", "reason", "candidates": [{"model_id", "status", "score", "interval", "propensity",
    -- "samples", "reason"}, best first], "excluded": [{"model_id", "reason"}]}. Last: the rest is read without it.
    record TEXT NOT NULL
) STRICT;

-- The newest decisions are asked for, and the oldest are forgotten.
CREATE INDEX decision_by_time ON decision (made_ms);
