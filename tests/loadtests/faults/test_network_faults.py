"""Network faults, through our own proxy and through a Toxiproxy that has no evidence."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from chatswarm.loadtests.faults.error import FaultError
from chatswarm.loadtests.faults.fault import FaultContext
from chatswarm.loadtests.faults.network_faults import NETWORK_FAULTS
from chatswarm.loadtests.faults.toxiproxy import Toxiproxy
from chatswarm.loadtests.system.children import free_port

from .acts import fault, plan, proven
from .harness import PATIENCE, FaultProxy, Proxied, read, read_all, silent, until, was_reset

Ends = tuple[socket.socket, socket.socket]
"""The client's and the server's end of a connection."""


def sent(count: int) -> Callable[[Ends], None]:
    """Bytes from the server arrive eventually."""

    def act(ends: Ends) -> None:
        ends[1].sendall(b"x" * count)
        assert read(ends[0], count) == b"x" * count

    return act


def swallowed(ends: Ends) -> None:
    ends[1].sendall(b"gone")
    assert silent(ends[0])


def cut_short(ends: Ends) -> None:
    ends[1].sendall(b"a frame that is cut")
    assert read_all(ends[0]) == b"a fra"


def closed_late(ends: Ends) -> None:
    ends[1].close()
    assert read_all(ends[0]) == b""


def reset_while_idle(ends: Ends) -> None:
    assert was_reset(ends[0])


TOXICS: dict[str, tuple[str, Callable[[Ends], None], str]] = {
    "latency": ("latency = 0.03", sent(100), "bytes_delayed"),
    "bandwidth": ("rate = 10", sent(1000), "bytes_delayed"),
    "slow_close": ("delay = 0.03", closed_late, "ends_delayed"),
    "timeout": ("", swallowed, "bytes_swallowed"),
    "reset_peer": ("", reset_while_idle, "connections_reset"),
    "slicer": ("average_size = 10", sent(100), "pieces_cut"),
    "limit_data": ("bytes = 5", cut_short, "connections_cut"),
}
"""For each toxic: its parameters, a check that it works, and the counter that proves it."""


def test_every_toxic_is_tried() -> None:
    assert {*TOXICS, "down"} == set(NETWORK_FAULTS)


@pytest.mark.parametrize("kind", TOXICS)
def test_a_toxic_begins_works_is_healed_and_proven(kind: str, context: FaultContext, sockets: Proxied) -> None:
    values, act, proof = TOXICS[kind]
    ends = sockets.connect()
    toxic = fault(context, kind, f'on = "sockets"\n{values}')
    toxic.begin()
    act(ends)
    evidence = toxic.heal()
    assert proven(evidence)
    assert float(evidence[proof]) > 0
    assert sockets.ask("GET", "/toxics") == []
    sent(1000)(sockets.connect())
    until(lambda: sockets.evidence()["toxics"][0]["active"] is False)


@pytest.mark.parametrize("kind", TOXICS)
def test_a_toxic_without_connections_proves_nothing(kind: str, context: FaultContext, sockets: Proxied) -> None:
    toxic = fault(context, kind, f'on = "sockets"\n{TOXICS[kind][0]}')
    toxic.begin()
    evidence = toxic.heal()
    assert not proven(evidence)
    # "Not measured" is not "did not happen": the evidence says which numbers were 0.
    assert set(evidence.values()) == {0}


def test_bytes_that_merely_passed_prove_nothing(context: FaultContext, sockets: Proxied) -> None:
    ends = sockets.connect()
    toxic = fault(context, "limit_data", 'on = "sockets"\nbytes = 1000000')
    toxic.begin()
    sent(100)(ends)
    assert not proven(toxic.heal())


def test_both_streams_count_together(context: FaultContext, sockets: Proxied) -> None:
    client, server = sockets.connect()
    toxic = fault(context, "latency", 'on = "sockets"\nlatency = 0.01\nstream = "both"')
    toxic.begin()
    assert {it["stream"] for it in sockets.ask("GET", "/toxics")} == {"upstream", "downstream"}
    server.sendall(b"12345")
    client.sendall(b"123")
    assert (read(client, 5), read(server, 3)) == (b"12345", b"123")
    assert toxic.heal()["bytes_delayed"] == 8


def test_several_places_are_faulted_and_healed_together(
    context: FaultContext, sockets: Proxied, proxied: Proxied
) -> None:
    context.proxies = {**context.proxies, "refetches": proxied.name}
    toxic = fault(context, "latency", 'on = "dashboards"\nlatency = 0.01')
    toxic.begin()
    sent(4)(sockets.connect())
    sent(5)(proxied.connect())
    # `connect` itself sends one byte downstream.
    assert toxic.heal()["bytes_delayed"] == 11
    assert sockets.ask("GET", "/toxics") == proxied.ask("GET", "/toxics") == []


def test_toxics_of_overlapping_faults_have_different_names(context: FaultContext, sockets: Proxied) -> None:
    text = 'on = "sockets"\nlatency = 0.01'
    overlapping = [
        fault(context, "latency", text),
        fault(context, "latency", text, number=1),
        fault(context, "latency", f'name = "other"\n{text}'),
        fault(context, "timeout", 'on = "sockets"'),
    ]
    for toxic in overlapping:
        toxic.begin()
    assert len(sockets.ask("GET", "/toxics")) == 4
    for left, toxic in zip((3, 2, 1, 0), overlapping, strict=True):
        toxic.heal()
        assert len(sockets.ask("GET", "/toxics")) == left


def test_down_cuts_refuses_and_comes_back(context: FaultContext, sockets: Proxied) -> None:
    client, _ = sockets.connect()
    down = fault(context, "down", 'on = "sockets"')
    down.begin()
    assert read_all(client) == b""
    with pytest.raises(ConnectionRefusedError):
        sockets.dial()
    assert down.heal() == {"refusing": sockets.name, "connections_cut": 1}
    sent(10)(sockets.connect())


def test_a_proxy_that_somebody_enabled_early_proves_nothing(context: FaultContext, sockets: Proxied) -> None:
    down = fault(context, "down", 'on = "sockets"')
    down.begin()
    sockets.enable(True)
    assert not proven(down.heal())


@pytest.mark.parametrize("kind", ["latency", "down"])
def test_a_missing_proxy_does_not_keep_the_others_from_healing(
    kind: str, context: FaultContext, sockets: Proxied, proxied: Proxied
) -> None:
    context.proxies = {"sockets": sockets.name, "refetches": proxied.name}
    assert context.toxiproxy is not None
    context.toxiproxy._addresses[proxied.name] = ("127.0.0.1", proxied.port)
    failing = fault(context, kind, 'on = "dashboards"\n' + ("latency = 1" if kind == "latency" else ""))
    failing.begin()
    sockets.fault_proxy.ask("DELETE", f"/proxies/{sockets.name}")
    with pytest.raises(FaultError, match=r"got 404"):
        failing.heal()
    assert proxied.ask("GET", "/toxics") == []
    assert proxied.ask("GET", "")["enabled"]


def test_a_toxic_that_could_not_begin_is_healed_where_it_did(context: FaultContext, sockets: Proxied) -> None:
    context.proxies = {"sockets": sockets.name, "refetches": "nowhere"}
    toxic = fault(context, "latency", 'on = "dashboards"\nlatency = 1')
    with pytest.raises(FaultError, match=r"/proxies/nowhere/toxics: expected a 2xx for POST, got 404"):
        toxic.begin()
    with pytest.raises(FaultError, match="nowhere"):
        toxic.heal()
    assert sockets.ask("GET", "/toxics") == []


@pytest.mark.parametrize("kind", ["latency", "down"])
def test_an_unreachable_api_is_reported_by_begin_and_heal(kind: str, context: FaultContext, sockets: Proxied) -> None:
    assert context.toxiproxy is not None
    gone = free_port()
    assert context.toxiproxy._place is not None
    context.toxiproxy._place = context.toxiproxy._place._replace(sockaddr=("127.0.0.1", gone))
    failing = fault(context, kind, 'on = "sockets"\n' + ("latency = 1" if kind == "latency" else ""))
    with pytest.raises(FaultError, match=r"expected Toxiproxy's API, got .*refused"):
        failing.begin()
    if kind == "latency":
        with pytest.raises(FaultError, match="refused"):
            failing.heal()
    else:
        assert not proven(failing.heal())


def test_a_missing_broker(context: FaultContext) -> None:
    expected = "expected a reference backend with a broker (`[backend] broker = true`), got none"
    for kind in ("down", "kill"):
        planned = plan(kind, 'on = "broker"')
        assert fault(context, kind).unfit(planned, context) == expected


def test_durations_below_a_millisecond_do_not_become_0(context: FaultContext, sockets: Proxied) -> None:
    # A timeout of 0 never fires.
    toxic = fault(context, "timeout", 'on = "sockets"\ntimeout = "0.4ms"')
    toxic.begin()
    assert sockets.ask("GET", "/toxics")[0]["attributes"] == {"timeout": 1}
    toxic.heal()


class TestToxiproxyWithoutEvidence:
    """A real Toxiproxy can only prove that the toxic was there."""

    @pytest.fixture(autouse=True)
    def without_evidence(self, context: FaultContext, sockets: Proxied) -> None:
        assert context.toxiproxy is not None
        context.toxiproxy.has_evidence = False

    def test_the_toxics_presence_is_the_evidence(self, context: FaultContext, sockets: Proxied) -> None:
        toxic = fault(context, "latency", 'on = "sockets"\nlatency = 0.01')
        toxic.begin()
        assert toxic.heal() == {f"toxic_at_{sockets.name}": "latency-latency-0-0-downstream"}

    def test_a_toxic_that_somebody_removed_proves_nothing(self, context: FaultContext, sockets: Proxied) -> None:
        toxic = fault(context, "latency", 'on = "sockets"\nlatency = 0.01')
        toxic.begin()
        sockets.fault_proxy.ask("POST", "/reset")
        assert toxic.heal() == {}

    def test_down_is_proven_by_refused_connections(self, context: FaultContext, sockets: Proxied) -> None:
        down = fault(context, "down", 'on = "sockets"')
        down.begin()
        assert down.heal() == {"refusing": sockets.name}


class TestNotAToxiproxy:
    """These are refused before any load."""

    @pytest.fixture
    def page(self) -> Iterator[str]:
        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"<html>It works!</html>")

            def log_message(self, *_: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
            threading.Thread(target=server.serve_forever, args=(0.05,)).start()
            yield f"http://127.0.0.1:{server.server_address[1]}"
            server.shutdown()

    def test_a_web_page(self, page: str) -> None:
        with pytest.raises(FaultError, match=f"{page}/version: expected Toxiproxy's version, got '<html>It works!"):
            Toxiproxy(page)

    @pytest.mark.parametrize(
        "url", ["127.0.0.1:8474", "ftp://127.0.0.1:8474", "http://", "http://me:secret@127.0.0.1", ""]
    )
    def test_an_invalid_url(self, url: str) -> None:
        with pytest.raises(
            FaultError, match=r"expected the URL of Toxiproxy's API, such as http://127.0.0.1:8474, got .*"
        ) as caught:
            Toxiproxy(url)
        assert "secret" not in str(caught.value)

    def test_nothing_there(self) -> None:
        with pytest.raises(FaultError, match=r"expected Toxiproxy's API, got .*refused"):
            Toxiproxy(f"http://127.0.0.1:{free_port()}")


def test_each_lag_sample_is_reported_once(fault_proxy: FaultProxy) -> None:
    api = Toxiproxy(f"http://{fault_proxy.api}/")
    api.lag()
    samples: list[tuple[float, float]] = []
    while len(samples) < 20:
        samples += api.lag().samples
    times = [time for time, _ in samples]
    assert times == sorted(set(times))
    assert all(0 <= lag < PATIENCE for _, lag in samples)
