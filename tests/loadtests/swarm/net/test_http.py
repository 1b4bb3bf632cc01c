"""The swarm's HTTP client over real sockets: times of sending, nothing resent or raised, lenient like a browser."""

import errno
import gzip
import os
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import gevent
import gevent.socket
import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.history.tables import UNREADABLE_HERE
from chatswarm.loadtests.net.cookies import CookieJar
from chatswarm.loadtests.protocols.protocol import Request
from chatswarm.loadtests.swarm.net import addresses, http
from chatswarm.loadtests.swarm.net.http import Client, client_for, exchange

GET = Request("GET", "/list")
POST = Request("POST", "/send", b"hello")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def server(handle: Callable[[socket.socket, int], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A server on plain threads that calls `handle(connection, number)` per request. Yields its URL and requests."""
    requests: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                requests.append(data)
                handle(connection, len(requests))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if error.errno == errno.EMFILE:  # a test has set the limit of open files to 0
                    time.sleep(0.01)
                    continue
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def client_of(url: str) -> Iterator[Client]:
    client = client_for(url, 1)
    try:
        yield client
    finally:
        client.close()


def respond(connection: socket.socket, number: int) -> None:
    connection.sendall(OK)


def test_a_complete_response() -> None:
    with server(respond) as (url, requests), client_of(url) as client:
        before = time.monotonic()
        got = exchange(client, POST)
        assert (got.status, got.body, got.complete, got.written, got.problem) == (200, b"ok", True, True, "")
        assert before <= got.sent <= got.done <= time.monotonic()
        assert b"hello" in requests[0]


def test_without_a_listener_nothing_is_written() -> None:
    with server(respond) as (url, _):
        pass
    with client_of(url) as client:
        got = exchange(client, POST)
    assert (got.status, got.complete, got.written) == (0, False, False)
    assert "refused" in got.problem


@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
@pytest.mark.parametrize("part", [b"", OK[:20], OK[:-1]], ids=["no response", "half a head", "half a body"])
def test_a_cut_connection_is_noticed_and_nothing_is_resent(request_: Request, part: bytes) -> None:
    def cut(connection: socket.socket, number: int) -> None:
        if number == 1:
            respond(connection, number)
        else:
            connection.sendall(part)
            connection.shutdown(socket.SHUT_RDWR)

    with server(cut) as (url, requests), client_of(url) as client:
        assert exchange(client, request_).complete
        got = exchange(client, request_)
        assert got.written
        assert not got.complete
        assert got.problem
        assert len(requests) == 2, "the client resent the request"
        assert exchange(client, request_).problem, "the client is still usable"


def test_a_target_that_hangs_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.2)
    with server(lambda connection, _: connection.sendall(OK[:-1])) as (url, _), client_of(url) as client:
        got = exchange(client, POST)
    assert (got.status, got.complete, got.written) == (200, False, True)
    assert "no full answer within 0.2 s" in got.problem


def test_a_response_cut_by_the_timeout_does_not_affect_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.2)

    def half_then_whole(connection: socket.socket, number: int) -> None:
        connection.sendall(OK[:-1] if number == 1 else OK)

    with server(half_then_whole) as (url, _), client_of(url) as client:
        assert not exchange(client, GET).complete
        assert exchange(client, GET).body == b"ok"


def test_connections_are_reused_unless_they_were_idle_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    ports: list[int] = []

    def note(connection: socket.socket, number: int) -> None:
        ports.append(connection.getpeername()[1])
        connection.sendall(OK)

    with server(note) as (url, _), client_of(url) as client:
        exchange(client, GET)
        exchange(client, GET)
        monkeypatch.setattr(http, "IDLE_LIMIT", 0.0)
        exchange(client, GET)
    assert ports[0] == ports[1] != ports[2]


def test_connections_left_over_from_a_burst_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[socket.socket] = []
    later = 0.0
    monkeypatch.setattr(http, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + later))
    together = threading.Barrier(3)

    def at_once(connection: socket.socket, number: int) -> None:
        served.append(connection)
        if number <= 3:
            together.wait(10)
        connection.sendall(OK)

    with server(at_once) as (url, _):
        client = client_for(url, 3)
        gevent.joinall([gevent.spawn(exchange, client, GET) for _ in range(3)], raise_error=True)
        for later in (0.6 * http.IDLE_LIMIT, 1.2 * http.IDLE_LIMIT):  # noqa: B007
            exchange(client, GET)
        used = served[3]
        assert used is served[4]
        wait_until(lambda: all(connection.fileno() < 0 for connection in served if connection is not used))
        assert used.fileno() >= 0
        client.close_idle()
        wait_until(lambda: used.fileno() < 0)


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        gevent.sleep(0.01)


def test_a_redirect_to_an_address_that_refuses_is_named() -> None:
    with free_address() as nowhere:
        head = f"HTTP/1.1 307 X\r\nLocation: {nowhere}/list\r\nContent-Length: 0\r\n\r\n".encode()
        with server(lambda connection, _: connection.sendall(head)) as (url, _), client_of(url) as client:
            got = exchange(client, GET)
    assert (got.status, got.complete) == (0, False)
    assert got.problem.startswith(f"redirected to {nowhere}: ConnectionRefusedError")


@contextmanager
def free_address() -> Iterator[str]:
    """An address on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


CLOSE = b"<close>"


def test_a_shorter_keep_alive_timeout_of_the_server_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    ports: list[int] = []

    def note(connection: socket.socket, number: int) -> None:
        ports.append(connection.getpeername()[1])
        kept = 0 if number > 2 else 60
        connection.sendall(OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: max=9, timeout=%d\r\n\r\n" % kept))

    with server(note) as (url, _), client_of(url) as client:
        for _ in range(4):
            exchange(client, GET)
    assert ports[0] == ports[1] == ports[2] != ports[3]


def responding(*responses: bytes) -> Callable[[socket.socket, int], None]:
    """Sends these responses in turn, then the last one for ever. CLOSE at the end closes the connection."""

    def respond_in_turn(connection: socket.socket, number: int) -> None:
        response = responses[min(number, len(responses)) - 1]
        connection.sendall(response.removesuffix(CLOSE))
        if response.endswith(CLOSE):
            connection.shutdown(socket.SHUT_RDWR)

    return respond_in_turn


def redirect(status: int, location: str) -> bytes:
    return f"HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def test_every_path_gets_the_targets_prefix() -> None:
    with server(respond) as (url, requests), client_of(f"{url}/chat/") as client:
        exchange(client, GET)
        exchange(client, Request("GET", "//x"))
    assert [request.split(b"\r\n")[0] for request in requests] == [
        b"GET /chat/list HTTP/1.1",
        b"GET /chat//x HTTP/1.1",
    ]


def test_a_body_is_decoded() -> None:
    packed = gzip.compress(b"hello")
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with server(responding(head + packed)) as (url, requests), client_of(url) as client:
        assert exchange(client, GET).body == b"hello"
        assert b"Accept-Encoding: gzip, deflate, br\r\n" in requests[0]


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_a_body_that_the_rig_cannot_decode_is_the_rigs_fault_and_still_a_response(encoding: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: 2\r\n\r\nxx".encode()
    with server(responding(head)) as (url, _), client_of(url) as client:
        got = exchange(client, GET)
        assert (got.status, got.complete, got.body, got.reading) == (200, True, b"", UNREADABLE_HERE)
        assert encoding in got.problem
        assert exchange(client, GET).complete, "the connection is still usable"


def test_an_error_status_counts_even_if_its_body_cannot_be_decoded() -> None:
    head = b"HTTP/1.1 404 No\r\nContent-Encoding: zstd\r\nContent-Length: 2\r\n\r\nxx"
    with server(responding(head)) as (url, _), client_of(url) as client:
        got = exchange(client, GET)
    assert (got.status, got.reading) == (404, 404)
    assert got.problem.startswith("status 404, ")


def test_a_close_after_a_complete_response_without_notice_loses_nothing() -> None:
    closed = threading.Semaphore(0)

    def close(connection: socket.socket, _: int) -> None:
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_RDWR)
        closed.release()

    with server(close) as (url, requests), client_of(url) as client:
        for _ in range(3):
            assert exchange(client, POST).body == b"ok"
            # A request that crosses the close on its way would be lost, though neither side is at fault.
            assert closed.acquire(timeout=10)
        assert len(requests) == 3


def test_a_response_that_ends_with_the_connection() -> None:
    with server(responding(b"HTTP/1.1 200 OK\r\n\r\nall of it" + CLOSE)) as (url, _), client_of(url) as client:
        for _ in range(2):
            got = exchange(client, GET)
            assert (got.body, got.complete, got.problem) == (b"all of it", True, "")


@pytest.mark.parametrize("size", [100, 20_000_000])
def test_a_response_before_the_request_is_read(size: int) -> None:
    """The server responds early and then reads nothing more."""
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(refusal)
            done.wait(10)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener, client_of(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
        got = exchange(client, Request("POST", "/send", b"x" * size))
        done.set()
        thread.join()
    assert (got.status, got.complete) == (413, True)


def test_bytes_that_are_not_http_are_no_response() -> None:
    with server(responding(b"SSH-2.0-OpenSSH_9.2\r\n" + CLOSE)) as (url, _), client_of(url) as client:
        got = exchange(client, GET)
    assert (got.status, got.complete, got.written) == (0, False, True)
    assert "no HTTP answer" in got.problem
    assert "SSH-2.0" in got.problem


def test_a_get_follows_redirects_and_its_time_is_that_of_the_first_request() -> None:
    respond_next, times = responding(redirect(302, "/other"), redirect(308, "third?a=b"), OK), []

    def note(connection: socket.socket, number: int) -> None:
        times.append(time.monotonic())
        respond_next(connection, number)

    with server(note) as (url, requests):
        with client_of(f"{url}/chat") as client:
            before = time.monotonic()
            got = exchange(client, GET)
        assert [request.split(b" ")[1] for request in requests] == [b"/chat/list", b"/other", b"/third?a=b"]
    assert (got.status, got.body, got.problem) == (200, b"ok", "")
    assert before <= got.sent <= times[0] < times[2] <= got.done


def test_a_redirect_to_another_origin_carries_no_token_and_bypasses_the_proxy() -> None:
    request = Request("GET", "/list", headers={"Authorization": "Bearer secret"})
    with server(respond) as (other, reached), server(responding(redirect(307, f"{other}/there"))) as (proxy, asked):
        via = ("127.0.0.1", int(proxy.rpartition(":")[2]))
        client = client_for("http://chat.test:1", 1, via)
        got = exchange(client, request)
        client.close()
    assert got.body == b"ok"
    assert b"Bearer secret" in asked[0]
    assert b"Host: chat.test:1\r\n" in asked[0]
    assert b"Authorization" not in reached[0]
    assert reached[0].startswith(b"GET /there ")


def test_a_post_is_repeated_by_a_307_and_by_nothing_else() -> None:
    with server(responding(redirect(307, "/there"), OK)) as (url, requests), client_of(url) as client:
        assert exchange(client, POST).body == b"ok"
        assert requests[1].startswith(b"POST /there ")
        assert requests[1].endswith(b"hello")
    with server(responding(redirect(302, "/there"))) as (url, requests), client_of(url) as client:
        got = exchange(client, POST)
        assert (got.status, got.complete, len(requests)) == (302, True, 1)
        assert got.problem == "status 302, Location: /there"


@pytest.mark.parametrize(
    ("location", "requests_", "said"),
    [("/list", 6, "more than 5 redirects"), ("ftp://x/", 1, "no address"), ("", 1, "no Location")],
)
def test_a_redirect_that_cannot_be_followed_is_the_response(location: str, requests_: int, said: str) -> None:
    with server(responding(redirect(301, location))) as (url, requests), client_of(url) as client:
        got = exchange(client, GET)
        assert (got.status, got.complete, len(requests)) == (301, True, requests_)
    assert got.problem.startswith("status 301, ")
    assert said in got.problem


def test_a_targets_text_is_shown_on_one_line() -> None:
    with server(responding(redirect(302, "/a\x1b[2J\x01"))) as (url, _), client_of(url) as client:
        assert exchange(client, POST).problem == r"status 302, Location: /a\x1b[2J\x01"


def test_retry_after_is_kept() -> None:
    busy = b"HTTP/1.1 429 Slow\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"
    with server(responding(busy, OK)) as (url, _), client_of(url) as client:
        assert exchange(client, GET).retry_after == "5"
        assert exchange(client, GET).retry_after is None


def test_a_response_has_its_headers_and_its_peer() -> None:
    fields = b"X-Served-By: worker-1\r\nSET-COOKIE: a=1\r\nSet-Cookie:b=2\r\nX-Folded: one\r\n two\r\nX-U: \xc3\xa4\r\n"
    head = b"HTTP/1.1 103 Hints\r\nX-Served-By: no\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n" + fields
    with server(responding(head + b"\r\n\r\n\r\nok")) as (url, _), client_of(url) as client:
        for _ in range(2):
            got = exchange(client, GET)
            assert got.headers.first("x-served-by") == "worker-1"
            assert got.headers.every("set-cookie") == ["a=1", "b=2"]
            assert got.headers == (
                ("content-length", "6"), ("x-served-by", "worker-1"), ("set-cookie", "a=1"), ("set-cookie", "b=2"),
                ("x-folded", "one two"), ("x-u", "ä"),
            )  # fmt: skip
            assert f"http://{got.peer}" == url
            assert got.body == b"\r\n\r\nok"


def test_without_a_whole_head_there_are_no_headers_and_without_a_connection_no_peer() -> None:
    head = b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 9\r\n\r\n"
    for part, headers in ((head[:30], ()), (head, (("x", "y"), ("content-length", "9")))):
        with server(responding(part + CLOSE)) as (url, _), client_of(url) as client:
            got = exchange(client, GET)
        assert (got.complete, got.headers, f"http://{got.peer}") == (False, headers, url)
    with client_of(url) as client:
        assert (exchange(client, GET).peer, exchange(client, GET).headers) == ("", ())


def test_behind_a_proxy_the_peer_is_the_proxy() -> None:
    with server(respond) as (url, _):
        client = client_for("http://chat.test:1", 1, ("127.0.0.1", int(url.rpartition(":")[2])))
        assert f"http://{exchange(client, GET).peer}" == url
        client.close()


def cookie_lines(requests: list[bytes]) -> list[bytes]:
    """The cookies of each request; empty if it had none."""
    found = [[line[8:] for line in each.split(b"\r\n") if line.lower().startswith(b"cookie: ")] for each in requests]
    assert all(len(lines) < 2 for lines in found)
    return [b"".join(lines) for lines in found]


def test_a_clients_cookies_come_from_every_response_and_go_with_every_request() -> None:
    login = redirect(302, "/chat/home").replace(b"\r\n\r\n", b"\r\nSet-Cookie: session=1; Path=/\r\n\r\n")
    home = OK.replace(b"\r\n\r\n", b"\r\nset-cookie: csrf=2\r\nSet-Cookie: old=; Max-Age=0\r\n\r\n")
    broken = b"HTTP/1.1 500 No\r\nSet-Cookie: late=3; Path=/\r\nContent-Length: 9\r\n\r\n" + CLOSE
    jar = CookieJar()
    with server(responding(login, home, broken, OK)) as (url, requests):
        client = client_for(url, 1, cookies=jar)
        for _ in range(2):
            exchange(client, GET)
        last = exchange(client, GET)
        assert last.body == b"ok"
        exchange(client, Request("GET", "/chat/list", headers={"Cookie": "own=0"}))
        assert jar.header(f"{url}/chat/ws".replace("http:", "ws:")) == "csrf=2; session=1; late=3"
        client.close()
        with client_of(url) as without:
            exchange(without, GET)
    assert cookie_lines(requests) == [
        b"",
        b"session=1",
        b"session=1",
        b"session=1; late=3",
        b"own=0; csrf=2; session=1; late=3",
        b"",
    ]


def test_cookies_stay_with_their_host_when_a_redirect_leads_elsewhere() -> None:
    jar = CookieJar()
    jar.store("http://127.0.0.2/", [("set-cookie", "other=1")])
    setting = b"\r\nSet-Cookie: own=1\r\n\r\n"
    with server(respond) as (other, reached):
        there = redirect(307, f"{other}/there").replace(b"\r\n\r\n", setting)
        with server(responding(there)) as (url, asked):
            client = client_for(url.replace("127.0.0.1", "localhost"), 1, cookies=jar)
            for _ in range(2):
                assert exchange(client, GET).body == b"ok"
            client.close()
    assert cookie_lines(asked) == [b"", b"own=1"]
    assert cookie_lines(reached) == [b"", b""]


def test_a_header_with_a_line_break_is_not_sent() -> None:
    bad = Request("GET", "/", headers={"Authorization": "secret\r\nX: y"})
    with server(respond) as (url, requests), client_of(url) as client:
        got = exchange(client, bad)
        assert (got.status, got.written, requests) == (-errno.EINVAL, False, [])
    assert "secret" not in got.problem


def test_any_error_in_the_rig_becomes_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http._memory, "decoded", lambda *_: 1 / 0)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx"
    with server(responding(head)) as (url, _), client_of(url) as client:
        got = exchange(client, GET)
        assert (got.status, got.complete, got.written) == (UNREADABLE_HERE, False, True)
        assert "ZeroDivisionError" in got.problem
        assert exchange(client, GET).status == UNREADABLE_HERE, "its slot is free again"


def test_concurrency_limits_the_exchanges_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    came = threading.Event()
    with server(lambda *_: came.set()) as (url, requests), client_of(url) as client:
        first = gevent.spawn(exchange, client, GET)
        while not came.is_set():
            gevent.sleep(0.01)
        monkeypatch.setattr(http, "TIMEOUT", 0.2)
        got = exchange(client, GET)
        assert (got.problem, got.written) == ("no free connection within 0.2 s", False)
        assert len(requests) == 1
        first.kill()


def test_a_killed_greenlet_leaves_no_connection_and_no_slot_behind() -> None:
    first = threading.Event()

    def hang_first(connection: socket.socket, number: int) -> None:
        first.set()
        if number > 1:
            connection.sendall(OK)

    with server(hang_first) as (url, _), client_of(url) as client:
        hanging = gevent.spawn(exchange, client, GET)
        while not first.is_set():
            gevent.sleep(0.01)
        hanging.kill()
        assert exchange(client, GET).body == b"ok"


def test_running_out_of_open_files_is_a_rig_limit_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(respond) as (url, _), client_of(url) as client:
        assert exchange(client, GET).complete
        client.close()
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        try:
            got = exchange(client, POST)
            addresses._names.clear()
            unresolved = exchange(client_for("http://no-such-name.invalid:80", 1), GET)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert (got.status, got.body, got.complete, got.written) == (-errno.EMFILE, b"", False, False)
        assert unresolved.status == -errno.EMFILE, "without files, a resolver reports another error"
        again = exchange(client, GET)
        assert again.complete, again


def test_running_out_of_buffers_during_a_send_is_a_rig_limit_with_unknown_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = os.write

    def short(number: int, data: bytes) -> int:
        if data.startswith(b"POST"):
            raise OSError(errno.ENOBUFS, "no buffer space")
        return write(number, data)

    with server(respond) as (url, _), client_of(url) as client:
        monkeypatch.setattr(os, "write", short)
        got = exchange(client, POST)
    assert (got.status, got.written, got.complete, got.reading) == (-errno.ENOBUFS, True, False, -errno.ENOBUFS)


def test_tls_trusts_the_systems_authorities(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://localhost:{listener.getsockname()[1]}"

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as secure:
                    while secure.recv(65536):
                        secure.sendall(OK)
            except OSError:
                continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener:
        with client_of(url) as client:
            got = exchange(client, GET)
        assert (got.status, got.written) == (0, False)
        assert "certificate verify failed" in got.problem
        file = tmp_path_factory.mktemp("tls") / "authority.pem"
        authority.cert_pem.write_to_path(str(file))
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        with client_of(url) as client:
            assert [exchange(client, GET).body for _ in range(2)] == [b"ok", b"ok"]
        thread.join()


@settings(max_examples=30, deadline=None)
@given(
    data=st.one_of(
        st.binary(min_size=1, max_size=100), st.binary(max_size=60).map(lambda close_idle: OK[:17] + close_idle)
    )
)
def test_no_bytes_from_a_server_raise_an_error(data: bytes) -> None:
    with server(responding(data + CLOSE)) as (url, _), client_of(url) as client:
        got = exchange(client, GET)
    assert got.written
    assert got.complete or got.problem


class TestAskingAgain:
    """As a browser asks with the ETag of what it has kept whether that has changed."""

    @staticmethod
    def answers(head: bytes) -> Callable[[socket.socket, int], None]:
        """A first response with this in its head, then 304 for all others."""

        def handle(connection: socket.socket, number: int) -> None:
            first = b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: 2\r\n\r\nok"
            connection.sendall(first if number == 1 else b"HTTP/1.1 304 Not Modified\r\n\r\n")

        return handle

    @pytest.mark.parametrize("tag", [b'"a-1"', b'W/"a"', b"bare"])
    def test_a_tag_is_sent_back(self, tag: bytes) -> None:
        with server(self.answers(b"ETag: %b\r\nCache-Control: no-cache\r\n" % tag)) as (url, requests):
            with client_of(url) as client:
                first = exchange(client, GET)
                again = exchange(client, GET, first.kept)
            assert requests[1] == requests[0][:-2] + b"If-None-Match: %b\r\n\r\n" % tag
        assert (again.status, again.complete, again.body, again.problem) == (304, True, b"", "status 304")

    @pytest.mark.parametrize(
        "head", [b"", b'ETag: "a"\r\nCache-Control: private, No-Store\r\n', b'ETag: "a\x01"\r\n', b"ETag: a b\r\n"]
    )
    def test_what_a_browser_would_not_keep_or_could_not_send_is_not_asked_for_again(self, head: bytes) -> None:
        with server(self.answers(head)) as (url, _), client_of(url) as client:
            assert exchange(client, GET).kept is None

    @pytest.mark.parametrize(
        "other",
        [
            Request("GET", "/other"),
            Request("POST", "/list", b""),
            Request("GET", "/list", None, {"Cache-Control": "no-cache"}),
            Request("GET", "/list", None, {"if-none-match": '"mine"'}),
        ],
    )
    def test_no_other_request_is_sent_with_it(self, other: Request) -> None:
        with server(self.answers(b'ETag: "a"\r\n')) as (url, requests), client_of(url) as client:
            kept = exchange(client, GET).kept
            exchange(client, other, kept)
            assert b'"a"' not in requests[1]
            exchange(client, GET, kept)
            assert b'If-None-Match: "a"' in requests[2]

    def test_what_a_redirect_led_to_is_not_kept(self) -> None:
        def handle(connection: socket.socket, number: int) -> None:
            to = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(to if number == 1 else b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 0\r\n\r\n')

        with server(handle) as (url, _), client_of(url) as client:
            got = exchange(client, GET)
        assert (got.status, got.kept) == (200, None)


def test_an_idle_connection_keeps_no_response() -> None:
    with server(respond) as (url, _), client_of(url) as client:
        assert exchange(client, GET).body == b"ok"
        (connection,) = client._idle
        assert (connection.reading.body, connection.reading.raw_head) == (b"", ())
