"""``init``: write a configuration file."""

from __future__ import annotations

from pathlib import Path

import click

from modelperf_plugin.cli.options import Refusal, force_option


@click.command()
@click.argument("path", type=click.Path(dir_okay=False), default="modelperf.toml", metavar="[PATH]")
@force_option
def init(path: str, force: bool) -> None:
    """Write a configuration file that explains every key.

    PATH defaults to modelperf.toml, which hosts find in their working directory or above it.
    """
    from modelperf_plugin.config import template

    try:
        with Path(path).open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(template())
    except FileExistsError:
        raise Refusal(f"{path} already exists; --force replaces it") from None
    except OSError as error:
        raise Refusal(f"cannot write {path}: {error.strerror or error}") from error
    click.echo(f"wrote {path}; check it with `modelperf config check`")
