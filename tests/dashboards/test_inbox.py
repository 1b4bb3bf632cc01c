"""The inbox against a real backend, in a real browser."""

from __future__ import annotations

import re
import signal
import sqlite3
import time
from pathlib import Path

from playwright.sync_api import expect

from tests.backend.servers import until

from .browser import Open, Tab
from .sites import Site, site_at, stock

ID = r"[0-9a-f]{8}-[0-9a-f-]{27}"

COUNT_MUTATIONS = """() => {
  window.mutations = [];
  new MutationObserver((all) => window.mutations.push(...all)).observe(
    document.querySelector("#list"), { subtree: true, childList: true, characterData: true, attributes: true });
}"""


def inbox(site: Site, open_tab: Open, address: str = "/inbox", **options: object) -> Tab:
    tab = open_tab(site.pages + address, **options)
    tab.expect_sign("^Connected$")
    return tab


def test_the_console_lines_match_the_guide(site: Site, open_tab: Open) -> None:
    chat_id = site.new_chat("Ann")
    tab = inbox(site, open_tab)
    address = f"ws://localhost:{site.backend.port}/ws/dashboard"
    expected = [
        f"🔌 Attempting to connect to WebSocket: {re.escape(address)}",
        "✅ WebSocket connected",
        f"✅ WebSocket connection confirmed: ({ID})",
        r"📝 Subscribing to chat_updates\.\.\.",
        "📊 Total subscribers for chat_updates: 1",
        r"📤 Sending subscribe message for chat_updates\.\.\.",
        "✅ Subscribed to: chat_updates",
    ]
    found = re.fullmatch("\n".join(expected), "\n".join(tab.lines))
    assert found, tab.lines
    tab.lines.clear()
    site.say(chat_id, "Hello from customer")
    tab.until_said("  ✅ Callback 1 executed")
    rest = r'"timestamp": "[^"]+",\n *"message_id": 1,\n *"seq": 1'
    fields = rf'"type": "chat_message_notification",\n *"chat_id": "{chat_id}",\n *"message_role": "user",\n *{rest}'
    expected = [
        r"🔵 Raw WebSocket message received: \{\n  \"type\": \"chat_updates\",\n  \"data\": \{\n    "
        + fields
        + r"\n  \}\n\}",
        r"📡 Broadcasting chat_updates to subscribers\.\.\.",
        r"📬 Found 1 subscriber\(s\) for chat_updates",
        r"  → Calling callback 1\.\.\.",
        r"📨 Received WebSocket update: \{\n  " + fields + r"\n\}",
        r"🔔 New message notification received, refetching chats\.\.\.",
        rf'📊 Notification details: \{{\n  chat_id: "{chat_id}",\n  message_role: "user",\n  timestamp: "[^"]+"\n\}}',
        "  ✅ Callback 1 executed successfully",
    ]
    assert re.fullmatch("\n".join(expected), "\n".join(tab.lines)), tab.lines
    for line in (
        f"WebSocket connected: {found[1]}",
        f"✅ Connection {found[1]} subscribed to chat_updates",
        "Total subscribers for chat_updates: 1",
        "📡 Broadcasting chat_updates to 1 subscriber(s)",
        f"✅ Successfully sent message to connection {found[1]}",
    ):
        until(lambda line=line: line in site.backend.output.splitlines())  # type: ignore[misc]


def test_under_load_the_console_shows_one_line_a_second(site: Site, open_tab: Open) -> None:
    chat_id = site.new_chat("Ann")
    tab = inbox(site, open_tab)
    site.say_many(chat_id, 100)
    expect(tab.row("Ann").locator(".count")).to_have_text("100")
    tab.until(lambda: any("in the last second" in line for line in tab.lines))
    assert len([line for line in tab.lines if line.startswith("🔵 ")]) < 100


