"""Checks of strategies as TOML tables, shared by the tests of every policy section."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError


def check_refused(union: Any, table: dict[str, Any], names: str) -> None:
    """Check that a bad table is one error, which names its key."""
    with pytest.raises(ValidationError, match=names) as caught:
        TypeAdapter(union).validate_python(table)
    assert caught.value.error_count() == 1


def check_loaded(union: Any, table: dict[str, Any], expected: BaseModel) -> None:
    """Check that a table loads to the expected strategy, which is frozen."""
    strategy = TypeAdapter(union).validate_python(table)
    assert strategy == expected
    for key in table:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(strategy, key, None)
