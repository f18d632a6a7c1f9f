"""The command ``modelperf``: its subcommands in the order of ``--help``, and its exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from modelperf_plugin.cli.commands.announce import announce
from modelperf_plugin.cli.commands.backup import backup
from modelperf_plugin.cli.commands.changes import changes
from modelperf_plugin.cli.commands.compact import compact
from modelperf_plugin.cli.commands.compare import compare
from modelperf_plugin.cli.commands.completion import completion
from modelperf_plugin.cli.commands.config import config
from modelperf_plugin.cli.commands.dashboard import dashboard
from modelperf_plugin.cli.commands.decisions import decisions
from modelperf_plugin.cli.commands.demo import demo
from modelperf_plugin.cli.commands.demotions import demotions
from modelperf_plugin.cli.commands.doctor import doctor
from modelperf_plugin.cli.commands.evaluate import evaluate
from modelperf_plugin.cli.commands.explain import explain
from modelperf_plugin.cli.commands.export import export
from modelperf_plugin.cli.commands.federate import federate
from modelperf_plugin.cli.commands.forget import forget
from modelperf_plugin.cli.commands.import_ import import_
from modelperf_plugin.cli.commands.init import init
from modelperf_plugin.cli.commands.merge import merge
from modelperf_plugin.cli.commands.merged import merged
from modelperf_plugin.cli.commands.move import move
from modelperf_plugin.cli.commands.plot import plot
from modelperf_plugin.cli.commands.rank import rank
from modelperf_plugin.cli.commands.rename import rename
from modelperf_plugin.cli.commands.replay import replay
from modelperf_plugin.cli.commands.report import report
from modelperf_plugin.cli.commands.reset import reset
from modelperf_plugin.cli.commands.restore import restore
from modelperf_plugin.cli.commands.savings import savings
from modelperf_plugin.cli.commands.simulate import simulate
from modelperf_plugin.cli.commands.stats import stats
from modelperf_plugin.cli.commands.trend import trend
from modelperf_plugin.cli.commands.tune import tune
from modelperf_plugin.cli.commands.watch import watch
from modelperf_plugin.cli.commands.why import why
from modelperf_plugin.cli.help import Program
from modelperf_plugin.cli.options import add_common_options
from modelperf_plugin.cli.terminal_text import printable
from modelperf_plugin.errors import ModelPerfError, StoreError

NEGATIVE, USAGE, INTERRUPTED = 1, 2, 130
"""Exit codes beside 0."""


class _Program(Program):
    """Turns errors into messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader stopped early, as in `modelperf stats | head`: not an error.
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the process ends
            return 0
        return result

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command and exit; print errors as messages."""
        extra["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # names may have characters that the output cannot encode
                stream.reconfigure(errors="backslashreplace")
        run = super().main
        sys.exit(exit_code_of(lambda: run(*args, **extra)))


def exit_code_of(run: Callable[[], Any]) -> int:
    """Return the exit code of a command; errors are printed as messages."""
    try:
        code = run()
    except click.Abort:
        code = _fail(["interrupted"], INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = USAGE
    except click.UsageError as error:
        hint = f"\n{error.ctx.get_usage()}" if error.ctx else ""
        code = _fail([error.format_message() + hint], USAGE)
    except click.ClickException as error:
        code = _fail([error.format_message()], error.exit_code)
    except StoreError as error:
        code = _fail([str(error)], NEGATIVE)
    except ModelPerfError as error:
        problems: Sequence[Any] = getattr(error, "problems", ()) or [error]
        code = _fail([str(problem) for problem in problems], USAGE)
    except UnicodeEncodeError as error:  # a name from the command line that no store can hold
        code = _fail([f"{error.object[:100]!a} is not UTF-8; is the locale of this terminal UTF-8?"], USAGE)
    except MemoryError:
        code = _fail(["there is not enough memory for this: use a smaller file or period"], NEGATIVE)
    return code if isinstance(code, int) else 0


def _fail(messages: Sequence[str], code: int) -> int:
    for message in messages:
        click.echo("\n".join(map(printable, f"error: {message}".split("\n"))), err=True)
    return code


@click.group(
    cls=_Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ok, 1 negative finding, 2 usage or configuration error. Start with: modelperf demo",
)
@click.version_option(package_name="modelperf-plugin", message="modelperf %(version)s")
@add_common_options
def modelperf() -> None:
    """Learn which language model is best at which kind of task.

    Hosts record outcomes and ask for models through the plugin; this command shows what was learned, explains choices,
    and judges a policy on recorded outcomes before it is used.
    """


for _title, _commands in (
    ("Get started", (demo, init, config, completion)),
    ("Models and decisions", (rank, explain, why, decisions)),
    ("Outcomes", (stats, compare, trend, watch, report, plot, dashboard)),
    ("Changes and demotions", (changes, demotions, announce, reset)),
    ("Policies", (savings, replay, evaluate, tune, simulate)),
    ("Imports and exchange", (import_, federate, export, merge, merged)),
    ("Maintenance", (forget, rename, move, doctor, backup, restore, compact)),
):
    modelperf.add_section(_title, *_commands)


def main() -> NoReturn:
    """Run the command ``modelperf`` and exit."""
    modelperf.main(prog_name="modelperf")
