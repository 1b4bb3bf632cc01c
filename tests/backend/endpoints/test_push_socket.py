"""The push chat's WebSocket: tokens, frames, members only, and replay."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from chatswarm.backend.endpoints.push_socket import LONGEST_REPLAY
from tests.backend.push import Push, join, messages_until, running_push
from tests.backend.servers import PATIENCE, client_frame, frame, frames_in, running, say, until


@pytest.fixture(scope="module")
def push(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Push]:
    with running_push(tmp_path_factory.mktemp("push"), key="key") as push:
        yield push


def in_subprotocols(token: str) -> list[Subprotocol]:
    encoded = base64.urlsafe_b64encode(token.encode()).rstrip(b"=").decode()
    return [Subprotocol("chatswarm.push"), Subprotocol(f"bearer.{encoded}")]


class TestTokens:
    def test_the_token_may_come_in_four_places(self, push: Push) -> None:
        token = push.token("ann")
        hello = {"type": "hello", "user": "ann", "server": "worker-0"}
        with push.connect(additional_headers={"Authorization": f"Bearer {token}"}) as socket:
            assert frame(socket) == hello
        with push.connect(f"?token={token}") as socket:
            assert frame(socket) == hello
        with push.connect(subprotocols=in_subprotocols(token)) as socket:
            assert socket.subprotocol == "chatswarm.push"
            assert frame(socket) == hello
        with push.connect() as socket:
            say(socket, type="auth", token=token)
            assert frame(socket) == hello

    @pytest.mark.parametrize("token", ["x", "", "a.b", "eyJ1c2VyIjoiYW5uIn0."])
    def test_a_wrong_token_is_401_on_the_handshake(self, push: Push, token: str) -> None:
        places: list[dict[str, Any]] = [
            {"query": f"?token={token}"},
            {"additional_headers": {"Authorization": f"Bearer {token}"}},
            {"subprotocols": in_subprotocols(token)},
        ]
        for place in places:
            with pytest.raises(InvalidStatus) as refused, push.connect(**place):
                pass
            response = refused.value.response
            assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert response.headers["X-Served-By"] == "worker-0"
            assert json.loads(response.body or b"") == {"error": "Authorization: expected Bearer and a valid token"}

    @pytest.mark.parametrize(
        "first", ['{"type": "auth", "token": "x"}', '{"type": "auth"}', '{"type": "ping"}', "{", "", b"\x00"]
    )
    def test_any_other_first_frame_closes_with_4401(self, push: Push, first: str | bytes) -> None:
        with push.connect() as socket:
            socket.send(first)
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401

    def test_a_missing_first_frame_closes_with_4401(self, tmp_path: Path) -> None:
        with (
            running_push(tmp_path, "--request-timeout", "0.5s") as push,
            push.connect() as socket,
            pytest.raises(ConnectionClosed) as closed,
        ):
            socket.recv(timeout=PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401

    def test_an_expired_token_is_refused(self, tmp_path: Path) -> None:
        with running_push(tmp_path, "--token-lifetime", "1s") as push:
            token = push.token("ann")
            header = {"Authorization": f"Bearer {token}"}
            push.room("a", "ann")
            with push.connect(additional_headers=header) as opened:
                assert frame(opened)["type"] == "hello"
                until(lambda: push.http.get("/api/rooms/a/messages", headers=header).status_code == 401)
                with pytest.raises(InvalidStatus), push.connect(additional_headers=header):
                    pass
                with push.connect() as socket:
                    say(socket, type="auth", token=token)
                    with pytest.raises(ConnectionClosed):
                        socket.recv(timeout=PATIENCE)
                # An open connection stays open.
                assert join(opened, "a")["type"] == "joined"

    def test_too_many_connections_and_foreign_pages_are_refused(self, tmp_path: Path) -> None:
        """Promise 8."""
        with running_push(tmp_path, "--max-connections", "1", "--origins", "https://a.example") as push:
            more: list[tuple[dict[str, str], int]] = [({}, 503), ({"Origin": "https://b.example"}, 403)]
            for origin, status in more:
                headers = push.bearer("ann") | origin
                with push.socket("bob"), pytest.raises(InvalidStatus) as refused:
                    push.connect(additional_headers=headers).__enter__()
                assert refused.value.response.status_code == status
                assert "error" in json.loads(refused.value.response.body or b"")
                until(lambda: push.backend.metric("chat_dashboards_connected") == 0)


class TestFrames:
    def test_a_message_reaches_every_joined_member_once_and_also_the_senders_own_connections(self, push: Push) -> None:
        push.room("all", "ann", "bob", "eve")
        with push.socket("ann", "all") as ann, push.socket("bob", "all") as bob, push.socket("eve") as eve:
            say(ann, type="send", ref="r1", room="all", text="Grüße 😀")
            frames = {each["type"]: each for each in (frame(ann), frame(ann))}
            number = frames["ack"]["id"]
            assert frames["ack"] == {"type": "ack", "ref": "r1", "room": "all", "id": number}
            message = push.read("ann", "all").json()["messages"][-1]
            expected = {"type": "message", "room": "all", **message}
            assert (message["user"], message["text"]) == ("ann", "Grüße 😀")
            assert frames["message"] == frame(bob) == expected
            # Eve is a member, but has not joined.
            say(eve, type="ping")
            assert frame(eve) == {"type": "pong"}

    def test_messages_over_http_and_socket_arrive_in_the_order_of_their_ids(self, push: Push) -> None:
        push.room("order", "ann", "bob")
        with push.socket("ann") as ann, push.socket("bob", "order") as bob:
            for number in range(20):
                if number % 2:
                    push.post("ann", "order", f"m{number}")
                else:
                    say(ann, type="send", ref=f"order {number}", room="order", text=f"m{number}")
                    assert frame(ann)["type"] == "ack"
            found = [frame(bob) for _ in range(20)]
        assert [each["text"] for each in found] == [f"m{number}" for number in range(20)]
        ids = [each["id"] for each in found]
        assert ids == sorted(set(ids))

    def test_sends_are_answered_while_others_wait_for_their_commit(self, push: Push) -> None:
        push.room("many", "ann")
        with push.socket("ann") as ann:
            for number in range(600):
                say(ann, type="send", ref=f"many {number}", room="many", text=f"m{number}")
            acks = [frame(ann) for _ in range(600)]
        assert [each["ref"] for each in acks] == [f"many {number}" for number in range(600)]
        assert push.texts("ann", "many") == [f"m{number}" for number in range(600)]

    def test_a_repeated_ref_stores_nothing_on_another_connection_and_over_http_neither(self, push: Push) -> None:
        """Promise 2."""
        push.room("refs", "ann")
        ids = []
        for _ in range(2):
            with push.socket("ann") as ann:
                say(ann, type="send", ref="once", room="refs", text="once")
                ids.append(frame(ann)["id"])
        ids.append(push.post("ann", "refs", "once", "once").json()["id"])
        assert len(set(ids)) == 1
        assert push.texts("ann", "refs") == ["once"]

    @pytest.mark.parametrize(
        ("room", "text", "status"),
        [("mine", "", 400), ("mine", " ", 400), ("foreign", "x", 403), ("none", "x", 404), ("mine", "x" * 10_001, 413)],
    )
    def test_a_refused_send_gets_a_nack_with_the_status(self, push: Push, room: str, text: str, status: int) -> None:
        push.room("mine", "ann")
        push.room("foreign", "bob")
        with push.socket("ann") as ann:
            say(ann, type="send", ref="r", room=room, text=text)
            nack = frame(ann)
        assert {**nack, "error": ""} == {"type": "nack", "ref": "r", "error": "", "status": status}
        if room == "mine":
            assert push.texts("ann", "mine") == []

    def test_leaving_ends_the_frames_and_joining_again_starts_them(self, push: Push) -> None:
        push.room("door", "ann")
        with push.socket("ann", "door") as ann:
            say(ann, type="leave", ref="l", room="door")
            assert frame(ann) == {"type": "left", "ref": "l", "room": "door"}
            push.post("ann", "door", "unheard")
            last = push.post("ann", "door", "unheard, too").json()["id"]
            assert join(ann, "door") == {"type": "joined", "ref": "join door", "room": "door", "last": last}
            # Joining twice is joining once.
            assert join(ann, "door")["type"] == "joined"
            push.post("ann", "door", "heard")
            push.post("ann", "door", "heard, too")
            assert [frame(ann)["text"] for _ in range(2)] == ["heard", "heard, too"]

    @pytest.mark.parametrize(
        "message",
        [
            "",
            "{",
            "[]",
            "{}",
            '{"type": "fly"}',
            '{"type": "join", "room": "a"}',
            '{"type": "join", "ref": 5, "room": "a"}',
            '{"type": "join", "ref": "%s", "room": "a"}' % ("x" * 101),
            '{"type": "join", "ref": "r", "room": "a", "after": -1}',
            '{"type": "join", "ref": "r", "room": "a", "after": "1"}',
            '{"type": "join", "ref": "r", "room": "a", "after": 9223372036854775808}',
            '{"type": "send", "ref": "r", "room": "a"}',
            '{"type": "send", "ref": "\\ud800", "room": "a", "text": "x"}',
            '{"type": "auth", "token": "x"}',
            "[" * 60_000,
            b"\x00\xff",
            b'{"type": "ping"}',
        ],
    )
    def test_a_frame_that_cannot_be_understood_gets_an_error_and_the_connection_stays(
        self, push: Push, message: str | bytes
    ) -> None:
        with push.socket("ann") as ann:
            ann.send(message)
            assert frame(ann)["type"] == "error"
            say(ann, type="ping")
            assert frame(ann) == {"type": "pong"}
        assert "Traceback" not in push.backend.errors

    def test_gauges_count_rooms_and_those_who_joined(self, tmp_path: Path) -> None:
        with running_push(tmp_path) as push:
            push.room("a", "ann")
            push.room("b", "ann")
            names = ("chat_rooms", "chat_rooms_joined", "chat_dashboards_subscribed")
            with push.socket("ann", "a", "b") as ann, push.socket("ann"):
                assert [push.backend.metric(name) for name in names] == [2, 2, 1]
                push.remove("a", "ann")
                assert frame(ann) == {"type": "left", "room": "a"}
                assert [push.backend.metric(name) for name in names] == [2, 1, 1]
            until(lambda: [push.backend.metric(name) for name in names] == [2, 0, 0])


class TestMembersOnly:
    """A frame of a room goes to its members only."""

    def test_a_strangers_join_is_refused_and_the_connection_stays(self, push: Push) -> None:
        push.room("secret", "ann")
        with push.socket("eve") as eve:
            for room in ("secret", "none", "a b", ""):
                answer = join(eve, room)
                assert (answer["type"], answer["ref"], answer["room"]) == ("refused", f"join {room}", room)
            assert join(eve, "secret", after=0)["type"] == "refused"
            push.post("ann", "secret", "not for eve")
            say(eve, type="ping")
            assert frame(eve) == {"type": "pong"}

    def test_one_who_was_removed_gets_left_and_then_nothing(self, push: Push) -> None:
        push.room("club", "ann", "bob")
        with (
            push.socket("bob", "club") as bob,
            push.socket("bob", "club") as bobs_other,
            push.socket("ann", "club") as ann,
        ):
            push.post("ann", "club", "before")
            push.remove("club", "bob")
            push.post("ann", "club", "after")
            for socket in (bob, bobs_other):
                assert [frame(socket).get("text"), frame(socket)] == ["before", {"type": "left", "room": "club"}]
                say(socket, type="ping")
                assert frame(socket) == {"type": "pong"}
                assert join(socket, "club")["type"] == "refused"
            assert [frame(ann)["text"] for _ in range(2)] == ["before", "after"]
            push.add("club", "bob")
            assert join(bob, "club", after=0)["replay"] is True

    def test_replacing_the_members_removes_those_who_are_not_among_them(self, push: Push) -> None:
        push.room("replaced", "ann", "bob")
        with push.socket("bob", "replaced") as bob:
            push.room("replaced", "ann")
            assert frame(bob) == {"type": "left", "room": "replaced"}

    def test_nothing_committed_after_a_removal_arrives_while_others_send(self, push: Push) -> None:
        """Promise 4: each connection's frames follow the commits."""
        senders = [f"sender-{number}" for number in range(4)]
        push.room("busy", *senders, "bob")
        done = threading.Event()
        sent: dict[str, list[str]] = {sender: [] for sender in senders}
        for sender in senders:
            push.token(sender)

        def keep_sending(sender: str) -> None:
            with push.socket(sender) as socket:
                while not done.is_set():
                    text = f"{sender} {len(sent[sender])}"
                    say(socket, type="send", ref=text, room="busy", text=text)
                    assert frame(socket)["type"] == "ack"
                    sent[sender].append(text)

        threads = [threading.Thread(target=keep_sending, args=(sender,)) for sender in senders]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                with push.socket("bob", "busy") as bob:
                    messages_until(bob, lambda each: each["type"] == "message")
                    before = len(sent[senders[0]])
                    until(lambda before=before: len(sent[senders[0]]) > before + 3)  # type: ignore[misc]
                    push.remove("busy", "bob")
                    # All that was acknowledged by now may or may not be due; what is sent from now on is not.
                    counts = {sender: len(sent[sender]) + 1 for sender in senders}
                    until(lambda counts=counts: all(len(sent[each]) > counts[each] for each in senders))  # type: ignore[misc]
                    found = messages_until(bob, lambda each: each["type"] == "left")
                    say(bob, type="ping")
                    assert frame(bob) == {"type": "pong"}
                    for each in found[:-1]:
                        sender, number = each["text"].split()
                        assert int(number) < counts[sender]
                push.add("busy", "bob")
        finally:
            done.set()
            for thread in threads:
                thread.join(PATIENCE)
        assert all(sent.values())


