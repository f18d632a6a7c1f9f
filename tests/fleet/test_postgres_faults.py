"""What becomes of a PostgreSQL server, and what an operator reads of it: one line; and nothing is lost."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

import modelperf_plugin as mp
from tests.fleet.test_postgres import is_back, logged, wait_until
from tests.hooks.hosts import samples
from tests.postgres import OwnServer
from tests.store.contract.examples import unsound

psycopg = pytest.importorskip("psycopg", reason="the extra postgres is not installed")

from modelperf_plugin.store import open_store  # noqa: E402


@pytest.fixture
def schema(own_server: OwnServer) -> str:
    """Return the name of a new, empty schema."""
    name = f"s{time.monotonic_ns()}"
    own_server.sql(f"CREATE SCHEMA {name}")
    return name


@pytest.fixture
def url(own_server: OwnServer, schema: str) -> str:
    """Return the URL of that schema."""
    return f"{own_server.url}&options={quote(f'-csearch_path={schema}')}"


@contextmanager
def engine(url: str, folder: Path) -> Iterator[mp.ModelPerf]:
    """Yield the engine of a host."""
    with mp.ModelPerf({"store": {"patience_seconds": 0.5, "path": str(folder / "x.db")}}, store=url) as engine:
        yield engine


def work(engine: mp.ModelPerf, times: int = 3) -> None:
    """Choose and record."""
    for _ in range(times):
        decision = engine.select("plan", ["gpt-4o"])
        assert decision is not None
        assert engine.record("plan", decision.model_id, mp.Outcome(success=True), decision)


def in_database(url: str) -> int:
    """Return how many outcomes are in the database, after checking that all sums are right."""
    with closing(open_store(url)) as store:
        assert unsound(store) == []
        found = sum(tally.samples for tally in store.tallies.all())
        assert store.events.last_id() == found
        return found


def as_role(url: str, role: str) -> str:
    """Return a URL for another role."""
    return url.replace("postgres:@", f"{role}@").replace("postgres@", f"{role}@")


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("{server}/nothing?{rest}", 'database "nothing" does not exist'),
        ("postgresql://nobody@/postgres?{rest}", 'role "nobody" does not exist'),
        ("postgresql://no-such-host.invalid/postgres", "host 'no-such-host.invalid'"),
        ("postgresql://127.0.0.1:9,127.0.0.1:10/postgres?target_session_attrs=read-write", "Connection refused"),
        ("{server}/postgres?{rest}&sslmode=verify", 'invalid sslmode value: "verify"'),
        ("postgresql://?service=no-such-service", 'definition of service "no-such-service" not found'),
    ],
    ids=["database", "role", "host", "port", "sslmode", "service"],
)
def test_a_wrong_url_is_one_line(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: str, line: str
) -> None:
    """What is wrong is said once; the outcomes are in the database once the URL is right."""
    server, _, rest = url.partition("/postgres?")
    with engine(wrong.format(server=server, rest=rest), tmp_path) as host:
        work(host)
        assert samples(host) == {"gpt-4o": 3}
    (said,) = logged(caplog)
    assert line in said
    assert "\n" not in said
    with engine(url, tmp_path) as host:
        wait_until(lambda: is_back(host))
    assert in_database(url) == 3


def test_a_server_without_a_free_connection_is_one_line(
    own_server: OwnServer, url: str, schema: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While others have all its connections, a host works on its own."""
    own_server.sql("CREATE ROLE plain LOGIN", f"ALTER SCHEMA {schema} OWNER TO plain")
    given = as_role(url, "plain")
    with ExitStack() as taken:
        with suppress(psycopg.OperationalError):
            while True:
                taken.enter_context(psycopg.connect(given))
        with engine(given, tmp_path) as host:
            work(host)
            taken.close()
            wait_until(lambda: is_back(host))
            work(host)
    assert [line for line in logged(caplog) if "works again" not in line] == logged(caplog)[:1]
    assert "slots are reserved" in logged(caplog)[0]
    assert in_database(given) == 6


