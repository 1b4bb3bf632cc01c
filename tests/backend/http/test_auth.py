"""Promise 8: origins and tokens, as decisions and over real sockets. Secrets appear nowhere."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from starlette.routing import BaseRoute, Route
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from chatswarm.backend.app import create_app
from chatswarm.backend.fanout.sockets import Sockets
from chatswarm.backend.http.auth import SUBPROTOCOL, Tokens, foreign, needs_token
from chatswarm.backend.settings import Settings
from tests.backend.servers import HANDSHAKE, PATIENCE, Backend, frame, read_all, running

TOKEN, NEXT_TOKEN, WRONG = "t0ken-of-to~day/+=", "t0ken.of.tomorrow", "t0ken-of-to~day/+"
PAGE, FOREIGN = "http://localhost:3000", "https://evil.example"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


def offered(token: str) -> str:
    return "bearer." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


class TestTokens:
    @pytest.mark.parametrize(
        ("headers", "subprotocols", "accepted"),
        [
            ([(b"authorization", b"Bearer one")], [], True),
            ([(b"authorization", b"bearer  two ")], [], True),
            ([(b"authorization", b"Bearer three")], [], False),
            ([(b"authorization", b"Bearer")], [], False),
            ([(b"authorization", b"one")], [], False),
            ([(b"authorization", b"Basic one")], [], False),
            ([(b"authorization", b"Bearer \xff\xfe")], [], False),
            ([], [], False),
            ([], ["chatswarm", offered("one")], True),
            ([], [offered("two")], True),
            ([], ["chatswarm"], False),
            ([], ["chatswarm", offered("three")], False),
            ([], ["chatswarm", "bearer."], False),
            ([], ["chatswarm", "bearer.!"], False),
            ([], ["chatswarm", "bearer.é"], False),
            ([(b"authorization", b"Bearer three")], [offered("one")], False),
        ],
    )
    def test_a_token_can_be_presented_in_two_ways(
        self, headers: list[tuple[bytes, bytes]], subprotocols: Sequence[str], accepted: bool
    ) -> None:
        assert Tokens(["one", "two"]).accept(headers, subprotocols) is accepted

    def test_they_are_not_stored_in_clear(self) -> None:
        tokens = Tokens([TOKEN])
        assert repr(tokens) == "<1 tokens>"
        assert TOKEN not in repr(vars(tokens))


class TestOrigins:
    @pytest.mark.parametrize(
        ("given", "is_foreign"),
        [([PAGE], False), ([FOREIGN], True), ([], False), (["null"], True), ([PAGE, FOREIGN], True), ([""], True)],
    )
    def test_every_origin_header_must_be_listed(self, given: list[str], is_foreign: bool) -> None:
        headers = [(b"host", b"x"), *[(b"origin", origin.encode()) for origin in given]]
        assert foreign(headers, frozenset([PAGE])) is is_foreign
        assert not foreign(headers, None)


def test_every_route_belongs_to_dashboards_or_widgets(tmp_path: Path) -> None:
    settings = Settings(database=tmp_path / "a.db")
    routes: list[BaseRoute] = create_app(settings, Sockets(1, 1)).routes
    paths = {route.path for route in routes if isinstance(route, Route)}
    assert {path for path in paths if needs_token(path)} == {
        "/api/debug/users-chats",
        "/api/chats/{chat_id}",
        "/api/dashboard/chats/{chat_id}/send",
    }
    assert {path for path in paths if not needs_token(path)} == {
        "/api/users/data",
        "/api/users/chats/create",
        "/api/users/chats/{chat_id}/send",
        "/api/users/{user_id_or_email:path}/chats",
        "/health",
        "/metrics",
        # Except the documentation, and the 426: the handshake checks the token itself.
        "/openapi.json",
        "/docs",
        "/docs/{name}",
        "/ws/dashboard",
    }


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A backend with an origin list and two tokens."""
    folder = tmp_path_factory.mktemp("kept")
    (folder / "tokens").write_text(f"{TOKEN}\n\n  {NEXT_TOKEN}\n")
    origins = f"https://chat.example,{PAGE}"
    with running(folder, "--origins", origins, "--dashboard-token-file", str(folder / "tokens")) as backend:
        yield backend


