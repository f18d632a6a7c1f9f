"""The command ``modelperf``: front ends that translate words into calls of the engine, and answers into text.

Standard output is data, standard error is diagnostics. On a terminal there are tables in colour; anywhere else
plain text, with columns aligned by two or more spaces, nothing cut off and ``-`` for what is not known. Programs
read ``--json``. Exit codes: 0 ok, 1 negative finding, 2 usage or configuration error, 130 after Ctrl-C.
"""

from __future__ import annotations

from modelperf_plugin.cli.app import main, modelperf

__all__ = ["main", "modelperf"]
