"""``init`` and ``config``: the TOML file, what is wrong with it, and what is in force."""

from __future__ import annotations

import json
from pathlib import Path

import click

from modelperf_plugin.cli.answer import Answer, Column
from modelperf_plugin.cli.options import Common, Refusal, common_options, json_option, pass_common

_VALUES = (Column("key", "bold"), Column("value"), Column("from", "dim"))


@click.command()
@click.argument("path", type=click.Path(dir_okay=False), default="modelperf.toml", metavar="[PATH]")
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
def init(path: str, force: bool) -> None:
    """Write a configuration file with every key explained.

    PATH is modelperf.toml unless given; hosts find that file in their working directory or above it.
    """
    from modelperf_plugin.config import template

    file = Path(path)
    try:
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(template())
    except FileExistsError:
        raise Refusal(f"{path} exists already; --force replaces it") from None
    except OSError as error:
        raise Refusal(f"{path} cannot be written: {error.strerror or error}") from error
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
    """Say everything that is wrong with the configuration.

    PATH is what --config is: without it the configuration is looked for as a host does. Exit code 2 if anything
    is wrong.
    """
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
    rows = [[path, json.dumps(value, ensure_ascii=False), origin] for path, value, origin in loaded.rows()]
    answer.table(_VALUES, rows)


@config.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file."""
    from modelperf_plugin.config import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
