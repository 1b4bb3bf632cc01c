"""Every operation of the API: its response, its status code and its errors."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from chatswarm.loadtests.faults.proxy.toxics import TOXICS

from .harness import FaultProxy, fault_proxy, port_of

UPSTREAM = "127.0.0.1:9"
LATENCY: dict[str, Any] = {
    "attributes": {"latency": 100, "jitter": 10},
    "name": "latency_downstream",
    "type": "latency",
    "stream": "downstream",
    "toxicity": 1.0,
}


@pytest.fixture(scope="module", name="own")
def of_this_module() -> Iterator[FaultProxy]:
    with fault_proxy() as started:
        yield started


@pytest.fixture
def api(own: FaultProxy) -> FaultProxy:
    """A fault proxy without any proxies."""
    for name in own.ask("GET", "/proxies"):
        own.ask("DELETE", f"/proxies/{name}")
    return own


@pytest.fixture
def web(api: FaultProxy) -> dict[str, Any]:
    created: dict[str, Any] = api.ask("POST", "/proxies", {"name": "web", "upstream": UPSTREAM})
    return created


def error_of(response: httpx.Response, status: int) -> str:
    """The message of an error response, which has Toxiproxy's form."""
    body = response.json()
    assert response.status_code == body["status"] == status
    assert response.headers["content-type"] == "application/json"
    message: str = body["error"]
    return message


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_version(api: FaultProxy) -> None:
    assert api.ask("GET", "/version")["version"].startswith("2.")


def test_proxies_begin_empty(api: FaultProxy) -> None:
    assert api.ask("GET", "/proxies") == {}


def test_create_a_proxy(api: FaultProxy) -> None:
    answer = api.request("POST", "/proxies", {"name": "web", "listen": "localhost:0", "upstream": UPSTREAM})
    assert answer.status_code == 201
    created = answer.json()
    assert created.pop("listen").startswith("127.0.0.1:")
    assert created == {"name": "web", "upstream": UPSTREAM, "enabled": True, "toxics": []}
    assert api.ask("GET", "/proxies")["web"] == answer.json()
    assert api.ask("GET", "/proxies/web") == answer.json()
    assert listens(port_of(answer.json()["listen"]))


def test_create_a_proxy_that_is_down(api: FaultProxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    listen = f"127.0.0.1:{port}"
    created = api.ask("POST", "/proxies", {"name": "web", "listen": listen, "upstream": UPSTREAM, "enabled": False})
    assert (created["listen"], created["enabled"]) == (listen, False)
    assert not listens(port)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"upstream": UPSTREAM}, "missing required field: name"),
        ({"name": "web"}, "missing required field: upstream"),
        ([1], "bad request body: expected a JSON object, got [1]"),
        (
            {"name": 3, "upstream": "nowhere", "enabled": "yes", "listen": "[::1]"},
            (
                "bad request body: name: expected text, got 3; "
                'enabled: expected true or false, got "yes"; '
                "listen: expected host:port, such as 127.0.0.1:8000, got '[::1]'; "
                "upstream: expected host:port, such as 127.0.0.1:8000, got 'nowhere'"
            ),
        ),
    ],
)
def test_an_invalid_proxy_is_refused_with_all_problems(api: FaultProxy, body: object, message: str) -> None:
    assert error_of(api.request("POST", "/proxies", body), 400) == message
    assert api.ask("GET", "/proxies") == {}


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_body_that_is_not_json_is_refused(api: FaultProxy, content: bytes) -> None:
    message = error_of(api.http.post("/proxies", content=content), 400)
    assert message.startswith("bad request body: expected a JSON object, got ")


def test_an_oversized_body_is_refused(api: FaultProxy) -> None:
    message = error_of(api.http.post("/proxies", content=b" " * (2 << 20)), 413)
    assert message == "bad request body: expected at most 1048576 bytes, got more"


def test_a_duplicate_proxy_name(api: FaultProxy, web: dict[str, Any]) -> None:
    message = error_of(api.request("POST", "/proxies", {"name": "web", "upstream": UPSTREAM}), 409)
    assert message == "proxy already exists: web"


