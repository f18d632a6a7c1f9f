"""The figures behind pages and commands."""
