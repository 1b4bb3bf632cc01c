"""The widget against a real backend, in a real browser."""

from __future__ import annotations

from playwright.sync_api import Route, expect

from .browser import Open, Tab
from .sites import Site


def widget(site: Site, open_tab: Open, **options: object) -> Tab:
    """A widget with an open chat."""
    tab = open_tab(f"{site.pages}/widget", **options)
    tab.page.get_by_label("Your name").fill("Ann")
    tab.page.get_by_label("Your email").fill("ann@example.org")
    tab.page.get_by_role("button", name="Start chat").click()
    expect(tab.page.get_by_label("Message", exact=True)).to_be_focused()
    return tab


def write(tab: Tab, text: str) -> None:
    tab.page.get_by_label("Message", exact=True).fill(text)
    tab.page.get_by_role("button", name="Send").click()


def chat_id(site: Site) -> str:
    found: str = site.backend.http.get("/api/users/ann@example.org/chats").json()["chats"][0]["chat_id"]
    return found


def stored(site: Site) -> list[str]:
    return site.texts(chat_id(site))


def state(tab: Tab) -> str | None:
    return tab.page.locator(".message").last.get_attribute("data-state")


def test_a_message_is_sent_and_the_console_says_so(site: Site, open_tab: Open) -> None:
    tab = widget(site, open_tab)
    tab.lines.clear()
    write(tab, "Hello from customer")
    expect(tab.page.locator(".message")).to_have_attribute("data-state", "sent")
    assert tab.lines == ['📤 Sending message: "Hello from customer"', "✅ Message sent successfully"]
    for line in (
        f"Chat ID: {chat_id(site)}",
        "📥 Parsed JSON body: {'content': 'Hello from customer', 'role': 'user'}",
        "💬 Message content: 'Hello from customer'",
        "👤 Message role: 'user'",
        f"✅ Message saved to chat {chat_id(site)[:8]}... (role: user)",
        f'INFO: "POST /api/users/chats/{chat_id(site)}/send HTTP/1.1" 200 OK',
    ):
        tab.until(lambda line=line: line in site.backend.output.splitlines(), line)  # type: ignore[misc]
    assert "WIDGET MESSAGE RECEIVED" in site.backend.output
    assert stored(site) == ["Hello from customer"]


def test_a_message_is_shown_at_once_as_sending(site: Site, open_tab: Open) -> None:
    tab = widget(site, open_tab)
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    tab.page.route("**/send", hold, times=1)
    write(tab, "First")
    expect(tab.page.locator(".message")).to_have_attribute("data-state", "sending")
    write(tab, "Second")
    tab.until_texts("First", "Second")
    tab.page.wait_for_timeout(300)
    # One at a time, so that they arrive in order.
    assert stored(site) == []
    tab.page.evaluate("window.kept = document.querySelector('.message')")
    waiting[0].continue_()
    expect(tab.page.locator(".message[data-state=sent]")).to_have_count(2)
    tab.until(lambda: stored(site) == ["First", "Second"])
    tab.page.wait_for_timeout(1500)
    assert tab.texts() == ["First", "Second"]
    assert tab.page.evaluate("window.kept === document.querySelector('.message')")


def test_a_reply_arrives(site: Site, open_tab: Open) -> None:
    tab = widget(site, open_tab)
    write(tab, "Hello")
    tab.until(lambda: state(tab) == "sent")
    site.say(chat_id(site), "How can I help?", "agent")
    tab.until_texts("Hello", "How can I help?")
    expect(tab.page.locator("#told")).to_have_text("Support: How can I help?")


def test_a_message_from_the_widget_is_shown_and_answered_in_the_inbox(site: Site, open_tab: Open) -> None:
    other = site.new_chat("Bo", "Earlier")
    inbox = open_tab(f"{site.pages}/inbox")
    inbox.expect_sign("^Connected$")
    tab = widget(site, open_tab)
    inbox.until_names("Bo")
    write(tab, "Hello from customer")
    inbox.until_names("Ann", "Bo")
    expect(inbox.row("Ann").locator(".preview")).to_have_text("Hello from customer")
    inbox.row("Ann").click()
    expect(inbox.page.locator("textarea")).to_be_focused()
    inbox.page.keyboard.type("Hello Ann")
    inbox.page.keyboard.press("Enter")
    tab.until_texts("Hello from customer", "Hello Ann")
    assert site.texts(other) == ["Earlier"]


def test_a_message_to_a_killed_backend_can_be_sent_after_its_restart(site: Site, open_tab: Open) -> None:
    tab = widget(site, open_tab)
    site.kill()
    write(tab, "Is it lost?")
    expect(tab.page.locator(".message")).to_have_attribute("data-state", "failed")
    expect(tab.page.locator("#problem")).to_have_text("We cannot be reached at the moment. Trying again…")
    site.backend.start()
    expect(tab.page.locator("#problem")).to_have_text("")
    tab.page.get_by_role("button", name="Try again").click()
    expect(tab.page.locator(".message")).to_have_attribute("data-state", "sent")
    assert stored(site) == ["Is it lost?"]
    assert tab.texts() == ["Is it lost?"]


