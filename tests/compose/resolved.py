"""docker-compose.yml as the real `docker-compose` reads it: checked, and with every short form written out."""

import functools
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OURS = ("backend", "locust", "worker")
"""The services that run the image of our own Dockerfile."""
OTHERS = ("toxiproxy", "prometheus", "grafana")


def docker_compose(*arguments: str, file: Path = ROOT / "docker-compose.yml") -> subprocess.CompletedProcess[str]:
    """Needs no engine for `config`. The environment is empty: the file may rely on no variable."""
    command = [str(Path(sys.executable).with_name("docker-compose")), "--file", str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={})


@functools.cache
def resolved() -> dict[str, Any]:
    done = docker_compose("config", "--format", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def service(name: str) -> dict[str, Any]:
    return dict(resolved()["services"][name])


def ports_inside(name: str) -> set[int]:
    """Where a service listens, as far as it is published or a flag of its command says so."""
    command = service(name).get("command") or []
    said = {int(value) for flag, value in pairwise(command) if flag in ("--port", "--metrics-port") and value.isdigit()}
    return said | {port["target"] for port in service(name).get("ports", [])}
