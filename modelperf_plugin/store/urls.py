"""URLs of PostgreSQL databases: which they are, and how to show them without what is secret in them."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

SCHEMES: Final = ("postgresql://", "postgres://")
SECRETS: Final = frozenset({"password", "sslpassword", "oauth_client_secret"})
"""Parameters that nobody else may see."""
PLACES_OF_PASSWORDS: Final = "the environment (PGPASSWORD), a password file (passfile=…) or a service file (service=…)"
_TO_READ: Final = ("?mode=ro", "&mode=ro")


def is_postgres(location: str) -> bool:
    """Return whether ``location`` is the URL of a PostgreSQL database."""
    return location.startswith(SCHEMES)


def has_password(url: str) -> bool:
    """Return whether there is a password in a URL, or something that might be one."""
    credentials, _, query = _parts(url)
    return ":" in credentials or not SECRETS.isdisjoint(name for name, _ in parse_qsl(query, keep_blank_values=True))


def without_secrets(url: str) -> str:
    """Return a URL without password, whatever is wrong with it; names and paths of what holds one stay."""
    scheme, _, _ = url.partition("://")
    credentials, place, query = _parts(url)
    user = credentials.partition(":")[0]
    known = [(name, value) for name, value in parse_qsl(query) if name not in SECRETS]
    options = urlencode(known, quote_via=quote, safe="/=-,")
    return f"{scheme}://{user}{'@' if user else ''}{place}{'?' if options else ''}{options}"


def to_read(url: str) -> str:
    """Return the URL that opens a database for reading only."""
    return url if is_to_read(url) else f"{url}{'&' if '?' in url else '?'}mode=ro"


def is_to_read(url: str) -> bool:
    """Return whether a URL opens a database for reading only."""
    return "://" in url and url.endswith(_TO_READ if is_postgres(url) else _TO_READ[:1])


def of_database(url: str) -> str:
    """Return a URL as libpq knows it, without what is ours."""
    return url[: -len(_TO_READ[0])] if is_to_read(url) else url


def _parts(url: str) -> tuple[str, str, str]:
    """Return the credentials in a URL, what follows them, and the parameters."""
    _, _, rest = url.partition("://")
    credentials, _, rest = rest.rpartition("@")  # the last one: who forgot to encode a password may have any before
    place, _, query = rest.partition("?")
    return credentials, place, query
