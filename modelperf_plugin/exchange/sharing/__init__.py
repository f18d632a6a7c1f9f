"""Export, and merging what others exported."""
