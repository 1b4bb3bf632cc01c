"""The push chat's HTTP calls, against a real server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.backend.push import Push, running_push
from tests.backend.servers import PATIENCE, read_all, until

KEY = "service-key"


@pytest.fixture(scope="module")
def push(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Push]:
    with running_push(tmp_path_factory.mktemp("push"), key=KEY) as push:
        yield push


class TestLogin:
    def test_a_login_says_how_long_its_token_is_valid(self, push: Push) -> None:
        answer = push.http.post("/api/login", json={"user": "Zoë", "key": KEY})
        assert answer.status_code == 200
        assert {key: answer.json()[key] for key in ("user", "expires_in")} == {"user": "Zoë", "expires_in": 3600}

    @pytest.mark.parametrize("body", [{"user": "ann"}, {"user": "ann", "key": "other"}, {"user": "ann", "key": ""}])
    def test_without_the_service_key_it_is_403(self, push: Push, body: dict[str, str]) -> None:
        answer = push.http.post("/api/login", json=body)
        assert (answer.status_code, answer.json()) == (403, {"error": "key: expected the service key"})

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b'{"user": 5}', b'{"user": "a b"}', b'{"user": ""}', b"user=ann", b"\xff"]
    )
    def test_an_unreadable_one_is_400(self, push: Push, body: bytes) -> None:
        answer = push.http.post("/api/login", content=body)
        assert answer.status_code == 400
        assert "expected" in answer.json()["error"]

    def test_without_a_service_key_anybody_logs_in_and_changes_rooms(self, tmp_path: Path) -> None:
        with running_push(tmp_path) as open_to_all:
            open_to_all.room("kitchen", "ann")
            open_to_all.add("kitchen", "bob")
            open_to_all.remove("kitchen", "ann")
            assert open_to_all.post("bob", "kitchen", "hi").json() == {"room": "kitchen", "id": 1}
            assert open_to_all.post("ann", "kitchen", "hi").status_code == 403


class TestRooms:
    def test_only_the_service_key_changes_rooms(self, push: Push) -> None:
        calls: list[tuple[str, str, object]] = [
            ("PUT", "/api/rooms/vault", {"members": []}),
            ("PUT", "/api/rooms/vault/members/ann", None),
            ("DELETE", "/api/rooms/vault/members/ann", None),
        ]
        for method, path, body in calls:
            nothing = push.http.request(method, path, json=body)
            assert (nothing.status_code, nothing.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert push.http.request(method, path, json=body, headers=push.bearer("ann")).status_code == 403
        assert push.post("ann", "vault", "x").status_code == 404

    def test_members_may_send_and_read_and_nobody_else(self, push: Push) -> None:
        """A read of a room goes to its members only."""
        push.room("trio", "ann", "bob", "eve")
        push.room("trio", "ann", "bob")
        first = push.post("ann", "trio", "one").json()["id"]
        assert push.post("eve", "trio", "no").json() == {
            "error": "room: expected one that you are a member of, got 'trio'"
        }
        assert push.read("eve", "trio").status_code == 403
        assert push.read("bob", "trio").json()["messages"][0]["id"] == first
        push.remove("trio", "bob")
        assert push.read("bob", "trio").status_code == 403
        push.add("trio", "eve")
        assert push.texts("eve", "trio") == ["one"]

    def test_changing_a_member_again_is_no_error_but_an_unknown_room_is(self, push: Push) -> None:
        push.room("again")
        for _ in range(2):
            push.add("again", "ann")
        for _ in range(2):
            push.remove("again", "ann")
        for method in ("PUT", "DELETE"):
            answer = push.http.request(
                method, "/api/rooms/none/members/ann", headers={"Authorization": f"Bearer {KEY}"}
            )
            assert (answer.status_code, answer.json()) == (
                404,
                {"error": "room: expected the name of a room, got 'none'"},
            )

    def test_names_are_whatever_can_be_printed(self, push: Push) -> None:
        answer = push.http.put(
            "/api/rooms/%E2%82%AC%25", json={"members": ["Zoë"]}, headers={"Authorization": f"Bearer {KEY}"}
        )
        assert answer.json() == {"room": "€%", "members": 1}
        assert push.post("Zoë", "%E2%82%AC%25", "hi").json()["room"] == "€%"
        for name in ("a%20b", "a%0A", "x" * 201):
            answer = push.http.put(
                f"/api/rooms/{name}", json={"members": []}, headers={"Authorization": f"Bearer {KEY}"}
            )
            assert answer.status_code == 400
            assert "1 to 200 printable characters" in answer.json()["error"]
        answer = push.http.put("/api/rooms/ok", json={"members": ["a b"]}, headers={"Authorization": f"Bearer {KEY}"})
        assert answer.json()["error"].startswith("members: expected 1 to 200 printable characters")


class TestMessages:
    def test_pages_lead_to_the_end(self, push: Push) -> None:
        push.room("pages", "ann")
        ids = [push.post("ann", "pages", f"m{number}").json()["id"] for number in range(5)]
        page = push.read("ann", "pages", limit=2).json()
        assert [each["id"] for each in page["messages"]] == ids[:2]
        assert page["next"] == ids[1]
        assert push.read("ann", "pages", after=ids[1], limit=3).json()["next"] is None
        assert push.read("ann", "pages", after=ids[-1]).json() == {"room": "pages", "messages": [], "next": None}
        assert push.texts("ann", "pages") == [f"m{number}" for number in range(5)]
        for query in ({"limit": 0}, {"limit": 501}, {"after": -1}):
            assert push.read("ann", "pages", **query).status_code == 400

    def test_a_repeated_key_gets_the_first_response_within_user_and_room(self, push: Push) -> None:
        """Promise 2."""
        push.room("keys", "ann", "bob")
        push.room("other-keys", "ann")
        first = push.post("ann", "keys", "once", "k")
        again = push.post("ann", "keys", "once", "k")
        assert (again.status_code, again.json()) == (201, first.json())
        others = [push.post("bob", "keys", "bob's", "k"), push.post("ann", "other-keys", "elsewhere", "k")]
        assert len({each.json()["id"] for each in (first, *others)}) == 3
        assert push.texts("ann", "keys") == ["once", "bob's"]
        for key in ("", "x" * 256):
            assert push.post("ann", "keys", "x", key).status_code == 400

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 400),
            (b"[]", 400),
            (b"{}", 400),
            (b'{"text": ""}', 400),
            (b'{"text": " \\n"}', 400),
            (b'{"text": 5}', 400),
            (b'{"text": "\\ud800"}', 400),
            (b'{"text": "%s"}' % (b"x" * 10_001), 413),
            (b'{"text": "%s"}' % (b"x" * 200_000), 413),
        ],
    )
    def test_what_cannot_be_stored_is_refused(self, push: Push, body: bytes, status: int) -> None:
        """Promise 8."""
        push.room("strict", "ann")
        answer = push.http.post("/api/rooms/strict/messages", content=body, headers=push.bearer("ann"))
        assert answer.status_code == status
        assert "expected" in answer.json()["error"]
        assert push.texts("ann", "strict") == []

    @pytest.mark.parametrize("token", [None, "x", "x.y", KEY])
    def test_without_a_valid_token_it_is_401(self, push: Push, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        for answer in (
            push.http.post("/api/rooms/strict/messages", json={"text": "x"}, headers=headers),
            push.http.get("/api/rooms/strict/messages", headers=headers),
        ):
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert answer.json() == {"error": "Authorization: expected Bearer and a valid token"}

    def test_too_many_a_second_from_one_user_are_429(self, tmp_path: Path) -> None:
        """Promise 8."""
        with running_push(tmp_path, "--sends-per-second", "0.001") as push:
            push.room("a", "ann", "bob")
            assert push.post("ann", "a", "x").status_code == 201
            refused = push.post("ann", "a", "x")
            assert refused.status_code == 429
            assert int(refused.headers["Retry-After"]) > 1
            assert push.post("bob", "a", "x").status_code == 201


def test_a_token_expires(tmp_path: Path) -> None:
    with running_push(tmp_path, "--token-lifetime", "1s") as push:
        push.room("a", "ann")
        token = push.bearer("ann")
        until(lambda: push.http.get("/api/rooms/a/messages", headers=token).status_code == 401)
        push.forget_tokens()
        assert push.read("ann", "a").status_code == 200


def test_with_a_service_key_tokens_outlive_a_restart(tmp_path: Path) -> None:
    with running_push(tmp_path, key=KEY) as push:
        push.room("a", "ann")
        token = push.bearer("ann")
        assert push.backend.stop() == 0
        push.backend.start()
        assert push.http.get("/api/rooms/a/messages", headers=token).status_code == 200


def test_neither_key_nor_token_is_logged(tmp_path: Path) -> None:
    """Promise 8."""
    with running_push(tmp_path, key="hidden-key") as push:
        push.room("a", "ann")
        token = push.token("ann")
        with push.connect(f"?token={token}"):
            pass
        push.http.get(f"/api/rooms/a/messages?token={token}")
        push.http.get(f"/ws/push?token={token}")
        push.http.post("/api/login", json={"user": "ann", "key": "hidden-key-2"})
        assert push.backend.stop() == 0
        logged = push.backend.errors + push.backend.output
    assert token not in logged
    assert "hidden-key" not in logged


def test_a_half_request_is_408_in_the_same_shape(tmp_path: Path) -> None:
    """Promise 8."""
    with (
        running_push(tmp_path, "--request-timeout", "0.2s") as push,
        socket.create_connection(("127.0.0.1", push.backend.port), PATIENCE) as raw,
    ):
        raw.sendall(b"POST /api/login HTTP/1.1\r\nContent-Length: 5\r\n\r\n")
        seen = read_all(raw)
    head, _, body = seen.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"x-served-by: worker-0" in head.lower()
    assert body == b'{"error":"request: expected it whole in time, got a part of it"}'


def test_the_reference_chats_calls_are_not_there(push: Push) -> None:
    for path in ("/api/debug/users-chats", "/api/users/data", "/ws/dashboard", "/inbox"):
        assert httpx.get(f"http://127.0.0.1:{push.backend.port}{path}").status_code == 404


def test_what_became_of_a_traced_message_is_logged_with_its_trace_id(tmp_path: Path) -> None:
    traces = [f"{number:032x}" for number in range(1, 7)]
    with running_push(tmp_path, key=KEY) as push:
        push.room("kitchen", "ann")
        ann = push.bearer("ann")
        for trace, room, text, key, headers in zip(
            traces,
            ("kitchen", "kitchen", "kitchen", "secret-MARK", "kitchen", "kitchen"),
            ("hi", "hi", "", "MARK", "MARK", "MARK"),
            ("a", "a", "b", "MARK", "d", "e" * 300),
            (ann, ann, ann, ann, {"Authorization": "Bearer MARK"}, ann),
            strict=True,
        ):
            more = {"Idempotency-Key": key, "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
            push.http.post(f"/api/rooms/{room}/messages", json={"text": text}, headers=headers | more)
        push.http.post("/api/rooms/kitchen/messages", json={"text": "x"}, headers=ann | {"traceparent": "00-MARK"})
        push.backend.stop()
        assert push.backend.output.splitlines() == [
            f"🔎 Trace {traces[0]}: message 1 saved",
            f"🔎 Trace {traces[1]}: message 1 was saved before",
            f"🔎 Trace {traces[2]}: answered 400 (empty)",
            f"🔎 Trace {traces[3]}: answered 404 (no_chat)",
            f"🔎 Trace {traces[4]}: answered 401 (token)",
            f"🔎 Trace {traces[5]}: answered 400 (unreadable)",
        ]
        assert "MARK" not in push.backend.output + push.backend.errors
