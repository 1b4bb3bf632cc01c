"""Promise 4 with several workers on one port and database: all see every message once and in order."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from chatswarm.loadtests.system.children import free_port
from tests.backend.servers import PATIENCE, Backend, frame, fresh_client, running, say, until

WORKERS = 3


@pytest.fixture(scope="module", params=["with wake-ups", "without"])
def workers(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Three workers; without a broker that responds there are no wake-ups, and the promises are the same."""
    bus = [] if request.param == "with wake-ups" else ["--bus", f"redis://127.0.0.1:{free_port()}"]
    with running(tmp_path_factory.mktemp("workers"), "--workers", str(WORKERS), *bus) as backend:
        until(lambda: backend.http.get("/metrics").text.count("chat_wal_bytes{") == WORKERS)
        yield backend


def post(client: httpx.Client, chat_id: str, text: str, key: str | None = None) -> dict[str, Any]:
    headers = {"Idempotency-Key": key} if key is not None else {}
    answer = client.post(f"/api/users/chats/{chat_id}/send", json={"content": text}, headers=headers)
    assert answer.status_code == 200, answer.text
    stored: dict[str, Any] = answer.json()
    return stored


def chats(client: httpx.Client) -> dict[str, Any]:
    users = client.get("/api/debug/users-chats?limit=10000").json()["users"]
    return {chat["chat_id"]: chat for user in users for chat in user["chats"]}


def ids_until(dashboard: ClientConnection, last: int) -> list[int]:
    """The message ids of the frames up to the one with `last`."""
    ids: list[int] = []
    while not ids or ids[-1] < last:
        ids.append(frame(dashboard)["data"]["message_id"])
    return ids


def wait_until_one_receives(dashboards: list[ClientConnection], seq: int) -> None:
    """Read from all dashboards until one has received this message."""
    received = 0
    while received < seq:
        for dashboard in dashboards:
            with suppress(TimeoutError):
                received = max(received, json.loads(dashboard.recv(timeout=0.001))["data"]["seq"])


def test_every_dashboard_is_notified_of_every_message_once_and_in_order(workers: Backend) -> None:
    """Promise 3: ids grow in commit order, whoever commits. Promise 4: missed wake-ups are made up for from the log."""
    chat_ids = [workers.new_chat(f"order.{number}@x") for number in range(12)]
    with workers.each_worker(WORKERS) as clients, workers.dashboards_everywhere(WORKERS) as dashboards:
        first = post(clients[0], chat_ids[0], "first")["message_id"]

        def send(number: int) -> list[dict[str, Any]]:
            # All three workers write to the same chats.
            return [post(clients[number], chat_ids[turn % 12], f"{number} {turn}") for turn in range(150)]

        with ThreadPoolExecutor(WORKERS) as pool:
            answers = [answer for answers in pool.map(send, range(WORKERS)) for answer in answers]
        expected = list(range(first, first + 1 + len(answers)))
        assert sorted(answer["message_id"] for answer in answers) == expected[1:]
        for dashboard in dashboards:
            assert ids_until(dashboard, expected[-1]) == expected
        lists = [chats(client) for client in clients]
        for chat_id in chat_ids:
            texts = [client.get(f"/api/chats/{chat_id}").json()["messages"] for client in clients]
            assert texts[0] == texts[1] == texts[2]
            assert [text["seq"] for text in texts[0]] == list(range(1, len(texts[0]) + 1))
            assert [shown[chat_id]["total_messages"] for shown in lists] == [len(texts[0])] * WORKERS
        assert [list(shown) for shown in lists] == [list(lists[0])] * WORKERS, "all show the chats in the same order"


def test_a_key_that_reaches_several_workers_is_stored_once(workers: Backend) -> None:
    """Promise 2."""
    chat_id = workers.new_chat("keys@x")
    with (
        workers.each_worker(WORKERS) as clients,
        workers.dashboards_everywhere(WORKERS) as dashboards,
        ThreadPoolExecutor(WORKERS) as pool,
    ):
        for number in range(40):
            answers = list(pool.map(lambda client: post(client, chat_id, "once", f"key {number}"), clients))  # noqa: B023
            assert answers == [answers[0]] * WORKERS
            assert answers[0]["seq"] == number + 1
        last = answers[0]["message_id"]
        for dashboard in dashboards:
            assert len(ids_until(dashboard, last)) == 40
        assert chats(clients[0])[chat_id]["total_messages"] == 40


def test_a_list_read_after_a_frame_shows_its_message_on_any_worker(workers: Backend) -> None:
    """Promise 4: a list read that begins after a frame was sent includes its message, on any worker."""
    chat_id = workers.new_chat("frames@x")
    with workers.each_worker(WORKERS) as clients, workers.dashboards_everywhere(WORKERS) as dashboards:
        for number in range(200):
            post(clients[number % WORKERS], chat_id, f"m{number}")
            wait_until_one_receives(dashboards, number + 1)
            for client in clients:
                chat = chats(client)[chat_id]
                assert chat["total_messages"] == number + 1
                assert chat["messages"][-1]["text"] == f"m{number}"


