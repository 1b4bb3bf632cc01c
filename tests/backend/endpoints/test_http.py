"""Every HTTP call of the protocol, and all its errors."""

from __future__ import annotations

import asyncio
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from chatswarm.backend.app import create_app
from chatswarm.backend.fanout.sockets import Sockets
from chatswarm.backend.settings import Settings
from chatswarm.backend.store import schema
from chatswarm.backend.store.records import OutcomeUnknownError, StoreUnavailableError
from chatswarm.backend.store.store import Store
from tests.backend.servers import Backend, frame, running

ISO_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def fresh_email() -> str:
    return f"{uuid.uuid4().hex[:12]}@example.org"


def listed(backend: Backend, chat_id: str, **params: int) -> dict[str, Any] | None:
    answer = backend.http.get("/api/debug/users-chats", params={"limit": 10_000, **params})
    for user in answer.json()["users"]:
        for chat in user["chats"]:
            if chat["chat_id"] == chat_id:
                found: dict[str, Any] = chat
                return found
    return None


class TestContactForm:
    def test_it_creates_a_customer(self, shared: Backend) -> None:
        email = fresh_email()
        form = {"name": "Ann", "email": email, "category": "lead", "phone": "1", "tags": ["a"]}
        answer = shared.http.post("/api/users/data", json=form)
        assert answer.status_code == 200
        assert answer.json()["success"] is True
        chats = shared.http.get(f"/api/users/{email}/chats").json()
        assert (chats["user_name"], chats["user_email"], chats["chats"], chats["total_chats"]) == ("Ann", email, [], 0)

    def test_the_same_email_again_updates_the_customers_name(self, shared: Backend) -> None:
        email = fresh_email()
        for name in ("Ann", "Anne"):
            shared.http.post("/api/users/data", data={"name": name, "email": email.upper()})
        chat_id = shared.new_chat(email)
        users = shared.http.get("/api/debug/users-chats", params={"limit": 10_000}).json()["users"]
        assert [user["name"] for user in users if user["email"] == email] == ["Anne"]
        assert listed(shared, chat_id)

    @pytest.mark.parametrize("body", [b"", b"[1]", b"{", b'{"name": 5}', b'{"email": ["a"]}', b"\xff"])
    def test_an_unreadable_body_is_400(self, shared: Backend, body: bytes) -> None:
        answer = shared.http.post("/api/users/data", content=body)
        assert answer.status_code == 400
        assert answer.json()["success"] is False


class TestCreateChat:
    def test_with_an_email_the_customer_is_found_or_created(self, shared: Backend) -> None:
        email = fresh_email()
        answers = [
            shared.http.post("/api/users/chats/create", json={"email": email, "name": "Ann"}).json() for _ in range(2)
        ]
        assert len({answer["user_id"] for answer in answers}) == 1
        assert len({uuid.UUID(answer["chat_id"]).version for answer in answers}) == 1
        assert all(answer["success"] is True and answer["message"] for answer in answers)
        chats = shared.http.get(f"/api/users/{answers[0]['user_id']}/chats").json()["chats"]
        assert [chat["chat_id"] for chat in chats] == [answer["chat_id"] for answer in reversed(answers)]

    def test_a_new_user_id_is_used(self, shared: Backend) -> None:
        user_id = uuid.uuid4().hex
        assert shared.http.post("/api/users/chats/create", json={"user_id": user_id}).json()["user_id"] == user_id

    @pytest.mark.parametrize(
        "body", [b"{}", b'{"name": "Ann"}', b'{"email": " "}', b'{"email": null}', b"{", b'{"email": 1}']
    )
    def test_neither_or_unreadable_is_400(self, shared: Backend, body: bytes) -> None:
        assert shared.http.post("/api/users/chats/create", content=body).status_code == 400


