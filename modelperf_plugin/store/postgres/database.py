"""A PostgreSQL database as the main store of a host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from modelperf_plugin.errors import StoreFailedError
from modelperf_plugin.paths import absolute
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.entries import Entry
from modelperf_plugin.store.postgres.connecting import Connector
from modelperf_plugin.store.postgres.receipts import receipt_id
from modelperf_plugin.store.postgres.store import PostgresStore, open_postgres
from modelperf_plugin.store.store import Store
from modelperf_plugin.store.urls import without_secrets


class PostgresDatabase:
    """The database at a URL; see :class:`~modelperf_plugin.store.main_store.Database`."""

    is_remote = True

    def __init__(self, url: str, spool: str, durability: Durability, patience: float) -> None:
        """Take the URL, with what is secret in it, and the path beside which outcomes are spooled.

        Raises:
            StoreError: the URL is malformed.
        """
        self.location = without_secrets(url)
        self.spool = str(absolute(spool))  # a host may change its working directory
        self._url = url
        self._durability: Durability = durability
        self._patience = patience
        self._connector = Connector(url, self.location)

    def open(self) -> PostgresStore:
        store = open_postgres(
            self._url, durability=self._durability, patience=self._patience, longest=self._patience,
            connector=self._connector,
        )  # fmt: skip
        try:
            store.outcomes.forget_senders()
        except BaseException:
            store.close()
            raise
        return store

    def open_to_read(self) -> NoReturn:
        raise StoreFailedError(f"{self.location} is not read while it fails")  # that might take as long again

    def is_current(self, store: Store) -> bool:  # noqa: ARG002 - the protocol's
        return True  # a connection to a database that was dropped or has moved ends

    def settle(self, store: Store) -> None:
        pass

    def content(self) -> object:
        return object()  # whatever is wrong may be right again at any time

    def last_changed(self) -> float:
        return 0.0

    def unsettled(self) -> list[tuple[str, Sequence[Entry]]]:
        return [
            (receipt_id(sender, sent), entries)
            for connection in self._connector.lost
            for _, sender, sent, entries in connection.unsettled
        ]

    def close(self) -> None:
        self._connector.close()
