-- Models of which hosts report tokens without a cost: their costs were estimated by a list of prices.

CREATE TABLE estimated_cost (
    model_id TEXT PRIMARY KEY,
    -- The day of the list that was used last, counted from the Unix epoch in UTC.
    prices_day INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