def test_a_message_moves_its_chat_to_the_top_with_preview_count_and_time(site: Site, open_tab: Open) -> None:
    ids = site.new_chats(4)
    tab = inbox(site, open_tab)
    tab.until_names("Customer 3", "Customer 2", "Customer 1", "Customer 0")
    tab.page.evaluate("document.querySelectorAll('#list time').forEach((time) => { time.textContent = 'stale'; })")
    tab.page.evaluate("window.kept = document.querySelectorAll('#list .row')[2]")
    tab.page.evaluate(COUNT_MUTATIONS)
    site.say(ids[1], "Hello from customer")
    tab.until_names("Customer 1", "Customer 3", "Customer 2", "Customer 0")
    row = tab.rows.first
    expect(row.locator(".preview")).to_have_text("Hello from customer")
    expect(row.locator(".count")).to_have_text("2")
    expect(row.locator("time")).to_have_text("now")
    expect(row).to_have_attribute("data-unread", "")
    assert tab.page.evaluate("window.kept === document.querySelector('#list .row')")
    touched = "[...new Set(window.mutations.map((m) => m.target.closest?.('.row')?.dataset.id ?? m.target.id))]"
    assert sorted(tab.page.evaluate(touched)) == sorted([ids[1], "list"])
    site.say(ids[1], "An answer", "agent")
    expect(row.locator(".preview")).to_have_text("Agent: An answer")
    expect(row).not_to_have_attribute("data-unread", "")


def test_a_new_chat_appears(site: Site, open_tab: Open) -> None:
    tab = inbox(site, open_tab)
    expect(tab.page.locator("#empty")).to_be_visible()
    site.new_chat("Ann", "Hello")
    tab.until_names("Ann")
    expect(tab.rows.first).to_have_attribute("data-unread", "")
    expect(tab.page.locator("#told")).to_have_text("New message from Ann: Hello")


def test_scroll_position_selection_and_drafts_are_kept(tmp_path: Path, open_tab: Open) -> None:
    ids = stock(tmp_path / "chat.db", 40)
    with site_at(tmp_path) as site:
        tab = inbox(site, open_tab)
        tab.row("Customer 38").click()
        tab.until_texts("Text 38")
        reply = tab.page.locator("#reply-text")
        reply.fill("Half a sent")
        tab.page.evaluate("document.querySelector('#reply-text').setSelectionRange(2, 5)")
        tab.page.evaluate("document.querySelector('#list').scrollTop = 1000")
        top = "(ids) => ids.map((id) => document.getElementById(`chat-${id}`).getBoundingClientRect().top)"
        watched = [ids[number] for number in (25, 24, 21, 20)]
        places = tab.page.evaluate(top, watched)
        for number in (3, 22, 30, 2):
            site.say(ids[number], f"News {number}")
        tab.until_names("Customer 2", "Customer 30", "Customer 22", "Customer 3")
        # A visible row has moved away, so the rows below it moved up by one.
        rows = tab.page.evaluate(top, watched)
        assert rows[:2] == places[:2]
        assert [before - after for before, after in zip(places[2:], rows[2:], strict=True)] == [72, 72]
        expect(tab.row("Customer 38")).to_have_attribute("aria-selected", "true")
        expect(reply).to_have_value("Half a sent")
        assert tab.focused() == "reply-text"
        assert tab.page.evaluate("document.querySelector('#reply-text').selectionStart") == 2
        tab.row("Customer 37").click()
        expect(reply).to_have_value("")
        tab.row("Customer 38").click()
        expect(reply).to_have_value("Half a sent")


