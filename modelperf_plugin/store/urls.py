"""URLs of PostgreSQL databases: which they are, and how to show them without what is secret in them."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

SCHEMES: Final = ("postgresql://", "postgres://")
SECRETS: Final = frozenset({"password", "sslpassword", "oauth_client_secret"})
"""Parameters that nobody else may see."""
PLACES_OF_PASSWORDS: Final = "the environment (PGPASSWORD), a password file (passfile=…) or a service file (service=…)"
_TO_READ: Final = ("?mode=ro", "&mode=ro")


def is_postgres(location: str) -> bool:
    """Return whether ``location`` is the URL of a PostgreSQL database."""
    return location.startswith(SCHEMES)


def has_password(url: str) -> bool:
    """Return whether there is a secret in a URL, or might be in one that is malformed."""
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    names = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    return (":" in credentials) if at else (_is_malformed(url) or not names.isdisjoint(SECRETS))


def without_secrets(url: str) -> str:
    """Return a URL without password; names and paths of what holds one may stay."""
    scheme, _, rest = url.partition("://")
    if _is_malformed(url):
        return f"{scheme}://…"
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user = credentials.partition(":")[0]
    known = [(name, value) for name, value in parse_qsl(parts.query) if name not in SECRETS]
    query = f"?{urlencode(known, quote_via=quote, safe='/=-,')}" if known else ""
    return f"{scheme}://{user}{'@' if user else ''}{hosts}{parts.path}{query}" if rest else url


def to_read(url: str) -> str:
    """Return the URL that opens a database for reading only."""
    return url if is_to_read(url) else f"{url}{'&' if '?' in url else '?'}mode=ro"


def is_to_read(url: str) -> bool:
    """Return whether a URL opens a database for reading only."""
    return "://" in url and url.endswith(_TO_READ if is_postgres(url) else _TO_READ[:1])


def of_database(url: str) -> str:
    """Return a URL as libpq knows it, without what is ours."""
    return url[: -len(_TO_READ[0])] if is_to_read(url) else url


def _is_malformed(url: str) -> bool:
    """Return whether a URL has something before an ``@`` that does not parse, as a password with a ``/`` in it."""
    netloc = urlsplit(url).netloc
    return ("@" not in netloc and ":" in netloc and "@" in url) or "#" in url
