"""Debian's Chromium, without a window, driven by Playwright. Playwright's own browsers are not used: nothing is downloaded."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import sys
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
SECONDS = 60
"""How long a page may take: machines that test are slow."""

expect.set_options(timeout=SECONDS * 1000)


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """One browser process, ended with the block."""
    if CHROMIUM is None:
        sys.exit("chromium is missing: run make setup")
    # Neither setting up namespaces nor a large /dev/shm may be asked of a machine that tests.
    usual = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=[*usual, *flags])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def picture_of_failure(page: Page, path: pathlib.Path) -> Iterator[None]:
    """Keeps what the page looked like when the block failed."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            page.screenshot(path=path)
            print(f"the page looked like {path}")
        raise