def test_a_port_in_use(api: FaultProxy, web: dict[str, Any]) -> None:
    body = {"name": "two", "listen": web["listen"], "upstream": UPSTREAM}
    message = error_of(api.request("POST", "/proxies", body), 500)
    assert (
        message
        == f"proxy two: expected an address that is free to listen on, got {web['listen']}: address already in use"
    )
    assert list(api.ask("GET", "/proxies")) == ["web"]


def test_an_unknown_host(api: FaultProxy) -> None:
    body = {"name": "two", "listen": "no-such-host.invalid:1", "upstream": UPSTREAM}
    message = error_of(api.request("POST", "/proxies", body), 500)
    assert message.startswith("proxy two: expected an address that is free to listen on, got no-such-host.invalid:1: ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""), ("POST", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/evidence"), ("GET", "/toxics"),
        ("POST", "/toxics"), ("GET", "/toxics/x"), ("POST", "/toxics/x"), ("PATCH", "/toxics/x"),
        ("DELETE", "/toxics/x"),
    ],
)  # fmt: skip
def test_an_unknown_proxy(api: FaultProxy, web: dict[str, Any], method: str, path: str) -> None:
    message = error_of(api.request(method, f"/proxies/wed{path}", {}), 404)
    assert message == "proxy not found: expected one of web, got 'wed'"


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_update_a_proxy(api: FaultProxy, web: dict[str, Any], method: str) -> None:
    port = port_of(web["listen"])
    assert api.ask(method, "/proxies/web", {"enabled": False}) == {**web, "enabled": False}
    assert not listens(port)
    assert api.ask(method, "/proxies/web", {"enabled": True}) == web
    assert listens(port)
    assert api.ask(method, "/proxies/web", {"name": "ignored", "listen": f"localhost:{port}"}) == web
    moved = api.ask(method, "/proxies/web", {"upstream": "127.0.0.1:10", "listen": "127.0.0.1:0"})
    assert moved["upstream"] == "127.0.0.1:10"
    assert port_of(moved["listen"]) != port
    assert not listens(port)
    assert listens(port_of(moved["listen"]))


