"""Two hosts on this one: they reach each other and nothing else, and vanish."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from .place import two_hosts, why_no_two_hosts
from .started import REFERENCE, started

if why := why_no_two_hosts():
    pytest.skip(f"no network namespaces: {why}", allow_module_level=True)

_ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).status)"


def asked(inside: Sequence[str], url: str) -> str:
    """The status of a response to a process on one of the hosts; empty if there is none."""
    command = [*inside, sys.executable, "-c", _ASK, url]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_the_second_host_reaches_the_first_by_its_address_only_and_this_one_reaches_neither(tmp_path: Path) -> None:
    with two_hosts() as place, started(REFERENCE, tmp_path, place=place) as chat:
        path = "/api/debug/users-chats"
        assert asked(place.first, chat.url + path) == "200"
        assert asked(place.second, chat.url + path) == "200"
        assert asked((), chat.url + path) == ""
    with two_hosts() as place, started(REFERENCE, tmp_path) as chat:
        assert asked((), chat.url + path) == "200"
        assert asked(place.first, chat.url + path) == ""
        assert asked(place.second, chat.url + path) == ""


def test_the_second_host_has_another_clock() -> None:
    program = (sys.executable, "-c", "import time; print(time.monotonic())")
    with two_hosts() as place:
        first, second = (
            float(subprocess.run([*inside, *program], capture_output=True, check=True).stdout)
            for inside in (place.first, place.second)
        )
    assert second - first > 4000


def test_nothing_is_left_of_them() -> None:
    with two_hosts():
        keepers = psutil.Process().children()
        assert len(keepers) == 2
    assert not psutil.wait_procs(keepers, 10)[1]


def test_without_the_rights_or_the_programs_it_is_said_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why_no_two_hosts() == "[Errno 2] No such file or directory: 'unshare'"
    (tmp_path / "unshare").write_text("#!/bin/sh\necho unshare failed: not permitted >&2\nexit 1\n", encoding="utf-8")
    (tmp_path / "unshare").chmod(0o755)
    assert why_no_two_hosts() == "unshare failed: not permitted"
