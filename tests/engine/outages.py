"""Two models, a better one that may have outages and a worse one, under a policy that draws nothing."""

from __future__ import annotations

from typing import Any, Final

import modelperf_plugin as mp

SUCCESS: Final = mp.Outcome(success=True)
MODELS: Final = ["first", "second"]
CONFIG: Final[dict[str, Any]] = {
    "availability": {"pause_seconds": 10, "longest_pause_seconds": 100, "jitter": 0},
    "exploration": {"strategy": "never"},
    "demotion": {"strategy": "never"},
}


def make_first_better(engine: mp.ModelPerf) -> None:
    """Record so many outcomes that ``first`` is chosen while it is available."""
    for _ in range(20):
        engine.record("t", "first", SUCCESS)
        engine.record("t", "second", mp.Outcome(success=False))