def test_filters_by_status_and_by_text(site: Site, open_tab: Open) -> None:
    ids = [site.new_chat(name, text) for name, text in (("Ann", "My invoice"), ("Bo", "Hello"), ("Cy", "Invoice two"))]
    site.kill()
    with sqlite3.connect(site.backend.database) as store:
        store.execute("UPDATE chats SET status = 'resolved' WHERE id = ?", (ids[1],))
    store.close()
    site.backend.start()
    tab = inbox(site, open_tab)
    tab.until_names("Cy", "Bo", "Ann")
    tab.page.get_by_label("Resolved").check()
    assert tab.names() == ["Bo"]
    tab.page.get_by_label("Active").check()
    assert tab.names() == ["Cy", "Ann"]
    expect(tab.page.locator("#count")).to_have_text("2 of 3 chats")
    tab.page.get_by_label("Search").fill("invoice an")
    assert tab.names() == ["Ann"]
    site.say(ids[2], "An invoice again")
    tab.until_names("Cy", "Ann")
    tab.page.get_by_label("Search").fill("nothing like it")
    expect(tab.page.locator("#no-match")).to_be_visible()
    tab.page.get_by_role("button", name="Clear the filter").click()
    assert tab.names() == ["Cy", "Bo", "Ann"]


def test_an_agent_reads_and_replies(site: Site, open_tab: Open) -> None:
    chat_id = site.new_chat("Ann", "Hello", "Anybody there?")
    tab = inbox(site, open_tab)
    tab.row("Ann").click()
    tab.until_texts("Hello", "Anybody there?")
    site.say(chat_id, "I am waiting")
    tab.until_texts("Hello", "Anybody there?", "I am waiting")
    tab.page.keyboard.type("Yes,\nof course")
    tab.page.keyboard.press("Enter")
    tab.until_texts("Hello", "Anybody there?", "I am waiting", "Yes,", "of course")
    expect(tab.page.locator(".message.own").last).to_have_attribute("data-state", "sent")
    messages = site.backend.http.get(f"/api/chats/{chat_id}").json()["messages"]
    assert [each["role"] for each in messages] == ["user"] * 3 + ["agent"] * 2
    expect(tab.row("Ann").locator(".preview")).to_have_text("Agent: of course")
    assert len(tab.texts()) == 5


def test_a_long_chat_shows_its_end_first(tmp_path: Path, open_tab: Open) -> None:
    stock(tmp_path / "chat.db", 1, messages=450)
    with site_at(tmp_path) as site:
        tab = inbox(site, open_tab)
        tab.row("Customer 0").click()
        tab.until(lambda: len(tab.texts()) == 200)
        assert (tab.texts()[0], tab.texts()[-1]) == ("Text 251", "Text 0")
        expect(tab.page.locator(".message").last).to_be_in_viewport()
        for count in (400, 450):
            tab.page.locator("#earlier").click()
            tab.until(lambda count=count: len(tab.texts()) == count)  # type: ignore[misc]
        expect(tab.page.locator("#earlier")).to_be_hidden()
        assert tab.texts()[:2] == ["Text 1", "Text 2"]


def test_text_is_shown_as_text(site: Site, open_tab: Open) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    site.new_chat(evil, evil)
    tab = inbox(site, open_tab)
    expect(tab.rows.first.locator(".preview")).to_have_text(evil)
    assert tab.names() == [evil]
    tab.rows.first.click()
    tab.until_texts(evil)
    assert tab.page.locator("#title").text_content() == evil
    assert tab.page.locator("main img, main script").count() == 0
    assert tab.page.title() == "Inbox – chatswarm"


def test_the_policy_allows_only_served_files(site: Site, open_tab: Open) -> None:
    tab = inbox(site, open_tab)
    assert "unsafe" not in site_policy(site)
    for step in (
        "document.body.innerHTML = '<b>x</b>'",
        "document.body.setAttribute('style', 'color: red'), getComputedStyle(document.body).color",
        "document.body.append(Object.assign(document.createElement('script'), {src: 'http://127.0.0.1:9/x.js'}))",
    ):
        tab.page.evaluate(f"() => {{ try {{ window.got = {step}; }} catch (error) {{ window.got = 'refused'; }} }}")
        assert tab.page.evaluate("window.got") != "rgb(255, 0, 0)"
    assert tab.page.locator("#list").count() == 1


def site_policy(site: Site) -> str:
    import httpx

    with httpx.Client(trust_env=False) as client:
        policy: str = client.get(f"{site.pages}/inbox").headers["content-security-policy"]
    return policy


