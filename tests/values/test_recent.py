"""A mapping that keeps what was used last."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modelperf_plugin.values.recent import Recent

uses = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4), st.booleans()), max_size=60)


@given(uses, st.integers(1, 12))
def test_what_was_used_last_is_kept_and_the_size_is_bounded(used: list[tuple[int, int, bool]], limit: int) -> None:
    """The entries used last are there up to the limit, with their newest value; together never more than twice it.

    An entry that was beyond the limit once may be gone, also if a later one makes room by becoming smaller.
    """
    recent: Recent[int, int] = Recent(limit)
    sizes: dict[int, int] = {}
    order: list[int] = []
    for number, (key, size, only_read) in enumerate(used):
        if only_read:
            if recent.get(key) is not None:
                order = [*(each for each in order if each != key), key]
        else:
            recent.put(key, number + 1, size)
            sizes[key] = size
            order = [*(each for each in order if each != key), key]
            assert recent.get(key) == number + 1
        assert sum(sizes[each] for each in recent) <= 2 * max(limit, *sizes.values(), 1)
        taken = 0
        for position, each in enumerate(reversed(order)):
            taken += sizes[each]
            if taken > limit:
                order = order[-position:] if position else []
                break
            assert recent.get(each) is not None
        assert len(recent) == len(list(recent))


def test_a_cleared_mapping_is_empty_and_has_all_its_room() -> None:
    """After ``clear`` nothing is there, and as much fits in as at the start."""
    recent: Recent[str, int] = Recent(3)
    recent.put("a", 1, 3)
    recent.clear()
    assert recent.get("a") is None
    for key in "bcd":
        recent.put(key, 2)
    assert sorted(recent) == ["b", "c", "d"]
