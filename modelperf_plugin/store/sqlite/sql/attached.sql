-- Queries on another program's table of outcomes. Names in braces are replaced by quoted column names, or by NULL for
-- missing columns.

-- columns --
-- The columns of a table or view, and whether each is computed; none if it does not exist.
SELECT name, hidden FROM pragma_table_xinfo(?);

-- last_of_part --
-- The last of the next rows in order of insertion; NULL if there are none.
SELECT max(number) FROM (SELECT rowid AS number FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?);

-- is_table --
-- Whether rows have ids in order of insertion: a table, not a view, with row ids.
SELECT count(*) FROM pragma_table_list WHERE name = ? AND schema = 'main' AND type = 'table' AND NOT wr;

-- sums --
-- The sums of a range of rows by pair. Rows without a verdict are skipped.
SELECT
    {task_type},
    {model_id},
    sum(lower({success}) IN ('1', '1.0', 'true')),
    sum(lower({success}) NOT IN ('1', '1.0', 'true')),
    sum(coalesce(lower({timeout}) IN ('1', '1.0', 'true'), 0)),
    total(max(0, CAST(coalesce({tokens_used}, 0) AS REAL))),
    total(max(0, CAST(coalesce({cost_usd}, 0) AS REAL))),
    sum(CAST(coalesce({cost_usd}, 0) AS REAL) > 0),
    max(CASE
        WHEN typeof({timestamp}) = 'text' AND {timestamp} GLOB '*[^0-9.]*'
            THEN round((julianday({timestamp}) - 2440587.5) * 86400000)
        -- seconds, milliseconds, microseconds or nanoseconds since the Unix epoch, of the years from 2000 to 2099
        WHEN CAST({timestamp} AS REAL) BETWEEN 946684800 AND 4102444799 THEN CAST({timestamp} AS REAL) * 1000
        WHEN CAST({timestamp} AS REAL) BETWEEN 946684800e3 AND 4102444799e3 THEN CAST({timestamp} AS INTEGER)
        WHEN CAST({timestamp} AS REAL) BETWEEN 946684800e6 AND 4102444799e6 THEN CAST({timestamp} AS INTEGER) / 1000
        WHEN CAST({timestamp} AS REAL) BETWEEN 946684800e9 AND 4102444799e9 THEN CAST({timestamp} AS INTEGER) / 1000000
    END),
    sum(
        {score} IS NULL
        AND coalesce(lower({timeout}) IN ('1', '1.0', 'true') AND lower({success}) NOT IN ('1', '1.0', 'true'), 0)
    ),
    sum({tried} IS NOT NULL AND lower({success}) IN ('1', '1.0', 'true')),
    sum({tried} IS NOT NULL AND lower({success}) NOT IN ('1', '1.0', 'true')),
    sum(
        {tried} IS NOT NULL AND {score} IS NULL
        AND coalesce(lower({timeout}) IN ('1', '1.0', 'true') AND lower({success}) NOT IN ('1', '1.0', 'true'), 0)
    ),
    count({score}),
    coalesce(sum({score} - 1000000 * {success}), 0),
    coalesce(sum(iif({tried} IS NULL, NULL, {score} - 1000000 * {success})), 0)
FROM {table}
WHERE {success} IS NOT NULL AND {range}
GROUP BY 1, 2;

-- our_outcomes --
-- The view model_outcomes of another store of ours, with what had failed before a later try, and scores if it has them.
(
    SELECT
        event.id, tally.task_type, tally.model_id, event.success, event.timeout, event.tokens AS tokens_used,
        event.cost_nano_usd / 1e9 AS cost_usd,
        strftime('%Y-%m-%dT%H:%M:%fZ', event.ended_ms / 1000.0, 'unixepoch') AS timestamp, event.tried_id,
        {score} AS score
    FROM event JOIN tally ON tally.id = event.tally_id
);

-- create_view --
-- The migration guide's view over a table of any recognised shape.
CREATE VIEW model_performance AS
SELECT
    {task_type} AS task_type,
    {model_id} AS model_id,
    count(CASE WHEN {success} = 1 THEN 1 END) AS successes,
    count(CASE WHEN {success} = 0 THEN 1 END) AS failures,
    sum({tokens_used}) AS total_tokens,
    sum({cost_usd}) AS total_cost
FROM {table}
GROUP BY 1, 2;
