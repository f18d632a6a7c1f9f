"""Hosts that share a PostgreSQL server."""
