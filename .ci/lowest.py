"""Print the lowest declared version of each dependency as pip constraints, for the extras given as arguments."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
OWN_EXTRAS = re.compile(re.escape(PROJECT["name"]) + r"\[([\w,-]+)\]")
AT_LEAST = re.compile(r"([\w.-]+)(?:\[[\w,-]+\])?>=([\w.]+)")


def constraints(requirements: list[str]) -> Iterator[str]:
    """Yield ``name==version`` for each requirement ``name>=version``, following the project's own extras."""
    for requirement in requirements:
        if own := OWN_EXTRAS.fullmatch(requirement):
            for extra in own.group(1).split(","):
                yield from constraints(PROJECT["optional-dependencies"][extra])
        elif bound := AT_LEAST.fullmatch(requirement):
            yield f"{bound.group(1)}=={bound.group(2)}"
        else:
            sys.exit(f"pyproject.toml: {requirement!r} must be of the form name>=version")


print("\n".join(constraints([*PROJECT["dependencies"], *(f"{PROJECT['name']}[{extra}]" for extra in sys.argv[1:])])))
