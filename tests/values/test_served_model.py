"""The served model of an outcome."""

from __future__ import annotations

import pytest

from modelperf_plugin.errors import InvalidValueError
from modelperf_plugin.values import Outcome


def test_it_is_checked_like_the_id_of_a_model() -> None:
    """None and an empty text are unknown; anything else is an id, or an error that names the field."""
    assert [Outcome(success=True, served_model=name).served_model for name in (None, "", "m")] == [None, None, "m"]
    for bad in ("a\nb", "x" * 513, 7, b"m", False):
        with pytest.raises(InvalidValueError, match="served_model"):
            Outcome(success=True, served_model=bad)  # type: ignore[arg-type]


def test_a_mapping_may_have_it() -> None:
    """Both spellings of the key are accepted."""
    for key in ("served_model", "servedModel"):
        assert Outcome.from_mapping({"success": True, key: "m"}).served_model == "m"