def test_an_open_inbox_survives_a_restart_of_the_backend(site: Site, open_tab: Open) -> None:
    ids = site.new_chats(3)
    tab = inbox(site, open_tab)
    tab.row("Customer 1").click()
    tab.page.locator("#reply-text").fill("Half a sent")
    for round_ in range(2):
        site.kill()
        tab.expect_sign("^Reconnecting|^Connecting")
        expect(tab.page.locator("#fresh")).to_have_text(re.compile("^List from "))
        assert len(tab.names()) == 3
        site.backend.start()
        # This may arrive before or after the page has reconnected.
        site.say(ids[1], f"Missed {round_}")
        site.say(ids[0], f"Missed {round_}")
        tab.expect_sign("^Connected$")
        tab.until_names("Customer 0", "Customer 1", "Customer 2")
        expect(tab.row("Customer 0").locator(".preview")).to_have_text(f"Missed {round_}")
    tab.until_texts("Text 1", "Missed 0", "Missed 1")
    site.say(ids[2], "Live again")
    tab.until_names("Customer 2")
    expect(tab.page.locator("#reply-text")).to_have_value("Half a sent")


def test_a_silent_backend_is_noticed_by_a_missing_pong(site: Site, open_tab: Open) -> None:
    chat_id = site.new_chat("Ann", "Hello")
    tab = open_tab("about:blank")
    tab.page.clock.install()
    tab.page.goto(f"{site.pages}/inbox")
    tab.expect_sign("^Connected$")
    assert site.backend.process is not None
    site.backend.process.send_signal(signal.SIGSTOP)
    tab.page.clock.run_for(30_500)
    tab.expect_sign("^Connected$")
    tab.page.clock.run_for(10_000)
    tab.until_said("🔌 WebSocket closed (no pong)")
    tab.expect_sign("^Reconnecting|^Connecting")
    site.backend.process.send_signal(signal.SIGCONT)
    site.say(chat_id, "Back")
    tab.page.clock.run_for(12_000)
    tab.expect_sign("^Connected$")
    expect(tab.row("Ann").locator(".preview")).to_have_text("Back")


def test_a_tab_refetches_when_it_becomes_visible(site: Site, open_tab: Open) -> None:
    chat_id = site.new_chat("Ann", "Hello")
    tab = inbox(site, open_tab)
    tab.until_names("Ann")
    with tab.page.expect_response(lambda answer: "/users-chats" in answer.url) as answer:
        tab.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert answer.value.status == 304
    site.say(chat_id, "News")
    expect(tab.rows.first.locator(".preview")).to_have_text("News")


def test_refetches_are_one_at_a_time_and_the_last_one_is_not_lost(site: Site, open_tab: Open) -> None:
    chat_id = site.new_chat("Ann")
    tab = inbox(site, open_tab)
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url) if "/users-chats" in request.url else None)
    began = time.monotonic()
    site.say_many(chat_id, 300)
    site.say(chat_id, "The last")
    expect(tab.rows.first.locator(".preview")).to_have_text("The last")
    expect(tab.rows.first.locator(".count")).to_have_text("301")
    assert len(asked) < 5 + 5 * (time.monotonic() - began)


def test_a_failed_list_is_retried(site: Site, open_tab: Open) -> None:
    chat_id = site.new_chat("Ann", "Hello")
    tab = inbox(site, open_tab)
    tab.page.route("**/users-chats*", lambda route: route.fulfill(status=503, body="{}"), times=3)
    site.say(chat_id, "News")
    expect(tab.rows.first.locator(".preview")).to_have_text("News")
    expect(tab.page.locator("#fresh")).to_have_text(re.compile("^Updated "))


