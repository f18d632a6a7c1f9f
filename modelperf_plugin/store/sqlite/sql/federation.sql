-- Reading another program's table of outcomes. What stands in braces is replaced by names of its columns, quoted, or
-- by NULL where it has none.

-- columns --
-- The columns of a table or view; none if there is no such relation.
SELECT name FROM pragma_table_xinfo(?);

-- newest --
-- The last row; fails for a view or a table without row ids.
SELECT coalesce(max(rowid), 0) FROM {table} WHERE rowid IS NOT NULL;

-- is_table --
-- Whether rows have ids in the order in which they came: a table, not a view, with row ids.
SELECT count(*) FROM pragma_table_list WHERE name = ? AND schema = 'main' AND type = 'table' AND NOT wr;

-- sums --
-- What the rows of a range add up to, for each pair. Rows that do not say whether they succeeded are left out.
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
-- The document's view: its own columns over whichever shape the table has.
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