def handshake(
    backend: Backend, *, origin: str | None = None, token: str | None = None, subprotocols: Sequence[str] = ()
) -> str | None:
    """Connect, read `connected`, and return the subprotocol. Raises InvalidStatus."""
    with connect(
        f"ws://127.0.0.1:{backend.port}/ws/dashboard",
        proxy=None,
        open_timeout=PATIENCE,
        origin=Origin(origin) if origin else None,
        additional_headers={"Authorization": f"Bearer {token}"} if token else None,
        subprotocols=[Subprotocol(each) for each in subprotocols] or None,
    ) as dashboard:
        assert frame(dashboard)["type"] == "connected"
        return dashboard.subprotocol


class TestHandshake:
    def test_a_foreign_origin_is_refused_with_403(self, kept: Backend) -> None:
        refused = 'chat_dashboards_refused_total{reason="origin"}'
        before = kept.metric(refused)
        with pytest.raises(InvalidStatus) as caught:
            handshake(kept, origin=FOREIGN, token=TOKEN)
        assert caught.value.response.status_code == 403
        assert kept.metric(refused) == before + 1

    @pytest.mark.parametrize("origin", [None, PAGE, "https://chat.example"])
    @pytest.mark.parametrize("token", [TOKEN, NEXT_TOKEN])
    def test_a_listed_origin_or_none_with_a_token_is_accepted(
        self, kept: Backend, origin: str | None, token: str
    ) -> None:
        assert handshake(kept, origin=origin, token=token) is None

    def test_a_browser_offers_the_token_as_a_subprotocol_and_it_is_not_echoed(self, kept: Backend) -> None:
        assert handshake(kept, origin=PAGE, subprotocols=[SUBPROTOCOL, offered(TOKEN)]) == SUBPROTOCOL

    @pytest.mark.parametrize(
        ("token", "subprotocols"),
        [
            (None, []),
            (WRONG, []),
            (None, [SUBPROTOCOL]),
            (None, [SUBPROTOCOL, offered(WRONG)]),
        ],
    )
    def test_a_missing_or_wrong_token_is_refused_with_401(
        self, kept: Backend, token: str | None, subprotocols: Sequence[str]
    ) -> None:
        refused = 'chat_dashboards_refused_total{reason="token"}'
        before = kept.metric(refused)
        with pytest.raises(InvalidStatus) as caught:
            handshake(kept, token=token, subprotocols=subprotocols)
        response = caught.value.response
        assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert b"t0ken" not in response.body
        assert offered(TOKEN).encode() not in response.body
        assert kept.metric(refused) == before + 1

    def test_a_malformed_header_is_not_echoed(self, kept: Backend) -> None:
        # Padding is not allowed in a subprotocol's name.
        padded = base64.urlsafe_b64encode(TOKEN.encode() + b"x").decode()
        assert padded.endswith("=")
        with socket.create_connection(("127.0.0.1", kept.port), PATIENCE) as raw:
            raw.sendall(
                HANDSHAKE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: bearer.%s\r\n\r\n" % padded.encode())
            )
            answer = read_all(raw)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert padded.encode().rstrip(b"=") not in answer

    def test_without_settings_everyone_is_accepted(self, shared: Backend) -> None:
        assert handshake(shared, origin=FOREIGN) is None
        assert handshake(shared, origin=FOREIGN, token=WRONG) is None
        assert handshake(shared, subprotocols=["other", SUBPROTOCOL]) == SUBPROTOCOL