class TestSend:
    def test_messages_are_numbered_over_all_chats_and_within_each(self, shared: Backend) -> None:
        one, two = shared.new_chat(fresh_email()), shared.new_chat(fresh_email())
        answers = [shared.send(chat, "x").json() for chat in (one, two, one, two, two)]
        assert [answer["seq"] for answer in answers] == [1, 1, 2, 2, 3]
        ids = [answer["message_id"] for answer in answers]
        assert ids == sorted(set(ids))
        assert all(answer["success"] is True and answer["message"] for answer in answers)

    @pytest.mark.parametrize(("side", "role"), [("users", "user"), ("dashboard", "agent")])
    def test_json_and_forms_from_widget_and_agent(self, shared: Backend, side: str, role: str) -> None:
        chat_id = shared.new_chat(fresh_email())
        path = f"/api/{side}/chats/{chat_id}/send"
        fields = {"content": "hé ✅ 🔴\0", "role": role}
        assert shared.http.post(path, json=fields).status_code == 200
        assert shared.http.post(path, data=fields).status_code == 200
        assert shared.http.post(path, files={name: (None, value) for name, value in fields.items()}).status_code == 200
        messages = shared.http.get(f"/api/chats/{chat_id}").json()["messages"]
        assert [(message["role"], message["text"]) for message in messages] == [(role, "hé ✅ 🔴\0")] * 3
        shown = listed(shared, chat_id)
        assert shown
        assert [message["text"] for message in shown["messages"]] == ["hé ✅ 🔴\0"] * 3

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b'"x"',
            b"{}",
            b'{"content": 5}',
            b'{"content": null}',
            b'{"content": ""}',
            b'{"content": " \\n"}',
            b'{"content": "x", "role": 5}',
            b'{"content": "\\ud800"}',
            b'{"content": "\xff"}',
            b"[" * 50_000,
        ],
    )
    def test_empty_or_unreadable_is_400(self, shared: Backend, body: bytes) -> None:
        chat_id = shared.new_chat(fresh_email())
        answer = shared.http.post(f"/api/users/chats/{chat_id}/send", content=body)
        assert answer.status_code == 400, answer.text
        assert answer.json()["success"] is False
        assert shared.texts(chat_id) == []

    @pytest.mark.parametrize("form", ["content=", "role=user", "content=%ff", "x"])
    def test_empty_or_unreadable_forms_are_400(self, shared: Backend, form: str) -> None:
        chat_id = shared.new_chat(fresh_email())
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = shared.http.post(f"/api/users/chats/{chat_id}/send", content=form, headers=kind)
        assert answer.status_code == 400

    @pytest.mark.parametrize("chat_id", ["nope", "00000000-0000-4000-8000-000000000000", "%00", "..."])
    def test_no_such_chat_is_404(self, shared: Backend, chat_id: str) -> None:
        for side in ("users", "dashboard"):
            answer = shared.http.post(f"/api/{side}/chats/{chat_id}/send", json={"content": "x"})
            assert answer.status_code == 404
            assert answer.json()["success"] is False

    def test_the_longest_message_is_accepted_and_a_longer_one_is_413(self, shared: Backend) -> None:
        """Promise 8."""
        chat_id = shared.new_chat(fresh_email())
        path = f"/api/users/chats/{chat_id}/send"
        longest = "🔴" * 10_000
        escaped = b'{"content": "' + b"\\ud83d\\udd34" * 10_000 + b'"}'
        assert shared.http.post(path, content=escaped).status_code == 200
        assert shared.send(chat_id, longest + "x").status_code == 413
        assert shared.http.post(path, content=b'{"content": "' + b"x" * 3_000_000 + b'"}').status_code == 413
        assert shared.texts(chat_id) == [longest]

    def test_another_method_is_405(self, shared: Backend) -> None:
        assert shared.http.put(f"/api/users/chats/{uuid.uuid4()}/send").status_code == 405
        assert shared.http.post("/api/debug/users-chats").status_code == 405

    def test_the_limit_per_chat_is_429_with_retry_after(self, tmp_path: Path) -> None:
        """Promise 8."""
        with running(tmp_path, "--sends-per-second", "2") as backend:
            one, two = backend.new_chat(), backend.new_chat()
            answers = [backend.send(one, "x") for _ in range(4)]
            assert [answer.status_code for answer in answers][:2] == [200, 200]
            assert answers[-1].status_code == 429
            assert int(answers[-1].headers["Retry-After"]) >= 1
            assert backend.send(two, "x").status_code == 200
            assert backend.metric('chat_messages_refused_total{reason="rate"}') >= 1


