"""The dashboards' protocol over real sockets, including invalid frames."""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.backend.servers import PATIENCE, Backend, client_frame, close_code, frame, raw_dashboard, running, say, until

SUBSCRIBE = {"action": "subscribe", "subscription_type": "chat_updates"}


class TestProtocol:
    def test_connected_comes_at_once_with_a_new_id(self, shared: Backend) -> None:
        seen = set()
        for _ in range(2):
            with connect(f"ws://127.0.0.1:{shared.port}/ws/dashboard", proxy=None) as dashboard:
                first = frame(dashboard)
                assert (first["type"], set(first)) == ("connected", {"type", "connection_id", "message"})
                seen.add(uuid.UUID(first["connection_id"]).version)
                seen.add(first["connection_id"])
        assert len(seen) == 3

    def test_a_subscriber_gets_one_frame_for_each_message_in_order(self, shared: Backend) -> None:
        chat_id = shared.new_chat()
        with shared.dashboard() as dashboard:
            # Subscribing again has no effect.
            say(dashboard, **SUBSCRIBE)
            assert frame(dashboard)["type"] == "subscribed"
            for number in range(20):
                side = "users" if number % 2 else "dashboard"
                shared.http.post(f"/api/{side}/chats/{chat_id}/send", json={"content": "x"})
            frames = [frame(dashboard) for _ in range(20)]
            say(dashboard, action="ping")
            assert frame(dashboard)["type"] == "pong"
        assert {each["type"] for each in frames} == {"chat_updates"}
        data = [each["data"] for each in frames]
        assert [each["seq"] for each in data] == list(range(1, 21))
        assert [each["message_role"] for each in data] == ["agent", "user"] * 10
        assert {each["type"] for each in data} == {"chat_message_notification"}
        assert {each["chat_id"] for each in data} == {chat_id}
        messages = shared.http.get(f"/api/chats/{chat_id}").json()["messages"]
        for key in ("timestamp", "message_id"):
            assert [each[key] for each in data] == [message[key] for message in messages]

    def test_no_frames_before_subscribing_or_after_unsubscribing(self, shared: Backend) -> None:
        chat_id = shared.new_chat()
        with shared.dashboard(subscribe=False) as dashboard:
            shared.send(chat_id, "unheard")
            say(dashboard, **SUBSCRIBE)
            assert frame(dashboard)["type"] == "subscribed"
            shared.send(chat_id, "heard")
            assert frame(dashboard)["data"]["seq"] == 2
            say(dashboard, action="unsubscribe", subscription_type="chat_updates")
            assert frame(dashboard) == {"type": "unsubscribed", "subscription_type": "chat_updates"}
            shared.send(chat_id, "unheard")
            say(dashboard, action="ping")
            assert frame(dashboard)["type"] == "pong"

    def test_other_channels_are_silent_and_unknown_ones_errors(self, shared: Backend) -> None:
        with shared.dashboard(subscribe=False) as dashboard:
            for channel in ("unread_counts", "website_status"):
                say(dashboard, action="subscribe", subscription_type=channel)
                assert frame(dashboard)["subscription_type"] == channel
            shared.send(shared.new_chat(), "x")
            say(dashboard, action="subscribe", subscription_type="chat_update")
            assert frame(dashboard) == {"type": "error", "message": "Unknown subscription_type: chat_update"}

    @pytest.mark.parametrize(
        "message",
        [
            "",
            "{",
            "[]",
            "null",
            '"subscribe"',
            "{}",
            '{"action": "fly"}',
            '{"action": 5}',
            '{"action": null}',
            '{"action": "subscribe", "subscription_type": 5}',
            '{"action": "subscribe", "subscription_type": "chat_updates", "after": "5"}',
            '{"action": "subscribe", "subscription_type": "chat_updates", "after": -1}',
            '{"action": "subscribe", "subscription_type": "chat_updates", "after": 9223372036854775808}',
            '{"action": "subscribe", "subscription_type": "chat_updates", "after": %s}' % ("9" * 5000),
            '{"action": "subscribe", "subscription_type": "chat_updates", "after": true}',
            "[" * 60_000,
            '{"action": "ping", "x": ' + '{"x": ' * 9_000 + "1" + "}" * 9_001,
            b"",
            b"\x00\xff",
            b'{"action": "ping"}',
        ],
    )
    def test_an_invalid_message_gets_an_error_frame_and_the_connection_stays(
        self, shared: Backend, message: str | bytes
    ) -> None:
        """Promise 7: the app receives every frame, whatever is in it."""
        with shared.dashboard(subscribe=False) as dashboard:
            dashboard.send(message)
            assert frame(dashboard)["type"] == "error"
            say(dashboard, action="ping")
            assert frame(dashboard)["type"] == "pong"

    def test_an_unknown_action_is_named(self, shared: Backend) -> None:
        with shared.dashboard(subscribe=False) as dashboard:
            say(dashboard, action="fly")
            assert frame(dashboard) == {"type": "error", "message": "Unknown action: fly"}

    def test_too_many_dashboards_are_refused_at_the_handshake(self, tmp_path: Path) -> None:
        """Promise 8."""
        with running(tmp_path, "--max-connections", "2") as backend:
            with backend.dashboard(), backend.dashboard():
                url = f"ws://127.0.0.1:{backend.port}/ws/dashboard"
                with pytest.raises(InvalidStatus) as refused, connect(url, proxy=None):
                    pass
                assert refused.value.response.status_code == 503
                assert refused.value.response.headers["Retry-After"] == "1"
            until(lambda: backend.metric("chat_dashboards_connected") == 0)
            with backend.dashboard():
                pass

    def test_another_path_is_refused(self, shared: Backend) -> None:
        with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{shared.port}/ws/other", proxy=None):
            pass


