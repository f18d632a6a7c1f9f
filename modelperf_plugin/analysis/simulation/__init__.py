"""Replay of recorded outcomes, and simulated worlds."""
