"""A client library written for Toxiproxy (toxiproxy-python) drives our proxy."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

from .harness import Proxied, fault_proxy, port_of, read, read_all


@pytest.fixture(scope="module")
def library() -> Iterator[tuple[Toxiproxy, Proxied]]:
    with fault_proxy() as started, started.in_front() as proxied:
        library = Toxiproxy()
        library.update_api_consumer("127.0.0.1", port_of(started.api))
        yield library, proxied


def test_the_library_drives_it(library: tuple[Toxiproxy, Proxied]) -> None:
    server, proxied = library
    assert server.running()
    assert b"2." in server.version()
    assert list(server.proxies()) == [proxied.name]

    proxy = server.get_proxy(proxied.name)
    assert port_of(proxy.listen) == proxied.port
    client, upstream = proxied.connect()

    proxy.add_toxic(type="latency", attributes={"latency": 300})
    assert proxy.get_toxic("latency_downstream").attributes == {"latency": 300, "jitter": 0}
    start = time.monotonic()
    upstream.sendall(b"late")
    assert read(client, 4) == b"late"
    assert time.monotonic() - start >= 0.3
    assert proxy.destroy_toxic("latency_downstream")
    assert proxy.toxics() == {}

    with proxy.down():
        assert read_all(client) == b""
        with pytest.raises(ConnectionRefusedError):
            proxied.dial()
    proxied.connect()

    proxy.add_toxic(type="timeout", stream="upstream", name="hole", toxicity=0.5)
    assert server.reset()
    assert proxy.toxics() == {}


def test_the_library_creates_and_destroys(library: tuple[Toxiproxy, Proxied]) -> None:
    server, _ = library
    created = server.create(upstream="127.0.0.1:9", name="more")
    assert created.enabled
    with pytest.raises(ProxyExists):
        server.create(upstream="127.0.0.1:9", name="more")
    assert server.populate([{"name": "most", "upstream": "127.0.0.1:9", "listen": "127.0.0.1:0"}])
    assert server.destroy(created)
    server.destroy_all()
    assert server.proxies() == {}


def test_the_library_understands_errors(library: tuple[Toxiproxy, Proxied]) -> None:
    server, _ = library
    proxy = server.create(upstream="127.0.0.1:9", name="refusing")
    with pytest.raises(InvalidToxic, match="invalid toxic type"):
        proxy.add_toxic(type="nonsense")
    with pytest.raises(NotFound, match="toxic not found"):
        proxy.destroy_toxic("nonsense")
