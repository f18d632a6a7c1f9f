"""The tracker of the migration guide, on a path or URL of its own."""

from __future__ import annotations

import os
from typing import Literal

from modelperf_plugin.engine.clock import Clock
from modelperf_plugin.engine.tracker import Tracker
from modelperf_plugin.exchange.importing.legacy_import import LegacyImporter
from modelperf_plugin.store import open_with_fallback
from modelperf_plugin.store.deadline import PATIENCE_SECONDS
from modelperf_plugin.store.opening import DEFAULT_PATH


class ModelPerformanceTracker(Tracker):
    """Records outcomes and answers the migration guide's four questions, by plain success rates.

    The JSON file of an older tracker beside the store is imported once and archived a week later. Any thread may call
    any method.
    """

    def __init__(
        self,
        path_or_url: str | os.PathLike[str] = ".sf/model-performance.db",
        *,
        durability: Literal["normal", "full"] = "normal",
        patience: float = PATIENCE_SECONDS,
        spool: str | os.PathLike[str] = DEFAULT_PATH,
        clock: Clock | None = None,
    ) -> None:
        """Open the store at ``path_or_url``: a path, ``":memory:"`` or a URL; a new file is created.

        An outcome that would wait for other writers longer than ``patience`` seconds is written to a file beside the
        store, and moved in later; for a PostgreSQL database, that file is beside the path ``spool``. ``clock`` returns
        an aware datetime, for outcomes without a timestamp.

        Raises:
            InvalidValueError: this version has no store for such a URL.
            MissingExtraError: the library for this URL is not installed.
            StoreError: the store cannot be used.
        """
        store = open_with_fallback(path_or_url, durability=durability, patience=patience, spool=spool)
        super().__init__(store, LegacyImporter, clock)
