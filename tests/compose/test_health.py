"""Health checks: ours are run as written; those of other images must use their service's port."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chatswarm.loadtests.system.children import free_port
from tests.backend.servers import PATIENCE, running

from .resolved import OTHERS, ROOT, ports_inside, service

OF_THE_IMAGE = {"toxiproxy": "/toxiproxy-cli", "prometheus": "promtool", "grafana": "wget"}
"""Programs in the pinned third-party images that their health checks may use."""


def healthy(name: str, port: int, instead_of: int) -> bool:
    """The result of one of our services' health checks, run against `port`."""
    how, program, *arguments = service(name)["healthcheck"]["test"]
    assert (how, program) == ("CMD", "python")
    assert f":{instead_of}/" in arguments[-1]
    command = [sys.executable, *(word.replace(f":{instead_of}/", f":{port}/") for word in arguments)]
    return subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 0


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def process(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log, subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as started:
        try:
            yield started
        finally:
            started.kill()


def test_the_backend_is_healthy_while_it_responds_and_not_afterwards(tmp_path: Path) -> None:
    with running(tmp_path) as backend:
        assert healthy("backend", backend.port, 8000)
    assert not healthy("backend", backend.port, 8000)
    assert 8000 in ports_inside("backend")


@pytest.mark.parametrize(("name", "port"), [("backend", 8000), ("locust", 8089)])
def test_an_error_status_is_unhealthy(name: str, port: int) -> None:
    with answering(200) as fine, answering(503) as ill:
        assert healthy(name, fine, port)
        assert not healthy(name, ill, port)


def test_the_master_is_healthy_when_its_page_responds(tmp_path: Path) -> None:
    command = ["-f", "loadtests/locustfile.py", "--master", "--master-bind-port", str(free_port())]
    port, deadline = free_port(), time.monotonic() + PATIENCE
    assert not healthy("locust", port, 8089)
    with process([sys.executable, "-m", "locust", *command, "--web-port", str(port)], tmp_path):
        while not healthy("locust", port, 8089):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text(encoding="utf-8")
            time.sleep(0.1)
    assert 8089 in ports_inside("locust")


@pytest.mark.parametrize("name", OTHERS)
def test_the_others_check_their_own_port_with_a_program_in_their_image(name: str) -> None:
    how, program, *arguments = service(name)["healthcheck"]["test"]
    assert (how, program) == ("CMD", OF_THE_IMAGE[name])
    urls = [urlsplit(word.removeprefix("--url=")) for word in arguments if "http://" in word]
    assert len(urls) == 1
    assert urls[0].hostname == "127.0.0.1"
    assert urls[0].port in ports_inside(name)


def test_only_the_workers_have_no_health_check() -> None:
    assert "healthcheck" not in service("worker")
    assert "HEALTHCHECK" not in (ROOT / "Dockerfile").read_text(encoding="utf-8"), "the workers would inherit it"
