"""A line to a PostgreSQL server that tests can cut at any point."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

_BYTES: Final = 1 << 16


class Line:
    """Forwards connections on a port of this machine to a server."""

    def __init__(self, url: str) -> None:
        """Take the URL of the server, which listens on a socket or a port."""
        given = conninfo_to_dict(url)
        self._host, self._port = str(given.get("host", "127.0.0.1")), int(str(given.get("port") or 5432))
        self._carries = {"requests": threading.Event(), "answers": threading.Event()}
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._address = ("127.0.0.1", 0)
        self.mend()
        user, options = str(given.get("user", "postgres")), quote(str(given.get("options", "")))
        port, name = self._address[1], given.get("dbname", "postgres")
        self.url = f"postgresql://{user}@127.0.0.1:{port}/{name}?options={options}"
        """The URL of the same database by way of this line."""

    def mend(self) -> None:
        """Carry everything, and accept connections."""
        for carries in self._carries.values():
            carries.set()
        if self._listener is None:
            self._listener = socket.create_server(self._address)
            self._address = self._listener.getsockname()
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def hold(self, *kinds: str) -> None:
        """Keep "requests" or "answers" back, so that the other side seems silent."""
        for kind in kinds:
            self._carries[kind].clear()

    def cut(self) -> None:
        """Close all connections, and refuse new ones; what was held back is lost."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        while self._open:
            each = self._open.pop()
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for carries in self._carries.values():
            carries.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = self._connect()
            self._open += [client, server]
            for kind, source, target in (("requests", client, server), ("answers", server, client)):
                threading.Thread(target=self._carry, args=(kind, source, target), daemon=True).start()

    def _connect(self) -> socket.socket:
        if not self._host.startswith("/"):
            return socket.create_connection((self._host, self._port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{self._host}/.s.PGSQL.{self._port}")
        return server

    def _carry(self, kind: str, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_BYTES):
                self._carries[kind].wait()
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def line_to(url: str) -> Iterator[Line]:
    """Yield a line to a server, which is cut at the end."""
    line = Line(url)
    try:
        yield line
    finally:
        line.cut()
