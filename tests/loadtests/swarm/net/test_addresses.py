"""Connecting over real sockets: addresses take turns, are skipped when they fail, and are looked up at intervals."""

import errno
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.socket
import pytest

from chatswarm.loadtests.swarm.net import addresses
from chatswarm.loadtests.swarm.net.addresses import connect

NAME = "chat.test"
ONE, TWO, THREE = "127.0.0.2", "127.0.0.3", "127.0.0.4"


class Resolver:
    """A fake `getaddrinfo` that returns `hosts` or raises `failure`, and counts its calls."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = list(hosts)
        self.failure: Exception | None = None
        self.asked = 0

    def __call__(self, host: str, port: int, *_: object) -> list[Any]:
        self.asked += 1
        gevent.sleep(0)
        if self.failure is not None:
            raise self.failure
        return [
            (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "",
             (host, port, 0, 0) if ":" in host else (host, port))
            for host in self.hosts
        ]  # fmt: skip


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver(ONE, TWO)
    monkeypatch.setattr(gevent.socket, "getaddrinfo", resolver)
    monkeypatch.setattr(addresses, "_names", {})
    monkeypatch.setattr(addresses, "_dead", {})
    return resolver


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which the first and the third address listen, and the second does not."""
    with socket.create_server((ONE, 0)) as one:
        port = one.getsockname()[1]
        with socket.create_server((THREE, port)):
            yield port


def connected_hosts(port: int, times: int, traffic: str = "", on_skipped: Any = None, timeout: float = 5) -> list[str]:
    hosts = []
    for _ in range(times):
        connection = connect(NAME, port, timeout, traffic, on_skipped)
        hosts.append(connection.getpeername()[0])
        connection.close()
    return hosts


def test_connections_take_the_addresses_in_turn_for_each_kind_of_traffic(resolver: Resolver, port: int) -> None:
    resolver.hosts = [ONE, THREE]
    for traffic in ("sockets", "refetches"):
        hosts = connected_hosts(port, 10, traffic)
        assert Counter(hosts) == {ONE: 5, THREE: 5}
        assert hosts[0] != hosts[1]
    assert resolver.asked == 1


def test_kinds_of_traffic_that_alternate_each_use_all_addresses(resolver: Resolver, port: int) -> None:
    resolver.hosts = [ONE, THREE]
    pairs = [(connected_hosts(port, 1, "sockets")[0], connected_hosts(port, 1, "refetches")[0]) for _ in range(10)]
    assert Counter(socket_ for socket_, _ in pairs) == Counter(refetch for _, refetch in pairs) == {ONE: 5, THREE: 5}


def test_an_address_that_refuses_is_skipped_and_reported_once(resolver: Resolver, port: int) -> None:
    resolver.hosts = [ONE, TWO, THREE]
    skipped: list[str] = []
    assert Counter(connected_hosts(port, 20, on_skipped=skipped.append)).keys() == {ONE, THREE}
    assert skipped == [f"{TWO}:{port} refused a connection, another address took it"]


def test_an_address_that_failed_is_tried_again_later(resolver: Resolver, port: int) -> None:
    skipped: list[str] = []
    connected_hosts(port, 2, on_skipped=skipped.append)
    assert len(skipped) == 1
    addresses._dead.update(dict.fromkeys(addresses._dead, 0.0))  # expire it
    with socket.create_server((TWO, port)):
        assert Counter(connected_hosts(port, 4)) == {ONE: 2, TWO: 2}


def test_if_all_addresses_refuse_the_target_has_refused(resolver: Resolver, port: int) -> None:
    resolver.hosts = [TWO, "127.0.0.5"]
    skipped: list[str] = []
    with pytest.raises(ConnectionRefusedError, match=f"{TWO}:{port}: Connection refused; |; {TWO}") as caught:
        connect(NAME, port, 5, on_skipped=skipped.append)
    assert caught.value.errno == errno.ECONNREFUSED
    assert skipped == []


def test_after_a_full_outage_all_addresses_take_turns_again(resolver: Resolver, port: int) -> None:
    resolver.hosts = [TWO, "127.0.0.5"]
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            connect(NAME, port, 5)
    with socket.create_server((TWO, port)), socket.create_server(("127.0.0.5", port)):
        assert Counter(connected_hosts(port, 4)) == {TWO: 2, "127.0.0.5": 2}


