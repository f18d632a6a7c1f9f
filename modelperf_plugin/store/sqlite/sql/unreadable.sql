-- Rows with text that cannot be read. Parameters are the columns of the row: its text as bytes and, as NAME_escaped,
-- with escapes in place of what cannot be read (of a set of models: a set that can).

-- outcomes --
-- The outcomes of a pair, in the columns of an import.
SELECT
    event.success, event.timeout, event.tokens AS tokens_used, event.cost_nano_usd / 1e9 AS cost_usd,
    event.ended_ms AS timestamp, event.duration_ms / 1e3 AS duration_seconds, event.error_kind, outcome_key.outcome_id,
    -- [""] after an unknown set
    iif(event.tried_id IS NULL, NULL, coalesce(tried.models, '[""]')) AS tried
FROM event
LEFT JOIN outcome_key ON outcome_key.event_id = event.id
LEFT JOIN tried ON tried.id = event.tried_id
WHERE event.tally_id = :id ORDER BY event.id;

-- not_adopted --
-- The number of rows of the migration guide's tables that are not usable.
SELECT
    (SELECT count(*) FROM document_model_outcomes) - (SELECT count(*) FROM document_usable_outcomes)
    + (SELECT count(*) FROM document_model_stats) - (SELECT count(*) FROM document_usable_stats);

-- delete_outcome_keys --
-- Delete the ids of a pair's outcomes.
DELETE FROM outcome_key WHERE event_id IN (SELECT id FROM event WHERE tally_id = :id);

-- delete_served_of_pair --
-- Delete which models have served a pair's outcomes.
DELETE FROM served WHERE event_id IN (SELECT id FROM event WHERE tally_id = :id);

-- delete_events --
-- Delete the outcomes of a pair.
DELETE FROM event WHERE tally_id = :id;

-- delete_daily --
-- Delete the roll-up of a pair.
DELETE FROM daily WHERE tally_id = :id;

-- delete_imported --
-- Delete the imported sums of a pair.
DELETE FROM imported WHERE tally_id = :id;

-- delete_dropped --
-- Delete the sums of a pair's dropped events.
DELETE FROM dropped WHERE tally_id = :id;

-- delete_later --
-- Delete the later tries of a pair by what had failed before.
DELETE FROM later WHERE tally_id = :id;

-- delete_durations --
-- Delete the durations of a pair.
DELETE FROM duration WHERE tally_id = :id;

-- delete_baseline --
-- Delete the counts of a pair from before a change.
DELETE FROM baseline WHERE tally_id = :id;

-- delete_demotions --
-- Delete the demotions of a pair.
DELETE FROM demotion WHERE tally_id = :id;

-- delete_tally --
-- Delete a pair.
DELETE FROM tally WHERE id = :id;

-- add_usable_set --
-- The set to use in place of one that cannot be read, or not as it is: a later try remains a later try.
INSERT INTO tried (models) VALUES (:models_escaped) ON CONFLICT (models) DO NOTHING;

-- use_usable_set --
-- Later tries after a set came after that one.
UPDATE event SET tried_id = (SELECT id FROM tried WHERE models = :models_escaped) WHERE tried_id = :id;

-- add_later_of_usable_set --
-- Their counts.
INSERT INTO later (tally_id, tried_id, successes, failures, timeout_failures)
SELECT tally_id, (SELECT id FROM tried WHERE models = :models_escaped), successes, failures, timeout_failures
FROM later WHERE tried_id = :id
ON CONFLICT (tally_id, tried_id) DO UPDATE SET
    successes = successes + excluded.successes, failures = failures + excluded.failures,
    timeout_failures = timeout_failures + excluded.timeout_failures;

-- delete_later_of_tried --
-- Delete the later tries after a set.
DELETE FROM later WHERE tried_id = :id;

-- delete_tried --
-- Delete a set.
DELETE FROM tried WHERE id = :id;

-- delete_decision --
-- Delete a decision.
DELETE FROM decision WHERE CAST(id AS BLOB) = :id;

-- delete_attempt --
-- Delete a further outcome of a decision.
DELETE FROM attempt WHERE CAST(decision_id AS BLOB) = :decision_id AND number = :number;

-- delete_attached --
-- Detach a database.
DELETE FROM attached WHERE CAST(path AS BLOB) = :path AND CAST(name AS BLOB) = :name;