class TestReplay:
    """Promise 5, and promise 3: everything after an id can be asked for."""

    def test_missed_messages_come_first_then_joined_then_new_ones(self, push: Push) -> None:
        push.room("replay", "ann")
        push.room("elsewhere", "ann")
        ids = []
        for number in range(6):
            ids.append(push.post("ann", "replay", f"m{number}").json()["id"])
            push.post("ann", "elsewhere", "another room's")
        with push.socket("ann") as ann:
            say(ann, type="join", ref="j", room="replay", after=ids[2])
            found = messages_until(ann, lambda each: each["type"] == "joined")
            assert [(each["id"], each["text"], each["replay"]) for each in found[:-1]] == [
                (ids[number], f"m{number}", True) for number in (3, 4, 5)
            ]
            assert found[-1] == {"type": "joined", "ref": "j", "room": "replay", "last": ids[-1]}
            push.post("ann", "replay", "live")
            live = frame(ann)
            assert live["text"] == "live"
            assert "replay" not in live

    def test_nothing_is_replayed_if_nothing_was_missed(self, push: Push) -> None:
        push.room("quiet", "ann")
        with push.socket("ann") as ann:
            assert join(ann, "quiet", after=0) == {"type": "joined", "ref": "join quiet", "room": "quiet", "last": 0}
            last = push.post("ann", "quiet", "x").json()["id"]
            assert frame(ann)["id"] == last
            assert join(ann, "quiet", after=last)["last"] == last
            # Another room's newer id is as good.
            push.room("newer", "ann")
            newer = push.post("ann", "newer", "x").json()["id"]
            assert join(ann, "quiet", after=newer) == {
                "type": "joined",
                "ref": "join quiet",
                "room": "quiet",
                "last": last,
            }

    def test_an_id_from_another_store_is_a_gap(self, push: Push) -> None:
        push.room("lost", "ann")
        last = push.post("ann", "lost", "x").json()["id"]
        with push.socket("ann") as ann:
            answer = join(ann, "lost", after=1 << 40)
            assert answer == {"type": "joined", "ref": "join lost", "room": "lost", "last": last, "gap": True}
            push.post("ann", "lost", "live")
            assert frame(ann)["text"] == "live"

    def test_more_than_the_limit_is_a_gap_and_the_limit_is_not(self, push: Push) -> None:
        push.room("long", "ann")
        with push.socket("ann") as ann:
            for number in range(LONGEST_REPLAY + 1):
                say(ann, type="send", ref=f"long {number}", room="long", text=f"m{number}")
            acks = [frame(ann) for _ in range(LONGEST_REPLAY + 1)]
            last = acks[-1]["id"]
            gap = join(ann, "long", after=acks[0]["id"] - 1)
            assert gap == {"type": "joined", "ref": "join long", "room": "long", "last": last, "gap": True}
            say(ann, type="join", ref="j", room="long", after=acks[0]["id"])
            found = messages_until(ann, lambda each: each["type"] == "joined")
            assert [each["id"] for each in found[:-1]] == [each["id"] for each in acks[1:]]
            assert "gap" not in found[-1]
        assert len(push.texts("ann", "long")) == LONGEST_REPLAY + 1

    def test_no_gap_and_no_overlap_while_others_send(self, push: Push) -> None:
        senders = [f"writer-{number}" for number in range(3)]
        push.room("flow", *senders, "bob")
        done = threading.Event()
        last_ids = dict.fromkeys(senders, 0)

        def keep_sending(sender: str) -> None:
            with push.socket(sender) as socket:
                number = 0
                while not done.is_set():
                    number += 1
                    say(socket, type="send", ref=f"{number}", room="flow", text="x")
                    last_ids[sender] = frame(socket)["id"]

        for sender in senders:
            push.token(sender)
        threads = [threading.Thread(target=keep_sending, args=(sender,)) for sender in senders]
        for thread in threads:
            thread.start()
        try:
            until(lambda: min(last_ids.values()) > 0)
            first = min(last_ids.values())
            until(lambda: max(last_ids.values()) > first + 300)
            for after in (first, first + 1, first + 100, first + 290):
                # Far enough beyond the head that live frames follow the replayed ones.
                goal = max(last_ids.values()) + 60
                found = self.received(push, after, lambda goal=goal: goal)  # type: ignore[misc]
                ids = [each["id"] for each in found if each["type"] == "message"]
                # The room is the only one in use, so its ids have no gaps.
                assert ids == list(range(after + 1, ids[-1] + 1))
                (joined,) = [each for each in found if each["type"] == "joined"]
                replayed = [each["id"] for each in found if each.get("replay")]
                assert (replayed or [after])[-1] == joined["last"]
                assert found.index(joined) == len(replayed)
        finally:
            done.set()
            for thread in threads:
                thread.join(PATIENCE)

    def received(self, push: Push, after: int, until_id: Callable[[], int]) -> list[dict[str, Any]]:
        with push.socket("bob") as bob:
            say(bob, type="join", ref="j", room="flow", after=after)
            return messages_until(bob, lambda each: each.get("id", 0) >= until_id())

    def test_one_who_is_removed_during_a_slow_replay_is_refused(self, tmp_path: Path) -> None:
        with running_push(tmp_path, "--buffer-limit", "100000", "--unsent-limit", "60s") as push:
            push.room("slow", "ann", "bob")
            with push.socket("ann") as ann:
                for number in range(200):
                    say(ann, type="send", ref=f"{number}", room="slow", text="x" * 5000)
                acks = [frame(ann) for _ in range(200)]
            with push.raw("bob", receive_buffer=4096) as bob:
                bob.sendall(client_frame(0x81, b'{"type": "join", "ref": "j", "room": "slow", "after": 0}'))
                until(lambda: push.backend.metric("chat_unsent_bytes") > 0)
                push.remove("slow", "bob")
                push.post("ann", "slow", "not for bob")
                bob.sendall(client_frame(0x81, b'{"type": "ping"}'))
                seen = b""
                while b'"pong"' not in seen:
                    seen += bob.recv(65536)
            found = [json.loads(payload) for _, payload in frames_in(seen)]
        assert [each["type"] for each in found[-2:]] == ["refused", "pong"]
        assert (found[-2]["ref"], found[-2]["room"]) == ("j", "slow")
        ids = [each["id"] for each in found[:-2]]
        assert ids == [each["id"] for each in acks[: len(ids)]]
        assert len(ids) < len(acks)


def test_the_dashboards_handshake_names_its_worker(tmp_path: Path) -> None:
    with running(tmp_path) as backend, backend.dashboard() as dashboard:
        assert dashboard.response is not None
        assert dashboard.response.headers["X-Served-By"] == "worker-0"
