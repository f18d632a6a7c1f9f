"""The SQLite store: one module per role, with its SQL in ``sql/``."""
