-- A/B tests: who against whom on which terms, the evidence so far, and what was decided.

-- One row for each test of a task type. The sides stay while the test goes on; another configuration is another test.
CREATE TABLE ab_test (
    id INTEGER PRIMARY KEY,
    task_type TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    incumbent TEXT NOT NULL,
    share REAL NOT NULL,
    salt TEXT NOT NULL,
    alpha REAL NOT NULL,
    min_samples INTEGER NOT NULL,
    max_samples INTEGER,
    promote INTEGER NOT NULL CHECK (promote IN (0, 1)),
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX ab_test_in_force ON ab_test (task_type, fingerprint) WHERE ended_ms IS NULL;

-- One row for each challenger of a test: the evidence for and against it, and the verdict.
CREATE TABLE ab_challenger (
    test_id INTEGER NOT NULL REFERENCES ab_test (id),
    position INTEGER NOT NULL,
    model_id TEXT NOT NULL,
    state TEXT NOT NULL,
    verdict TEXT CHECK (verdict IN ('incumbent', 'challenger', 'none')),
    decided_ms INTEGER,
    last_ms INTEGER,
    PRIMARY KEY (test_id, position)
) STRICT, WITHOUT ROWID;

-- Units (as numbers) whose first outcome a test has counted: the later ones of a unit are no evidence of their own.
CREATE TABLE ab_unit (
    test_id INTEGER NOT NULL REFERENCES ab_test (id),
    unit INTEGER NOT NULL,
    PRIMARY KEY (test_id, unit)
) STRICT, WITHOUT ROWID;