def unroutable(failures: dict[str, int]) -> type:
    """A socket class that fails to connect to some addresses, or to be created at all (key `socket`)."""

    class Unroutable(gevent.socket.socket):  # type: ignore[misc]
        def __init__(self, *args: Any) -> None:
            if "socket" in failures:
                raise OSError(failures["socket"], "no socket")
            super().__init__(*args)

        def connect(self, address: Any) -> None:
            if address[0] in failures:
                raise OSError(failures[address[0]], "no way")
            super().connect(address)

    return Unroutable


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_an_address_without_a_route_is_skipped_and_not_reported(
    number: int, resolver: Resolver, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver.hosts = ["2001:db8::1", ONE]
    monkeypatch.setattr(gevent.socket, "socket", unroutable({"2001:db8::1": number}))
    skipped: list[str] = []
    assert connected_hosts(port, 4, on_skipped=skipped.append) == [ONE] * 4
    assert skipped == []


def test_no_route_at_all_is_a_rig_limit_but_one_refusal_makes_it_the_targets(
    resolver: Resolver, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gevent.socket, "socket", unroutable(dict.fromkeys((ONE, THREE), errno.ENETUNREACH)))
    resolver.hosts = [ONE, THREE]
    with pytest.raises(OSError, match="no way") as caught:
        connect(NAME, port, 5)
    assert caught.value.errno == errno.ENETUNREACH
    resolver.hosts = [ONE, TWO, THREE]
    addresses._names.clear()
    with pytest.raises(ConnectionRefusedError):
        connect(NAME, port, 5)


def test_without_open_files_no_other_address_is_tried(
    resolver: Resolver, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gevent.socket, "socket", unroutable({"socket": errno.EMFILE}))
    with pytest.raises(OSError, match="no socket") as caught:
        connect(NAME, port, 5)
    assert caught.value.errno == errno.EMFILE
    assert addresses._dead == {}


def test_an_address_that_drops_packets_leaves_time_for_the_next(resolver: Resolver, port: int) -> None:
    full = socket.socket()
    full.bind((TWO, port))
    full.listen(0)
    waiting = []
    with full:
        # The kernel drops what arrives at a full accept queue.
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((TWO, port))
            waiting.append(filler)
        skipped: list[str] = []
        assert connected_hosts(port, 3, on_skipped=skipped.append, timeout=1) == [ONE] * 3
        for filler in waiting:
            filler.close()
    assert skipped == [f"{TWO}:{port} did not answer, another address took it"]


def test_the_timeout_is_shared_among_the_addresses(
    resolver: Resolver, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: list[float] = []

    class Noting(unroutable({TWO: errno.ETIMEDOUT, "127.0.0.5": errno.ETIMEDOUT})):  # type: ignore[misc]
        def connect(self, address: Any) -> None:
            allowed.append(self.gettimeout())
            super().connect(address)

    monkeypatch.setattr(gevent.socket, "socket", Noting)
    resolver.hosts = [TWO, "127.0.0.5"]
    with pytest.raises(TimeoutError, match="no way"):
        connect(NAME, port, 100)
    assert allowed[0] <= 50 < allowed[1] <= 100, "half of the time for the first, and the rest for the second"


def test_concurrent_callers_share_a_look_up(resolver: Resolver, port: int) -> None:
    resolver.hosts = [ONE]
    for each in [gevent.spawn(connected_hosts, port, 1) for _ in range(10)]:
        each.get()
    assert resolver.asked == 1


def test_a_name_is_looked_up_again_and_earlier_results_serve_while_that_fails(
    resolver: Resolver, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver.hosts = [ONE]
    assert connected_hosts(port, 2) == [ONE, ONE]
    monkeypatch.setattr(addresses, "_KEEP", 0.0)
    monkeypatch.setattr(addresses, "_RETRY_FAILED", 0.0)
    addresses._names[NAME, port]._due = 0.0
    resolver.failure = socket.gaierror(socket.EAI_AGAIN, "temporary failure")
    assert connected_hosts(port, 2) == [ONE, ONE]
    resolver.failure, resolver.hosts = None, [THREE]
    assert connected_hosts(port, 2) == [THREE, THREE], "the target has moved"


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no such name"), "no such name"),
        (UnicodeError("label too long"), "label too long"),
        (LookupError("unknown encoding: idna"), "unknown encoding"),
    ],
)
def test_a_name_that_is_not_found_is_an_oserror(failure: Exception, said: str, resolver: Resolver, port: int) -> None:
    resolver.failure = failure
    for _ in range(3):
        with pytest.raises(OSError, match=said):
            connect(NAME, port, 5)
    assert resolver.asked == 1, "one look-up, not one per connection"
