"""Keeps recording to JSON when SQLite fails, and replays into SQLite once it recovers."""
