"""The plugin as hosts see it: through a plugin manager, over a real store."""
