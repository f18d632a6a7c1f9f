"""The demo: an example orchestrator in a simulated world of models."""
