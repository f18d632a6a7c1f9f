"""Databases of other programs, read in place."""
