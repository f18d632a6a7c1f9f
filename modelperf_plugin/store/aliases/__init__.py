"""A store as if every outcome had been recorded under the canonical id of its model."""
