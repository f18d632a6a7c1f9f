-- ab_tests --
-- Tests with their challengers, newest first: of one task type or all, with or without ended ones.
SELECT
    ab_test.id, task_type, fingerprint, incumbent, share, salt, alpha, min_samples, max_samples, promote, started_ms,
    ended_ms, model_id, state, verdict, decided_ms, last_ms,
    (SELECT count(*) FROM ab_challenger AS each WHERE each.test_id = ab_test.id)
FROM ab_test JOIN ab_challenger ON test_id = ab_test.id
WHERE (? IS NULL OR task_type = ?) AND (? OR ended_ms IS NULL)
ORDER BY ab_test.id DESC, position;

-- ab_test --
-- One test with its challengers, unless it has ended.
SELECT
    ab_test.id, task_type, fingerprint, incumbent, share, salt, alpha, min_samples, max_samples, promote, started_ms,
    ended_ms, model_id, state, verdict, decided_ms, last_ms,
    (SELECT count(*) FROM ab_challenger AS each WHERE each.test_id = ab_test.id)
FROM ab_test JOIN ab_challenger ON test_id = ab_test.id
WHERE ab_test.id = ? AND ended_ms IS NULL ORDER BY position;

-- ab_test_id --
-- The running test of a task type with these sides, share and salt.
SELECT id FROM ab_test WHERE task_type = ? AND fingerprint = ? AND ended_ms IS NULL;

-- begin_ab_test --
-- Begin a test, unless another process has.
INSERT INTO ab_test (
    task_type, fingerprint, incumbent, share, salt, alpha, min_samples, max_samples, promote, started_ms
)
VALUES (
    :task_type, :fingerprint, :incumbent, :share, :salt, :alpha, :min_samples, :max_samples, :promote, :started_ms
)
ON CONFLICT DO NOTHING;

-- add_ab_challenger --
-- Add a challenger.
INSERT INTO ab_challenger (test_id, position, model_id, state) VALUES (?, ?, ?, '[]');

-- reopen_ab_test --
-- If the maximum has changed, undecided contests resume.
UPDATE ab_challenger SET verdict = NULL, decided_ms = NULL
WHERE verdict = 'none' AND test_id = :test_id
    AND (SELECT max_samples IS NOT :max_samples FROM ab_test WHERE id = :test_id);

-- set_ab_terms --
-- The terms that may change while a test runs.
UPDATE ab_test SET alpha = :alpha, min_samples = :min_samples, max_samples = :max_samples, promote = :promote
WHERE id = :test_id;

-- add_ab_unit --
-- Store a unit whose outcome counts; changes nothing if it is known.
INSERT INTO ab_unit (test_id, unit) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- set_ab_challenger --
-- The state of a contest after another outcome.
UPDATE ab_challenger SET state = ?, verdict = ?, decided_ms = ?, last_ms = ? WHERE test_id = ? AND model_id = ?;

-- end_ab_tests --
-- End all tests of a task type.
UPDATE ab_test SET ended_ms = ? WHERE task_type = ? AND ended_ms IS NULL;

-- add_ab_bet --
-- Keep what a test staked on the outcome of a decision in the log.
INSERT INTO ab_bet (decision_id, test_id, ended_ms, state)
SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM decision WHERE id = ?) ON CONFLICT (decision_id) DO NOTHING;

-- ab_bet --
-- What a test staked on a decision, which is known by its id or that of an outcome, and the outcome as it is by now.
SELECT
    ab_bet.decision_id, test_id, ab_bet.state, decision.success, decision.timeout, decision.error_kind, decision.score
FROM ab_bet JOIN decision ON decision.id = ab_bet.decision_id
WHERE ab_bet.decision_id = coalesce(?, (SELECT decision_id FROM outcome_key WHERE outcome_id = ?))
    AND decision.outcome_model_id = decision.model_id;

-- set_ab_bet --
-- What is staked after a verdict was replaced.
UPDATE ab_bet SET state = ? WHERE decision_id = ?;

-- set_ab_state --
-- The state of a contest after a verdict was replaced.
UPDATE ab_challenger SET state = ? WHERE test_id = ? AND model_id = ?;

-- delete_ab_bets --
-- Delete what the running tests of a task type have staked.
DELETE FROM ab_bet WHERE test_id IN (SELECT id FROM ab_test WHERE task_type = ? AND ended_ms IS NULL);
