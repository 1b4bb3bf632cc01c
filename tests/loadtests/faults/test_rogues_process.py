"""The process of rogues, and the fault that starts it: messages, the secret token, and cleaning up."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme

from chatswarm.loadtests.faults.error import FaultError
from chatswarm.loadtests.faults.rogue_faults import ROGUES, RogueFault
from chatswarm.loadtests.faults.rogues import KINDS
from chatswarm.loadtests.scenario.fault_kinds import FAULT_KINDS
from chatswarm.loadtests.system.children import LIFELINE, free_port

from .harness import PATIENCE, until
from .misbehaving import CONNECTED, TEXT, Connection, attack, did_nothing, fault, server

COMMAND = [sys.executable, "-m", "chatswarm.loadtests.faults.rogues"]
TOKEN = "a-token-that-nobody-may-see"


def let_in(connection: Connection) -> None:
    connection.upgrade()
    connection.send(TEXT, CONNECTED)
    connection.read_on()


def instructions(url: str, kind: str = "idle_sockets", **parameters: object) -> dict[str, object]:
    return {"kind": kind, "target": url, "protocol": "reference", "parameters": parameters}


@contextmanager
def rogues(instructions: object, *fds: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=fds,
        env={**os.environ, **environment},
    ) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(instructions).encode() + b"\n")
            process.stdin.flush()
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


@pytest.mark.parametrize("way", ["SIGTERM", "SIGINT", "standard input", "lifeline"])
def test_it_begins_and_stops_on_request_and_leaves_nothing(way: str) -> None:
    lifeline, held = os.pipe()
    with (
        server(let_in) as chat,
        rogues(instructions(chat.url, connections=5), lifeline, **{LIFELINE: str(lifeline)}) as process,
    ):
        assert line(process) == {"begun": True}
        os.close(lifeline)
        assert not chat.ended
        if way == "standard input":
            assert process.stdin is not None
            process.stdin.close()
        elif way == "lifeline":
            os.close(held)
        else:
            process.send_signal(getattr(signal, way))
        assert line(process)["open_at_end"] == 5
        assert process.wait(PATIENCE) == 0
        until(lambda: len(chat.ended) == 5)
    if way != "lifeline":
        os.close(held)


def test_stopped_before_it_has_begun_it_did_nothing() -> None:
    asked = threading.Event()

    def mute(connection: Connection) -> None:
        connection.head()
        asked.set()
        connection.read_on()

    with server(mute) as chat, rogues(instructions(chat.url, "foreign_origin")) as process:
        assert asked.wait(PATIENCE)
        process.send_signal(signal.SIGTERM)
        assert did_nothing(line(process))
        assert process.wait(PATIENCE) == 0


WRONG_INSTRUCTIONS: dict[str, tuple[dict[str, object], str]] = {
    "kind": ({"kind": "saint"}, "kind: expected one of bad_frames, bad_token, "),
    "protocol": ({"protocol": "irc"}, "protocol: expected one of "),
    "target": ({"target": "ftp://x"}, "target: expected a URL such as "),
    "value": ({"parameters": {"connections": -1}}, "parameters: connections: expected a whole number above 0, got -1"),
    "parameter": ({"parameters": {"reader": 1}}, "parameters: reader: expected one of connections, got this key"),
    "shape": ({"more": 1}, "instructions: expected one line of JSON with kind, target and protocol, got: "),
    "nobody there": ({}, "expected connections to be accepted, got none: connection refused"),
}


@pytest.mark.parametrize("what", WRONG_INSTRUCTIONS)
def test_it_reports_why_it_cannot_begin(what: str) -> None:
    change, problem = WRONG_INSTRUCTIONS[what]
    with rogues({**instructions(f"http://127.0.0.1:{free_port()}", connections=1), **change}) as process:
        assert line(process)["problem"].startswith(problem)
        assert process.wait(PATIENCE) == 2
        assert process.stderr is not None
        assert process.stderr.read() == b""


def rogues_of_this_process() -> list[psutil.Process]:
    """Without zombies and without children of other tests."""
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "chatswarm.loadtests.faults.rogues" in child.cmdline()
    ]


def test_the_fault_logs_into_the_run_and_keeps_the_token_secret(tmp_path: Path) -> None:
    with server(let_in) as chat:
        idle = fault("idle_sockets", chat.url, tmp_path, token=TOKEN, connections=3)
        idle.begin()
        (child,) = rogues_of_this_process()
        assert TOKEN not in " ".join(child.cmdline())
        assert child.cmdline()[-1] == "chatswarm.loadtests.faults.rogues"
        evidence = idle.heal()
        assert evidence["opened"] == 3
        assert not child.is_running()
        until(lambda: len(chat.ended) == 3)
    assert (tmp_path / "rogues-f-0.log").read_text() == ""


def test_a_fault_that_cannot_begin(tmp_path: Path) -> None:
    with server(lambda connection: connection.refuse(401)) as chat:
        token = fault("bad_token", chat.url, tmp_path, token=TOKEN)
        with pytest.raises(FaultError, match=r"expected a proper handshake to be accepted .*, got HTTP 401") as caught:
            token.begin()
        assert TOKEN not in str(caught.value)
        assert token.heal() == {}
    assert not rogues_of_this_process()


def test_giving_up_does_not_wait_for_the_rogues_to_begin(tmp_path: Path) -> None:
    def mute(connection: Connection) -> None:
        connection.head()
        origin.context.giving_up.set()
        connection.read_on()

    with server(mute) as chat:
        origin = fault("foreign_origin", chat.url, tmp_path)
        with pytest.raises(FaultError, match="expected the rogues to begin within 30 s, got the end of the run"):
            origin.begin()
        assert did_nothing(origin.heal())
    assert not rogues_of_this_process()


def test_missing_evidence_is_an_error(tmp_path: Path) -> None:
    with server(let_in) as chat:
        idle = fault("idle_sockets", chat.url, tmp_path, connections=1)
        idle.begin()
        (child,) = rogues_of_this_process()
        child.kill()
        with pytest.raises(FaultError, match="expected evidence from the rogues, got none"):
            idle.heal()
    assert not rogues_of_this_process()


def test_it_exits_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = """
        import sys, time
        from pathlib import Path
        from tests.loadtests.faults.misbehaving import fault
        fault("idle_sockets", sys.argv[1], Path(sys.argv[2]), connections=4).begin()
        print("begun", flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with (
        server(let_in) as chat,
        subprocess.Popen([*command, chat.url, str(tmp_path)], stdout=subprocess.PIPE) as parent,
    ):
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"begun\n"
        (child,) = psutil.Process(parent.pid).children()
        assert not chat.ended
        parent.kill()
        until(lambda: len(chat.ended) == 4)
        until(lambda: not child.is_running())


@pytest.mark.parametrize("kind", ["half_handshakes", "slow_reader", "foreign_origin"])
def test_over_tls(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.slow_reader._DRAIN_TIMEOUT", 0.5)
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.websocket._WRITE_TIMEOUT", 0.1)
    heard: list[str] = []

    def serve(connection: Connection) -> None:
        if kind == "half_handshakes":
            heard.append(connection.sock.recv(1 << 16).decode())
        elif kind == "slow_reader":
            connection.dashboard()
            heard.append("subscribed")
            connection.send(TEXT, bytes(60_000))
        else:
            heard.append(connection.head())
            connection.upgrade(heard[-1])
        connection.read_on()

    with server(serve, tls) as chat:
        evidence = attack(
            kind,
            chat.url,
            lambda rogue: len(heard) > 2 and (kind != "foreign_origin" or rogue.statuses),
        )
    assert not did_nothing(evidence)
    if kind == "slow_reader":
        assert evidence["cut_off"] == 0
        assert evidence["bytes_unread"] > 0


def test_an_untrusted_certificate(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(tls)
    with server(let_in, tls) as chat:
        slow = fault("slow_reader", chat.url, tmp_path)
        with pytest.raises(
            FaultError, match="expected a dashboard to be admitted, got a certificate that is not trusted"
        ):
            slow.begin()
        slow.heal()


def test_every_kind_is_a_fault_on_the_target() -> None:
    assert list(ROGUES) == list(KINDS)
    for name, rogue in ROGUES.items():
        assert issubclass(rogue, RogueFault)
        kind = FAULT_KINDS[name]
        assert kind.places == ("target",)
        for parameter in kind.parameters.values():
            assert parameter.default is not None
            assert parameter.read(parameter.default) == parameter.default, name


def test_bad_token_is_unfit_without_a_token(tmp_path: Path) -> None:
    bad = fault("bad_token", "http://127.0.0.1:1", tmp_path)
    assert ROGUES["bad_token"].unfit(bad.plan, bad.context) == (
        "expected a target that asks dashboards for a token, and that token in $CHATSWARM_TOKEN, got none"
    )
    good = fault("bad_token", "http://127.0.0.1:1", tmp_path, token=TOKEN)
    assert ROGUES["bad_token"].unfit(good.plan, good.context) is None
    assert ROGUES["slow_reader"].unfit(bad.plan, bad.context) is None


def test_it_imports_no_locust() -> None:
    code = "import sys, chatswarm.loadtests.faults.rogues.__main__; print({'locust', 'gevent'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
