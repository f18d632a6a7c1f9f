"""The documentation is tested like the code: it names everything there is, and everything it shows works."""