class TestReads:
    def test_a_whole_chat_or_a_part_of_it(self, shared: Backend) -> None:
        """Promise 3: a client can ask for everything after a number."""
        chat_id = shared.new_chat(fresh_email())
        for number in range(1, 8):
            shared.send(chat_id, f"m{number}")
        whole = shared.http.get(f"/api/chats/{chat_id}").json()
        assert (whole["chat_id"], whole["total_messages"], whole["status"]) == (chat_id, 7, "active")
        assert [message["text"] for message in whole["messages"]] == [f"m{number}" for number in range(1, 8)]
        assert set(whole["messages"][0]) == {"role", "text", "timestamp", "read", "message_id", "seq"}
        assert all(ISO_UTC.fullmatch(message["timestamp"]) for message in whole["messages"])
        assert whole["last_activity"] == whole["messages"][-1]["timestamp"]
        for query, expected in {
            "after=5": [6, 7],
            "limit=2": [1, 2],
            "after=2&limit=3": [3, 4, 5],
            "after=9": [],
        }.items():
            part = shared.http.get(f"/api/chats/{chat_id}?{query}").json()
            assert [message["seq"] for message in part["messages"]] == expected
            assert part["total_messages"] == 7

    def test_a_new_chat_is_empty(self, shared: Backend) -> None:
        chat_id = shared.new_chat(fresh_email())
        whole = shared.http.get(f"/api/chats/{chat_id}").json()
        assert (whole["messages"], whole["total_messages"], whole["last_activity"]) == ([], 0, whole["created_at"])

    @pytest.mark.parametrize("query", ["after=x", "after=-1", "limit=-1", "limit=1.5"])
    def test_wrong_numbers_are_400(self, shared: Backend, query: str) -> None:
        chat_id = shared.new_chat(fresh_email())
        assert shared.http.get(f"/api/chats/{chat_id}?{query}").status_code == 400

    def test_an_unknown_chat_or_customer_is_404(self, shared: Backend) -> None:
        for path in ("/api/chats/nope", "/api/users/nope/chats", "/api/users/no@body/chats", "/api/nothing"):
            answer = shared.http.get(path)
            assert answer.status_code == 404
            assert answer.json()["success"] is False

    def test_a_widget_polls_for_replies_by_email_or_id(self, shared: Backend) -> None:
        email = fresh_email()
        chat_id = shared.new_chat(email)
        for number in range(5):
            shared.send(chat_id, f"m{number}")
        shared.http.post(f"/api/dashboard/chats/{chat_id}/send", json={"content": "reply", "role": "agent"})
        by_email = shared.http.get(f"/api/users/{quote(email)}/chats").json()
        by_id = shared.http.get(f"/api/users/{by_email['user_id']}/chats").json()
        assert by_email == by_id
        (chat,) = by_email["chats"]
        assert (by_email["total_chats"], chat["total_messages"]) == (1, 6)
        assert chat["messages"][-1]["text"] == "reply"
        assert chat["messages"][-1]["role"] == "agent"