def test_a_database_that_is_to_be_read_only_is_one_line(
    own_server: OwnServer, url: str, schema: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator may forbid writing (`default_transaction_read_only`): hosts do not override it."""
    own_server.sql("CREATE ROLE calm LOGIN", f"ALTER SCHEMA {schema} OWNER TO calm")
    given = as_role(url, "calm")
    with engine(given, tmp_path) as host:
        work(host)
    own_server.sql("ALTER ROLE calm SET default_transaction_read_only = on")
    with engine(given, tmp_path) as host:
        work(host)
        (line,) = logged(caplog)
        assert "read-only transaction" in line
        own_server.sql("ALTER ROLE calm RESET default_transaction_read_only")
        wait_until(lambda: is_back(host))
    assert in_database(given) == 6


def test_a_statement_that_takes_too_long_is_one_line(
    own_server: OwnServer, url: str, schema: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that is too slow is treated like one that does not answer."""
    with engine(url, tmp_path) as host:
        work(host)
        own_server.sql(
            f"CREATE FUNCTION {schema}.dawdle() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_sleep(5); RETURN NEW; END'",
            f"CREATE TRIGGER slow BEFORE INSERT ON {schema}.fresh FOR EACH ROW EXECUTE FUNCTION {schema}.dawdle()",
        )
        work(host)
        (line,) = logged(caplog)
        assert "statement timeout" in line
        own_server.sql(f"DROP TRIGGER slow ON {schema}.fresh")
        wait_until(lambda: is_back(host))
        work(host)
    assert in_database(url) == 9


def test_limits_of_a_role_change_nothing(
    own_server: OwnServer, url: str, schema: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Sessions that end while they are idle are opened again, and each call has the time limits of its host."""
    own_server.sql("CREATE ROLE hasty LOGIN", f"ALTER SCHEMA {schema} OWNER TO hasty")
    for name in ("idle_session_timeout", "idle_in_transaction_session_timeout", "statement_timeout", "lock_timeout"):
        own_server.sql(f"ALTER ROLE hasty SET {name} = '50ms'")
    with engine(as_role(url, "hasty"), tmp_path) as host:
        for _ in range(3):
            work(host)
            time.sleep(0.2)
    assert in_database(url) == 9
    assert logged(caplog) == []


def test_a_full_disk_of_the_server_is_one_line(
    own_server: OwnServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Outcomes wait until there is room."""
    place = own_server.data.parent / "small"
    place.mkdir()
    options = f"size=32m,mode=700,uid={own_server.user}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if (
        os.geteuid() != 0
        or own_server.user is None
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("needs root, and the right to mount a small disk")
    try:
        own_server.sql(f"CREATE TABLESPACE small LOCATION '{place}'", "CREATE DATABASE tight TABLESPACE small")
        url = own_server.url.replace("/postgres?", "/tight?")
        with engine(url, tmp_path) as host:
            work(host)
            with psycopg.connect(url, autocommit=True) as other:
                other.execute("CREATE TABLE filling (x text)")
                with suppress(psycopg.errors.DiskFull):
                    while True:
                        other.execute("INSERT INTO filling SELECT repeat('x', 2000) FROM generate_series(1, 100)")
                recorded = 3
                while not logged(caplog):
                    assert recorded < 10_000
                    work(host, 1)
                    recorded += 1
                work(host)
                other.execute("DROP TABLE filling")
            (line,) = logged(caplog)
            assert "No space left on device" in line
            wait_until(lambda: is_back(host))
            assert samples(host) == {"gpt-4o": recorded + 3}
        assert in_database(url) == recorded + 3
        own_server.sql("DROP DATABASE tight", "DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("is_behind", [False, True], ids=["up-to-date", "behind"])
def test_a_standby_takes_over(
    own_server: OwnServer, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, is_behind: bool
) -> None:
    """With both servers in its URL a host follows; what the standby had not got in the last moments is sent again."""
    with own_server.standby() as standby:
        place = str(own_server.data)
        both = f"postgresql://postgres@/postgres?host={place},{standby.data}&target_session_attrs=read-write"
        both += f"&options={url.partition('options=')[2]}"
        with engine(both, tmp_path) as host:
            work(host)
            own_server.sql("SELECT pg_switch_wal()")
            if is_behind:
                standby.stop()
            work(host, 5)
            if not is_behind:
                wait_until(lambda: own_server.is_followed)
            own_server.stop()
            try:
                work(host)
                if is_behind:
                    standby.start()
                standby.promote()
                wait_until(lambda: is_back(host))
                work(host)
                assert samples(host) == {"gpt-4o": 14}
                there = url.replace(place, str(standby.data))
                assert in_database(there) == 14
            finally:
                own_server.start()
    lines = logged(caplog)
    assert len([line for line in lines if "Continuing without the database" in line]) == 1
    assert len([line for line in lines if "works again" in line]) == 1
    assert any("had lost" in line for line in lines) == is_behind


@pytest.mark.slow
def test_a_wrong_certificate_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With `verify-full` a server must have a certificate for its name, by an authority that is trusted."""
    with _with_tls(("127.0.0.1", "localhost")) as (port, authority), _with_tls(("127.0.0.1", "other")) as (other, own):
        for number, (place, root, line) in enumerate(
            [
                (f"localhost:{port}", own, "certificate verify failed"),
                (f"localhost:{other}", own, 'does not match host name "localhost"'),
                (f"localhost:{port}", tmp_path / "none.crt", "does not exist"),
            ]
        ):
            caplog.clear()
            given = f"postgresql://postgres@{place}/postgres?sslmode=verify-full&sslrootcert={root}"
            with engine(given, tmp_path / str(number)) as host:
                work(host)
            (said,) = logged(caplog)
            assert line in said
            assert "\n" not in said
        given = f"postgresql://postgres@localhost:{port}/postgres?sslmode=verify-full&sslrootcert={authority}"
        with engine(given, tmp_path / "0") as host:
            work(host)
        assert in_database(given) == 6


@contextmanager
def _with_tls(names: tuple[str, ...]) -> Iterator[tuple[int, Path]]:
    """Yield the port of a server with TLS, and the certificate of the authority for it, which is its own."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs or shutil.which("openssl") is None:
        pytest.skip("needs openssl, and a server with TLS in /usr/lib/postgresql")
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="modelperf-pg-") as name, socket.create_server(("127.0.0.1", 0)) as probe:
        folder, port = Path(name), probe.getsockname()[1]
        data, certificate, key = folder / "data", folder / "server.crt", folder / "server.key"
        if user:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            subprocess.run([program, *arguments], check=True, capture_output=True, user=user, cwd=folder)

        alternatives = f"subjectAltName=IP:{names[0]},DNS:{names[1]}"
        request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={names[1]}"]
        run("openssl", *request, "-addext", alternatives, "-keyout", str(key), "-out", str(certificate))
        run(str(programs[-1] / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "-N", "-E", "UTF8")
        settings = {"ssl": "on", "ssl_cert_file": certificate, "ssl_key_file": key, "port": port}
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        probe.close()
        control = [str(programs[-1] / "pg_ctl"), "-w", "-D", str(data)]
        run(*control, "start", "-l", str(data / "log"), "-o", f"-h 127.0.0.1 -k {folder}")
        try:
            folder.chmod(0o755)
            yield port, certificate
        finally:
            run(*control, "stop", "-m", "immediate")
