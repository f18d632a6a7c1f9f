"""The command ``modelperf``: translates command lines into engine calls, and answers into text.

Standard output is data, standard error is diagnostics. On a terminal, tables are in colour; elsewhere they are plain
text with columns separated by two or more spaces, nothing cut off and ``-`` for unknown values. Programs use
``--json``. Exit codes: 0 ok, 1 negative finding, 2 usage or configuration error, 130 interrupted.
"""

from modelperf_plugin.cli.app import main, modelperf

__all__ = ["main", "modelperf"]
