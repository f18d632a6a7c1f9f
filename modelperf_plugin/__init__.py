"""A pluggy plugin that learns which language model is best at which kind of task."""