def test_all_workers_know_what_one_created(workers: Backend) -> None:
    with workers.each_worker(WORKERS) as clients:
        for number in range(30):
            one, other, third = (clients[(number + shift) % WORKERS] for shift in range(3))
            email = f"known.{number}@x"
            one.post("/api/users/chats/create", json={"email": email, "name": "Ann"})
            assert other.get(f"/api/users/{email}/chats").json()["total_chats"] == 1
            # Each of the next three requests is the first that its worker gets about the chat.
            chat_id = one.post("/api/users/chats/create", json={"email": email}).json()["chat_id"]
            assert post(other, chat_id, "hello")["seq"] == 1
            assert third.get(f"/api/chats/{chat_id}").json()["messages"][0]["text"] == "hello"
            assert post(third, chat_id, "again")["seq"] == 2
            assert one.get(f"/api/users/{email}/chats").json()["chats"][0]["total_messages"] == 2
            one.post("/api/users/data", json={"email": email, "name": "Bea", "category": "lead"})
            user = other.get("/api/debug/users-chats").json()["users"][0]
            assert (user["name"], user["category"], user["chats"][0]["chat_id"]) == ("Bea", "lead", chat_id)
            assert third.get(f"/api/users/{email}/chats").json()["user_name"] == "Bea"


def test_several_commits_read_at_once_keep_their_order(workers: Backend) -> None:
    old = workers.new_chat("old@x")
    with workers.each_worker(WORKERS) as clients:
        for number in range(10):
            post(clients[0], old, "x")
            new = clients[0].post("/api/users/chats/create", json={"email": f"new.{number}@x"}).json()["chat_id"]
            assert [list(chats(client))[:2] for client in clients] == [[new, old]] * WORKERS


def test_subscribing_names_the_last_message_of_any_worker_and_replays_it(workers: Backend) -> None:
    """Promise 5."""
    chat_id = workers.new_chat("replay@x")
    for number in range(30):
        workers.http.close()
        workers.http = fresh_client(workers.port)
        last = workers.send(chat_id, f"m{number}").json()["message_id"]
        with workers.dashboard(subscribe=False) as dashboard:
            say(dashboard, action="subscribe", subscription_type="chat_updates", after=last - 1)
            assert frame(dashboard) | {"type": ""} == {
                "type": "",
                "subscription_type": "chat_updates",
                "last_message_id": last,
            }
            assert frame(dashboard)["data"]["message_id"] == last


def test_metrics_cover_all_workers_that_respond(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", str(WORKERS)) as backend:
        up = "chat_workers_up"
        until(lambda: backend.metric(up) == WORKERS)
        chat_id = backend.new_chat()
        with backend.each_worker(WORKERS) as clients:
            for client in clients:
                post(client, chat_id, "x")
                text = client.get("/metrics").text
                assert text.count("# TYPE chat_messages_accepted_total counter") == 1
        accepted = 'chat_messages_accepted_total{worker,role="user"}'
        assert backend.by_worker(accepted) == dict.fromkeys("012", 1)
        sent = sum(backend.by_worker('chat_bells_rung_total{worker,outcome="sent"}').values())
        # Health checks also wrote, but there was nothing to announce.
        assert sent == 4 * (WORKERS - 1)
        assert sum(backend.by_worker('chat_log_reads_total{worker,cause="bell"}').values()) > 0
        os.kill(backend.workers()[1], signal.SIGSTOP)
        try:
            # The paused worker may accept some of the new connections: every response comes from another worker.
            until(lambda: _metric_of_a_fresh_connection(backend, up) == WORKERS - 1)
        finally:
            os.kill(backend.workers()[1], signal.SIGCONT)
        until(lambda: _metric_of_a_fresh_connection(backend, up) == WORKERS)


def _metric_of_a_fresh_connection(backend: Backend, name: str) -> float | None:
    try:
        with fresh_client(backend.port) as http:
            text = http.get("/metrics", timeout=3).text
    except httpx.TimeoutException:
        return None
    return float(text.split(f"\n{name} ")[1].split("\n")[0])


def test_a_killed_worker_does_not_affect_the_others(tmp_path: Path) -> None:
    """Promise 1: no message is lost with the worker that accepted it."""
    with running(tmp_path, "--workers", str(WORKERS)) as backend:
        until(lambda: backend.metric("chat_workers_up") == WORKERS)
        chat_ids = [backend.new_chat(f"{number}@x") for number in range(6)]
        accepted: dict[str, list[int]] = {chat_id: [] for chat_id in chat_ids}
        end = threading.Event()

        def keep_sending(chat_id: str) -> None:
            while not end.is_set():
                # A new connection for every few sends, so that the new worker gets some, too.
                with fresh_client(backend.port) as http:
                    try:
                        for _ in range(10):
                            accepted[chat_id].append(post(http, chat_id, "x")["message_id"])
                    except httpx.TransportError:
                        continue

        with backend.dashboards_everywhere(WORKERS) as dashboards, ThreadPoolExecutor(6) as pool:
            sending = [pool.submit(keep_sending, chat_id) for chat_id in chat_ids]
            try:
                until(lambda: sum(map(len, accepted.values())) > 200)
                victim = backend.workers()[1]
                os.kill(victim, signal.SIGKILL)
                until(lambda: f"[{victim}] was killed by SIGKILL" in backend.errors)
                at_least = sum(map(len, accepted.values())) + 200
                until(lambda: sum(map(len, accepted.values())) > at_least)
                backend.http.close()
                until(lambda: _metric_of_a_fresh_connection(backend, "chat_workers_up") == WORKERS)
            finally:
                end.set()
            for each in sending:
                each.result(PATIENCE)
            backend.http = fresh_client(backend.port)
            last = backend.send(chat_ids[0], "last").json()["message_id"]
            cut = 0
            for dashboard in dashboards:
                try:
                    ids = ids_until(dashboard, last)
                except ConnectionClosed:
                    cut += 1
                else:
                    assert ids == list(range(1, last + 1))
            assert 1 <= cut < len(dashboards)
        for chat_id in chat_ids:
            messages = backend.http.get(f"/api/chats/{chat_id}").json()["messages"]
            assert {message["message_id"] for message in messages} >= set(accepted[chat_id])
            assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
