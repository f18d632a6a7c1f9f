"""``python -m modelperf_plugin`` is the command ``modelperf``."""

from __future__ import annotations

from modelperf_plugin.cli import main

if __name__ == "__main__":
    main()
