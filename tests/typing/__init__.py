"""The types of the public API, as mypy and pyright see them."""
