"""What the fault proxy costs when it does nothing: `python -m tests.bench.bench_proxy`.

Direct and proxied, in turns, in one run. Delay: the median time of a small request and its answer on an open
connection. Rate: one connection, one way, as fast as it goes; also per second of CPU that the proxy's process took.
Exit code 1 if the proxy adds more than 0.2 ms at the median, or carries less than 500 Mbit per second of its core.
"""

import argparse
import http.client
import json
import multiprocessing
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

MOST_ADDED = 0.2e-3  # seconds
LEAST_CARRIED = 500.0  # Mbit/s
BLOCK = 256 << 10


def echo(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            while data := connection.recv(BLOCK):
                connection.sendall(data)


def swallow(listener: socket.socket) -> None:
    """Reads each connection to its end, then says how many bytes that were."""
    buffer = bytearray(BLOCK)
    while True:
        connection, _ = listener.accept()
        with connection:
            count = 0
            while size := connection.recv_into(buffer):
                count += size
            connection.sendall(str(count).encode())


def delays(port: int, count: int) -> list[float]:
    """Seconds that each of `count` round trips of 200 bytes took."""
    taken = []
    message = bytes(200)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            start = time.perf_counter()
            connection.sendall(message)
            left = len(message)
            while left:
                left -= len(connection.recv(left))
            taken.append(time.perf_counter() - start)
    return taken


def rate(port: int, seconds: float) -> tuple[float, int]:
    """Send for so long; Mbit/s from the first byte to the receiver's answer, and the bytes."""
    block = bytes(BLOCK)
    sent = 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        start = time.perf_counter()
        while time.perf_counter() < start + seconds:
            connection.sendall(block)
            sent += len(block)
        connection.shutdown(socket.SHUT_WR)
        received = int(connection.recv(100))
        taken = time.perf_counter() - start
    assert received == sent, f"expected {sent} bytes to arrive, got {received}"
    return sent * 8 / taken / 1e6, sent


@contextmanager
def server(work: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = multiprocessing.get_context("fork").Process(target=work, args=(listener,), daemon=True)
        process.start()
        yield listener.getsockname()[1]
        process.kill()
        process.join()


@contextmanager
def fault_proxy() -> Iterator[tuple[psutil.Process, str]]:
    command = [sys.executable, "-m", "chatswarm.loadtests.faults.proxy", "--api", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield psutil.Process(process.pid), process.stdout.readline().split("//")[1].strip()
        process.terminate()


def proxied(api: str, name: str, port: int) -> int:
    connection = http.client.HTTPConnection(api)
    connection.request("POST", "/proxies", json.dumps({"name": name, "upstream": f"127.0.0.1:{port}"}))
    listen: str = json.load(connection.getresponse())["listen"]
    return int(listen.rpartition(":")[2])


def main() -> int:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--trips", type=int, default=4000, help="round trips per round")
    flags.add_argument("--seconds", type=float, default=1.0, help="of sending per round")
    chosen = flags.parse_args()
    with server(echo) as echoing, server(swallow) as swallowing, fault_proxy() as (process, api):
        echoing_proxied, swallowing_proxied = proxied(api, "echo", echoing), proxied(api, "swallow", swallowing)
        trips: dict[str, list[float]] = {"direct": [], "proxied": []}
        for _ in range(chosen.rounds):
            trips["direct"] += delays(echoing, chosen.trips)
            trips["proxied"] += delays(echoing_proxied, chosen.trips)
        rates: dict[str, list[float]] = {"direct": [], "proxied": []}
        carried, busy = 0, 0.0
        for _ in range(chosen.rounds):
            rates["direct"].append(rate(swallowing, chosen.seconds)[0])
            before = process.cpu_times()
            mbits, sent = rate(swallowing_proxied, chosen.seconds)
            after = process.cpu_times()
            rates["proxied"].append(mbits)
            carried += sent
            busy += after.user + after.system - before.user - before.system
    medians = {way: statistics.median(values) for way, values in trips.items()}
    added = medians["proxied"] - medians["direct"]
    per_core = carried * 8 / 1e6 / busy
    for way in trips:
        p99 = statistics.quantiles(trips[way], n=100)[98]
        print(
            f"{way:8} round trip: median {medians[way] * 1e3:6.3f} ms, p99 {p99 * 1e3:6.3f} ms"
            f"   one way: median {statistics.median(rates[way]):7.0f} Mbit/s"
        )
    print(f"the proxy adds {added * 1e3:.3f} ms at the median (at most {MOST_ADDED * 1e3:g})")
    print(f"the proxy carries {per_core:.0f} Mbit per second of its core (at least {LEAST_CARRIED:g})")
    return 0 if added <= MOST_ADDED and per_core >= LEAST_CARRIED else 1


if __name__ == "__main__":
    sys.exit(main())
