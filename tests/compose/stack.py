"""`python -m tests.compose.stack FOLDER`: the stack's backend, master and worker by their commands and host names.

To be run in a network and a mount namespace of its own, where the stack's names and ports are free. In place of the
image of Toxiproxy runs our own fault proxy, which has the same API. Presses Start on Locust's page, and prints what
came of it as JSON.
"""

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .resolved import ROOT, service

ADDRESSES = {"backend": "10.99.0.2", "toxiproxy": "10.99.0.3", "locust": "10.99.0.4"}
_PATIENCE = 60.0
_BIN = Path(sys.executable).parent

SCENARIO = """
[swarm]
dashboards = 4
widgets = 3
rate = 10
duration = "4s"
ramp = "0.5s"
update_target = "5s"
drain = "7s"

[[fault]]
kind = "latency"
at = "1s"
for = "1s"
on = "dashboards"
latency = "50ms"

[[slo]]
expect = "lost <= 0"
"""


@contextmanager
def running(name: str, folder: Path, command: list[str]) -> Iterator[None]:
    """One service, ended on the way out. Its output goes to a file."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def got(url: str, form: dict[str, object] | None = None) -> Any:
    data = None if form is None else urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(url, data, timeout=30) as response:
        body = response.read()
    return json.loads(body)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError


def main() -> None:
    folder = Path(sys.argv[1])
    for address in ADDRESSES.values():
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    (folder / "quick.toml").write_text(SCENARIO, encoding="utf-8")
    (folder / "store").mkdir()
    backend = [word.replace("/var/lib/chatswarm", str(folder / "store")) for word in service("backend")["command"]]
    proxy = [sys.executable, "-m", "chatswarm.loadtests.faults.proxy", "--api", f"{ADDRESSES['toxiproxy']}:8474"]
    with ExitStack() as stack:
        for name, command in {
            "backend": [str(_BIN / backend[0]), *backend[1:]],
            "toxiproxy": proxy,
            **{name: [sys.executable, "-m", *service(name)["command"]] for name in ("locust", "worker")},
        }.items():
            stack.enter_context(running(name, folder, command))
        page, api = "http://locust:8089", "http://toxiproxy:8474/proxies"
        until(lambda: got(f"{page}/stats/requests")["workers"])
        form: dict[str, object] = {"user_count": 7, "spawn_rate": 7, "host": "http://backend:8000"}
        refused = got(f"{page}/swarm", {**form, "scenario": "kill", "out": str(folder / "refused")})
        accepted = got(f"{page}/swarm", {**form, "scenario": str(folder / "quick.toml"), "out": str(folder / "out")})
        until(lambda: len(got(api)) == 2)
        during = list(got(api))
        until((folder / "out" / "verdict.json").exists)
        print(json.dumps({"refused": refused, "accepted": accepted, "during": during, "after": list(got(api))}))


if __name__ == "__main__":
    main()
