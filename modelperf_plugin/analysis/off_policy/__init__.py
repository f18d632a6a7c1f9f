"""Off-policy evaluation from the decision log."""
