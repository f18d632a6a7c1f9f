"""Back-off: the wait doubles with every failure in a row, up to a maximum."""

from modelperf_plugin.values.backoff import Backoff


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def wait_after_failure(backoff: Backoff, clock: Clock) -> float:
    """Return after how many whole seconds the next attempt is due."""
    backoff.failed()
    started = clock.now
    while not backoff.due:
        clock.now += 1.0
    return clock.now - started


def test_the_wait_doubles_up_to_the_longest() -> None:
    """Failures in a row wait 1, 2, 4 … seconds, and never longer than the maximum."""
    clock = Clock()
    backoff = Backoff(1.0, 60.0, clock=clock)
    assert backoff.due
    assert [wait_after_failure(backoff, clock) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_success_starts_over() -> None:
    """After a success the next attempt is due at once, and the next failure waits the shortest time again."""
    clock = Clock()
    backoff = Backoff(1.0, 60.0, clock=clock)
    backoff.failed()
    backoff.failed()
    backoff.succeeded()
    assert backoff.due
    assert wait_after_failure(backoff, clock) == 1