class TestHttp:
    def test_a_dashboards_calls_need_a_token(self, kept: Backend) -> None:
        chat_id = kept.new_chat()
        for method, path in (
            ("GET", "/api/debug/users-chats"),
            ("HEAD", "/api/debug/users-chats"),
            ("GET", f"/api/chats/{chat_id}"),
            ("GET", "/api/chats/nope"),
            ("POST", f"/api/dashboard/chats/{chat_id}/send"),
            ("POST", "/api/dashboard/anything"),
        ):
            body = {"content": "x"} if method == "POST" else None
            right = [{"Authorization": f"Bearer {token}"} for token in (TOKEN, NEXT_TOKEN)]
            for headers in ({}, {"Authorization": f"Bearer {WRONG}"}, {"Authorization": TOKEN}):
                refused = kept.http.request(method, path, headers=headers, json=body)
                assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
                assert TOKEN not in refused.text
            for headers in right:
                assert kept.http.request(method, path, headers=headers, json=body).status_code in (200, 404, 405)
        # Half of the valid requests stored something, none of the invalid ones.
        whole = kept.http.get(f"/api/chats/{chat_id}", headers=HEADERS).json()
        assert [message["role"] for message in whole["messages"]] == ["agent"] * 2

    def test_a_token_in_the_url_is_ignored(self, kept: Backend) -> None:
        path = "/api/debug/users-chats"
        assert kept.http.get(path, params={"token": NEXT_TOKEN, "access_token": NEXT_TOKEN}).status_code == 401

    def test_widgets_calls_need_no_token(self, kept: Backend) -> None:
        chat_id = kept.new_chat("open@x")
        assert kept.send(chat_id, "x").status_code == 200
        assert kept.http.post("/api/users/data", json={"email": "open@x"}).status_code == 200
        for path in ("/api/users/open@x/chats", "/health", "/metrics"):
            assert kept.http.get(path).status_code == 200

    def test_cors_follows_the_list(self, kept: Backend) -> None:
        chat_id = kept.new_chat()
        for origin, allowed in ((PAGE, [PAGE]), ("https://chat.example", ["https://chat.example"]), (FOREIGN, [])):
            about = {"Origin": origin}
            for answer in (
                kept.http.get("/api/debug/users-chats", headers=about | HEADERS),
                kept.http.get("/api/debug/users-chats", headers=about),
                kept.http.head("/api/debug/users-chats", headers=about | HEADERS),
                kept.http.get(f"/api/chats/{chat_id}", headers=about | HEADERS),
                kept.http.post(f"/api/users/chats/{chat_id}/send", json={"content": "x"}, headers=about),
                kept.http.options("/api/debug/users-chats", headers=about | PREFLIGHT),
                kept.http.options(f"/api/dashboard/chats/{chat_id}/send", headers=about | PREFLIGHT),
            ):
                assert answer.headers.get_list("Access-Control-Allow-Origin") == allowed
                assert "Origin" in answer.headers["Vary"]

    def test_a_preflight_needs_no_token_and_allows_sending_one(self, kept: Backend) -> None:
        for path in ("/api/debug/users-chats", "/api/dashboard/chats/x/send", "/api/chats/x"):
            answer = kept.http.options(path, headers={"Origin": PAGE} | PREFLIGHT)
            assert answer.status_code == 200
            assert "authorization" in answer.headers["Access-Control-Allow-Headers"]


def test_secrets_are_in_no_log_and_no_metric(kept: Backend) -> None:
    for token in (TOKEN, WRONG):
        kept.http.get("/api/debug/users-chats", headers={"Authorization": f"Bearer {token}"})
    handshake(kept, subprotocols=[SUBPROTOCOL, offered(TOKEN)])
    with pytest.raises(InvalidStatus):
        handshake(kept, subprotocols=[SUBPROTOCOL, offered(WRONG)])
    told = kept.http.get("/metrics").text + kept.output + kept.errors
    assert "Uvicorn running" in told
    assert not re.search("t0ken|bearer", told, re.IGNORECASE)
    assert offered(TOKEN).removeprefix("bearer.") not in told