class TestBrokenFrames:
    @pytest.mark.parametrize(
        ("bytes_", "code"),
        [
            (client_frame(0x81, b"\xff\xfe"), 1007),
            (client_frame(0x01, b"\xe2\x9c") + client_frame(0x80, b"\xff"), 1007),
            (client_frame(0x81, b"x" * (1 << 20)), 1009),
            (client_frame(0x82, b"x" * 65_537), 1009),
            (client_frame(0x01, b"x" * 40_000) + client_frame(0x80, b"x" * 40_000), 1009),
            (client_frame(0xC1, b"x"), 1002),
            (client_frame(0x83, b"x"), 1002),
            (client_frame(0x80, b"x"), 1002),
            (b"\x81\x01x", 1002),
            (client_frame(0x89, b"x" * 126), 1002),
            (client_frame(0x09, b"x"), 1002),
            (client_frame(0x01, b"{") + client_frame(0x81, b"{}"), 1002),
            (client_frame(0x88, b"\x03"), 1002),
            (client_frame(0x88, b"\x03\xed"), 1002),
            (client_frame(0x01, b"") + client_frame(0x00, b"") * 2000, 1008),
            (b"\x81\xff" + (1 << 62).to_bytes(8, "big") + bytes(4), 1009),
        ],
        ids=[
            "bad-utf8",
            "bad-utf8-in-fragments",
            "1-MiB-text",
            "too-big-binary",
            "too-big-in-fragments",
            "reserved-bits",
            "reserved-opcode",
            "continuation-of-nothing",
            "unmasked",
            "control-frame-too-long",
            "control-frame-in-fragments",
            "message-inside-a-message",
            "half-a-close-code",
            "close-code-1005",
            "endless-empty-fragments",
            "endless-frame",
        ],
    )
    def test_they_close_only_their_own_connection(self, shared: Backend, bytes_: bytes, code: int) -> None:
        """Promise 8. `websockets` implements the protocol and sets the close code for each violation."""
        chat_id = shared.new_chat()
        with shared.dashboard() as other:
            raw = raw_dashboard(shared.port)
            # It may close before it has read all of it.
            with contextlib.suppress(ConnectionError):
                raw.sendall(bytes_)
            assert close_code(raw) == code
            raw.close()
            shared.send(chat_id, "x")
            assert frame(other)["data"]["chat_id"] == chat_id
        assert "Traceback" not in shared.errors

    def test_a_message_in_fragments_is_understood(self, shared: Backend) -> None:
        with shared.dashboard(subscribe=False) as dashboard:
            dashboard.send(['{"acti', 'on": ', '"ping"}'])
            assert frame(dashboard)["type"] == "pong"

    def test_partial_and_malformed_handshakes_do_not_affect_others(self, shared: Backend) -> None:
        for bytes_ in (b"GET /ws/dashboard HTTP/1.1\r\nUpgrade: webso", b"\x16\x03\x01\x02", b"GET / HTTP/9\r\n\r\n"):
            raw = raw_dashboard(shared.port, subscribe=False)
            raw.sendall(bytes_)
            raw.close()
        with shared.dashboard(subscribe=False) as dashboard:
            say(dashboard, action="ping")
            assert frame(dashboard)["type"] == "pong"
        assert "Traceback" not in shared.errors


