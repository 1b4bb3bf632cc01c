"""The JavaScript modules without I/O, on literal inputs, in the browser's engine."""

from __future__ import annotations

from typing import Any

import pytest

from .browser import Open, Tab
from .sites import Site


@pytest.fixture
def blank(quiet: Site, open_tab: Open, request: pytest.FixtureRequest) -> Any:
    return lambda: open_tab(f"{quiet.pages}/")


def run(tab: Tab, module: str, code: str) -> Any:
    """What `code` evaluates to, with the module's exports in `m`."""
    return tab.page.evaluate(f"async () => {{ const m = await import('/{module}.js'); return {code}; }}")


def test_backoff_doubles_below_two_seconds_with_full_jitter(blank: Any, chromium: Any) -> None:
    tab = blank()
    assert run(tab, "backoff", "[1, 2, 3, 4, 5, 99].map((n) => m.backoff(n, () => 1))") == [
        250,
        500,
        1000,
        2000,
        2000,
        2000,
    ]
    assert run(tab, "backoff", "[1, 5].map((n) => m.backoff(n, () => 0))") == [0, 0]


def test_chats_are_sorted_by_activity_over_all_customers(blank: Any, chromium: Any) -> None:
    users = """{users: [
      {name: "Ann", email: "a@x", chats: [
        {chat_id: "1", last_activity: "2025-01-01T00:00:01Z", total_messages: 40,
         messages: [{role: "user", text: "old"}, {role: "agent", text: "new"}]},
        {chat_id: "2", last_activity: "2025-01-01T00:00:03Z", status: "resolved"}]},
      {name: "", email: "b@x", chats: [{chat_id: "3", created_at: "2025-01-01T00:00:02Z"}]},
      {name: "Nobody"}]}"""
    tab = blank()
    short = f"m.chatsOf({users}).map((c) => [c.id, c.name, c.total, c.preview, c.resolved])"
    assert run(tab, "chats", short) == [
        ["2", "Ann", 0, "", True],
        ["3", "b@x", 0, "", False],
        ["1", "Ann", 40, "new", False],
    ]
    assert run(tab, "chats", "[m.chatsOf(null), m.chatsOf({})]") == [[], []]


def test_names_have_initials(blank: Any, chromium: Any) -> None:
    tab = blank()
    names = "['Ann', 'Bo van Li', '  ', '😀 x', 'ève'].map(m.initials)"
    assert run(tab, "chats", names) == ["A", "BL", "?", "😀X", "È"]


def test_times_are_brief(blank: Any, chromium: Any) -> None:
    tab = blank()
    at = "2025-11-08T12:00:00.123456"
    now = "Date.parse('2025-11-08T12:00:00Z')"
    ages = "[0, 59e3, 60e3, 59 * 60e3, 40 * 86400e3]"
    assert run(tab, "times", f"{ages}.map((age) => m.brief('{at}', {now} + age + 200))") == [
        "now",
        "now",
        "1 min",
        "59 min",
        "8 Nov",
    ]
    assert run(tab, "times", f"m.instant('{at}') === m.instant('{at}Z')") is True
    assert run(tab, "times", "[m.brief('soon'), m.clock(''), m.full('x')]") == ["", "", ""]


def test_a_token_becomes_a_subprotocol(blank: Any, chromium: Any) -> None:
    tab = blank()
    assert run(tab, "keys", "m.subprotocols('a?>~')") == ["chatswarm", "bearer.YT8-fg"]
    assert run(tab, "keys", "m.subprotocols(null)") == []


def test_five_updates_a_second_get_their_lines_and_the_others_are_counted(blank: Any, chromium: Any) -> None:
    tab = blank()
    code = """(() => {
      const pace = new m.Pace();
      const every = [0, 100, 200, 300, 400, 500, 1300].map((now) => pace.every(now));
      return [every, pace.summary(1300), pace.summary(1400), pace.summary(1500), pace.every(3000)];
    })()"""
    assert run(tab, "guide", code) == [[True, True, True, True, False, False, False], 0, 3, 0, True]


def test_one_read_at_a_time_and_another_if_requested_meanwhile(blank: Any, chromium: Any) -> None:
    tab = blank()
    code = """await (async () => {
      let begun = 0, running = 0, most = 0;
      const reads = new m.Refetcher(async () => {
        begun += 1;
        running += 1;
        most = Math.max(most, running);
        await new Promise((done) => setTimeout(done, 50));
        running -= 1;
      }, 0);
      for (let i = 0; i < 5; i++) reads.ask();
      await new Promise((done) => setTimeout(done, 20));
      for (let i = 0; i < 5; i++) reads.ask();
      while (begun < 2 || running) await new Promise((done) => setTimeout(done, 20));
      await new Promise((done) => setTimeout(done, 100));
      return [begun, most];
    })()"""
    assert run(tab, "refetch", code) == [2, 1]


def test_a_failed_read_is_retried(blank: Any, chromium: Any) -> None:
    tab = blank()
    code = """await (async () => {
      let begun = 0;
      await new Promise((done) => {
        const reads = new m.Refetcher(async () => {
          begun += 1;
          if (begun === 1) return false;
          if (begun === 2) throw new Error("wrong");
          done();
        }, 0);
        reads.ask();
      });
      return begun;
    })()"""
    assert run(tab, "refetch", code) == 3


def test_an_outbox_recognizes_its_own_messages(blank: Any, chromium: Any) -> None:
    tab = blank()
    code = """await (async () => {
      let fail = true;
      const send = async () => { if (fail) throw new Error("gone"); return {content: {seq: 9}}; };
      const box = new m.Outbox(send, () => {});
      box.add("ok", 3);
      box.add("ok", 3);
      while (box.entries.some((each) => each.state === "sending")) await null;
      const say = (seq, text, role = "user") => ({seq, text, role});
      const sizes = [
        box.recognize([say(3, "ok"), say(4, "ok", "agent"), say(5, "other")], "user").size,
        box.recognize([say(3, "ok"), say(6, "ok")], "user").size,
        box.recognize([say(6, "ok")], "user").size,
      ];
      fail = false;
      box.retry(box.entries[0].key);
      while (box.entries[0].state !== "sent") await null;
      return [...sizes, [...box.recognize([say(6, "ok"), say(9, "ok")], "user").keys()], box.entries.length];
    })()"""
    assert run(tab, "outbox", code) == [0, 1, 0, [9], 0]
