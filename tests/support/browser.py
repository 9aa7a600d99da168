"""Debian's chromium, headless, driven by Playwright."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped] # the library has no types
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.operations.tools import system_tool
from tests.support.patience import PATIENCE_SECONDS

Scheme = Literal["light", "dark"]

WIDE, NARROW = (1280, 900), (360, 740)
"""Sizes in CSS pixels: a laptop, and the smallest common phone."""

_FLAGS = [
    "--no-sandbox",  # no sandbox for root, in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",  # it would look for updates
    "--disable-component-update",
    "--disable-sync",
]

SERIOUS = {"serious", "critical"}


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser for the length of the block; skips the test if there is none."""
    path = system_tool("chromium", "chromium")
    expect.set_options(timeout=1000 * PATIENCE_SECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """A page in its own context; `complaints` are the messages of the browser's console, including violations of
    CSP."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def heard(self, message: ConsoleMessage) -> None:
        self.complaints.append(message.text)

    def faults(self) -> list[str]:
        """The faults that axe-core finds, with their places."""
        return [
            f"{violation['id']} ({violation['impact']}): {node['html']}"
            for violation in Axe().run(self.page).response["violations"]
            if violation["impact"] in SERIOUS
            for node in violation["nodes"]
        ]

    def overflow(self) -> int:
        """CSS pixels by which the page is wider than the window."""
        wider: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return wider


@contextlib.contextmanager
def tab(
    browser: Browser,
    base_url: str,
    *,
    size: tuple[int, int] = WIDE,
    scheme: Scheme = "light",
    scale: float = 1.0,
    script: bool = True,
    bypass_csp: bool = False,
) -> Iterator[Tab]:
    """A tab for the length of the block; `bypass_csp` allows axe-core, which the pages' policy forbids."""
    context = browser.new_context(
        base_url=base_url,
        viewport={"width": size[0], "height": size[1]},
        device_scale_factor=scale,
        color_scheme=scheme,
        java_script_enabled=script,
        bypass_csp=bypass_csp,
    )
    try:
        opened = Tab(context.new_page())
        opened.page.on("console", opened.heard)
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        yield opened
    finally:
        context.close()
