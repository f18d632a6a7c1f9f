"""Imports of histories and of the older JSON file."""
