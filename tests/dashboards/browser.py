"""Drives Debian's Chromium with Playwright in a separate thread.

Playwright's synchronous interface keeps an event loop running in its thread, in which no other test could use asyncio.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, expect, sync_playwright

T = TypeVar("T")

PATIENCE = 20.0
"""Timeout in seconds for anything on a busy machine."""

CHROMIUM = shutil.which("chromium")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


class Chromium:
    """One browser for all tests of a process. `call` runs a step, or a whole test, in its thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "playwright")
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None

    def call(self, step: Callable[[], T]) -> T:
        return self._thread.submit(step).result()

    def browser(self) -> Browser:
        """Call this in the thread."""
        if self._browser is None:
            self._playwright = sync_playwright().start()
            self._browser = self._playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
            expect.set_options(timeout=PATIENCE * 1000)
        return self._browser

    def context(self, **options: Any) -> BrowserContext:
        """A fresh profile. Call this in the thread."""
        context = self.browser().new_context(**options)
        context.set_default_timeout(PATIENCE * 1000)
        return context

    def close(self) -> None:
        def close() -> None:
            if self._browser is not None:
                self._browser.close()
            if self._playwright is not None:
                self._playwright.stop()

        self.call(close)
        self._thread.shutdown()


@dataclass
class Tab:
    """A page with everything that it logged to its console."""

    page: Page
    lines: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.lines.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def until_said(self, line: str) -> None:
        """Wait for a console line that starts like this."""
        self.until(lambda: any(each.startswith(line) for each in self.lines), f"{line!r} in {self.lines}")

    def until(self, ready: Callable[[], bool], what: str = "") -> None:
        end = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < end, f"gave up waiting for {what}"
            self.page.wait_for_timeout(30)

    # The inbox.

    @property
    def rows(self) -> Locator:
        return self.page.locator("#list .row")

    def row(self, name: str) -> Locator:
        return self.page.locator("#list .row", has=self.page.locator(f".name:text-is('{name}')"))

    def names(self) -> list[str]:
        """The rows' names, in order."""
        found: list[str] = self.page.locator("#list .row .name").evaluate_all("all => all.map(e => e.textContent)")
        return found

    def texts(self) -> list[str]:
        """The messages of the open chat."""
        found: list[str] = self.page.locator(".message .text").evaluate_all("all => all.map(e => e.textContent)")
        return found

    def until_texts(self, *texts: str) -> None:
        self.until(lambda: self.texts() == list(texts), f"{texts}, got {self.texts()}")

    def until_names(self, *names: str) -> None:
        """Wait until the first rows are these."""
        self.until(lambda: self.names()[: len(names)] == list(names), f"{names}, got {self.names()[: len(names)]}")

    def focused(self) -> str:
        """The id of the element that has the focus."""
        found: str = self.page.evaluate("document.activeElement.id")
        return found

    def expect_sign(self, text: str) -> None:
        expect(self.page.locator("#sign-label")).to_have_text(re.compile(text))


class Open(Protocol):
    """Opens an address in a fresh profile."""

    def __call__(self, url: str, **options: object) -> Tab: ...
