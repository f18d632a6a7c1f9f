"""The tracker of the migration guide, on a path or URL of its own."""

from __future__ import annotations

import os
from typing import Literal

from modelperf_plugin.engine.clock import Clock
from modelperf_plugin.engine.tracker import Tracker
from modelperf_plugin.exchange.importing.legacy_import import import_legacy_json
from modelperf_plugin.store import open_with_fallback


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
        clock: Clock | None = None,
    ) -> None:
        """Open the store at ``path_or_url``: a path, ``":memory:"`` or a URL; a new file is created.

        ``clock`` returns an aware datetime and stamps outcomes that come without a time.

        Raises:
            InvalidValueError: this version has no store for such a URL.
            StoreError: the store cannot be used.
        """
        super().__init__(open_with_fallback(path_or_url, durability=durability), import_legacy_json, clock)
