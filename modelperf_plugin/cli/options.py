"""Options that commands share, and what they select: a configuration, an engine, a store."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import click

from modelperf_plugin.cli import completing
from modelperf_plugin.cli.answer import Answer
from modelperf_plugin.cli.terminal_text import printable
from modelperf_plugin.values import MAX_ATTEMPTS

if TYPE_CHECKING:
    from modelperf_plugin.analysis.views.trends import Period
    from modelperf_plugin.config import Config, LoadedConfig
    from modelperf_plugin.engine.core import ModelPerf
    from modelperf_plugin.store import Store

_Command = TypeVar("_Command", bound="Callable[..., Any]")
_Parameters = ParamSpec("_Parameters")


DEMO_STORE: Final = ".sf/demo.db"
"""Where `modelperf demo` writes, if no store is named: other commands find it, hosts do not."""
DEMO_POLICY: Final = ".sf/demo.toml"
"""The policy of a demo without a configuration: it is in force for the commands that use its store."""

_A_DAY: Final = 10
"""The length of a day such as 2026-01-31."""
_TIME: Final = "a day such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z"


class Refusal(click.ClickException):
    """The command refuses to do what it was asked; exit code 2."""

    exit_code = 2


class Common:
    """Values of the options that every command shares, given before or after the command's name."""

    def __init__(self) -> None:
        self.config: str | None = None
        self.store: str | None = None
        self.default_store: str | None = None
        """The store if none is configured, where the command runs in another program."""
        self.verbose = 0
        self.as_json = self.as_csv = False
        self._has_said = False

    def load(self, flags: Mapping[str, Any] | None = None) -> LoadedConfig:
        """Return the configuration in force; ``flags``, in the shape of the TOML, override everything else.

        Raises:
            ConfigError: the configuration is not valid; the error lists every problem.
        """
        from modelperf_plugin.config import load

        layer = dict(flags or {})
        if self.store is not None:
            from modelperf_plugin.store.urls import is_postgres

            layer["store"] = {"url": self.store} if is_postgres(self.store) else {"path": self.store, "url": None}
        loaded = load(self.config, flags=layer)
        if self.default_store is not None and not loaded.names_store:
            return load(self.config, flags={**layer, "store": {"path": self.default_store}})
        return loaded

    def policies(self, files: Iterable[str]) -> dict[str, Config]:
        """Return the configurations in ``files`` by name, or the one in force if there are none."""
        from modelperf_plugin.config import load

        return {file: load(file).config for file in files} or {"the policy in force": self.load().config}

    def existing_store(self, answer: Answer, config: Config | None = None, **empty: Any) -> str:
        """Return the location of the store; if it does not exist, exit with a note and ``empty``.

        A demo's store is used as long as there is no other, and none is configured.
        """
        location = str((config or self.load().config).store.location)
        if not is_missing(location):
            return location
        found = self.location_to_read()
        if found is None:
            answer.exit_with_note(missing_note(location), store=location, **empty)
        self._use_demo_policy()
        if not self._has_said:  # once, however often the store is opened
            answer.print_aside(f"these are a demo's outcomes, because {location} does not exist yet")
            self._has_said = True
        return found

    def location_to_read(self) -> str | None:
        """Return the location of the store, or of a demo's as long as there is no other; None if there is none."""
        location = self.store or str(self.load().config.store.location)
        if not is_missing(location):
            return location
        return DEMO_STORE if self._is_demo_meant() else None

    def existing_location(self) -> str:
        """Return the location of a store that is known to exist."""
        return self.location_to_read() or str(self.load().config.store.location)

    def _use_demo_policy(self) -> None:
        if self.config is None and Path(DEMO_POLICY).is_file() and not self.load().files:
            self.config = DEMO_POLICY

    def _is_demo_meant(self) -> bool:
        is_named = self.store is not None or self.default_store is not None or self.load().names_store
        return not is_named and Path(DEMO_STORE).is_file()

    @contextmanager
    def reading(self, answer: Answer, flags: Mapping[str, Any] | None = None, **empty: Any) -> Iterator[ModelPerf]:
        """Open the engine read-only on an existing store; without one, exit with a note and ``empty``."""
        from modelperf_plugin.engine.core import ModelPerf
        from modelperf_plugin.store.opening import to_read

        location = self.existing_store(answer, self.load(flags).config, **empty)
        config = self.load(flags).config
        with ModelPerf(config, store=to_read(location)) as engine:
            engine.attached.wait()
            note = engine.store.connection.note
            if note is not None:
                click.echo(printable(f"note: {note}"), err=True)
            yield engine

    @contextmanager
    def writing(self, answer: Answer) -> Iterator[ModelPerf]:
        """Open the engine on an existing store, as a host does; without one, exit with a note.

        Raises:
            StoreError: the database cannot be written to.
        """
        from modelperf_plugin.engine.core import ModelPerf
        from modelperf_plugin.errors import StoreError

        location = self.existing_store(answer)
        with ModelPerf(self.load().config, store=location) as engine:
            if engine.store.degraded is not None:
                raise StoreError(engine.store.degraded)
            yield engine

    @contextmanager
    def opened_store(self, *, dry_run: bool = False) -> Iterator[Store]:
        """Open the configured store, creating it if necessary; for a dry run one in memory replaces a missing one."""
        from modelperf_plugin.store import open_store

        store = self.load().config.store
        location = ":memory:" if dry_run and is_missing(store.location) else store.location
        with closing(open_store(location, durability=store.durability)) as opened:
            yield opened


