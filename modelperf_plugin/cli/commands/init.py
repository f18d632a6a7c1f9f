"""``init``: write a configuration file."""

from __future__ import annotations

from pathlib import Path

import click

from modelperf_plugin.cli.options import Refusal


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
