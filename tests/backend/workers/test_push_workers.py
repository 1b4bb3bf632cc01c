"""Promise 4 for rooms: with several workers, members get everything once and in order, and others nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection

from chatswarm.loadtests.system.children import free_port
from tests.backend.push import Push, join, messages_until, running_push
from tests.backend.servers import PATIENCE, frame, say, until

WORKERS = 3


@pytest.fixture(scope="module", params=["with wake-ups", "without"])
def push(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Push]:
    """Three workers; without a broker that responds there are no wake-ups, and the promises are the same."""
    bus = [] if request.param == "with wake-ups" else ["--bus", f"redis://127.0.0.1:{free_port()}"]
    with running_push(tmp_path_factory.mktemp("push"), "--workers", str(WORKERS), *bus) as push:
        until(lambda: push.backend.metric("chat_workers_up") == WORKERS)
        yield push


def ids_until(socket: ClientConnection, last: int) -> list[int]:
    """The ids of all messages up to this one."""
    return [each["id"] for each in messages_until(socket, lambda each: each.get("id", 0) >= last)]


def test_any_worker_knows_every_token_and_room(push: Push) -> None:
    push.room("everywhere", "ann")
    with push.each_worker(WORKERS) as clients:
        ids = [push.post("ann", "everywhere", "x", http=client).json()["id"] for client in clients]
    assert ids == sorted(set(ids))
    with push.sockets_everywhere("ann", "everywhere", WORKERS) as sockets:
        last = push.post("ann", "everywhere", "y").json()["id"]
        assert [frame(socket)["id"] for socket in sockets] == [last] * WORKERS


def test_every_member_gets_every_message_once_and_in_order(push: Push) -> None:
    push.room("all", "ann", "bob")
    with push.sockets_everywhere("bob", "all", WORKERS) as sockets, push.each_worker(WORKERS) as clients:
        ids: list[int] = []

        def keep_sending(number: int) -> None:
            ids.extend(push.post("ann", "all", "x", http=clients[number]).json()["id"] for _ in range(40))

        threads = [threading.Thread(target=keep_sending, args=(number,)) for number in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(set(ids)) == 40 * WORKERS
        for socket in sockets:
            assert ids_until(socket, max(ids)) == sorted(ids)


def test_one_key_at_all_workers_stores_one_message(push: Push) -> None:
    """Promise 2."""
    push.room("once", "ann")
    with push.each_worker(WORKERS) as clients:
        found = [push.post("ann", "once", "once", "key", http=client).json() for client in clients]
    assert found == [found[0]] * WORKERS
    assert push.texts("ann", "once") == ["once"]


def test_after_a_removal_nothing_arrives_on_any_worker(push: Push) -> None:
    """A frame or read of a room goes to its members only."""
    push.room("club", "ann", "bob")
    with push.sockets_everywhere("bob", "club", WORKERS) as sockets, push.each_worker(WORKERS) as clients:
        for round_ in range(5):
            before = push.post("ann", "club", "before", http=clients[round_ % WORKERS]).json()["id"]
            push.remove("club", "bob", http=clients[(round_ + 1) % WORKERS])
            for client in clients:
                assert push.post("ann", "club", "after", http=client).status_code == 201
                assert push.post("bob", "club", "x", http=client).status_code == 403
                answer = client.get("/api/rooms/club/messages", headers=push.bearer("bob"))
                assert answer.status_code == 403
            for socket in sockets:
                # Whichever worker it is on, it knows of the removal by now.
                assert join(socket, "club")["id"] == before
                assert frame(socket) == {"type": "left", "room": "club"}
                assert frame(socket)["type"] == "refused"
            push.add("club", "bob")
            for socket in sockets:
                assert join(socket, "club")["type"] == "joined"


def test_no_removed_member_gets_anything_while_all_workers_send(push: Push) -> None:
    """A message committed after the removal's commit never reaches that user, on any worker."""
    push.room("busy", "ann", "bob")
    done = threading.Event()
    with push.each_worker(WORKERS) as clients:
        sent: list[list[int]] = [[] for _ in clients]

        def keep_sending(number: int) -> None:
            while not done.is_set():
                sent[number].append(push.post("ann", "busy", "x", http=clients[number]).json()["id"])

        threads = [threading.Thread(target=keep_sending, args=(number,)) for number in range(WORKERS)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                with push.sockets_everywhere("bob", "busy", WORKERS) as sockets:
                    for socket in sockets:
                        messages_until(socket, lambda each: each["type"] == "message")
                    push.remove("busy", "bob")
                    # Every id from here on was committed after the removal.
                    first_after = push.post("ann", "busy", "after").json()["id"]
                    received = [messages_until(socket, lambda each: each["type"] == "left") for socket in sockets]
                    at_least = [len(each) + 3 for each in sent]
                    until(
                        lambda at_least=at_least: all(  # type: ignore[misc]
                            len(each) > least for each, least in zip(sent, at_least, strict=True)
                        )
                    )
                    last = {found[-2]["id"] for found in received if len(found) > 1 and found[-2]["type"] == "message"}
                    assert all(each["id"] < first_after for found in received for each in found if "id" in each)
                    assert len(last) <= 1, "all workers end at the same message"
                    for socket in sockets:
                        say(socket, type="ping")
                        assert frame(socket) == {"type": "pong"}
                push.add("busy", "bob")
        finally:
            done.set()
            for thread in threads:
                thread.join(PATIENCE)


def test_a_join_with_after_has_no_gap_and_no_overlap_on_any_worker(push: Push) -> None:
    """Promise 5."""
    push.room("flow", "ann", "bob")
    first = push.post("ann", "flow", "first").json()["id"]
    done = threading.Event()
    with push.each_worker(WORKERS) as clients:
        sent: list[list[int]] = [[] for _ in clients]

        def keep_sending(number: int) -> None:
            while not done.is_set():
                sent[number].append(push.post("ann", "flow", "x", http=clients[number]).json()["id"])

        threads = [threading.Thread(target=keep_sending, args=(number,)) for number in range(WORKERS)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: min(map(len, sent)) > 20)
            with push.sockets_everywhere("bob", "flow", WORKERS) as sockets:
                for socket in sockets:
                    say(socket, type="leave", ref="l", room="flow")
                    messages_until(socket, lambda each: each["type"] == "left")
                    say(socket, type="join", ref="j", room="flow", after=first)
                    goal = max(each[-1] for each in sent) + 30
                    ids = ids_until_through_joined(socket, goal)
                    assert ids == list(range(first + 1, ids[-1] + 1))
        finally:
            done.set()
            for thread in threads:
                thread.join(PATIENCE)


def ids_until_through_joined(socket: ClientConnection, last: int) -> list[int]:
    found = messages_until(socket, lambda each: each.get("id", 0) >= last)
    assert [each["type"] for each in found if each["type"] != "message"] == ["joined"]
    assert not any(each.get("gap") for each in found)
    return [each["id"] for each in found if each["type"] == "message"]


def test_tokens_of_separate_backends_with_one_key_and_one_database_are_the_same(tmp_path: Path) -> None:
    with running_push(tmp_path, "--workers", "2", key="k") as push:
        push.room("a", "ann")
        push.post("ann", "a", "x")
        other = tmp_path / "other"
        other.mkdir()
        with running_push(other, "--database", f"sqlite:///{push.backend.database}", key="k") as another:
            headers = push.bearer("ann")
            assert another.http.get("/api/rooms/a/messages", headers=headers).json()["messages"][0]["text"] == "x"
