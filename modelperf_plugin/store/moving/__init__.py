"""Reading and writing whole stores, table by table: the same rows on every database."""
