"""Errors of PostgreSQL as those of this package: one line each, in which no password can be."""

from __future__ import annotations

import re
from typing import Final