def add_common_options(command: _Command) -> _Command:
    """Give a command the options ``--config``, ``--store`` and ``--verbose``."""
    for option in (
        click.option(
            "-v", "--verbose", count=True, expose_value=False, callback=_set_verbosity,
            help="Log more to standard error; -vv logs everything.",
        ),
        click.option(
            "--store", metavar="PATH_OR_URL", expose_value=False, callback=_set, shell_complete=completing.files,
            help="Use this store instead of the configured one.",
        ),
        click.option(
            "--config", metavar="PATH", expose_value=False, callback=_set, shell_complete=completing.files,
            help="Use this TOML file instead of looking for one.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def common_options(command: Callable[Concatenate[Common, Answer, _Parameters], None]) -> Callable[_Parameters, None]:
    """Give a command the common options, and call it with their values and its answer."""

    @functools.wraps(command)
    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> None:
        context = click.get_current_context()
        common = context.ensure_object(Common)
        _, _, name = context.command_path.partition("modelperf ")
        command(common, Answer(name, as_json=common.as_json, as_csv=common.as_csv), *args, **kwargs)

    return add_common_options(run)


def _set(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    common = context.ensure_object(Common)
    if value is not None:
        setattr(common, str(parameter.name), value)


def _set_verbosity(context: click.Context, parameter: click.Parameter, value: int) -> None:  # noqa: ARG001 - click's signature
    common = context.ensure_object(Common)
    common.verbose += value
    logger = logging.getLogger("modelperf_plugin")
    logger.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(common.verbose, 2)])
    if not any(isinstance(handler, _StandardError) for handler in logger.handlers):
        logger.addHandler(_StandardError())


def _day(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """Return the beginning in UTC of a day such as 2026-01-31."""
    if value is None:
        return None
    try:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a day such as 2026-01-31", context, parameter) from None


def moment_ms(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Return a time in milliseconds since the Unix epoch: of a day its beginning, or for ``--until`` its end."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        if len(value) == _A_DAY and parameter.name == "until":
            moment += timedelta(days=1)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is not {_TIME}", context, parameter) from None


def model_option(*names: str, description: str) -> Callable[[_Command], _Command]:
    """Return an option that names a model."""
    return click.option(*names, metavar="MODEL", shell_complete=completing.models, help=description)


def models_option(*names: str, metavar: str, description: str) -> Callable[[_Command], _Command]:
    """Return an option that names models, separated by commas or repeated."""
    return click.option(
        *names, metavar=metavar, multiple=True, shell_complete=completing.models_in_list, help=description
    )


def output_option(description: str, *, default: str | None = None) -> Callable[[_Command], _Command]:
    """Return the option that names the file to write, the same in every command."""
    return click.option(
        "-o", "--output", metavar="FILE", default=default, show_default=default is not None,
        shell_complete=completing.files, help=description,
    )  # fmt: skip


json_option = click.option(
    "--json", "as_json", is_flag=True, expose_value=False, callback=_set, help="Print JSON for programs."
)
csv_option = click.option(
    "--csv", "as_csv", is_flag=True, expose_value=False, callback=_set,
    help="Print CSV for spreadsheets, with all digits.",
)  # fmt: skip
task_argument = click.argument("task_type", metavar="TASK", shell_complete=completing.task_types)
model_argument = click.argument("model_id", metavar="MODEL", shell_complete=completing.models)
some_task_argument = click.argument("task_type", required=False, metavar="[TASK]", shell_complete=completing.task_types)
task_option = click.option(
    "--task", "task_type", metavar="TASK", shell_complete=completing.task_types, help="This task type only."
)
force_option = click.option("--force", is_flag=True, help="Replace an existing file.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would be done; write nothing.")
seed_option = click.option(
    "--seed", type=int, metavar="N", default=0, show_default=True,
    help="Random seed; the same seed gives the same answer.",
)  # fmt: skip
attempts_option = click.option(
    "--attempts", type=click.IntRange(1, MAX_ATTEMPTS), metavar="N",
    help="Maximum number of tries per task, in the order of the decision. [default: [retries] attempts]",
)  # fmt: skip
policy_option = click.option(
    "--policy", "files", multiple=True, metavar="TOML", type=click.Path(exists=True, dir_okay=False),
    help="Configuration to use instead of the one in force; may be repeated.",
)  # fmt: skip
days_option = click.option(
    "--days", type=click.IntRange(1, 3660), metavar="N", default=30, show_default=True, help="How many days back."
)
until_option = click.option("--until", callback=_day, metavar="DAY", help="Last day, as in 2026-01-31. Default: today.")


def period_until(days: int, until: datetime | None) -> Period:
    """Return the period of ``days`` up to ``until``, by default up to today."""
    from modelperf_plugin.analysis.views.trends import Period

    return Period.last(days, until=None if until is None else until.date(), now=datetime.now(UTC))


def ends_with_interrupt(command: Callable[_Parameters, None]) -> Callable[_Parameters, None]:
    """Let Ctrl-C end a command that runs until then, with exit code 0."""

    @functools.wraps(command)
    def run(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> None:
        with suppress(KeyboardInterrupt):
            command(*args, **kwargs)

    return run


def split_names(values: Iterable[str]) -> list[str]:
    """Return the names in an option that was repeated, or given with commas, or both."""
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def refuse_to_replace(file: Path, *, force: bool) -> None:
    """Refuse if ``file`` exists, unless ``--force`` was given."""
    if file.exists() and not force:
        raise Refusal(f"{file} already exists; --force replaces it")


def is_missing(location: str) -> bool:
    """Return whether ``location`` names a file that does not exist, so that opening it would create it."""
    if location == ":memory:" or ("://" in location and not location.startswith("sqlite:///")):
        return False  # tables that are missing are reported when it is opened
    from modelperf_plugin.store.opening import file_of
    from modelperf_plugin.store.sqlite.requirements import check_requirements

    path = file_of(location)
    check_requirements(path)
    return not Path(path).exists()


def missing_note(location: str) -> str:
    """Return the message for a store that does not exist, with what to do about it."""
    old = Path(location).with_suffix(".json")
    if old.is_file():
        return (
            f"no outcomes yet: {location} does not exist; `modelperf import json {old}` creates it, and so does the "
            "first host"
        )
    return f"no outcomes yet: {location} does not exist; run `modelperf demo` or record through a host"


class _StandardError(logging.Handler):
    """Writes log records to whatever standard error is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        first, *rest = self.format(record).split("\n")
        click.echo("\n".join(map(printable, [f"{record.levelname.lower()}: {first}", *rest])), err=True)
