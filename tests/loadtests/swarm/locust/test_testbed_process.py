"""Where the fault proxies listen, and by which address each worker reaches them. Decided from literal values."""

import os
import subprocess
import sys

import pytest

from chatswarm.loadtests.swarm.plan import RunPlan

# In a separate process, because it imports gevent.
ADDRESS = """
import sys
from chatswarm.loadtests.swarm.locust.testbed_process import proxy_address
hosts, bound, proxy_host = sys.argv[1:]
print(proxy_address(hosts.split(), bound, proxy_host))
"""


@pytest.mark.parametrize(
    ("hosts", "bound", "proxy_host", "address"),
    [
        ("", "*", "", ""),
        ("127.0.0.1 localhost ::1", "*", "", ""),
        ("127.0.0.1 10.0.0.1", "*", "", "0.0.0.0"),
        ("locust", "*", "", "0.0.0.0"),
        ("fd00::1", "*", "", "::"),
        ("10.0.0.1", "10.0.0.1", "", "10.0.0.1"),
        ("127.0.0.1", "*", "gateway.example", "0.0.0.0"),
        ("127.0.0.1", "127.0.0.1", "", ""),
    ],
)
def test_proxies_listen_beyond_loopback_only_for_workers_that_need_it(
    hosts: str, bound: str, proxy_host: str, address: str
) -> None:
    command = [sys.executable, "-c", ADDRESS, hosts, bound, proxy_host]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert done.stdout == address + "\n"


@pytest.mark.parametrize(
    ("master_host", "told", "reached"),
    [
        ("127.0.0.1", "127.0.0.1:7000", "127.0.0.1:7000"),
        ("localhost", "127.0.0.1:7000", "127.0.0.1:7000"),
        ("10.0.0.1", "127.0.0.1:7000", "10.0.0.1:7000"),
        ("locust", "[::1]:7000", "locust:7000"),
        ("fd00::1", "127.0.0.1:7000", "[fd00::1]:7000"),
        ("10.0.0.1", "10.0.0.9:7000", "10.0.0.9:7000"),
    ],
)
def test_a_worker_reaches_the_proxies_where_it_reaches_the_master(master_host: str, told: str, reached: str) -> None:
    plan = RunPlan("r", 1, "/runs/r", "http://chat", "reference", "cut", {}, "boot", via={"sockets": told})
    assert plan.reached_by(master_host).via == {"sockets": reached}
