"""The clean push chat speaks the push chat's wire protocol."""

import base64
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus

from tests.plants.wire import serving

from .chat import Batches, PushChat
from .client import Client, ask, bearer, close_code, listen, tell, until


@pytest.fixture
def chat() -> PushChat:
    return PushChat()


@pytest.fixture
def client(chat: PushChat) -> Iterator[Client]:
    with serving(chat) as url, Client(url, chat.key) as client:
        assert client.room("red", ["ann", "bob"]).json() == {"room": "red", "members": 2}
        yield client


def subprotocols(token: str) -> list[str]:
    return ["chatswarm.push", "bearer." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")]


def test_a_token_may_come_in_a_header_the_query_a_subprotocol_or_the_first_frame(client: Client) -> None:
    token = client.token("ann")
    by_subprotocol = client.connect(subprotocols=subprotocols(token))
    assert by_subprotocol.subprotocol == "chatswarm.push"
    by_frame = client.connect()
    tell(by_frame, type="auth", token=token)
    for socket in (client.connect(token), client.connect(query=f"?token={token}"), by_subprotocol, by_frame):
        assert listen(socket) == [{"type": "hello", "user": "ann", "server": "worker-0"}]


def test_a_bad_token_is_refused(client: Client) -> None:
    for token, query, offered in (("x", "", []), ("", "?token=x", []), ("", "", subprotocols("x"))):
        with pytest.raises(InvalidStatus) as refused:
            client.connect(token, query=query, subprotocols=offered)
        assert refused.value.response.status_code == 401
        assert refused.value.response.headers["X-Served-By"] == "worker-0"
    for frame in ({"type": "auth", "token": "x"}, {"type": "join", "ref": "1", "room": "red"}):
        socket = client.connect()
        tell(socket, **frame)
        assert close_code(socket) == 4401


def test_an_expired_token_is_refused(client: Client, chat: PushChat) -> None:
    chat.lifetime = -1
    token = client.token("ann")
    assert client.send(token, "red", "hi").status_code == 401
    with pytest.raises(InvalidStatus):
        client.connect(token)


def test_a_joined_member_gets_messages_and_a_stranger_is_refused(client: Client) -> None:
    ann, bob, eve = (client.connect(client.token(user)) for user in ("ann", "bob", "eve"))
    for socket in (ann, bob, eve):
        listen(socket)
    assert ask(ann, "joined", type="join", ref="1", room="red") == {
        "type": "joined", "ref": "1", "room": "red", "last": 0
    }  # fmt: skip
    for room in ("red", "blue"):
        refused = ask(eve, "refused", type="join", ref="2", room=room)
        assert (refused["ref"], refused["room"]) == ("2", room)
    response = client.send(client.token("bob"), "red", "hi")
    assert (response.status_code, response.json()) == (201, {"room": "red", "id": 1})
    (message,) = listen(ann)
    assert {**message, "sent_at": ""} == {
        "type": "message", "room": "red", "id": 1, "user": "bob", "text": "hi", "sent_at": ""
    }  # fmt: skip
    # Bob has not joined, and eve may not: they got nothing before this pong.
    for socket in (bob, eve):
        ask(socket, "pong", type="ping")


def test_a_message_over_a_socket_gets_an_acknowledgement_or_a_refusal(client: Client) -> None:
    ann = client.connect(client.token("ann"))
    listen(ann)
    assert ask(ann, "ack", type="send", ref="a", room="red", text="hi") == {
        "type": "ack", "ref": "a", "room": "red", "id": 1
    }  # fmt: skip
    for room, status in (("blue", 404), ("green", 403)):
        client.room("green", ["bob"])
        nack = ask(ann, "nack", type="send", ref="b", room=room, text="hi")
        assert (nack["ref"], nack["status"]) == ("b", status)


def test_the_same_key_stores_nothing_again(client: Client) -> None:
    token = client.token("ann")
    ann = client.connect(token)
    listen(ann)
    assert [client.send(token, "red", "hi", "k").json()["id"] for _ in range(2)] == [1, 1]
    assert ask(ann, "ack", type="send", ref="k", room="red", text="hi")["id"] == 1
    assert len(client.history(token, "red")) == 1


def test_what_was_missed_is_replayed_once_and_in_order(client: Client) -> None:
    token = client.token("ann")
    ids = [client.send(token, "red", f"m{number}").json()["id"] for number in range(5)]
    ann = client.connect(token)
    listen(ann)
    tell(ann, type="join", ref="1", room="red", after=ids[1])
    *replayed, joined = until(ann, "joined")
    assert [(frame["id"], frame["replay"]) for frame in replayed] == [(id_, True) for id_ in ids[2:]]
    assert joined["last"] == ids[-1]
    new = client.send(token, "red", "m5").json()["id"]
    (live,) = listen(ann)
    assert live["id"] == new
    assert "replay" not in live


def test_too_many_missed_messages_are_a_gap(client: Client, chat: PushChat) -> None:
    chat.replay_limit = 2
    token = client.token("ann")
    for _ in range(3):
        client.send(token, "red", "hi")
    ann = client.connect(token)
    listen(ann)
    assert ask(ann, "joined", type="join", ref="1", room="red", after=0)["gap"] is True
    tell(ann, type="join", ref="1", room="red", after=1)
    assert [frame["type"] for frame in until(ann, "joined")] == ["message", "message", "joined"]


def test_a_member_who_leaves_gets_nothing_more(client: Client) -> None:
    token = client.token("bob")
    ann, bob = (client.connect(client.token(user)) for user in ("ann", "bob"))
    for socket in (ann, bob):
        listen(socket)
        ask(socket, "joined", type="join", ref="1", room="red")
    assert ask(ann, "left", type="leave", ref="2", room="red") == {"type": "left", "ref": "2", "room": "red"}
    assert client.send(token, "red", "hi").status_code == 201
    assert listen(bob)[0]["id"] == 1
    for _ in range(2):
        assert client.remove("red", "bob").status_code == 204
    assert listen(bob) == [{"type": "left", "room": "red"}]
    assert client.send(token, "red", "hi").status_code == 403
    assert client.page(token, "red").status_code == 403
    assert client.send(client.token("ann"), "red", "hi").status_code == 201
    for socket in (ann, bob):
        ask(socket, "pong", type="ping")
    assert client.add("red", "bob").status_code == 204
    ask(bob, "joined", type="join", ref="3", room="red")
    # To replace a room's members ends memberships, too.
    client.room("red", ["ann"])
    assert listen(bob) == [{"type": "left", "room": "red"}]


def test_a_rooms_messages_come_in_pages(client: Client) -> None:
    token = client.token("ann")
    ids = [client.send(token, "red", f"m{number}").json()["id"] for number in range(5)]
    first = client.page(token, "red", limit=3).json()
    assert ([message["id"] for message in first["messages"]], first["next"]) == (ids[:3], ids[2])
    second = client.page(token, "red", limit=3, after=first["next"]).json()
    assert ([message["text"] for message in second["messages"]], second["next"]) == (["m3", "m4"], None)
    assert client.page(token, "red", after=ids[-1]).json() == {"room": "red", "messages": [], "next": None}


def test_the_service_key_is_needed_to_log_in_and_to_change_rooms() -> None:
    chat = PushChat(key="service")
    with serving(chat) as url, Client(url) as client:
        assert client.log_in("ann").status_code == 403
        assert client.room("red", []).status_code == 401
        client.key = "another"
        assert client.log_in("ann").status_code == 403
        assert client.room("red", []).status_code == 403
        client.key = "service"
        assert client.token("ann")
        assert client.room("red", []).status_code == 200


def test_errors_say_what_is_wrong(client: Client) -> None:
    token = client.token("ann")
    for response, status in (
        (client.http.post("/api/login", content=b"{"), 400),
        (client.log_in("a b"), 400),
        (client.room("red", ["a/b"]), 400),
        (client.http.post("/api/rooms/red/messages", json={}, headers=bearer(token)), 400),
        (client.page(token, "blue"), 404),
        (client.remove("blue", "ann"), 404),
        (client.http.get("/elsewhere"), 404),
    ):
        assert (response.status_code, list(response.json())) == (status, ["error"])
        assert response.headers["X-Served-By"] == "worker-0"
    assert client.http.get("/health").json()["status"] == "ok"
    ann = client.connect(token)
    listen(ann)
    for frame in ({"type": "dance"}, {"type": "join", "ref": "x" * 101, "room": "red"}):
        assert ask(ann, "error", **frame)["error"]


@pytest.mark.parametrize("batches", ["array", "lines"])
def test_messages_that_come_together_share_a_frame_and_stay_before_what_follows(batches: Batches) -> None:
    with serving(PushChat(batches=batches)) as url, Client(url) as client:
        client.room("red", ["ann"])
        token = client.token("ann")
        ids = [client.send(token, "red", "hi").json()["id"] for _ in range(3)]
        ann = client.connect(token)
        listen(ann)
        tell(ann, type="join", ref="1", room="red", after=0)
        assert [frame["id"] for frame in listen(ann)] == ids
        assert listen(ann)[0]["type"] == "joined"
        client.send(token, "red", "hi")
        # Alone, as no other comes.
        assert [frame["type"] for frame in listen(ann)] == ["message"]


def test_viewers_are_closed_and_kept_waiting_and_senders_are_not() -> None:
    chat = PushChat(closes_every=2, away=0.1)
    with serving(chat) as url, Client(url) as client:
        client.room("red", ["ann", "bob"])
        ann, bob = (client.connect(client.token(user)) for user in ("ann", "bob"))
        for socket in (ann, bob):
            listen(socket)
        ask(ann, "joined", type="join", ref="1", room="red")
        for number in range(2):
            assert ask(bob, "ack", type="send", ref=str(number), room="red", text="hi")
        assert [listen(ann)[0]["id"] for _ in range(2)] == [1, 2]
        assert close_code(ann) == 1012
        ask(bob, "pong", type="ping")
        assert listen(client.connect(client.token("ann")))[0]["type"] == "hello"
