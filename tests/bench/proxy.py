"""What the fault proxy costs without toxics.

Direct and proxied measurements alternate. Delay: the median of a small round trip on an open connection. Rate: one
connection, one way, as fast as possible; also per CPU second of the proxy's process.
"""

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

from .figure import Figure

BLOCK = 256 << 10
_ROUNDS = 5
_TRIPS = 4000  # per round
_SENDING = 1.0  # seconds per round


def echo(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            while data := connection.recv(BLOCK):
                connection.sendall(data)


def swallow(listener: socket.socket) -> None:
    """Reads each connection to its end, then sends the number of bytes received."""
    buffer = bytearray(BLOCK)
    while True:
        connection, _ = listener.accept()
        with connection:
            count = 0
            while size := connection.recv_into(buffer):
                count += size
            connection.sendall(str(count).encode())


def delays(port: int, count: int) -> list[float]:
    """The durations in seconds of `count` round trips of 200 bytes."""
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
    """Sends for `seconds`. Returns the Mbit/s up to the receiver's reply, and the number of bytes."""
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


def figures() -> Iterator[Figure]:
    """What the proxy adds to a round trip, and its throughput."""
    with server(echo) as echoing, server(swallow) as swallowing, fault_proxy() as (process, api):
        echoing_proxied, swallowing_proxied = proxied(api, "echo", echoing), proxied(api, "swallow", swallowing)
        direct: list[float] = []
        through: list[float] = []
        for _ in range(_ROUNDS):
            direct += delays(echoing, _TRIPS)
            through += delays(echoing_proxied, _TRIPS)
        slowest = float("inf")
        carried, busy = 0, 0.0
        for _ in range(_ROUNDS):
            before = process.cpu_times()
            mbits, sent = rate(swallowing_proxied, _SENDING)
            after = process.cpu_times()
            slowest = min(slowest, mbits)
            carried += sent
            busy += after.user + after.system - before.user - before.system
    added = statistics.median(through) - statistics.median(direct)
    yield Figure("the fault proxy adds to a round trip, at the median", added * 1e3, 0.2, "ms")
    yield Figure("the fault proxy carries per second of its core", carried * 8 / 1e6 / busy, 500, "Mbit", at_least=True)
    yield Figure(
        "the fault proxy carries on one connection, in its slowest round", slowest, 500, "Mbit/s", at_least=True
    )
