"""Each toxic over real sockets: on open connections, removed while data waits, combined, and in both streams."""

from __future__ import annotations

import select
import socket
import time

import pytest

from .harness import AWHILE, FaultProxy, Proxied, fill, read, read_all, silent, until, was_reset

AGES = 3_600_000  # milliseconds; longer than any test


class Ends:
    """The sending and the receiving end of one stream of an open connection."""

    def __init__(self, proxied: Proxied, stream: str) -> None:
        client, server = proxied.connect()
        self.sender, self.receiver = (client, server) if stream == "upstream" else (server, client)


@pytest.fixture(params=["upstream", "downstream"])
def stream(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def test_latency_delays_what_open_connections_send(proxied: Proxied, stream: str) -> None:
    ends = Ends(proxied, stream)
    toxic = proxied.add("latency", stream, latency=300)
    start = time.monotonic()
    ends.sender.sendall(b"late")
    ends.receiver.sendall(b"prompt")
    assert read(ends.sender, 6) == b"prompt"
    assert read(ends.receiver, 4) == b"late"
    assert time.monotonic() - start >= 0.3
    evidence = proxied.toxic_evidence(toxic)
    assert evidence["bytes_through"] == evidence["bytes_delayed"] == 4
    assert evidence["connections_affected"] == 1


def test_latency_does_not_limit_the_rate(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    proxied.add("latency", latency=300)
    start = time.monotonic()
    for _ in range(20):  # sequentially, this would take 6 s
        ends.sender.sendall(b"x" * 1000)
        time.sleep(0.005)
    assert len(read(ends.receiver, 20_000)) == 20_000
    assert time.monotonic() - start < 3


def test_removing_latency_releases_waiting_pieces_in_order(proxied: Proxied, stream: str) -> None:
    ends = Ends(proxied, stream)
    toxic = proxied.add("latency", stream, latency=AGES)
    for number in range(5):
        ends.sender.sendall(b"%d" % number)
        time.sleep(0.01)
    assert silent(ends.receiver)
    proxied.remove(toxic)
    assert read(ends.receiver, 5) == b"01234"
    assert proxied.toxic_evidence(toxic)["bytes_delayed"] == 5
    assert not proxied.toxic_evidence(toxic)["active"]
    ends.sender.sendall(b"5")
    assert read(ends.receiver, 1) == b"5"


def test_lowered_latency_counts_from_the_arrival_of_waiting_pieces(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    toxic = proxied.add("latency", latency=AGES)
    ends.sender.sendall(b"first")
    assert silent(ends.receiver)
    proxied.change(toxic, attributes={"latency": 1})
    assert read(ends.receiver, 5) == b"first"


def test_jitter_keeps_the_order(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    proxied.add("latency", latency=30, jitter=30)
    sent = bytes(range(60))
    for byte in sent:
        ends.sender.sendall(bytes([byte]))
        time.sleep(0.002)
    assert read(ends.receiver, 60) == sent


def test_bandwidth_limits_the_rate(proxied: Proxied, stream: str) -> None:
    ends = Ends(proxied, stream)
    toxic = proxied.add("bandwidth", stream, rate=100)
    data = bytes(range(250)) * 200
    start = time.monotonic()
    ends.sender.sendall(data)
    assert read(ends.receiver, len(data)) == data
    assert time.monotonic() - start >= 0.5
    assert proxied.toxic_evidence(toxic)["bytes_delayed"] == len(data)


def test_bandwidth_of_0_makes_the_sender_wait_and_loses_nothing(proxied: Proxied, stream: str) -> None:
    ends = Ends(proxied, stream)
    toxic = proxied.add("bandwidth", stream, rate=0)
    sent = fill(ends.sender, 64 << 20)
    assert sent < 32 << 20  # nearly all of it in kernel buffers
    assert silent(ends.receiver)
    proxied.remove(toxic)
    assert len(read(ends.receiver, sent)) == sent


def test_bandwidth_raised_while_data_waits(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    toxic = proxied.add("bandwidth", rate=1)
    data = bytes(range(200)) * 1000
    ends.sender.sendall(data)
    proxied.change(toxic, attributes={"rate": 100_000})
    assert read(ends.receiver, len(data)) == data


def test_slow_close_delays_only_the_end(proxied: Proxied, stream: str) -> None:
    ends = Ends(proxied, stream)
    proxied.add("slow_close", stream, delay=400)
    start = time.monotonic()
    ends.sender.sendall(b"bye")
    ends.sender.close()
    assert read(ends.receiver, 3) == b"bye"
    assert ends.receiver.recv(1) == b""
    assert time.monotonic() - start >= 0.4


def test_slow_close_removed_while_the_end_waits(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    toxic = proxied.add("slow_close", delay=AGES)
    ends.sender.close()
    assert silent(ends.receiver)
    proxied.remove(toxic)
    assert ends.receiver.recv(1) == b""


def test_timeout_is_a_black_hole_until_it_is_removed(proxied: Proxied, stream: str) -> None:
    ends = Ends(proxied, stream)
    toxic = proxied.add("timeout", stream, timeout=0)
    ends.sender.sendall(bytes(1 << 20))  # acknowledged, so it does not block
    until(lambda: proxied.toxic_evidence(toxic)["bytes_swallowed"] == 1 << 20)
    assert silent(ends.receiver)
    ends.receiver.sendall(b"the other direction works")
    assert read(ends.sender, 25) == b"the other direction works"
    assert proxied.toxic_evidence(toxic)["connections_cut"] == 0
    proxied.remove(toxic)
    assert read_all(ends.receiver) == b""
    assert read_all(ends.sender) == b""
    assert proxied.toxic_evidence(toxic)["connections_cut"] == 1
    assert proxied.evidence()["connections_cut"] == 1


def test_timeout_closes_on_time_whatever_is_sent(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    start = time.monotonic()
    proxied.add("timeout", timeout=300)
    with pytest.raises(OSError, match=r"(?i)reset|broken pipe"):
        send_until_cut(ends.sender)
    assert read_all(ends.receiver) == b""
    assert time.monotonic() - start >= 0.3


def test_timeout_never_passes_a_clean_end_after_swallowed_bytes(proxied: Proxied) -> None:
    ends = Ends(proxied, "upstream")
    toxic = proxied.add("timeout", "upstream", timeout=0)
    ends.sender.sendall(b"lost")
    ends.sender.shutdown(socket.SHUT_WR)
    assert read_all(ends.receiver) == b""
    assert read_all(ends.sender) == b""  # the server has sent nothing, yet the connection is closed
    assert proxied.toxic_evidence(toxic)["connections_cut"] == 1


def test_reset_peer_resets_open_connections_even_if_idle(proxied: Proxied, stream: str) -> None:
    ends = Ends(proxied, stream)
    toxic = proxied.add("reset_peer", stream)
    assert was_reset(ends.sender)
    assert was_reset(ends.receiver)
    assert proxied.toxic_evidence(toxic)["connections_reset"] == 1
    assert proxied.evidence()["connections_reset"] == 1
    until(lambda: proxied.evidence()["connections_open"] == 0)


def test_reset_peer_passes_a_new_connections_request_and_resets_instead_of_the_response(proxied: Proxied) -> None:
    proxied.add("reset_peer")
    client, server = proxied.dial(), proxied.accept()
    client.sendall(b"request")
    assert read(server, 7) == b"request"
    assert silent(client)
    server.sendall(b"answer")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert was_reset(server)


def test_reset_peer_with_a_timeout_holds_data_until_then(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    start = time.monotonic()
    toxic = proxied.add("reset_peer", timeout=300)
    ends.sender.sendall(b"never")
    with pytest.raises(ConnectionResetError):
        ends.receiver.recv(1)
    assert time.monotonic() - start >= 0.3
    assert proxied.toxic_evidence(toxic)["bytes_swallowed"] == 5


def test_reset_peer_removed_in_time_leaves_the_connection_open(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    toxic = proxied.add("reset_peer", timeout=AGES)
    ends.sender.sendall(b"held")
    assert silent(ends.receiver)
    proxied.remove(toxic)
    assert read(ends.receiver, 4) == b"held"


def test_slicer_cuts_data_into_small_pieces_with_pauses(proxied: Proxied, stream: str) -> None:
    ends = Ends(proxied, stream)
    proxied.add("slicer", stream, average_size=10, size_variation=5, delay=5000)
    data = bytes(range(200))
    start = time.monotonic()
    ends.sender.sendall(data)
    pieces: list[bytes] = []
    while len(b"".join(pieces)) < len(data):
        pieces.append(ends.receiver.recv(1000))
    assert b"".join(pieces) == data
    assert len(pieces) > 3  # a busy machine may merge some
    assert time.monotonic() - start >= 0.06  # at most 15 bytes each, so at least 14 pieces, 13 pauses


def test_slicer_removed_while_pieces_wait(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    toxic = proxied.add("slicer", average_size=1, delay=60_000_000)
    ends.sender.sendall(b"abcdef")
    assert read(ends.receiver, 1) == b"a"
    assert silent(ends.receiver)
    proxied.remove(toxic)
    assert read(ends.receiver, 5) == b"bcdef"


def test_limit_data_closes_after_exactly_its_number_of_bytes(proxied: Proxied, stream: str) -> None:
    ends = Ends(proxied, stream)  # bytes carried before do not count
    toxic = proxied.add("limit_data", stream, bytes=10)
    ends.sender.sendall(b"01234")
    assert read(ends.receiver, 5) == b"01234"
    ends.sender.sendall(b"56789abcdef")
    assert read_all(ends.receiver) == b"56789"
    assert read_all(ends.sender) == b""
    evidence = proxied.toxic_evidence(toxic)
    assert (evidence["bytes_through"], evidence["bytes_swallowed"], evidence["connections_cut"]) == (10, 6, 1)


def test_raised_limit_data_keeps_counting(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    toxic = proxied.add("limit_data", bytes=4)
    ends.sender.sendall(b"abc")
    assert read(ends.receiver, 3) == b"abc"
    proxied.change(toxic, attributes={"bytes": 6})
    ends.sender.sendall(b"defgh")
    assert read_all(ends.receiver) == b"def"


def test_down_cuts_open_connections_and_refuses_new_ones(proxied: Proxied) -> None:
    client, server = proxied.connect()
    proxied.enable(False)
    assert read_all(client) == b""
    assert read_all(server) == b""
    with pytest.raises(ConnectionRefusedError):
        proxied.dial()
    evidence = proxied.evidence()
    assert evidence["connections_cut"] == 1
    assert not evidence["enabled"]
    proxied.enable(True)
    proxied.connect()


def test_a_toxic_stays_while_its_proxy_is_down(proxied: Proxied) -> None:
    toxic = proxied.add("limit_data", bytes=1)
    proxied.enable(False)
    proxied.enable(True)
    _, server = proxied.dial(), proxied.accept()
    server.sendall(b"ab")
    until(lambda: proxied.toxic_evidence(toxic)["connections_cut"] == 1)


def test_delays_add_up(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    proxied.add("latency", latency=150)
    second = proxied.ask("POST", "/toxics", {"name": "more", "type": "latency", "attributes": {"latency": 150}})
    assert second["name"] == "more"
    start = time.monotonic()
    ends.sender.sendall(b"x")
    assert read(ends.receiver, 1) == b"x"
    assert time.monotonic() - start >= 0.3


def test_a_limit_after_a_delay_delivers_late_and_closes(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    proxied.add("latency", latency=200)
    proxied.add("limit_data", bytes=3)
    start = time.monotonic()
    ends.sender.sendall(b"abcdef")
    assert read_all(ends.receiver) == b"abc"
    assert time.monotonic() - start >= 0.2


def test_data_that_has_passed_a_limit_is_delivered_before_the_end(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    limit = proxied.add("limit_data", bytes=3)
    proxied.add("latency", latency=AGES)
    ends.sender.sendall(b"abcdef")
    until(lambda: proxied.toxic_evidence(limit)["connections_cut"] == 1)
    assert silent(ends.receiver)
    proxied.remove(limit)
    proxied.remove("latency_downstream")
    assert read_all(ends.receiver) == b"abc"


def test_both_streams_at_once(proxied: Proxied) -> None:
    client, server = proxied.connect()
    proxied.add("latency", "upstream", latency=100)
    proxied.add("latency", "downstream", latency=100)
    start = time.monotonic()
    client.sendall(b"ping")
    server.sendall(read(server, 4))
    assert read(client, 4) == b"ping"
    assert time.monotonic() - start >= 0.2


def test_toxicity_decides_per_connection(proxied: Proxied) -> None:
    toxic = proxied.add("timeout", toxicity=0.5)
    pairs = [(proxied.dial(), proxied.accept()) for _ in range(40)]
    for _, server in pairs:
        server.sendall(b"x")
    until(lambda: proxied.evidence()["bytes_through"] + proxied.evidence()["bytes_swallowed"] == 40)
    time.sleep(AWHILE)
    hit = [silent_now(client) for client, _ in pairs]
    assert 0 < sum(hit) < 40
    assert proxied.toxic_evidence(toxic)["connections_affected"] == sum(hit)
    proxied.remove(toxic)
    for (client, _), was_hit in zip(pairs, hit, strict=True):
        assert read(client, 1) == (b"" if was_hit else b"x")
        assert was_hit or silent_now(client)  # the unaffected ones are still open


def test_raised_toxicity_affects_further_connections(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    toxic = proxied.add("latency", toxicity=0, latency=AGES)
    ends.sender.sendall(b"a")
    assert read(ends.receiver, 1) == b"a"
    proxied.change(toxic, toxicity=1)
    ends.sender.sendall(b"b")
    assert silent(ends.receiver)
    proxied.change(toxic, toxicity=0)
    assert read(ends.receiver, 1) == b"b"


def test_a_black_hole_whose_toxicity_drops_closes_the_connections_it_swallowed_from(proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    toxic = proxied.add("timeout")
    ends.sender.sendall(b"lost")
    until(lambda: proxied.toxic_evidence(toxic)["bytes_swallowed"] == 4)
    proxied.change(toxic, toxicity=0)
    assert read_all(ends.receiver) == b""


def test_reset_heals_everything(fault_proxy: FaultProxy, proxied: Proxied) -> None:
    ends = Ends(proxied, "downstream")
    proxied.add("latency", latency=AGES)
    ends.sender.sendall(b"waits")
    assert silent(ends.receiver)
    fault_proxy.ask("POST", "/reset")
    assert read(ends.receiver, 5) == b"waits"
    proxied.enable(False)
    fault_proxy.ask("POST", "/reset")
    proxied.connect()


def silent_now(sock: socket.socket) -> bool:
    return not select.select([sock], [], [], 0)[0]


def send_until_cut(sock: socket.socket) -> None:
    while True:
        sock.sendall(b"x")
        time.sleep(0.02)
