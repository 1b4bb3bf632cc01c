"""Runs against our own push chat, as a user starts them."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from chatswarm.loadtests.protocols.push import KEY
from tests.loadtests.report.reader import Reader

from .command import LOCUST, Result, chatswarm, running, scenario
from .given import GivenChat, given_chat

SECRET = "s3cretMARK-0123456789"

ROOMS = """
[swarm]
dashboards = 6
widgets = 4
rate = 10
duration = "2s"
ramp = "0.5s"
update_target = "5s"
drain = "7s"
send_over = "socket"
[rooms]
count = 4
members = 3
"""
"""As `QUICK`, with rooms."""

CHANGING = """
[[rooms.change]]
at = "500ms"
join = 1
leave = 1
[backend]
push = true
workers = 2
"""

SLOS = ("visible.p99 <= 5s", "gap == 0", "leaked == 0", "rejected + unknown == 0")

MEMBERS = {"general": ["amy", "bob", "cid", "dot"], "support": ["amy", "cid"], "sales": ["bob", "dot"]}
USERS = "name,rooms\n" + "".join(
    f"{name},{' '.join(room for room, members in MEMBERS.items() if name in members)}\n"
    for name in ("amy", "bob", "cid", "dot")
)
SENDERS = "eve,general\nfay,support\ngus,sales\n"


def check_clean(verdict: dict[str, Any], leaked: int | None = 0) -> None:
    """Everything was seen, and nothing was left unmeasured that a push chat shows."""
    assert verdict["verdict"] == "pass", verdict["reasons"]
    deliveries, counts = verdict["deliveries"], verdict["counts"]
    assert deliveries["expected"] == deliveries["visible"] == deliveries["seen_as_text"] > 0
    assert (deliveries["lost"], deliveries["gap"], deliveries["unnotified"], counts["leaked"]) == (0, 0, None, leaked)
    assert verdict["findings"] == []
    evidence = verdict["evidence"]
    assert (evidence["visible"], evidence["subscribed"], evidence["store"]) == ("frame", "confirmed", "read")


def said_in(folder: Path, text: str) -> list[str]:
    """The files below a folder that have a text in them."""
    return [str(path) for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def page_of(folder: Path) -> str:
    """The text of the report that a run in a folder has left."""
    return Reader((folder / "out" / "report.html").read_text(encoding="utf-8")).text


def test_our_own_push_chat_passes_with_our_key_and_with_one_of_its_own(tmp_path: Path) -> None:
    def run(name: str, key: str) -> Result:
        folder = tmp_path / name
        folder.mkdir()
        file = scenario(folder, ROOMS + CHANGING, SLOS)
        return chatswarm("run", file, "--out", "out", "--json", folder=folder, env={KEY: key})

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, ("own", "ours"), ("", SECRET)))
    for name, result in zip(("own", "ours"), results, strict=True):
        assert result.code == 0, result.err
        check_clean(result.verdict)
        assert [slo["outcome"] for slo in result.verdict["slos"]] == ["pass"] * len(SLOS)
        assert result.verdict["evidence"]["accepted_by"] == "ack"
        page = page_of(tmp_path / name)
        for words in ("audience: members of rooms", "accepted: an acknowledgement", "gap == 0", "leaked✓ pass0"):
            assert words in page
    assert said_in(tmp_path, SECRET) == []


def test_users_of_a_file_are_in_the_rooms_that_it_names(tmp_path: Path) -> None:
    env = {KEY: SECRET}
    with given_chat(tmp_path, "--push", env=env) as chat:
        make_rooms(chat)
        (tmp_path / "users.csv").write_text(USERS + SENDERS, encoding="utf-8")
        text = ROOMS.partition("[rooms]")[0].replace("= 6", "= 4").replace("widgets = 4", "widgets = 3")
        locust = ["--headless", "--host", chat.url, "--protocol", "push", "--out", "out"]

        def run() -> Result:
            args = ["--target", chat.url, "--protocol", "push", "--users-file", "users.csv", "--out", "out", "--json"]
            return chatswarm("run", scenario(tmp_path, text, SLOS), *args, folder=tmp_path, env=env)

        def swarm() -> Result:
            folder = tmp_path / "locust"
            folder.mkdir()
            with running([*LOCUST, *locust, "--scenario", scenario(folder, ROOMS, SLOS)], folder, env) as command:
                return command.result()

        with ThreadPoolExecutor(2) as pool:
            by_file, by_locust = pool.submit(run), pool.submit(swarm)
        assert by_file.result().code == 0, by_file.result().err
        verdict = by_file.result().verdict
        check_clean(verdict)
        # Widgets send into the rooms in turn: these have 4, 2 and 2 members.
        assert 2 * verdict["messages"]["accepted"] < verdict["deliveries"]["expected"]
        assert verdict["deliveries"]["expected"] < 4 * verdict["messages"]["accepted"]
        assert by_locust.result().code == 0, by_locust.result().err
        check_clean(json.loads((tmp_path / "locust" / "out" / "verdict.json").read_text(encoding="utf-8")))


def make_rooms(chat: GivenChat) -> None:
    """The rooms of `USERS`, whose members are also the senders."""
    for room, members in MEMBERS.items():
        sender = next(line.partition(",")[0] for line in SENDERS.split() if line.endswith(room))
        answer = httpx.put(
            f"{chat.url}/api/rooms/{room}",
            json={"members": [*members, sender]},
            headers={"Authorization": f"Bearer {SECRET}"},
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text


def test_a_scenario_without_rooms_has_one_room_for_everybody(tmp_path: Path) -> None:
    def run(name: str, *target: str) -> Result:
        folder = tmp_path / name
        folder.mkdir()
        args = ["--protocol", "push", *target, "--out", "out", "--json"]
        return chatswarm("run", scenario(folder, slos=("notified == expected",)), *args, folder=folder)

    # Somebody's own chat asks for no key.
    with given_chat(tmp_path, "--push") as chat, ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run, "ours"), pool.submit(run, "given", "--target", chat.url)]
    for name, result in zip(("ours", "given"), [each.result() for each in runs], strict=True):
        assert result.code == 0, result.err
        # Where nobody is a stranger, nothing can leak.
        check_clean(result.verdict, leaked=None)
        assert result.verdict["deliveries"]["expected"] == 4 * result.verdict["messages"]["accepted"]
        assert result.verdict["evidence"]["audience"] == "everybody"
        assert "audience: everybody" in page_of(tmp_path / name)
