-- A/B tests whose challengers join and leave: each contest keeps its evidence, its units, and its own share.

-- The share of decisions that a challenger gets; 0 once it is withdrawn, which keeps its evidence.
ALTER TABLE ab_challenger ADD COLUMN share REAL NOT NULL DEFAULT 0;
UPDATE ab_challenger SET share =
    (SELECT share FROM ab_test WHERE id = test_id)
    / (SELECT count(*) FROM ab_challenger AS each WHERE each.test_id = ab_challenger.test_id);
-- How many outcomes the contest had when its share last changed: min_samples more only estimate the rates again.
ALTER TABLE ab_challenger ADD COLUMN calibrate_from INTEGER NOT NULL DEFAULT 0;

-- Units count once in each contest. Those counted so far have been in all contests of their test.
ALTER TABLE ab_unit RENAME TO counted_unit;
CREATE TABLE ab_unit (
    test_id INTEGER NOT NULL REFERENCES ab_test (id),
    position INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    PRIMARY KEY (test_id, position, unit)
) STRICT, WITHOUT ROWID;
INSERT INTO ab_unit (test_id, position, unit)
SELECT counted_unit.test_id, position, unit FROM counted_unit JOIN ab_challenger USING (test_id);
DROP TABLE counted_unit;

-- The A/B test that made a decision, to see on which side outcomes are missing; NULL if none did.
ALTER TABLE decision ADD COLUMN ab_test_id INTEGER;
UPDATE decision SET ab_test_id = json_extract(record, '$.assignment.test_id')
WHERE CASE WHEN instr(record, '"assignment":') THEN json_valid(record) END;

CREATE INDEX decision_by_ab_test ON decision (ab_test_id, made_ms) WHERE ab_test_id IS NOT NULL;
