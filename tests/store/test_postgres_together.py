"""Several hosts on one PostgreSQL database: what only one of them may do, one does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from modelperf_plugin.store import CountedProblem, Merged, Store, Sums, WatchState
from modelperf_plugin.values import Tally
from tests.postgres import Server
from tests.store.contract.examples import record, unsound
from tests.store.contract.test_imports import FIRST, row
from tests.store.together import at_once

pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from modelperf_plugin.store.postgres.store import open_postgres

HOSTS = 4


@pytest.fixture
def stores(postgres: Server) -> Iterator[list[Store]]:
    """Return a store for each host, all on one database."""
    url = postgres.new_schema()
    with ExitStack() as opened:
        yield [opened.enter_context(closing(open_postgres(url))) for _ in range(HOSTS)]


def test_one_host_notes_a_change_and_a_demotion(stores: list[Store]) -> None:
    """Of hosts that notice the same thing at the same time one is told that it is new; nothing is noted twice."""
    for name in ("m0", "m1", "m2"):
        record(stores[0], name, success=False)

        def change(store: Store, _: int, name: str = name) -> bool:
            return store.changes.add(name, "down", (0, 9), (0, 0), 1.0, {})

        def demote(store: Store, _: int, name: str = name) -> bool:
            return store.demotions.add("t", name, 1, 0.7, 20.0, "why")

        def reinstate(store: Store, _: int, name: str = name) -> bool:
            return store.demotions.end("t", name, 5, "operator")

        assert [sum(at_once(stores, act)) for act in (change, demote, reinstate)] == [1, 1, 1]
    assert len(stores[1].changes.all()) == len(stores[1].demotions.all()) == 3


def test_a_change_does_not_count_what_others_record_meanwhile(stores: list[Store]) -> None:
    """A baseline and what comes after it are all there is, whatever is recorded at the same time."""
    for _ in range(10):
        record(stores[0], "m", success=True)
    position = stores[0].events.last_id()

    def act(store: Store, host: int) -> None:
        if host == 0:
            store.changes.add("m", "down", (0, position), (0, 0), 1.0, {"t": 0.5})
        else:
            for _ in range(20):
                record(store, "m", success=True)

    at_once(stores, act)
    assert stores[0].tallies.baselines()["t", "m"].successes == 10
    assert stores[0].tallies.of("t")["m"].successes == 10 + 20 * (HOSTS - 1)
    assert unsound(stores[0]) == []


def test_one_host_imports_each_part(stores: list[Store]) -> None:
    """A batch, or sums, that all bring at the same time are counted once, and the archive is made once."""
    rows = [row(stores[0])] * 10
    begun = at_once(stores, lambda store, _: store.imports.add_events(FIRST, rows))
    ((import_id, added),) = [each for each in begun if each is not None]
    assert added == 10
    made: list[int] = []

    def archive(store: Store, host: int) -> bool:
        def compress() -> str:
            made.append(host)
            return f"{host}.gz"

        return store.imports.archive(import_id, compress)

    archived = at_once(stores, archive)
    assert (sum(archived), len(made)) == (1, 1)
    step = FIRST._replace(kind="json", source="sums")
    assert sum(at_once(stores, lambda store, _: store.imports.add_sums(step, [Sums("t", "m", 3, 1)]))) == 1
    assert [(tally.successes, tally.failures) for tally in stores[0].tallies.all()] == [(13, 1)]
    assert unsound(stores[0]) == []


def test_imports_beside_recorders_lose_nothing(stores: list[Store]) -> None:
    """Imports with ids and pairs that others record at the same time neither fail nor count twice."""

    def act(store: Store, host: int) -> int:
        if host % 2:
            for number in range(20):
                record(store, f"m{number}", success=True)
            return 20
        step = FIRST._replace(source=f"{host}.csv", digest=str(host), newest=9)
        numbered = [row(store) for _ in range(20)]
        done = store.imports.add_events(step, numbered, [f"id {number}" for number in range(20)])
        assert done is not None
        return done[1]

    assert sum(at_once(stores, act)) == 60
    assert sum(tally.successes for tally in stores[0].tallies.all()) == 60
    assert stores[0].events.last_id() == 60
    assert unsound(stores[0]) == []


def test_the_states_of_the_host_that_has_seen_most_stay(stores: list[Store]) -> None:
    """Whichever of them saves last."""
    at_once(
        stores, lambda store, host: store.watch_states.save(host + 1, [WatchState("fall", "t", "a", (host + 1.0,))])
    )
    assert stores[0].watch_states.load() == (HOSTS, [WatchState("fall", "t", "a", (float(HOSTS),))])


def test_problems_of_all_hosts_are_added_up(stores: list[Store]) -> None:
    """None is lost, and none makes another host fail."""

    def act(store: Store, host: int) -> None:
        for number in range(30):
            store.problems.add(CountedProblem("select_model", "broken", 1, number, number))
            store.problems.add(CountedProblem("select_model", f"failure {host} {number}", 1, number, number))

    at_once(stores, act)
    (problem,) = [each for each in stores[0].problems.all() if each.message == "broken"]
    assert problem.times == 30 * HOSTS
    assert len(stores[0].problems.all()) == 100


def test_merged_experience_is_replaced_as_a_whole(stores: list[Store]) -> None:
    """Hosts that replace a source at the same time leave the version of one of them."""
    stores[0].merged.add(Merged(0, "alpha", None, "digest", 10.0, 1000, 1, 4), [Tally("t", "m", 1, 0)])

    def act(store: Store, host: int) -> None:
        tallies = [Tally("t", f"m{number}", host, 0) for number in range(50)]
        store.merged.add(Merged(0, "alpha", None, f"{host}", 10.0, host, 1, 4), tallies, replaces="alpha")

    at_once(stores, act)
    (source,) = stores[0].merged.all()
    priors = stores[0].merged.priors()
    assert (source.pairs, {str(each.tally.successes) for each in priors}) == (50, {source.digest})
