"""Streams through the proxy: complete, ended as by the sender, bounded in memory, and never with a gap."""

from __future__ import annotations

import random
import socket
import threading

import pytest

from .harness import FaultProxy, Proxied, fill, read, read_all, reset, silent, until, was_reset

SIZE = 3_000_000

GENTLE: list[tuple[str, dict[str, int]]] = [
    ("latency", {"latency": 5, "jitter": 5}),
    ("bandwidth", {"rate": 20_000}),
    ("slicer", {"average_size": 2000, "size_variation": 1500, "delay": 100}),
    ("slow_close", {"delay": 10}),
    ("reset_peer", {"timeout": 3_600_000}),
    ("limit_data", {"bytes": 1 << 40}),
]
CUTTING: list[tuple[str, dict[str, int]]] = [
    ("timeout", {"timeout": 0}),
    ("timeout", {"timeout": 20}),
    ("limit_data", {"bytes": SIZE // 2}),
    ("reset_peer", {"timeout": 20}),
]


def change_toxics(proxied: Proxied, seed: int, rounds: int, choice: list[tuple[str, dict[str, int]]]) -> None:
    """Adds, changes and removes toxics at random. Leaves none behind."""
    rng = random.Random(seed)
    present: dict[str, str] = {}
    for number in range(rounds):
        if present and rng.random() < 0.5:
            name = rng.choice(list(present))
            if rng.random() < 0.5:
                proxied.remove(name)
                del present[name]
            else:
                proxied.change(name, toxicity=rng.choice([0, 1]))
        else:
            kind, attributes = rng.choice(choice)
            name = f"t{number}"
            stream = rng.choice(["upstream", "downstream"])
            proxied.ask("POST", "/toxics", {"name": name, "type": kind, "stream": stream, "attributes": attributes})
            present[name] = kind
    for name in present:
        proxied.remove(name)


def send_both_ways(proxied: Proxied, seed: int) -> tuple[list[bytes], list[bytes], threading.Thread]:
    """Starts sending at both ends. Returns what is sent, what has arrived, and the thread that ends when all has."""
    client, server = proxied.connect()
    sent = [random.Random(seed).randbytes(SIZE), random.Random(seed + 1).randbytes(SIZE)]
    arrived = [b"", b""]

    def send(sock: socket.socket, data: bytes) -> None:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except OSError:  # it was cut
            pass

    def receive(number: int, sock: socket.socket) -> None:
        arrived[number] = read_all(sock)

    work = [
        threading.Thread(target=send, args=(client, sent[0])),
        threading.Thread(target=send, args=(server, sent[1])),
        threading.Thread(target=receive, args=(0, server)),
        threading.Thread(target=receive, args=(1, client)),
    ]

    def run() -> None:
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()

    whole = threading.Thread(target=run)
    whole.start()
    return sent, arrived, whole


@pytest.mark.parametrize("seed", range(4))
def test_no_byte_is_lost_while_toxics_come_and_go(proxied: Proxied, seed: int) -> None:
    proxied.add("bandwidth", "upstream", rate=20_000)
    proxied.add("bandwidth", "downstream", rate=20_000)
    sent, arrived, work = send_both_ways(proxied, seed)
    change_toxics(proxied, seed, 60, GENTLE)
    work.join(60)
    assert arrived == sent


@pytest.mark.parametrize("seed", range(4))
def test_what_arrives_is_a_prefix_whatever_cuts_the_connection(proxied: Proxied, seed: int) -> None:
    proxied.add("bandwidth", "upstream", rate=20_000)
    proxied.add("bandwidth", "downstream", rate=20_000)
    sent, arrived, work = send_both_ways(proxied, seed)
    change_toxics(proxied, seed, 40, GENTLE + CUTTING)
    work.join(60)
    for whole, part in zip(sent, arrived, strict=True):
        assert whole.startswith(part)
    if arrived != sent:
        evidence = proxied.evidence()
        assert evidence["connections_cut"] + evidence["connections_reset"] >= 1


def test_a_half_close_is_passed_on_and_the_other_direction_stays_open(proxied: Proxied) -> None:
    client, server = proxied.connect()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    assert read_all(server) == b"question"
    server.sendall(b"answer")
    assert read(client, 6) == b"answer"
    server.close()
    assert client.recv(1) == b""
    until(lambda: proxied.evidence()["connections_open"] == 0)
    assert proxied.evidence()["connections_cut"] == 0


def test_a_server_may_send_first(proxied: Proxied) -> None:
    client, server = proxied.dial(), proxied.accept()
    server.sendall(b"welcome")
    assert read(client, 7) == b"welcome"


def test_a_client_may_send_and_close_at_once(proxied: Proxied) -> None:
    client = proxied.dial()
    client.sendall(b"hello")
    client.close()
    assert read_all(proxied.accept()) == b"hello"


def test_a_reset_arrives_as_a_reset(proxied: Proxied) -> None:
    client, server = proxied.connect()
    reset(client)
    assert was_reset(server)
    client, server = proxied.connect()
    reset(server)
    assert was_reset(client)
    assert proxied.evidence()["connections_reset"] == 0  # not by the proxy


def test_a_reader_that_stops_makes_the_sender_wait(proxied: Proxied) -> None:
    client, server = proxied.connect()
    sent = fill(server, 64 << 20)
    assert sent < 32 << 20
    assert len(read(client, sent)) == sent


def test_a_delay_holds_a_bounded_amount(proxied: Proxied) -> None:
    client, server = proxied.connect()
    toxic = proxied.add("latency", latency=3_600_000)
    sent = fill(server, 64 << 20)
    assert sent < 32 << 20
    proxied.remove(toxic)
    assert len(read(client, sent)) == sent


def test_an_unreachable_upstream_closes_the_client_and_is_counted(fault_proxy: FaultProxy, proxied: Proxied) -> None:
    upstream = proxied.listener.getsockname()[1]
    proxied.listener.close()
    assert read_all(proxied.dial()) == b""
    evidence = proxied.evidence()
    assert evidence["upstream_failures"] == evidence["connections_refused"] == 1
    expected = f"upstream 127.0.0.1:{upstream}: expected a connection, got: connection refused"
    assert evidence["last_upstream_failure"] == expected


def test_many_connections_at_once(proxied: Proxied) -> None:
    pairs = [proxied.connect() for _ in range(100)]
    assert proxied.evidence()["connections_open"] == 100
    proxied.add("latency", latency=50)
    for number, (_, server) in enumerate(pairs):
        server.sendall(b"%03d" % number)
    for number, (client, _) in enumerate(pairs):
        assert read(client, 3) == b"%03d" % number
    proxied.close()
    until(lambda: proxied.evidence()["connections_open"] == 0)


def test_deleting_a_proxy_cuts_its_connections(fault_proxy: FaultProxy, proxied: Proxied) -> None:
    client, server = proxied.connect()
    fault_proxy.ask("DELETE", f"/proxies/{proxied.name}")
    assert read_all(client) == b""
    assert read_all(server) == b""


def test_an_idle_connection_stays_open(proxied: Proxied) -> None:
    client, server = proxied.connect()
    assert silent(client)
    assert silent(server)
