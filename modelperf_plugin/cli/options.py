"""What every command can be told, and what that leads to: a configuration, an engine, a store that is only read."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import click

from modelperf_plugin.cli.terminal_text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from modelperf_plugin.cli.answer import Answer
    from modelperf_plugin.config import LoadedConfig
    from modelperf_plugin.engine.core import ModelPerf

_Command = TypeVar("_Command", bound="Callable[..., Any]")


class Refusal(click.ClickException):
    """A command does not do what it was told to, because it should not; exit code 2."""

    exit_code = 2


class Common:
    """What was said by the options that every command has, before or after the command's name."""

    def __init__(self) -> None:
        self.config: str | None = None
        """``--config``"""
        self.store: str | None = None
        """``--store``"""
        self.verbose = 0
        """How often ``-v`` was given."""

    def load(self, flags: Mapping[str, Any] | None = None) -> LoadedConfig:
        """Return the configuration in force; ``flags``, in the shape of the TOML, come before everything else.

        Raises:
            ConfigError: it is not usable; every problem is in it.
        """
        from modelperf_plugin.config import load

        layer = dict(flags or {})
        if self.store is not None:
            layer["store"] = {"path": self.store}
        return load(self.config, flags=layer)

    @contextmanager
    def reading(self, answer: Answer, flags: Mapping[str, Any] | None = None, **empty: Any) -> Iterator[ModelPerf]:
        """Open the engine on a store that is there already, for reading only; without one answer with ``empty``."""
        from modelperf_plugin.engine.core import ModelPerf
        from modelperf_plugin.exchange.attached.federated import FederatedStore
        from modelperf_plugin.store.opening import to_read

        config = self.load(flags).config
        location = str(config.store.path)
        if is_missing(location):
            answer.nothing(missing_note(location), store=location, **empty)
        with ModelPerf(config, store=to_read(location)) as engine:
            if isinstance(engine.store, FederatedStore):
                engine.store.wait()
            note = getattr(engine.store, "note", None)
            if note is not None:
                click.echo(printable(f"note: {note}"), err=True)
            yield engine

    @contextmanager
    def writing(self, answer: Answer) -> Iterator[ModelPerf]:
        """Open the engine on a store that is there already, as a host does; without a database that is an error."""
        from modelperf_plugin.engine.core import ModelPerf
        from modelperf_plugin.errors import StoreError

        config = self.load().config
        location = str(config.store.path)
        if is_missing(location):
            answer.nothing(missing_note(location), store=location)
        with ModelPerf(config) as engine:
            if engine.store.degraded is not None:
                raise StoreError(engine.store.degraded)
            yield engine

    def existing_file(self, answer: Answer, **empty: object) -> str:
        """Return the path of the database; without one answer with ``empty`` and a note."""
        from modelperf_plugin.store.opening import file_of

        location = str(self.load().config.store.path)
        if is_missing(location):
            answer.nothing(missing_note(location), store=location, **empty)
        return file_of(location)


def common_options(command: _Command) -> _Command:
    """Give a command the options ``--config``, ``--store`` and ``--verbose``."""
    for option in (
        click.option(
            "-v", "--verbose", count=True, expose_value=False, callback=_keep_verbose,
            help="Say more on standard error; -vv says everything.",
        ),
        click.option(
            "--store", metavar="PATH_OR_URL", expose_value=False, callback=_keep,
            help="Where the outcomes are, instead of the configured place.",
        ),
        click.option(
            "--config", metavar="PATH", expose_value=False, callback=_keep,
            help="The TOML file to use, instead of looking for one.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print CSV for spreadsheets, with all digits.")
days_option = click.option(
    "--days", type=click.IntRange(1, 3660), metavar="N", default=30, show_default=True, help="How many days back."
)
pass_common = click.make_pass_decorator(Common, ensure=True)


def split_names(values: Iterable[str]) -> list[str]:
    """Return the names in an option that was given several times, or with commas, or both."""
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def is_missing(location: str) -> bool:
    """Return whether ``location`` names a file that does not exist: opening it would create it."""
    if location == ":memory:" or ("://" in location and not location.startswith("sqlite:///")):
        return False
    path = unquote(location.removeprefix("sqlite:///")) if "://" in location else location
    return not Path(path).expanduser().exists()


def missing_note(location: str) -> str:
    """Return what to say, and to do, when the file at ``location`` does not exist."""
    old = Path(location).with_suffix(".json")
    if old.is_file():
        return f"no outcomes yet: {location} does not exist; `modelperf import json {old}`, or the first host, makes it"
    return f"no outcomes yet: {location} does not exist; run `modelperf demo` or record through a host"


def _keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    common = ctx.ensure_object(Common)
    if value is not None:
        setattr(common, str(param.name), value)


def _keep_verbose(ctx: click.Context, param: click.Parameter, value: int) -> None:  # noqa: ARG001 - click's signature
    common = ctx.ensure_object(Common)
    common.verbose += value
    logger = logging.getLogger("modelperf_plugin")
    logger.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(common.verbose, 2)])
    if not any(isinstance(each, _StandardError) for each in logger.handlers):
        logger.addHandler(_StandardError())


class _StandardError(logging.Handler):
    """Prints each record to what standard error is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        lines = self.format(record).split("\n")
        click.echo("\n".join(map(printable, [f"{record.levelname.lower()}: {lines[0]}", *lines[1:]])), err=True)
