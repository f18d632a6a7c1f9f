"""The stores of the dashboard's other tests, and a browser to look at them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import modelperf_plugin as mp
from tests.browser.chromium import open_page, require, running, serving
from tests.browser.looking import Watched
from tests.dashboard.conftest import engine, filled, odd, retried, retrying

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["engine", "filled", "odd", "retried", "retrying"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a running browser; skip where there is none."""
    require()
    with running() as found:
        yield found


@pytest.fixture
def address(engine: mp.ModelPerf) -> Iterator[str]:
    """Return the address of a running dashboard on the filled store."""
    with serving(engine, names=["127.0.0.1"]) as found:
        yield found


@pytest.fixture
def watched(browser: Browser) -> Watched:
    """Return a function that opens a page and checks that it caused no foreign request and no error."""

    @contextmanager
    def watch(address: str, **said: Any) -> Iterator[Page]:
        with open_page(browser, **said) as page:
            asked: list[str] = []
            told: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: told.append(message.text))
            page.on("pageerror", lambda error: told.append(str(error)))
            page.on("dialog", lambda dialog: told.append(dialog.message))
            yield page
            assert [url for url in asked if not url.startswith(address)] == []
            assert [text for text in told if "404 (Not Found)" not in text and "503" not in text] == []

    return watch
