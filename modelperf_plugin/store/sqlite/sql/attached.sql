-- Queries on another program's table of outcomes. Names in braces are replaced by quoted column names, or by NULL for
-- missing columns.

-- columns --
-- The columns of a table or view; none if it does not exist.
SELECT name FROM pragma_table_xinfo(?);

-- newest --
-- The last row; fails for a view or a table without row ids.
SELECT coalesce(max(rowid), 0) FROM {table} WHERE rowid IS NOT NULL;

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
        WHEN typeof({timestamp}) = 'text' THEN round((julianday({timestamp}) - 2440587.5) * 86400000)
        -- seconds or milliseconds since the Unix epoch: the former would be in the year 5138
        WHEN {timestamp} < 100000000000 THEN {timestamp} * 1000
        ELSE {timestamp}
    END),
    sum(coalesce(lower({timeout}) IN ('1', '1.0', 'true') AND lower({success}) NOT IN ('1', '1.0', 'true'), 0))
FROM {table}
WHERE {success} IS NOT NULL AND {range}
GROUP BY 1, 2;

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
