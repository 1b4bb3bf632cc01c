"""docker-compose.yml as resolved by the real `docker-compose`, which checks it and expands short forms."""

import functools
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OURS = ("backend", "locust", "worker")
"""The services that run the image of our Dockerfile."""
OTHERS = ("toxiproxy", "prometheus", "grafana")


def docker_compose(*arguments: str, file: Path = ROOT / "docker-compose.yml") -> subprocess.CompletedProcess[str]:
    """`config` needs no engine. The environment is empty, because the file must not depend on variables."""
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
    """The ports of a service, as far as they are published or set by a flag of its command."""
    command = service(name).get("command") or []
    said = {int(value) for flag, value in pairwise(command) if flag in ("--port", "--metrics-port") and value.isdigit()}
    return said | {port["target"] for port in service(name).get("ports", [])}
