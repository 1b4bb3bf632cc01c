"""The contrast of all text, in both colour schemes (WCAG AA)."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .browser import Open, Tab
from .sites import Site

LOW_CONTRAST = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const line = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = color.map((each) => line(each / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const [r, g, b, a = 1] = numbers(getComputedStyle(each).backgroundColor);
      if (a === 1) return [r, g, b];
      if (a !== 0) throw new Error("half transparent");
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest(".visually-hidden")) continue;
    const style = getComputedStyle(element);
    const [one, two] = [light(numbers(style.color).slice(0, 3)), light(behind(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (two + 0.05);
    if (ratio < 4.5 || style.opacity !== "1") low.push(`${element.className || element.tagName}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(low)];
}"""


def low_contrast(tab: Tab) -> list[str]:
    found: list[str] = tab.page.evaluate(LOW_CONTRAST)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_readable(site: Site, open_tab: Open, scheme: str) -> None:
    ids = site.new_chats(7)
    tab = open_tab(f"{site.pages}/inbox", color_scheme=scheme)
    tab.row("Customer 5").click()
    tab.page.route("**/send", lambda route: route.abort())
    expect(tab.page.locator("textarea")).to_be_focused()
    for count, text in enumerate(("Failed", "Failed too"), 1):
        tab.page.keyboard.type(text)
        tab.page.keyboard.press("Enter")
        expect(tab.page.locator("[data-state=failed]")).to_have_count(count)
    site.say(ids[5], "Answer", "agent")
    site.say(ids[0], "News")
    expect(tab.row("Customer 0")).to_have_attribute("data-unread", "")
    assert low_contrast(tab) == []
    tab.page.route("**/send", lambda _: None)
    tab.page.get_by_role("button", name="Try again").first.click()
    expect(tab.page.locator("[data-state=sending]")).to_have_count(1)
    site.kill()
    tab.expect_sign("^Reconnecting")
    assert low_contrast(tab) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form_and_the_start_page_are_readable(quiet: Site, open_tab: Open, scheme: str) -> None:
    for page in ("/widget", "/"):
        tab = open_tab(quiet.pages + page, color_scheme=scheme)
        assert tab.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
        assert low_contrast(tab) == []