class TestList:
    def test_the_shape_matches_the_protocol(self, shared: Backend) -> None:
        email = fresh_email()
        chat_id = shared.new_chat(email)
        for number in range(5):
            shared.send(chat_id, f"m{number}")
        answer = shared.http.get("/api/debug/users-chats")
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["Content-Type"] == "application/json"
        user = answer.json()["users"][0]
        assert {"_id", "name", "email", "category", "status", "chats"} <= set(user)
        assert (user["email"], user["name"]) == (email, "Ann")
        (chat,) = user["chats"]
        assert list(chat) == ["chat_id", "status", "created_at", "last_activity", "total_messages", "messages"]
        assert (chat["chat_id"], chat["total_messages"]) == (chat_id, 5)
        assert [message["text"] for message in chat["messages"]] == ["m2", "m3", "m4"]
        assert list(chat["messages"][0]) == ["role", "text", "timestamp", "read"]

    def test_newest_activity_comes_first(self, backend: Backend) -> None:
        chats = {email: [backend.new_chat(email), backend.new_chat(email)] for email in ("a@x", "b@x", "c@x")}
        for chat_id in (chats["c@x"][1], chats["a@x"][0], chats["b@x"][1], chats["a@x"][1]):
            backend.send(chat_id, "x")

        def order(limit: int) -> list[str]:
            users = backend.http.get("/api/debug/users-chats", params={"limit": limit}).json()["users"]
            names = {chat_id: email[0] + str(i) for email, ids in chats.items() for i, chat_id in enumerate(ids)}
            return [names[chat["chat_id"]] for user in users for chat in user["chats"]]

        # Chats are grouped by customer: a1 is newest, then b1; a0 is in the group of a1.
        assert order(100) == ["a1", "a0", "b1", "b0", "c1", "c0"]
        assert order(3) == ["a1", "a0", "b1"]
        assert order(2) == ["a1", "b1"]
        assert order(1) == ["a1"]
        backend.send(chats["c@x"][0], "x")
        assert order(2) == ["c0", "a1"]

    def test_a_hundred_chats_by_default(self, backend: Backend) -> None:
        chats = [backend.new_chat(f"c{number}@x") for number in range(103)]

        def seen(query: str = "") -> list[str]:
            users = backend.http.get(f"/api/debug/users-chats{query}").json()["users"]
            return [chat["chat_id"] for user in users for chat in user["chats"]]

        assert seen() == chats[:-101:-1]
        assert seen("?limit=103") == chats[::-1]
        assert seen("?limit=1") == chats[-1:]

    @pytest.mark.parametrize("limit", ["0", "-1", "x", "10001", ""])
    def test_a_wrong_limit_is_400(self, shared: Backend, limit: str) -> None:
        answer = shared.http.get(f"/api/debug/users-chats?limit={limit}")
        assert answer.status_code == (400 if limit else 200)

    def test_the_tag_changes_with_anything_shown_and_only_then(self, backend: Backend) -> None:
        def tag() -> str:
            tag: str = backend.http.get("/api/debug/users-chats").headers["ETag"]
            return tag

        tags = [tag()]
        chat_id = backend.new_chat("a@x")
        tags.append(tag())
        backend.send(chat_id, "x")
        tags.append(tag())
        backend.http.post("/api/users/data", json={"email": "a@x", "name": "Other", "category": "lead"})
        tags.append(tag())
        assert len(set(tags)) == 4
        assert tag() == tags[-1]
        user = backend.http.get("/api/debug/users-chats").json()["users"][0]
        assert (user["name"], user["category"]) == ("Other", "lead")

    def test_a_client_with_the_current_list_gets_304(self, backend: Backend) -> None:
        chat_id = backend.new_chat("a@x")
        tag = backend.http.get("/api/debug/users-chats").headers["ETag"]
        for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
            answer = backend.http.get("/api/debug/users-chats", headers={"If-None-Match": known})
            assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
        backend.send(chat_id, "x")
        answer = backend.http.get("/api/debug/users-chats", headers={"If-None-Match": tag})
        assert answer.status_code == 200
        assert answer.headers["ETag"] != tag

    def test_after_a_restart_only_the_lists_tag_changes(self, backend: Backend) -> None:
        chats = [backend.new_chat(f"c{number}@x") for number in range(3)]
        for number in (0, 2, 1, 1, 1):
            backend.send(chats[number], f"to {number}")
        # A chat without messages is sorted by its creation: above earlier messages, below later ones.
        backend.new_chat("quiet@x")
        backend.send(chats[1], "to 1")
        before = backend.http.get("/api/debug/users-chats")
        assert backend.stop() == 0
        backend.start()
        after = backend.http.get("/api/debug/users-chats", headers={"If-None-Match": before.headers["ETag"]})
        assert after.status_code == 200
        assert after.json() == before.json()
        assert backend.send(chats[0], "x").json() == {
            "success": True,
            "message": "Message sent",
            "message_id": 7,
            "seq": 2,
        }

    def test_a_list_read_after_a_frame_includes_its_message(self, shared: Backend) -> None:
        """Promise 1: accepted messages are shown. Promise 4, in one process."""
        chat_id = shared.new_chat(fresh_email())
        with shared.dashboard() as dashboard:
            for number in range(1, 50):
                shared.send(chat_id, f"m{number}")
                while (data := frame(dashboard)["data"])["chat_id"] != chat_id:
                    pass
                shown = listed(shared, chat_id)
                assert shown
                assert shown["total_messages"] >= data["seq"]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [(StoreUnavailableError("made up"), 503, "unavailable"), (OutcomeUnknownError("made up"), 500, "unknown")],
)
def test_a_certain_store_failure_is_503_and_an_uncertain_one_500(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, reason: str
) -> None:
    """Promise 1: a 503 always means that nothing was stored."""

    async def fail(*_: object) -> None:
        raise error

    async def scenario() -> list[httpx.Response]:
        app = create_app(Settings(database=tmp_path / "a.db"), Sockets(1, 1))
        schema.prepare(tmp_path / "a.db")
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http,
        ):
            made = await http.post("/api/users/chats/create", json={"email": "a@x"})
            monkeypatch.setattr(Store, "send", fail)
            monkeypatch.setattr(Store, "write", fail)
            path = f"chats/{made.json()['chat_id']}/send"
            sends = [
                await http.post(f"/api/users/{path}", json={"content": "x"}),
                await http.post(f"/api/dashboard/{path}", json={"content": "x"}),
            ]
            metrics = (await http.get("/metrics")).text
            assert f'chat_messages_refused_total{{reason="{reason}"}} 2.0' in metrics
            return [
                *sends,
                await http.post("/api/users/chats/create", json={"email": "a@x"}),
                await http.post("/api/users/data", json={"email": "a@x"}),
            ]

    for answer in asyncio.run(scenario()):
        assert answer.status_code == status
        assert ("Retry-After" in answer.headers) == (status == 503)


