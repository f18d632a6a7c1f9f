"""Paths of a process that may have no home directory, and whose working directory may be gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NO_HOME: Final = "there is no home directory that ~ could mean: set HOME, or give an absolute path"
NO_WORKING_DIRECTORY: Final = "the working directory has been deleted: give an absolute path"


def home() -> Path | None:
    """Return the home directory of the user; None in a container whose user has none."""
    folder = expanded("~")
    return folder if folder.is_absolute() else None


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` expanded; as it is if there is no such home directory."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path; as it is if it has no place, see :func:`unreachable`."""
    return Path(path) if unreachable(path) else Path(path).absolute()


def real_path(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path without symbolic links; as it is if it has no place, see :func:`unreachable`."""
    return Path(path) if unreachable(path) else Path(os.path.realpath(path))


def unreachable(path: str | os.PathLike[str]) -> str | None:
    """Return why a path means no place, and what to do; None if it does."""
    parts = Path(path).parts
    if parts and parts[0].startswith("~"):
        return NO_HOME
    if Path(path).is_absolute():
        return None
    try:
        Path.cwd()
    except OSError:
        return NO_WORKING_DIRECTORY
    return None


def path_text(path: str | os.PathLike[str]) -> str:
    """Return a path as text that can be stored and sent: its bytes that are not UTF-8 are spelled out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
