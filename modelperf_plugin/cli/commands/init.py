"""``init``: write a configuration file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import click

from modelperf_plugin.cli.help import command
from modelperf_plugin.cli.options import Refusal, force_option, output_option, refuse_to_replace
from modelperf_plugin.cli.output_file import named_file, save

_DEFAULT: Final = Path("modelperf.toml")


@command("", "-o policy.toml")
@click.argument("file", type=click.Path(path_type=Path), required=False, metavar="[FILE]")
@output_option("File to write, instead of FILE.")
@force_option
def init(file: Path | None, output: str | None, force: bool) -> None:
    """Write a configuration file that explains every key.

    FILE defaults to modelperf.toml, which hosts find in their working directory or above it. Its JSON Schema is written
    beside it, for editors.
    """
    from modelperf_plugin.config import SCHEMA_FILE, template

    path = named_file(file, output) or _DEFAULT
    if path.is_dir():
        raise Refusal(f"{path} is a folder: name a file in it")
    refuse_to_replace(path, force=force)
    schema_file = path.with_name(SCHEMA_FILE)
    schema = _schema(schema_file)
    mode = 0o666 & ~_umask()  # they hold no names, and hosts of others may read them
    save(path, template().encode(), mode=mode)
    save(schema_file, schema, mode=mode)
    click.echo(f"wrote {path}, and {SCHEMA_FILE} for editors; check it with `modelperf config check`")


def _schema(file: Path) -> bytes:
    """Return the schema to write; refuse if the file is another one."""
    from modelperf_plugin.config import json_schema

    schema = json_schema()
    try:
        known = json.loads(file.read_bytes())
    except FileNotFoundError:
        known = {"title": schema["title"]}
    except (OSError, ValueError):
        known = None
    if not isinstance(known, dict) or known.get("title") != schema["title"]:
        raise Refusal(f"{file} exists and is not a schema of ours: move it away")
    return (json.dumps(schema, indent=2) + "\n").encode()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