def test_a_token_is_asked_for_and_kept_for_the_tab(tmp_path: Path, open_tab: Open) -> None:
    (tmp_path / "tokens").write_text("s3cret/+token==\n")
    with site_at(tmp_path, "--dashboard-token-file", str(tmp_path / "tokens")) as site:
        token = {"Authorization": "Bearer s3cret/+token=="}
        chat_id = site.new_chat("Ann", "Hello")
        tab = open_tab(f"{site.pages}/inbox")
        field = tab.page.get_by_role("textbox", name="Token")
        expect(field).to_be_visible()
        field.fill("wrong")
        tab.page.keyboard.press("Enter")
        expect(tab.page.locator("#token-problem")).to_have_text("This token was not accepted.")
        field.fill("s3cret/+token==")
        tab.page.keyboard.press("Enter")
        tab.expect_sign("^Connected$")
        tab.row("Ann").click()
        tab.until_texts("Hello")
        tab.page.keyboard.type("Welcome")
        tab.page.keyboard.press("Enter")
        tab.until_texts("Hello", "Welcome")
        tab.until(lambda: len(site.backend.http.get(f"/api/chats/{chat_id}", headers=token).json()["messages"]) == 2)
        site.say(chat_id, "Thanks")
        tab.until_texts("Hello", "Welcome", "Thanks")
        tab.page.reload()
        tab.expect_sign("^Connected$")
        tab.until_texts("Hello", "Welcome", "Thanks")
        assert "s3cret" not in tab.page.url + site.backend.errors + site.backend.output + "".join(tab.lines)


def test_with_the_keyboard_alone(site: Site, open_tab: Open) -> None:
    ids = site.new_chats(5)
    tab = inbox(site, open_tab)
    tab.until_names("Customer 4")
    keys = tab.page.keyboard
    keys.press("Tab")
    assert tab.focused() == "skip"
    keys.press("Enter")
    assert tab.focused() == "list"
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    box = tab.page.locator("#list")
    expect(box).to_have_attribute("aria-activedescendant", f"chat-{ids[2]}")
    site.say(ids[2], "News")
    tab.until_names("Customer 2")
    expect(box).to_have_attribute("aria-activedescendant", f"chat-{ids[2]}")
    assert tab.focused() == "list"
    keys.press("Enter")
    tab.until_texts("Text 2", "News")
    assert tab.focused() == "reply-text"
    keys.type("With keys")
    keys.press("Tab")
    keys.press("Enter")
    tab.until(lambda: site.texts(ids[2])[-1] == "With keys")
    assert tab.focused() == "reply-text"
    keys.press("Shift+Tab")
    assert tab.focused() == "messages"


def test_on_a_phone_one_pane_at_a_time(site: Site, open_tab: Open) -> None:
    site.new_chats(3)
    tab = inbox(site, open_tab, viewport={"width": 360, "height": 640})
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360
    tab.row("Customer 1").click()
    expect(tab.page.locator("#list")).to_be_hidden()
    expect(tab.page.locator("#pane")).to_be_visible()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360
    tab.page.get_by_role("button", name="Back to the chats").click()
    expect(tab.page.locator("#list")).to_be_visible()
    tab.page.go_back()
    tab.until_texts("Text 1")


def test_a_thousand_chats_are_updated_with_a_few_mutations(tmp_path: Path, open_tab: Open) -> None:
    ids = stock(tmp_path / "chat.db", 1000)
    with site_at(tmp_path) as site:
        tab = inbox(site, open_tab)
        tab.until(lambda: tab.rows.count() == 1000)
        tab.page.evaluate(COUNT_MUTATIONS)
        site.say(ids[0], "From the very end")
        tab.until_names("Customer 0", "Customer 999")
        expect(tab.rows.first.locator(".preview")).to_have_text("From the very end")
        assert tab.page.evaluate("window.mutations.length") < 15
        tab.page.evaluate("window.mutations.length = 0")
        for number in range(30):
            site.say(ids[number * 7 + 1], "One of many")
        tab.until_names("Customer 204", "Customer 197")
        assert tab.page.evaluate("window.mutations.length") < 15 * 30
