-- What it takes to undo: which outcomes an import has brought, and what was expected when a change was noticed.

-- The events of an import, from one to another; all in between that exist are its own.
CREATE TABLE import_range (
    id INTEGER PRIMARY KEY,
    import_id INTEGER NOT NULL,
    first_event_id INTEGER NOT NULL,
    last_event_id INTEGER NOT NULL
) STRICT;
CREATE INDEX import_range_by_import ON import_range (import_id, last_event_id);

-- JSON: the success rate expected since the change, by task type; NULL if it was announced
ALTER TABLE change ADD COLUMN rates TEXT;
UPDATE change SET rates = (
    SELECT json_group_object(tally.task_type, baseline.rate)
    FROM baseline JOIN tally ON tally.id = baseline.tally_id
    WHERE baseline.change_id = change.id AND baseline.rate IS NOT NULL
)
WHERE direction <> 'announced';
