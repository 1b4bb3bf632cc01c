from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.net.dialing import (
    ConnectFailure,
    Dialer,
    DialError,
    request_target,
    server_name,
    unreadable_ca_note,
)
from tests.loadtests.names import names


def soon() -> float:
    return time.monotonic() + 10


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/a", "/team/a"),
        ("/a%2Fb/ä", "/team/a%2Fb/%C3%A4"),
        ("/a b?c=d&e#f", "/team/a%20b?c=d&e%23f"),
        ("/\r\nX: y", "/team/%0D%0AX:%20y"),
        ("/\ud800", "/team/%EF%BF%BD"),
        ("/\U0001f600", "/team/%F0%9F%98%80"),
    ],
)
def test_a_request_target_is_encoded_once_and_on_one_line(path: str, target: str) -> None:
    assert request_target(parse_address("http://h/team/"), path) == target


@pytest.mark.parametrize(
    ("host", "name"), [("chat.example.com.", "chat.example.com"), ("fe80::1%eth0", "fe80::1"), ("::1", "::1")]
)
def test_the_name_in_a_certificate(host: str, name: str) -> None:
    assert server_name(host) == name


def test_the_addresses_of_a_name_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.2", one.getsockname()[1])):
        names(monkeypatch, {"chat.test": ["127.0.0.1", "127.0.0.2"]})
        dialer = Dialer(parse_address(f"http://chat.test:{one.getsockname()[1]}"))
        seen = []
        for _ in range(4):
            with dialer.open(soon()) as sock:
                seen.append(sock.getpeername()[0])
    assert seen == ["127.0.0.1", "127.0.0.2"] * 2
    assert dialer.skipped == {}


def test_an_address_that_refuses_is_skipped_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as one:
        names(monkeypatch, {"chat.test": ["127.0.0.1", "127.0.0.2"]})
        dialer = Dialer(parse_address(f"http://chat.test:{one.getsockname()[1]}"))
        for _ in range(2):
            with dialer.open(soon()) as sock:
                assert sock.getpeername()[0] == "127.0.0.2"
    assert dialer.skipped == {"127.0.0.1": "connection refused"}


def test_an_unreadable_file_of_authorities_is_named() -> None:
    here = Path(__file__).parent
    assert unreadable_ca_note({}) == ""
    assert unreadable_ca_note({"SSL_CERT_FILE": __file__, "SSL_CERT_DIR": f"/nowhere:{here}"}) == ""
    note = unreadable_ca_note({"SSL_CERT_FILE": "/nowhere/ca.pem", "SSL_CERT_DIR": "/nowhere:/else"})
    assert "SSL_CERT_FILE names '/nowhere/ca.pem', which cannot be read" in note
    assert "SSL_CERT_DIR names '/nowhere:/else', which cannot be read" in note


def test_tls_that_cannot_be_set_up_is_a_rig_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "/nowhere/keys")
    with socket.create_server(("127.0.0.1", 0)) as one, pytest.raises(DialError, match="SSLKEYLOGFILE") as caught:
        Dialer(parse_address(f"https://127.0.0.1:{one.getsockname()[1]}")).open(soon())
    assert caught.value.failure is ConnectFailure.HERE


def test_running_out_of_threads_is_a_rig_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", fails)
    with pytest.raises(DialError, match="no more threads") as caught:
        Dialer(parse_address("http://127.0.0.1:1")).open(soon())
    assert caught.value.failure is ConnectFailure.HERE


def failing(monkeypatch: pytest.MonkeyPatch, numbers: dict[str, int]) -> None:
    """Makes connections to these addresses fail."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if (number := numbers.get(address[0])) is not None:
            raise OSError(number, os.strerror(number))
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


def test_a_family_without_a_route_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.2", 0)) as one:
        names(monkeypatch, {"chat.test": ["127.0.0.1", "127.0.0.2"]})
        failing(monkeypatch, {"127.0.0.1": errno.ENETUNREACH})
        dialer = Dialer(parse_address(f"http://chat.test:{one.getsockname()[1]}"))
        dialer.open(soon()).close()
    assert dialer.skipped == {}


@pytest.mark.parametrize(
    ("numbers", "failure"),
    [
        ({"127.0.0.1": errno.ECONNREFUSED, "127.0.0.2": errno.ENETUNREACH}, ConnectFailure.REFUSED),
        ({"127.0.0.1": errno.ENETUNREACH, "127.0.0.2": errno.ENETUNREACH}, ConnectFailure.HERE),
        ({"127.0.0.1": errno.ENETUNREACH, "127.0.0.2": errno.ETIMEDOUT}, ConnectFailure.UNREACHABLE),
        ({"127.0.0.1": errno.EMFILE}, ConnectFailure.HERE),
        ({"127.0.0.1": errno.ECONNREFUSED, "127.0.0.2": errno.ENOBUFS}, ConnectFailure.HERE),
    ],
)
def test_failures_of_several_addresses_are_combined(
    monkeypatch: pytest.MonkeyPatch, numbers: dict[str, int], failure: ConnectFailure
) -> None:
    names(monkeypatch, {"chat.test": ["127.0.0.1", "127.0.0.2"]})
    failing(monkeypatch, numbers)
    with pytest.raises(DialError) as caught:
        Dialer(parse_address("http://chat.test:1")).open(soon())
    assert caught.value.failure is failure
    assert (caught.value.limit is not None) == (failure is ConnectFailure.HERE)


def test_a_look_up_that_fails_without_open_files_does_not_make_the_name_unknown() -> None:
    code = """
import resource, socket, time
from chatswarm.loadtests.net.dialing import Dialer, DialError, ConnectFailure
from chatswarm.loadtests.net.address import parse_address
dialer = Dialer(parse_address("http://chat.invalid"))
held = []
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
try:
    while True:
        held.append(socket.socket())
except OSError:
    pass
try:
    dialer.open(time.monotonic() + 10)
except DialError as error:
    failure = error.failure
held.clear()
print(failure is ConnectFailure.HERE)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] != 40
