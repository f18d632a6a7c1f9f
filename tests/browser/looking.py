"""What tests look for on a page."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

LOOKS = [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")]
"""Widths and colours that every page has to suit."""

Watched = Callable[..., AbstractContextManager["Page"]]
OVERLAPS = """() => {
  const visible = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest("title, option, .unseen, .skip") || !parent.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const frame = parent.closest(".scroll");
    const edges = frame ? frame.getBoundingClientRect() : { left: -1e9, right: 1e9 };
    const boxes = parent.closest("svg") ? [parent.getBoundingClientRect()] : [...range.getClientRects()];
    for (const box of boxes) {
      const [left, right] = [Math.max(box.left, edges.left), Math.min(box.right, edges.right)];
      if (right - left > 1) visible.push({ left, right, top: box.top, bottom: box.bottom, text: node.data, node });
    }
  }
  const found = [];
  visible.forEach((one, number) => visible.slice(number + 1).forEach((other) => {
    if (one.node === other.node) return;
    const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
    const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
    if (wide > 1 && high > 3) found.push(`${one.text} / ${other.text}`);
  }));
  return found;
}"""
"""Finds texts that overlap, by the boxes that the browser drew them in; boxes of lines may touch."""


def settle(page: Page) -> None:
    """Wait until everything is computed that takes long; what is still pending is replaced, with all that is there."""
    page.locator(".pending").first.wait_for(state="detached", timeout=60_000)


def violations(page: Page) -> list[str]:
    """Return what axe finds wrong with a page, with the elements at fault."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"][:3]]