-- delete_unmatched_outcome --
-- Delete an outcome that waits for its decision.
DELETE FROM unmatched_outcome WHERE number = :number;

-- delete_watch --
-- Delete the state of a watch, which starts over.
DELETE FROM watch
WHERE CAST(kind AS BLOB) = :kind AND CAST(task_type AS BLOB) = :task_type AND CAST(model_id AS BLOB) = :model_id;

-- delete_prior --
-- Delete the tally of another project.
DELETE FROM prior
WHERE merged_id = :merged_id AND CAST(task_type AS BLOB) = :task_type AND CAST(model_id AS BLOB) = :model_id;

-- delete_problem --
-- Forget a counted failure.
DELETE FROM problem WHERE CAST(kind AS BLOB) = :kind AND CAST(message AS BLOB) = :message;

-- delete_served --
-- Forget which outcomes a model with an unreadable name has served.
DELETE FROM served WHERE served_id = :id;

-- delete_served_model --
-- Delete the name of a served model.
DELETE FROM served_model WHERE id = :id;

-- delete_estimated_cost --
-- Forget that costs of a model were estimated; the next estimate notes it again.
DELETE FROM estimated_cost WHERE CAST(model_id AS BLOB) = :model_id;

-- delete_ab_units --
-- Delete the units of a test.
DELETE FROM ab_unit WHERE test_id = :id;

-- delete_ab_challengers --
-- Delete the challengers of a test.
DELETE FROM ab_challenger WHERE test_id = :id;

-- delete_ab_test --
-- Delete a test.
DELETE FROM ab_test WHERE id = :id;

-- end_ab_test --
-- End the test of an unreadable challenger, and delete that one.
UPDATE ab_test SET ended_ms = coalesce(ended_ms, started_ms) WHERE id = :test_id;

-- delete_ab_challenger --
-- Delete a challenger.
DELETE FROM ab_challenger WHERE test_id = :test_id AND position = :position;

-- escape_change --
-- A change keeps its counts: only the name of the model is escaped, and rates are given up that cannot be read.
UPDATE change SET model_id = :model_id_escaped, rates = NULL WHERE id = :id;

-- escape_demotion --
-- A demotion stays in force.
UPDATE demotion SET reason = :reason_escaped, ended_by = :ended_by_escaped WHERE id = :id;

-- escape_event --
-- An unknown kind of error is none.
UPDATE event SET error_kind = NULL WHERE id = :id;

-- escape_import --
-- An import keeps its position.
UPDATE import SET
    kind = :kind_escaped, source = :source_escaped, digest = :digest_escaped, archived = :archived_escaped
WHERE id = :id;

-- escape_imported --
-- Imported sums keep counting.
UPDATE OR IGNORE imported SET source = :source_escaped WHERE tally_id = :tally_id AND CAST(source AS BLOB) = :source;

-- escape_merged --
-- A merged source keeps its tallies.
UPDATE OR IGNORE merged SET name = :name_escaped, origin = :origin_escaped, digest = :digest_escaped WHERE id = :id;

-- clear_edit --
-- An edit keeps its number, by which running hosts notice it.
UPDATE edit SET kind = 'forget', subject = 'null' WHERE number = :number;

-- escape_moved --
-- A batch stays known.
UPDATE OR IGNORE moved SET batch_id = :batch_id_escaped WHERE CAST(batch_id AS BLOB) = :batch_id;

-- escape_outcome_key --
-- An outcome keeps an id.
UPDATE OR IGNORE outcome_key SET outcome_id = :outcome_id_escaped, decision_id = :decision_id_escaped WHERE CAST(outcome_id AS BLOB) = :outcome_id;

-- renew_identity --
-- The store is told apart from others by a new id.
UPDATE identity SET origin = lower(hex(randomblob(8)));

-- delete_ab_bet --
-- Delete what a test staked on an outcome.
DELETE FROM ab_bet WHERE CAST(decision_id AS BLOB) = :decision_id;

-- escape_revision --
-- Escape the text of a former verdict.
UPDATE revision SET error_kind = :error_kind_escaped WHERE number = :number;

-- delete_waiting_verdict --
-- Delete a verdict that waits for its decision.
DELETE FROM waiting_verdict WHERE number = :number;