def test_an_unexpected_error_is_500_in_the_shape_of_every_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise ZeroDivisionError("secret")

    async def scenario() -> httpx.Response:
        app = create_app(Settings(database=tmp_path / "a.db"), Sockets(1, 1))
        monkeypatch.setattr(Store, "probe", fail)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://x") as http,
        ):
            return await http.get("/health")

    answer = asyncio.run(scenario())
    assert answer.status_code == 500
    assert answer.json() == {"message": "Something went wrong here", "success": False}


class TestMonitoring:
    def test_the_health_check_writes(self, shared: Backend) -> None:
        before = shared.metric("chat_commit_seconds_count")
        assert shared.http.get("/health").status_code == 200
        assert shared.metric("chat_commit_seconds_count") == before + 1

    def test_metrics_count_events(self, backend: Backend) -> None:
        chat_id = backend.new_chat()
        with backend.dashboard() as dashboard, backend.dashboard(subscribe=False):
            for number in range(3):
                backend.send(chat_id, f"m{number}")
                frame(dashboard)
            backend.http.post(f"/api/dashboard/chats/{chat_id}/send", json={"content": "x"})
            frame(dashboard)
            backend.send(chat_id, "")
            backend.http.get("/api/debug/users-chats")
            expected = {
                'chat_messages_accepted_total{role="user"}': 3,
                'chat_messages_accepted_total{role="agent"}': 1,
                'chat_messages_refused_total{reason="empty"}': 1,
                'chat_refetches_total{outcome="200"}': 1,
                "chat_delivery_seconds_count": 4,
                "chat_broadcast_seconds_count": 4,
                "chat_dashboards_connected": 2,
                "chat_dashboards_subscribed": 1,
                "chat_unsent_bytes": 0,
            }
            assert {name: backend.metric(name) for name in expected} == expected
        text = backend.http.get("/metrics").text
        assert 'chat_broadcast_seconds_bucket{le="1.25"}' in text
        assert chat_id not in text

    def test_a_page_of_another_origin_may_read_responses(self, shared: Backend) -> None:
        origin = {"Origin": "http://localhost:3000"}
        chat_id = shared.new_chat(fresh_email())
        answers = [
            shared.http.get("/api/debug/users-chats", headers=origin),
            shared.http.get(f"/api/chats/{chat_id}", headers=origin),
            shared.http.post(f"/api/users/chats/{chat_id}/send", json={"content": "x"}, headers=origin),
            shared.http.post("/api/users/chats/nope/send", json={"content": "x"}, headers=origin),
        ]
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        preflight = shared.http.options(f"/api/users/chats/{chat_id}/send", headers=origin | asked)
        assert preflight.status_code == 200
        for answer in (*answers, preflight):
            assert answer.headers.get_list("Access-Control-Allow-Origin") == ["*"]

    def test_the_guides_lines_are_printed(self, backend: Backend) -> None:
        chat_id = backend.new_chat()
        with backend.dashboard() as dashboard:
            backend.send(chat_id, "Hello from customer")
            frame(dashboard)
            backend.stop()
        for line in (
            "Total subscribers for chat_updates: 1",
            "📥 WIDGET MESSAGE RECEIVED",
            "💬 Message content: 'Hello from customer'",
            "📡 Broadcasting chat_updates to 1 subscriber(s)",
            "✅ Quick notification broadcast completed (widget message)",
        ):
            assert line in backend.output
        assert f"Uvicorn running on http://127.0.0.1:{backend.port}" in backend.errors
        assert "Traceback" not in backend.errors

    def test_what_became_of_a_traced_message_is_logged_with_its_trace_id(self, backend: Backend) -> None:
        chat_id = backend.new_chat()
        traces = [f"{number:032x}" for number in range(1, 6)]
        saved, saved_too, repeated, empty, nowhere = (f"00-{trace}-00f067aa0ba902b7-01" for trace in traces)
        url = f"/api/users/chats/{chat_id}/send"
        for path, text, key, header in (
            (url, "first", "a", saved),
            (f"/api/dashboard/chats/{chat_id}/send", "second", "b", saved_too),
            (url, "first", "a", repeated),
            (url, "", "c", empty),
            ("/api/users/chats/secret-MARK/send", "MARK", "MARK", nowhere),
            (url, "untraced", "d", "00-MARK"),
        ):
            headers = {"Idempotency-Key": key, "traceparent": header}
            backend.http.post(path, json={"content": text}, headers=headers)
        backend.stop()
        lines = [line for line in backend.output.splitlines() if "Trace" in line]
        assert lines == [
            f"🔎 Trace {traces[0]}: message 1 saved",
            f"🔎 Trace {traces[1]}: message 2 saved",
            f"🔎 Trace {traces[2]}: message 1 was saved before",
            f"🔎 Trace {traces[3]}: answered 400 (empty)",
            f"🔎 Trace {traces[4]}: answered 404 (no_chat)",
        ]
        assert "MARK" not in backend.output + backend.errors

    def test_a_traced_message_is_logged_while_others_are_summed_up(self, backend: Backend) -> None:
        chat_id = backend.new_chat()
        traces = [f"{number:032x}" for number in range(1, 41)]
        for trace in traces:
            headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
            backend.http.post(f"/api/users/chats/{chat_id}/send", json={"content": "x"}, headers=headers)
        backend.stop()
        assert backend.output.count("MESSAGE RECEIVED") < len(traces)
        for number, trace in enumerate(traces, 1):
            assert f"Trace {trace}: message {number} saved\n" in backend.output
