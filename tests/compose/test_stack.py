"""Faults in the stack, from Locust's page: those of the network go through its Toxiproxy without any further step."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .resolved import ROOT
from .stack import ADDRESSES

NAMESPACES = ["unshare", "--net", "--mount", "--fork", "--kill-child"]


@pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run([*NAMESPACES, "true"], check=False).returncode != 0,
    reason="NO NAMESPACES HERE (they need root): the stack's host names are not tried",
)
def test_the_pages_network_faults_go_through_the_stacks_toxiproxy(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{ip} {name}\n" for name, ip in ADDRESSES.items()))
    run = f"exec {sys.executable} -m tests.compose.stack {tmp_path}"
    script = f"ip link set lo up && mount --bind {hosts} /etc/hosts && {run}"
    done = subprocess.run(
        [*NAMESPACES, "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.upper().endswith("_PROXY")},
    )
    logs = "\n".join(f"{log.name}: {log.read_text(errors='replace')[-2000:]}" for log in tmp_path.glob("*.log"))
    assert done.returncode == 0, done.stderr + logs
    found = json.loads(done.stdout)
    assert "fault kill: expected --pid, the target's process" in found["refused"]["message"]
    assert not (tmp_path / "refused").exists()
    assert found["accepted"]["success"], found["accepted"]
    assert {name.rpartition("-")[2] for name in found["during"]} == {"sockets", "refetches"}
    assert found["after"] == []
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["verdict"] == "pass", verdict["reasons"]
    assert verdict["faults"][0]["evidence"]["bytes_delayed"] > 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_bytes())["target"] == "http://backend:8000"