def test_an_update_to_a_port_in_use_leaves_it_down(api: FaultProxy, web: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        error_of(api.request("PATCH", "/proxies/web", {"listen": listen}), 500)
        assert not api.ask("GET", "/proxies/web")["enabled"]
    assert api.ask("PATCH", "/proxies/web", {"enabled": True})["listen"] == listen


def test_delete_a_proxy(api: FaultProxy, web: dict[str, Any]) -> None:
    answer = api.request("DELETE", "/proxies/web")
    assert (answer.status_code, answer.content) == (204, b"")
    assert not listens(port_of(web["listen"]))
    assert error_of(api.request("DELETE", "/proxies/web"), 404).startswith("proxy not found")


def test_toxics_from_creation_to_removal(api: FaultProxy, web: dict[str, Any]) -> None:
    toxics = "/proxies/web/toxics"
    assert api.ask("GET", toxics) == []
    answer = api.request("POST", toxics, {"type": "latency", "attributes": {"latency": 100, "jitter": 10}})
    assert (answer.status_code, answer.json()) == (200, LATENCY)
    assert api.ask("GET", f"{toxics}/latency_downstream") == LATENCY
    up = api.ask("POST", toxics, {"type": "timeout", "stream": "UpStream", "name": "hole", "toxicity": 0.25})
    assert up == {
        "attributes": {"timeout": 0},
        "name": "hole",
        "type": "timeout",
        "stream": "upstream",
        "toxicity": 0.25,
    }
    assert api.ask("GET", toxics) == [up, LATENCY]
    assert api.ask("GET", "/proxies/web")["toxics"] == [up, LATENCY]
    answer = api.request("DELETE", f"{toxics}/hole")
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.ask("GET", toxics) == [LATENCY]
    assert error_of(api.request("GET", f"{toxics}/hole"), 404) == (
        "toxic not found: expected one of latency_downstream, got 'hole'"
    )


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_updating_a_toxic_keeps_missing_fields(api: FaultProxy, web: dict[str, Any], method: str) -> None:
    api.ask("POST", "/proxies/web/toxics", LATENCY)
    path = "/proxies/web/toxics/latency_downstream"
    changed = {**LATENCY, "attributes": {"latency": 7, "jitter": 10}}
    assert api.ask(method, path, {"attributes": {"latency": 7}, "name": "ignored"}) == changed
    changed = {**changed, "toxicity": 0.5}
    assert api.ask(method, path, {"toxicity": 0.5}) == changed
    message = error_of(api.request(method, path, {"toxicity": 0.1, "attributes": {"jitter": "a bit"}}), 400)
    assert (
        message == "bad request body: latency.jitter: expected a whole number of milliseconds, 0 or more, got 'a bit'"
    )
    assert api.ask("GET", path) == changed


@pytest.mark.parametrize("kind", TOXICS)
def test_every_toxic_can_be_added_in_both_streams(api: FaultProxy, web: dict[str, Any], kind: str) -> None:
    attributes = {name: 3 - number for number, name in enumerate(TOXICS[kind].attributes)}
    for stream in ("upstream", "downstream"):
        body = {"type": kind, "stream": stream, "attributes": attributes}
        assert api.ask("POST", "/proxies/web/toxics", body)["attributes"] == attributes


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"type": "latencies"},
            (
                "invalid toxic type: expected one of bandwidth, latency, limit_data, reset_peer, slicer, slow_close, "
                "timeout, got 'latencies'"
            ),
        ),
        ({}, None),
        (
            {"type": "latency", "stream": "sideways"},
            "stream was invalid, can be either upstream or downstream, got 'sideways'",
        ),
        (
            {"type": "latency", "toxicity": 1.5, "name": 1},
            "bad request body: name: expected text, got 1; toxicity: expected a number from 0 to 1, got 1.5",
        ),
        (
            {"type": "latency", "attributes": {"latency": 1.5, "lateness": 1}},
            (
                "bad request body: latency.lateness: expected one of latency, jitter, got 'lateness'; "
                "latency.latency: expected a whole number of milliseconds, 0 or more, got 1.5"
            ),
        ),
        (
            {"type": "bandwidth", "attributes": {"rate": -1}},
            "bad request body: bandwidth.rate: expected a whole number of KB/s (1 KB: 1000 bytes), 0 or more, got -1",
        ),
        (
            {"type": "timeout", "attributes": {"timeout": True}},
            "bad request body: timeout.timeout: expected a whole number of milliseconds, 0 or more, got True",
        ),
        (
            {"type": "slicer"},
            "bad request body: slicer.average_size: expected a whole number of bytes, 1 or more, got 0",
        ),
        (
            {"type": "slicer", "attributes": {"average_size": 5, "size_variation": 5}},
            "bad request body: slicer.size_variation: expected fewer bytes than average_size, got 5",
        ),
        ({"type": "latency", "attributes": 5}, "bad request body: attributes: expected an object, got 5"),
    ],
)
def test_an_invalid_toxic_is_refused(api: FaultProxy, web: dict[str, Any], body: object, message: str | None) -> None:
    got = error_of(api.request("POST", "/proxies/web/toxics", body), 400)
    assert got == message if message else got.startswith("invalid toxic type")
    assert api.ask("GET", "/proxies/web/toxics") == []


def test_a_duplicate_toxic_name(api: FaultProxy, web: dict[str, Any]) -> None:
    api.ask("POST", "/proxies/web/toxics", LATENCY)
    message = error_of(api.request("POST", "/proxies/web/toxics", LATENCY), 409)
    assert message == "toxic already exists: latency_downstream"


