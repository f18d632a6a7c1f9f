"""The pages behind a proxy: below a path, with or without it, under the name of another host."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urljoin

import pytest

import modelperf_plugin as mp
from modelperf_plugin.dashboard import create_app
from modelperf_plugin.errors import InvalidValueError
from tests.asgi import ask
from tests.cli.processes import COMMAND

TOKEN = "correct horse"  # noqa: S105 - nobody's
PROXY = r"""
import http.client, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
upstream, keeps_prefix, keeps_host, tells = int(sys.argv[1]), sys.argv[2] == "1", sys.argv[3] == "1", sys.argv[4] == "1"
class Proxy(BaseHTTPRequestHandler):
    def do_GET(self):
        if not self.path.startswith("/tools/modelperf"):
            return self.send_error(404, "not ours")
        path = self.path if keeps_prefix else self.path.removeprefix("/tools/modelperf") or "/"
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        headers["Host"] = "tools.example.com" if keeps_host else f"127.0.0.1:{upstream}"
        if tells:
            headers["X-Forwarded-Prefix"] = "/tools/modelperf"
        connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=30)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
print("http://127.0.0.1:%d" % server.server_address[1], flush=True)
server.serve_forever()
"""


@contextmanager
def started(*command: str) -> Iterator[int]:
    """Run a server; yield the port of the address in its first line."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )  # fmt: skip
    assert process.stdout is not None
    port = re.search(r"http://127\.0\.0\.1:(\d+)\b", process.stdout.readline())
    assert port is not None
    try:
        yield int(port.group(1))
    finally:
        process.kill()
        process.communicate()


class Browser:
    """Follows redirects and keeps cookies, as a browser does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cookies: dict[str, tuple[str, str]] = {}
        """Value and path, by name."""

    def get(self, target: str) -> tuple[int, str, str]:
        """Return status and text of a page, and the path it is at in the end."""
        for _ in range(5):
            path = target.partition("?")[0]
            sent = "; ".join(f"{k}={v}" for k, (v, below) in self.cookies.items() if path.startswith(below))
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            connection.request("GET", target, headers={"Cookie": sent} if sent else {})
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            found = re.match(r"(\w+)=([^;]*);.*Path=([^;]*)", answer.getheader("Set-Cookie", ""), re.IGNORECASE)
            if found is not None:
                self.cookies[found.group(1)] = (found.group(2), found.group(3))
            if answer.status not in {303, 307}:
                return answer.status, text, path
            target = urljoin(target, answer.getheader("Location", ""))
        raise AssertionError("redirected in a circle")


@pytest.mark.slow
@pytest.mark.parametrize("keeps_prefix", [False, True])
@pytest.mark.parametrize("told_by", ["option", "header"])
def test_pages_work_behind_a_real_proxy(filled: tuple[str, str], keeps_prefix: bool, told_by: str) -> None:
    """Redirects, cookie, links and files stay below the path, under a name of another host."""
    if keeps_prefix and told_by == "header":
        pytest.skip("a proxy that tells the prefix removes it")
    options = ["--root-path", "/tools/modelperf/"] if told_by == "option" else []
    command = [*COMMAND, "dashboard", "--store", filled[1] if filled[1].endswith(".db") else filled[0], "--port", "0"]
    with (
        started(*command, "--token", TOKEN, "--allow-host", "tools.example.com", *options) as port,
        started(sys.executable, "-c", PROXY, str(port), str(int(keeps_prefix)), "1", str(int(not options))) as proxy,
    ):
        browser = Browser(proxy)
        assert browser.get("/tools/modelperf/")[0] == 401
        status, page, path = browser.get("/tools/modelperf/?token=correct+horse&days=90")
        assert (status, path) == (200, "/tools/modelperf/")
        assert [below for _, below in browser.cookies.values()] == ["/tools/modelperf"]
        links = re.findall(r'(?:href|src)="([^"#]+)"', page)
        assert len(links) > 10
        for link in dict.fromkeys(links):
            status, _, path = browser.get(urljoin("/tools/modelperf/", link.replace("&amp;", "&")))
            assert (status, path.startswith("/tools/modelperf/")) == (200, True), link


@pytest.mark.parametrize("root_path", ["/tools", "/tools/"])
def test_a_prefix_may_arrive_or_not(engine: mp.ModelPerf, root_path: str) -> None:
    """With or without the prefix in the path, the page is the same; the prefix alone leads to its folder."""
    app = create_app(engine, token=TOKEN, root_path=root_path)
    bearer = {"authorization": f"Bearer {TOKEN}"}
    for path in ("/policy", "/tools/policy"):
        assert ask(app, path, bearer).status == 200
        answer = ask(app, f"{path}?token=correct+horse")
        assert (answer.status, answer.headers["location"]) == (303, "/tools/policy")
        assert "Path=/tools;" in answer.headers["set-cookie"] + ";"
    answer = ask(app, "/tools?days=7", bearer)
    assert (answer.status, answer.headers["location"]) == (307, "/tools/?days=7")
    assert "content-security-policy" in answer.headers
    assert ask(app, "/toolshed", bearer).status == 404


def test_a_server_may_tell_the_path(engine: mp.ModelPerf) -> None:
    """The root path of ASGI is respected, whether or not the server adds it to the path."""
    app = create_app(engine, token=TOKEN)
    for path in ("/policy", "/perf/policy"):
        answer = ask(app, f"{path}?token=correct+horse", root_path="/perf")
        assert answer.headers["location"] == "/perf/policy"
    answer = ask(app, "/performance?token=correct+horse", root_path="/perf")
    assert answer.headers["location"] == "/perf/performance"


@pytest.mark.parametrize("prefix", ["//evil.example", "/a/../b", "https://evil.example", "/a\\b", "evil", "/a b", "/."])
def test_a_prefix_leads_nowhere_else(engine: mp.ModelPerf, prefix: str) -> None:
    """A header that is not a plain path is ignored, and as an option refused."""
    app = create_app(engine, token=TOKEN)
    answer = ask(app, "/policy?token=correct+horse", {"x-forwarded-prefix": prefix})
    assert answer.headers["location"] == "/policy"
    with pytest.raises(InvalidValueError, match="root_path must be a path such as /modelperf"):
        create_app(engine, root_path=prefix)


def test_a_prefix_is_believed_on_this_machine_only(engine: mp.ModelPerf) -> None:
    """Whoever connects from elsewhere is not our proxy."""
    app = create_app(engine, token=TOKEN)
    headers = {"x-forwarded-prefix": "/tools"}
    assert ask(app, "/policy?token=correct+horse", headers).headers["location"] == "/tools/policy"
    elsewhere = ask(app, "/policy?token=correct+horse", headers, client="192.0.2.1")
    assert elsewhere.headers["location"] == "/policy"
