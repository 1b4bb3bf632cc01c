"""A locustfile: dashboards as most people write them, with websocket-client and Locust's fast HTTP client.

Each decodes every frame and reports it to Locust, refetches the list by chatswarm's rule, and counts what became
visible. It ends when the chat closes the sockets, and prints its counts.
"""

import itertools
import json
import os
import random
import sys
import time
from typing import Any

import gevent
import websocket
from gevent.event import Event
from locust import FastHttpUser, events, task
from locust.env import Environment
from locust.runners import WorkerRunner

TARGET = os.environ["TARGET"]
INTERVAL = 0.3
counts = {"frames": 0, "refetches": 0, "visible": 0}


class WebsocketClientDashboard(FastHttpUser):
    host = TARGET

    def on_start(self) -> None:
        self.wanted = Event()
        self.seen: dict[str, int] = {}
        self.socket = websocket.create_connection(TARGET.replace("http", "ws") + "/ws/dashboard")
        self.refetching = gevent.spawn(self.refetch_when_wanted)

    @task
    def listen(self) -> None:
        while data := self.receive():
            started = time.perf_counter()
            frame = json.loads(data)
            if frame["type"] == "connected":
                self.socket.send('{"action": "subscribe", "subscription_type": "chat_updates"}')
                continue
            if frame["type"] == "chat_updates":
                counts["frames"] += 1
                self.environment.events.request.fire(
                    request_type="WS",
                    name="frame",
                    response_time=(time.perf_counter() - started) * 1000,
                    response_length=len(data),
                    exception=None,
                    context={},
                )
            self.wanted.set()
        self.refetching.kill()
        self.environment.runner.send_message("closed")
        Event().wait()

    def receive(self) -> str | bytes:
        try:
            return self.socket.recv()
        except (websocket.WebSocketException, OSError):
            return ""

    def refetch_when_wanted(self) -> None:
        interval = INTERVAL * random.uniform(1.0, 1.1)
        last = 0.0
        while True:
            self.wanted.wait()
            gevent.sleep(max(0.0, last + interval - time.monotonic()))
            self.wanted.clear()
            last = time.monotonic()
            response = self.client.get("/api/debug/users-chats")
            if response.status_code == 200:
                self.show(json.loads(response.content))

    def show(self, shown: Any) -> None:
        counts["refetches"] += 1
        for user in shown["users"]:
            for chat in user["chats"]:
                counts["visible"] += chat["total_messages"] - self.seen.get(chat["chat_id"], 0)
                self.seen[chat["chat_id"]] = chat["total_messages"]


def await_end(environment: Environment, **_: object) -> None:
    runner, left = environment.runner, itertools.count(int(os.environ["DASHBOARDS"]) - 1, -1)
    assert runner is not None

    def on_closed(**_: object) -> None:
        if next(left) == 0:
            gevent.spawn(runner.quit)  # it kills the greenlet of the last dashboard

    if not isinstance(runner, WorkerRunner):
        runner.register_message("closed", on_closed)


def report(**_: object) -> None:
    # In one piece, because several processes write.
    os.write(sys.stdout.fileno(), json.dumps(counts).encode() + b"\n")


events.init.add_listener(await_end)
events.quit.add_listener(report)