def test_populate_creates_keeps_and_replaces(api: FaultProxy, web: dict[str, Any]) -> None:
    api.ask("POST", "/proxies/web/toxics", LATENCY)
    same = {"name": "web", "listen": web["listen"], "upstream": UPSTREAM}
    answer = api.request("POST", "/populate", [same, {"name": "new", "upstream": UPSTREAM, "enabled": False}])
    assert answer.status_code == 201
    kept, new = answer.json()["proxies"]
    assert kept == {**web, "toxics": [LATENCY]}
    assert (new["name"], new["enabled"]) == ("new", False)
    replaced = api.ask("POST", "/populate", [{**same, "upstream": "127.0.0.1:10"}])["proxies"]
    assert replaced == [{**web, "upstream": "127.0.0.1:10"}]
    assert api.ask("GET", "/proxies/web") == replaced[0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "bad request body: expected a JSON array of proxies, got {}"),
        ([{"name": "a", "upstream": UPSTREAM}, {"name": "b"}], "missing required field: upstream at proxy 2"),
        ([{"upstream": UPSTREAM}], "missing required field: name at proxy 1"),
        ([3], "bad request body: proxy 1: expected a JSON object, got 3"),
    ],
)
def test_an_invalid_populate_changes_nothing(api: FaultProxy, body: object, message: str) -> None:
    answer = api.request("POST", "/populate", body)
    assert error_of(answer, 400) == message
    assert answer.json()["proxies"] is None
    assert api.ask("GET", "/proxies") == {}


def test_populate_reports_the_proxies_created_before_it_failed(api: FaultProxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        bodies = [{"name": "a", "upstream": UPSTREAM}, {"name": "b", "listen": listen, "upstream": UPSTREAM}]
        answer = api.request("POST", "/populate", bodies)
    assert error_of(answer, 500).endswith("address already in use")
    assert [proxy["name"] for proxy in answer.json()["proxies"]] == ["a"]


def test_reset_enables_and_removes_toxics(api: FaultProxy, web: dict[str, Any]) -> None:
    api.ask("POST", "/proxies/web/toxics", LATENCY)
    api.ask("PATCH", "/proxies/web", {"enabled": False})
    answer = api.request("POST", "/reset")
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.ask("GET", "/proxies/web") == web


def test_reset_heals_the_others_if_one_cannot_be_healed(api: FaultProxy, web: dict[str, Any]) -> None:
    api.ask("PATCH", "/proxies/web", {"enabled": False})
    api.ask("POST", "/proxies", {"name": "zero", "upstream": UPSTREAM})
    api.ask("POST", "/proxies/zero/toxics", LATENCY)
    with socket.create_server(("127.0.0.1", port_of(web["listen"]))):
        assert error_of(api.request("POST", "/reset"), 500).endswith("address already in use")
    assert api.ask("GET", "/proxies/zero/toxics") == []


def test_evidence_of_nothing(api: FaultProxy, web: dict[str, Any]) -> None:
    api.ask("POST", "/proxies/web/toxics", LATENCY)
    evidence = api.ask("GET", "/proxies/web/evidence")
    toxic = evidence["toxics"].pop()
    assert {**LATENCY, "active": True}.items() <= toxic.items()
    counters = {"bytes_through", "bytes_delayed", "bytes_swallowed", "connections_cut", "connections_reset"}
    own = {"connections_affected", "ends_delayed", "pieces_cut"}
    assert toxic.keys() - LATENCY.keys() - {"active"} == counters | own
    assert not any(toxic[name] for name in counters | own)
    assert evidence == {
        "name": "web", "enabled": True, "toxics": [], **dict.fromkeys(counters, 0), "connections_accepted": 0,
        "connections_open": 0, "connections_refused": 0, "upstream_failures": 0, "last_upstream_failure": None,
    }  # fmt: skip


def test_browsers_are_refused(api: FaultProxy) -> None:
    answer = api.http.get("/proxies", headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"})
    assert (answer.status_code, answer.text) == (403, "User agent not allowed\n")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/reset", 405)])
def test_unknown_paths_and_methods(api: FaultProxy, method: str, path: str, status: int) -> None:
    assert api.request(method, path).status_code == status


def test_a_proxy_on_all_interfaces(api: FaultProxy) -> None:
    created = api.ask("POST", "/proxies", {"name": "all", "listen": ":0", "upstream": UPSTREAM})
    assert listens(port_of(created["listen"]))
    assert api.ask("PATCH", "/proxies/all", {"listen": created["listen"]}) == created
