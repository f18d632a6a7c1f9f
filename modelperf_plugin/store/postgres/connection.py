"""The connections to a PostgreSQL database, for any thread at any time, and what happens to them at a fork."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeVar

import psycopg
from psycopg import errors

from modelperf_plugin.errors import StoreBusyError, StoreError, StoreFailedError
from modelperf_plugin.store import forks
from modelperf_plugin.store.deadline import BUSY_SECONDS, remaining
from modelperf_plugin.store.durability import Durability
from modelperf_plugin.store.postgres.connecting import Connector, PatientConnection
from modelperf_plugin.store.postgres.errors import translate
from modelperf_plugin.store.postgres.migrating import migrate, refuse_older
from modelperf_plugin.store.postgres.own_outcomes import OwnOutcomes
from modelperf_plugin.store.postgres.slots import Slot, Slots
from modelperf_plugin.store.urls import without_secrets

_T = TypeVar("_T")
Parameters = Sequence[Any] | Mapping[str, Any]

_MAX_ATTEMPTS: Final = 5
"""How often a transaction is tried that gave way to another one (a deadlock), or found its connection closed."""
_LEAST_SECONDS: Final = 1.0
"""How long a statement may take even if its caller has less time: it is for the network, not for others that write."""
_SPARE_SECONDS: Final = 0.1
"""How much earlier than the caller the client gives up, and the server as much earlier than the client."""
_STEP_MS: Final = 100
"""Deadlines are rounded up to this, so that they seldom have to be set anew."""
_SETTINGS: Final = """
SELECT
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('default_transaction_read_only', %(read_only)s, false),
    set_config('synchronous_commit', CASE
        WHEN %(full)s THEN CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
            ELSE current_setting('synchronous_commit') END
        ELSE 'off'
    END, false)
"""


class PostgresConnection:
    """The connections of one store; see :class:`~modelperf_plugin.store.roles.Connection`.

    The roles share this object. Each call uses one connection for one statement, which is a transaction of its own, or
    for one transaction.
    """

    degraded: str | None = None
    """None: failures are raised here."""
    busy: bool = False
    """False: outcomes do not wait here, but fail."""
    note: str | None = None
    """What the answers do not include, if anything."""
    has_unreadable_rows: bool = False
    """False: PostgreSQL stores no text that cannot be read."""

    def __init__(
        self,
        url: str,
        *,
        durability: Durability = "normal",
        patience: float = BUSY_SECONDS,
        longest: float = math.inf,
        read_only: bool = False,
        connector: Connector | None = None,
    ) -> None:
        """Connect to the database at ``url``, creating the tables if need be.

        Args:
            url: as libpq understands it; the tables are in the first schema of its ``search_path``.
            durability: what a committed transaction survives.
            patience: for how many seconds a call may wait for others, all its waits together.
            longest: for how many seconds a statement may run, or a server be silent, at most; at least one.
            read_only: whether nothing is created or written.
            connector: opens the connections, and is closed with them; one that has tried before may have some ready.

        Raises:
            StoreError: it cannot be used; the message says why.
        """
        self.location = without_secrets(url)
        """The URL without password, for messages."""
        self.read_only = read_only
        """Whether it was opened for reading only."""
        self.patience = patience
        self.durability: Durability = durability
        """What a committed transaction should survive."""
        self.closed = False
        self.own = OwnOutcomes()
        self._longest = longest
        self._slots = Slots()
        self._connector = connector or Connector(url, self.location)
