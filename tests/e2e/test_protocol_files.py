"""Runs with a protocol file of somebody's own, against a chat that has the habits of many others at once."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chatswarm.loadtests.net.reachability import http_problem
from chatswarm.loadtests.system.children import free_port

from .command import LOCUST, QUICK, Result, chatswarm, running, scenario, until
from .odd_chat import FILE, SECRET

ROOT = Path(__file__).parents[2]
ENV = {"ODD_KEY": SECRET}
ROOMS = f"{QUICK}\n[rooms]\ncount = 3\nmembers = 3\n"
SLOS = ("visible.p99 <= 5s", "lost == 0", "store_lost == 0", "rejected + unknown == 0")


@contextmanager
def odd_chat(*ways: str) -> Iterator[str]:
    """Its base URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.e2e.odd_chat", str(port), ",".join(ways)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        until(lambda: http_problem(url, 1.0) is None)
        yield url
    finally:
        process.kill()
        process.wait()


def run(folder: Path, url: str, file: str = FILE, *options: str, text: str = ROOMS) -> Result:
    (folder / "odd.toml").write_text(file, encoding="utf-8")
    args = ["--protocol", "odd.toml", "--target", url, "--out", "out", "--json", *options]
    return chatswarm("run", scenario(folder, text, SLOS), *args, folder=folder, env=ENV)


def changed(before: str, after: str) -> str:
    assert before in FILE
    return FILE.replace(before, after, 1)


def test_a_chat_that_is_described_in_a_file_passes(tmp_path: Path) -> None:
    with odd_chat() as url:
        result = run(tmp_path, url, FILE, "--processes", "2")
        assert result.code == 0, result.err
        verdict = result.verdict
        assert verdict["deliveries"]["expected"] == 3 * verdict["messages"]["accepted"] > 0
        assert verdict["evidence"] == {
            "visible": "frame", "accepted_by": "status", "subscribed": "confirmed", "store": "read",
            "audience": "members", "deflate": verdict["evidence"]["deflate"],
        }  # fmt: skip
        assert (tmp_path / "out" / "protocol.toml").read_text(encoding="utf-8") == FILE
    for path in filter(Path.is_file, (tmp_path / "out").rglob("*")):
        assert SECRET.encode() not in path.read_bytes(), path
    again = chatswarm("judge", "out", "--json", folder=tmp_path)
    assert (again.code, again.verdict["deliveries"]) == (0, verdict["deliveries"])


def test_a_subscription_that_is_dropped_is_taken_up_again_and_what_was_missed_is_read(tmp_path: Path) -> None:
    with odd_chat("drops") as url:
        result = run(tmp_path, url)
    assert result.code == 0, result.err
    deliveries = result.verdict["deliveries"]
    assert deliveries["visible"] == deliveries["expected"] > 0
    assert deliveries["notified"] < deliveries["visible"], "none was read: expected subscriptions that were dropped"


def test_a_chat_that_delivers_nothing_fails(tmp_path: Path) -> None:
    with odd_chat("deaf") as url:
        result = run(tmp_path, url)
    assert result.code == 1, result.err
    assert result.verdict["deliveries"]["lost"] == result.verdict["deliveries"]["expected"] > 0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"$.kind" = "data", ', '"$.kind" = "event", '),
        ('text = "$.data -> $.message.body"', 'text = "$.kind"'),
        ('text = "$.data -> $.message.body"', 'text = "$.message.body"'),
    ],
    ids=["no rule", "another text", "no text"],
)
def test_a_file_that_shows_no_text_of_a_frame_that_has_one_ends_the_run(
    tmp_path: Path, before: str, after: str
) -> None:
    with odd_chat() as url:
        file = changed(before, after)
        result = run(tmp_path, url, file)
    assert result.code == 2, result.err
    lines = file.splitlines()
    first, last = (lines.index("[[frame]]") + 1, len(lines) - lines[::-1].index("[[frame]]"))
    assert f"odd.toml: lines {first} to {last} ([[frame]]): expected a rule that shows the text" in result.err
    assert "cs1 " in result.err
    assert not (tmp_path / "out").exists()


def test_locust_takes_a_protocol_file(tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text(FILE, encoding="utf-8")
    with odd_chat() as url:
        options = ["--headless", "--host", url, "--protocol", "odd.toml", "--out", "out"]
        with running([*LOCUST, *options, "--scenario", scenario(tmp_path, ROOMS, SLOS)], tmp_path, ENV) as command:
            result = command.result()
    assert result.code == 0, result.err
    assert json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))["protocol"] == "odd.toml"


def test_every_problem_of_a_file_is_said_before_anything_starts(tmp_path: Path) -> None:
    file = changed("${ticket}", "${tickt}").replace('is = "dropped"', 'is = "droped"')
    (tmp_path / "odd.toml").write_text(file, encoding="utf-8")
    for args in (["run", "smoke"], ["check"]):
        result = chatswarm(*args, "--protocol", "odd.toml", "--target", "http://127.0.0.1:1", folder=tmp_path, env=ENV)
        assert result.code == 2
        line = file.splitlines().index('query = { ticket = "${tickt}" }') + 1
        assert (
            f"odd.toml: line {line}: socket.query.ticket: expected variables that are known here, got ${{tickt}} (did "
            in (result.err)
        )
        assert re.search(r"odd.toml: line \d+: frame 2.is: expected one of message, .*, got droped", result.err)


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text(FILE, encoding="utf-8")
    result = chatswarm("run", "smoke", "--protocol", "odd.toml", "--target", "http://127.0.0.1:1", folder=tmp_path)
    assert result.code == 2
    line = next(at for at, each in enumerate(FILE.splitlines(), 1) if "env.ODD_KEY" in each)
    assert f"odd.toml: line {line}: expected the environment variable ODD_KEY to be set, got none" in result.err
