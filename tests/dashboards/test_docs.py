"""The API page, in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect

from chatswarm.backend.endpoints.operations import operations
from tests.backend.described import EVERYTHING
from tests.backend.servers import Backend, running

from .browser import Open, Tab
from .test_looks import low_contrast

TOKEN = "s3cret"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A backend with every setting that the document describes."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "tokens").write_text(TOKEN)
    flags = ("--dashboard-token-file", str(folder / "tokens"), "--sends-per-second", "100")
    with running(folder, *flags, "--origins", "https://a.example") as backend:
        yield backend


def docs(backend: Backend) -> str:
    return f"http://127.0.0.1:{backend.port}/docs"


def opened(tab: Tab, name: str) -> Locator:
    """Open the card of one call."""
    card = tab.page.locator(f"#{name}")
    card.locator("summary").first.click()
    card.get_by_text("Try it").click()
    return card


def sent(card: Locator, **values: str) -> Locator:
    """The response to these values of the form."""
    for label, value in values.items():
        card.get_by_label(re.compile(f"^{label}")).fill(value)
    card.get_by_role("button", name="Send").click()
    return card.locator(".outcome")


def test_every_call_is_shown_and_nothing_is_loaded_from_elsewhere(
    guarded: Backend, open_tab: Open, chromium: object
) -> None:
    tab = open_tab("about:blank")
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.goto(docs(guarded))
    calls = [each.name for each in operations(EVERYTHING)]
    expect(tab.page.locator(".operation")).to_have_count(len(calls))
    assert set(tab.page.locator(".operation").evaluate_all("all => all.map(e => e.id)")) == set(calls)
    assert asked
    assert all(url.startswith(f"http://127.0.0.1:{guarded.port}/") for url in asked)
    assert tab.lines == []


def test_a_chat_is_opened_written_to_and_read_from_the_page(guarded: Backend, open_tab: Open, chromium: object) -> None:
    tab = open_tab(docs(guarded))
    outcome = sent(opened(tab, "createChat"))
    expect(outcome).to_contain_text("200 OK")
    found = re.search(r'"chat_id": "([^"]+)"', outcome.inner_text())
    assert found
    reply = opened(tab, "sendFromDashboard")
    expect(sent(reply, chat_id=found[1], Token="wrong")).to_contain_text("401 Unauthorized")
    expect(sent(reply, Token=TOKEN)).to_contain_text('"message": "Message sent"')
    expect(reply.locator(".command")).to_contain_text(f"/api/dashboard/chats/{found[1]}/send")
    expect(reply.locator(".command")).not_to_contain_text(TOKEN)
    # The token is entered only once.
    whole = opened(tab, "getChat")
    expect(sent(whole, chat_id=found[1])).to_contain_text('"total_messages": 1')


def test_an_address_opens_its_section(guarded: Backend, open_tab: Open, chromium: object) -> None:
    tab = open_tab(f"{docs(guarded)}#listChats")
    expect(tab.page.locator("#listChats")).to_have_attribute("open", "")
    tab.page.locator("#listChats").get_by_role("link", name="Listed").click()
    expect(tab.page.locator("#shape-Listed")).to_be_in_viewport()


def test_the_keyboard_is_enough(guarded: Backend, open_tab: Open, chromium: object) -> None:
    tab = open_tab(docs(guarded))
    expect(tab.page.locator("#getHealth")).to_be_attached()
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    assert tab.focused() == "calls"
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#saveContact")).to_have_attribute("open", "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_readable(guarded: Backend, open_tab: Open, scheme: str, chromium: object) -> None:
    tab = open_tab(docs(guarded), color_scheme=scheme)
    expect(sent(opened(tab, "getHealth"))).to_contain_text("200")
    tab.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert low_contrast(tab) == []


def test_nothing_overflows_on_a_phone(guarded: Backend, open_tab: Open, chromium: object) -> None:
    tab = open_tab(docs(guarded), viewport={"width": 360, "height": 740})
    expect(tab.page.locator("#getHealth")).to_be_attached()
    tab.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_without_the_description_the_page_says_so(guarded: Backend, open_tab: Open, chromium: object) -> None:
    tab = open_tab("about:blank")
    tab.page.route("**/openapi.json", lambda route: route.fulfill(status=502, body=""))
    tab.page.goto(docs(guarded))
    expect(tab.page.locator("#problem")).to_contain_text("cannot be shown: openapi.json: 502")