def swallow_the_answer(tab: Tab, site: Site) -> None:
    """Kill the backend once it has stored the message, before the response arrives."""

    def handle(route: Route) -> None:
        route.fetch()
        site.kill()
        route.abort()

    tab.page.route("**/send", handle, times=1)


def test_a_kill_between_commit_and_response_duplicates_nothing(site: Site, open_tab: Open) -> None:
    tab = widget(site, open_tab)
    write(tab, "Hello")
    tab.until(lambda: state(tab) == "sent")
    swallow_the_answer(tab, site)
    write(tab, "Only once")
    expect(tab.page.locator(".message").last).to_have_attribute("data-state", "failed")
    site.backend.start()
    # The next read shows that it was stored.
    expect(tab.page.locator(".message").last).to_have_attribute("data-state", "sent")
    assert tab.texts() == ["Hello", "Only once"]
    assert stored(site) == ["Hello", "Only once"]


def test_retrying_a_stored_message_stores_nothing(site: Site, open_tab: Open) -> None:
    tab = widget(site, open_tab)
    swallow_the_answer(tab, site)
    write(tab, "Only once")
    expect(tab.page.locator(".message")).to_have_attribute("data-state", "failed")
    tab.page.route("**/chats", lambda route: route.abort())
    site.backend.start()
    tab.page.get_by_role("button", name="Try again").click()
    expect(tab.page.locator(".message")).to_have_attribute("data-state", "sent")
    assert stored(site) == ["Only once"]
    tab.page.unroute("**/chats")
    write(tab, "Only once")
    tab.until_texts("Only once", "Only once")
    tab.until(lambda: stored(site) == ["Only once", "Only once"])


def test_a_reload_keeps_the_chat_and_unsent_messages(site: Site, open_tab: Open) -> None:
    tab = widget(site, open_tab)
    write(tab, "Hello")
    tab.until(lambda: state(tab) == "sent")
    tab.page.route("**/send", lambda route: route.abort())
    write(tab, "Unsent")
    tab.until(lambda: state(tab) == "failed")
    tab.page.unroute("**/send")
    tab.page.reload()
    tab.until_texts("Hello", "Unsent")
    tab.page.get_by_role("button", name="Try again").click()
    tab.until(lambda: state(tab) == "sent")
    assert stored(site) == ["Hello", "Unsent"]
    tab.page.get_by_role("button", name="New chat").click()
    expect(tab.page.get_by_label("Your name")).to_be_focused()


def test_a_failed_form_keeps_its_values(site: Site, open_tab: Open) -> None:
    tab = open_tab(f"{site.pages}/widget")
    tab.page.route("**/api/users/data", lambda route: route.abort())
    tab.page.get_by_label("Your name").fill("Ann")
    tab.page.get_by_label("Your email").fill("ann@example.org")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("#contact-problem")).to_have_text("The chat cannot be reached. Please try again.")
    tab.page.unroute("**/api/users/data")
    tab.page.get_by_role("button", name="Start chat").click()
    expect(tab.page.get_by_label("Message", exact=True)).to_be_focused()


def test_text_is_shown_as_text(site: Site, open_tab: Open) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\">"
    tab = widget(site, open_tab)
    write(tab, evil)
    tab.until(lambda: state(tab) == "sent")
    site.say(chat_id(site), evil, "agent")
    tab.until_texts(evil, evil)
    assert tab.page.locator("main img").count() == 0
    assert tab.page.title() == "Chat with us"


def test_with_the_keyboard_alone(site: Site, open_tab: Open) -> None:
    tab = open_tab(f"{site.pages}/widget")
    keys = tab.page.keyboard
    keys.press("Tab")
    keys.type("Ann")
    keys.press("Tab")
    keys.type("ann@example.org")
    keys.press("Enter")
    expect(tab.page.get_by_label("Message", exact=True)).to_be_focused()
    keys.type("One line")
    keys.press("Shift+Enter")
    keys.type("and another")
    keys.press("Enter")
    tab.until_texts("One line\nand another")
    tab.until(lambda: state(tab) == "sent")
    tab.page.route("**/send", lambda route: route.abort())
    keys.type("Once more")
    keys.press("Enter")
    tab.until(lambda: state(tab) == "failed")
    tab.page.unroute("**/send")
    keys.press("Shift+Tab")
    assert tab.page.evaluate("document.activeElement.textContent") == "Try again"
    keys.press("Enter")
    tab.until(lambda: state(tab) == "sent")
    assert stored(site) == ["One line\nand another", "Once more"]


def test_nothing_overflows_on_a_phone(site: Site, open_tab: Open) -> None:
    tab = widget(site, open_tab, viewport={"width": 320, "height": 560})
    write(tab, "x" * 200)
    tab.until(lambda: state(tab) == "sent")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 320
    expect(tab.page.get_by_role("button", name="Send")).to_be_in_viewport()
