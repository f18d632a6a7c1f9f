"""Makes the pictures of the documentation: ``python -m tests.screenshots``, from the demo, with a real browser.

Needs the extra ``browser`` and Chromium. The demo is the same for everybody, so the pictures change when the pages do.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import tomli

from modelperf_plugin.analysis.views.trends import Period
from modelperf_plugin.cli.commands.demo import SEED
from modelperf_plugin.dashboard import make_report
from modelperf_plugin.demo.orchestrator import POLICY, run_demo
from modelperf_plugin.engine.core import ModelPerf
from tests.browser.chromium import Colours, open_page, running, serving
from tests.browser.looking import settle

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
PICTURES: dict[str, tuple[str, int, int, Colours]] = {
    "overview": ("?days=15", 1180, 1010, "light"),
    "task": ("task?name=graduate-science&days=15", 1180, 1180, "light"),
    "dark": ("task?name=graduate-science&days=15", 1180, 1010, "dark"),
    "advice": ("advice", 1180, 1010, "light"),
    "narrow": ("?days=15", 390, 844, "light"),
}
"""For each picture the page, its width and height, and the colours."""


def main() -> int:
    """Write every picture; return 1 if there is no browser."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "demo.db"
        policy = tomli.loads(POLICY)
        run_demo(policy, store, seed=SEED)
        with ModelPerf(policy, store=store) as engine, serving(engine) as address, running() as browser:
            report = Path(folder) / "report.html"
            report.write_text(make_report(engine, Period.last(15)).replace(folder, ".sf"), encoding="utf-8")
            for name, (page, width, height, colours) in PICTURES.items():
                _take(browser, f"{address}{page}", name, width, height, colours, folder)
            _take(browser, report.as_uri(), "report", 1180, 1010, "light", folder)
    print(f"wrote {len(PICTURES) + 1} pictures to {IMAGES}", file=sys.stderr)
    return 0


def _take(browser: Browser, address: str, name: str, width: int, height: int, colours: Colours, folder: str) -> None:
    with open_page(browser, width=width, height=height, colours=colours) as page:
        page.goto(address)
        settle(page)
        # a temporary folder is nobody's business
        page.evaluate(
            "folder => document.querySelectorAll('footer p').forEach(each => each.textContent = "
            "each.textContent.replace(folder, '.sf'))",
            folder,
        )
        page.screenshot(path=str(IMAGES / f"{name}.png"))


if __name__ == "__main__":
    sys.exit(main())
