"""The fault proxy's process: how it starts, what errors it reports, and that it exits with its parent."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from chatswarm.loadtests.system.children import Child

from .harness import COMMAND, PATIENCE, fault_proxy, read_all, until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_cuts_all_connections(number: signal.Signals) -> None:
    with fault_proxy() as started, started.in_front() as proxied:
        client, server = proxied.connect()
        proxied.add("latency", latency=3_600_000)
        server.sendall(b"waits")
        started.process.send_signal(number)
        assert started.process.wait(PATIENCE) == 0
        assert read_all(client) == b""
        assert read_all(server) == b""


@pytest.mark.parametrize("way", ["flag", "environment"])
def test_it_exits_with_its_parent(way: str) -> None:
    lifeline, held = os.pipe()
    flags = ["--lifeline-fd", str(lifeline)] if way == "flag" else []
    environment = {"CHATSWARM_LIFELINE_FD": str(lifeline)} if way == "environment" else {}
    with fault_proxy(*flags, fds=(lifeline,), **environment) as started:
        os.close(lifeline)
        os.write(held, b"data in the pipe is not its end")
        assert started.ask("GET", "/proxies") == {}
        os.close(held)
        assert started.process.wait(PATIENCE) == 0


def test_as_a_child_it_logs_the_address_of_its_api(tmp_path: Path) -> None:
    child = Child([*COMMAND, "--api", "127.0.0.1:0"], tmp_path / "proxy.log")
    try:
        until(lambda: "API at" in child.log_tail())
        assert re.search(r"fault proxy: API at http://127\.0\.0\.1:\d+", child.log_tail())
    finally:
        assert child.stop(PATIENCE) == 0


def refused(*flags: str, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHATSWARM_")}
    done = subprocess.run(
        [*COMMAND, *flags], capture_output=True, text=True, timeout=PATIENCE, check=False, env={**clean, **environment}
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


def test_an_api_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        api = f"127.0.0.1:{taken.getsockname()[1]}"
        assert refused("--api", api) == (
            f"--api: expected an address that is free to listen on, got {api}: address already in use"
        )


def test_wrong_flags() -> None:
    assert refused("--api", "8474") == "--api: expected host:port, such as 127.0.0.1:8000, got '8474'"
    assert "--nonsense" in refused("--nonsense")
    expected = "--lifeline-fd: expected the number of an open pipe, got 'seven'"
    assert refused("--lifeline-fd", "seven") == expected
    assert refused(CHATSWARM_LIFELINE_FD="seven") == expected
    assert refused("--lifeline-fd", "1000") == expected.replace("seven", "1000")


def test_it_imports_no_locust() -> None:
    code = "import sys, chatswarm.loadtests.faults.proxy.__main__; print({'locust', 'gevent'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
