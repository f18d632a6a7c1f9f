"""No input of any way in does harm: neither those that once did, nor valid ones with some bytes changed."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import starting_points
from tests.fuzz.ways_in import WAYS, run


class Edit(NamedTuple):
    """One change of an input."""

    position: float
    removed: int
    inserted: bytes

    def apply(self, data: bytes) -> bytes:
        """Return ``data`` with the change."""
        at = int(self.position * len(data))
        return data[:at] + self.inserted + data[at + self.removed :]


_EDITS = st.lists(
    st.builds(
        Edit,
        st.floats(0, 1),
        st.one_of(st.integers(0, 16), st.sampled_from([100, 4096, 1_000_000])),
        st.one_of(
            st.binary(max_size=24),
            st.sampled_from([b"[" * 100_000, b"9" * 400, b"\xff\xfe", b"\x00", b"true", b"null", b'"', b"1e999"]),
        ),
    ),
    max_size=4,
)


@pytest.mark.parametrize("name", WAYS)
def test_inputs_that_once_did_harm(name: str) -> None:
    """Valid inputs, and each that once did harm, leave a host that chooses and records."""
    for data in starting_points(name):
        run(name, data)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed")
@pytest.mark.parametrize("name", WAYS)
def test_changed_inputs(name: str) -> None:
    """Whatever bytes of an input are changed, removed or added, a host chooses and records."""
    starts = starting_points(name)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(starts) - 1), _EDITS)
    def check(start: int, edits: list[Edit]) -> None:
        data = starts[start]
        for edit in edits:
            data = edit.apply(data)
        run(name, data)

    check()