class TestReplay:
    """Promise 5, and promise 3: everything after an id can be asked for."""

    def received(self, backend: Backend, after: int, until_id: Callable[[], int]) -> list[int]:
        """The ids of all messages that a dashboard receives if it subscribes with `after`."""
        ids: list[int] = []
        with backend.dashboard(subscribe=False) as dashboard:
            say(dashboard, **SUBSCRIBE, after=after)
            assert frame(dashboard)["type"] == "subscribed"
            while not ids or ids[-1] < until_id():
                ids.append(frame(dashboard)["data"]["message_id"])
        return ids

    def test_missed_messages_come_first_then_new_ones(self, backend: Backend) -> None:
        chat_id = backend.new_chat()
        for _ in range(10):
            backend.send(chat_id, "x")
        with backend.dashboard(subscribe=False) as dashboard:
            say(dashboard, **SUBSCRIBE, after=4)
            assert frame(dashboard) == {
                "type": "subscribed",
                "subscription_type": "chat_updates",
                "last_message_id": 10,
            }
            assert [frame(dashboard)["data"]["message_id"] for _ in range(6)] == [5, 6, 7, 8, 9, 10]
            backend.send(chat_id, "x")
            assert frame(dashboard)["data"]["message_id"] == 11

    def test_nothing_is_replayed_if_nothing_was_missed(self, backend: Backend) -> None:
        chat_id = backend.new_chat()
        backend.send(chat_id, "x")
        with backend.dashboard(subscribe=False) as dashboard:
            say(dashboard, **SUBSCRIBE, after=1)
            assert frame(dashboard)["last_message_id"] == 1
            backend.send(chat_id, "x")
            assert frame(dashboard)["data"]["message_id"] == 2

    def test_an_id_from_another_store_causes_a_refetch(self, backend: Backend) -> None:
        chat_id = backend.new_chat()
        backend.send(chat_id, "x")
        with backend.dashboard(subscribe=False) as dashboard:
            say(dashboard, **SUBSCRIBE, after=500)
            assert frame(dashboard)["type"] == "subscribed"
            expected = {"type": "refetch", "subscription_type": "chat_updates", "last_message_id": 1}
            assert frame(dashboard) == expected
            backend.send(chat_id, "x")
            assert frame(dashboard)["data"]["message_id"] == 2

    def test_no_gap_and_no_duplicate_while_others_send(self, backend: Backend) -> None:
        chats = [backend.new_chat(f"c{number}@x") for number in range(4)]
        last_ids = [0] * len(chats)
        done = threading.Event()

        def keep_sending(number: int) -> None:
            while not done.is_set():
                last_ids[number] = backend.send(chats[number], "x").json()["message_id"]

        threads = [threading.Thread(target=keep_sending, args=(number,)) for number in range(len(chats))]
        for thread in threads:
            thread.start()
        try:
            until(lambda: max(last_ids) > 600)
            for after in (0, 1, 100, 300, 500, 600):
                # Far enough beyond the head that live frames follow the replayed ones.
                goal = max(last_ids) + 100
                ids = self.received(backend, after, lambda goal=goal: goal)  # type: ignore[misc]
                assert ids == list(range(after + 1, ids[-1] + 1))
        finally:
            done.set()
            for thread in threads:
                thread.join(PATIENCE)

    def test_too_many_live_frames_during_a_slow_replay_cause_a_refetch(self, tmp_path: Path) -> None:
        # Small buffers: one page of the log fills them, so live frames pile up behind it.
        with running(tmp_path, "--buffer-limit", "120000", "--unsent-limit", "60s") as backend:
            chat_id = backend.new_chat()
            with backend.dashboard() as other:
                backend.send_many([chat_id] * 10, 1500)
                for _ in range(1500):
                    frame(other)
                raw = raw_dashboard(backend.port, receive_buffer=4096, subscribe=False)
                raw.sendall(client_frame(0x81, json.dumps({**SUBSCRIBE, "after": 0}).encode()))
                backend.send_many([chat_id] * 10, 600)
                # The slow dashboard reads again: a complete prefix, then the refetch frame, then live frames.
                seen = b""
                while b'"refetch"' not in seen:
                    seen += raw.recv(65536)
                backend.send(chat_id, "the last one")
                while b'"seq":2101}' not in seen:
                    seen += raw.recv(65536)
                raw.close()
            assert backend.metric("chat_refetch_told_total") == 1
        ids = [int(piece.split(b",")[0]) for piece in seen.split(b'"message_id":')[1:]]
        before = seen.split(b'"refetch"')[0].count(b'"message_id":')
        assert ids[:before] == list(range(1, before + 1))
        assert before < 2100
        resumed = int(seen.split(b'"refetch"')[1].split(b'"last_message_id":')[1].split(b"}")[0])
        assert ids[before:] == list(range(resumed + 1, 2102))
