"""``init``: write a configuration file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from modelperf_plugin.cli.options import force_option, refuse_to_replace
from modelperf_plugin.cli.output_file import save


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default="modelperf.toml", metavar="[PATH]")
@force_option
def init(path: Path, force: bool) -> None:
    """Write a configuration file that explains every key.

    PATH defaults to modelperf.toml, which hosts find in their working directory or above it.
    """
    from modelperf_plugin.config import template

    refuse_to_replace(path, force=force)
    save(path, template().encode(), mode=0o666 & ~_umask())  # it holds no names, and hosts of others may read it
    click.echo(f"wrote {path}; check it with `modelperf config check`")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
