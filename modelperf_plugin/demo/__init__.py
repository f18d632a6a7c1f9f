"""What ``modelperf demo`` shows: a simulated world of models, and an orchestrator that lives in it."""
