"""Chooses models, records outcomes, and learns from them."""
