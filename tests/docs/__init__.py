"""The documentation is tested like the code: it is complete, and everything it shows works."""
