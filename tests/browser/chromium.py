"""A real browser, and a real server to look at with it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import pytest
import uvicorn

from modelperf_plugin.dashboard import create_app
from modelperf_plugin.engine.core import ModelPerf

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Colours = Literal["light", "dark"]


def chromium() -> str | None:
    """Return the path of the browser, or None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def require() -> None:
    """Skip the test without a browser or its driver, or fail where they are required."""
    missing = None if chromium() else "there is no Chromium here"
    try:
        import playwright.sync_api  # noqa: F401 - only whether it is there
    except ImportError:
        missing = "needs the extra browser"
    if missing and os.environ.get("BROWSER_TESTS") == "required":
        pytest.fail(f"{missing}, and BROWSER_TESTS=required")
    if missing:
        pytest.skip(f"{missing}: pip install -e '.[browser]', apt-get install chromium")


@contextmanager
def running() -> Iterator[Browser]:
    """Run a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as steering:
        # as root, in a container, Chromium has no sandbox to put its pages in
        browser = steering.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(
    browser: Browser, *, width: int = 1440, height: int = 900, colours: Colours = "light", **said: Any
) -> Iterator[Page]:
    """Give an empty page that shares nothing with others."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=colours, locale="en-GB", **said
    )
    try:
        yield context.new_page()
    finally:
        context.close()


@contextmanager
def serving(engine: ModelPerf, **said: Any) -> Iterator[str]:
    """Serve the dashboard of ``engine`` on a free port; give its address, which ends with a slash."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(create_app(engine, **said), log_level="warning", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(timeout=30)
