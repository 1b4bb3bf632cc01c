from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .browser import CHROMIUM, Chromium, Open, Tab
from .sites import Site, site_at


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests with a browser in its thread."""
    chromium = pyfuncitem.funcargs.get("chromium")
    if not isinstance(chromium, Chromium):
        return None
    wanted = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    chromium.call(lambda: pyfuncitem.obj(**wanted))
    return True


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    if CHROMIUM is None:
        pytest.skip("expected Debian's chromium, got none")
    chromium = Chromium()
    try:
        yield chromium
    finally:
        chromium.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A backend with pages, for one test only."""
    with site_at(tmp_path) as site:
        yield site


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A backend with pages, shared by the tests of a module, which must leave nothing behind that others could see."""
    with site_at(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def open_tab(chromium: Chromium) -> Iterator[Open]:
    """Opens an address in a fresh profile. An exception in the page fails the test."""
    tabs: list[Tab] = []

    def open_tab(url: str, **options: object) -> Tab:
        tab = Tab(chromium.context(**options).new_page())
        tabs.append(tab)
        tab.page.goto(url)
        return tab

    yield open_tab
    for tab in tabs:
        chromium.call(tab.page.context.close)
    assert not [error for tab in tabs for error in tab.errors]
