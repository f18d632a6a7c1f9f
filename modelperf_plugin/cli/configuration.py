"""``init`` and ``config``: the TOML file, what is wrong with it, and what is in force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelperf_plugin.cli.answer import Answer, Column
from modelperf_plugin.cli.options import Common, common_options, json_option, pass_common

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_VALUES = (Column("key", "bold"), Column("value"), Column("from", "dim"))


@click.command()
@click.argument("path", type=click.Path(dir_okay=False), default="modelperf.toml", metavar="[PATH]")
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
@common_options
@pass_common
def init(common: Common, path: str, force: bool) -> None:  # noqa: ARG001 - takes the common options for uniformity
    """Write a configuration file with every key explained (default: modelperf.toml)."""
    from modelperf_plugin.config import template

    file = Path(path)
    try:
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(template())
    except FileExistsError:
        raise click.UsageError(f"{path} exists already; --force replaces it", ctx=None) from None
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror or error}") from error
    click.echo(f"wrote {path}; check it with `modelperf config check`")


@click.group()
def config() -> None:
    """Check, show and describe the configuration."""


@config.command()
@click.argument("path", required=False, metavar="[PATH]")
@json_option
@common_options
@pass_common
def check(common: Common, path: str | None, as_json: bool) -> None:
    """Say everything that is wrong with the configuration at once; exit code 2 if anything is."""
    from modelperf_plugin.errors import ConfigError

    answer = Answer("config check", as_json=as_json)
    common.config = path or common.config
    try:
        files = [str(file) for file in common.load().files]
    except ConfigError as error:
        if not as_json:
            raise
        problems = [{"source": each.source, "path": each.path, "message": each.message} for each in error.problems]
        answer.json(ok=False, files=[], problems=problems)
        raise click.exceptions.Exit(2) from error
    if as_json:
        answer.json(ok=True, files=files, problems=[])
    else:
        answer.line(("ok", "green"), f": {', '.join(files) or 'no file, the defaults'}")


@config.command()
@json_option
@common_options
@pass_common
def show(common: Common, as_json: bool) -> None:
    """Show every value in force and where it comes from."""
    answer = Answer("config show", as_json=as_json)
    loaded = common.load()
    values = loaded.config.model_dump(mode="json")
    if as_json:
        answer.json(config=values, origins=dict(loaded.origins), files=[str(file) for file in loaded.files], note=None)
        return
    answer.table(
        _VALUES,
        [
            [path, json.dumps(value, ensure_ascii=False), loaded.origins.get(path, "default")]
            for path, value in _flat(values)
        ],
    )


@config.command()
@common_options
@pass_common
def schema(common: Common) -> None:  # noqa: ARG001 - takes the common options for uniformity
    """Print the JSON Schema of the configuration file."""
    from modelperf_plugin.config import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted path and the value of every leaf."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
