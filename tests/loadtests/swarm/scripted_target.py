"""Runs one widget and one dashboard against a scripted server. A separate process, because it imports Locust.

Reads a JSON list of cases from standard input, each with responses that replace the usual ones, and runs them at the
same time. Writes a JSON list of histories, each with the rows of its tables by name.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent import socket  # noqa: E402
from locust.env import Environment  # noqa: E402
from websockets.frames import Frame, Opcode  # noqa: E402
from websockets.utils import accept_key  # noqa: E402

from chatswarm.loadtests.history.files import read  # noqa: E402
from chatswarm.loadtests.history.manifest import boot_id, history_file  # noqa: E402
from chatswarm.loadtests.swarm.locust.stats_rows import StatsRows  # noqa: E402
from chatswarm.loadtests.swarm.node import Node, enter  # noqa: E402
from chatswarm.loadtests.swarm.plan import RunPlan  # noqa: E402
from chatswarm.loadtests.swarm.users import ChatUser, DashboardUser, WidgetUser  # noqa: E402

TABLE = {
    "swarm": {
        "dashboards": 1, "widgets": 1, "rate": 10, "duration": "0.5s", "ramp": "0s", "update_target": "0.1s",
        "drain": "2.1s", "handshake": "1s",
    }
}  # fmt: skip
JSON = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}"


def json_response(body: str) -> str:
    return JSON.format(len(body.encode("latin-1")), body)


USUAL = {
    "/api/users/data": json_response("{}"),
    "/api/users/chats/create": json_response('{"chat_id": "a"}'),
    "/send": json_response('{"success": true, "message_id": 1}'),
    "/api/debug/users-chats": json_response('{"users": []}'),
    "/api/chats/": json_response('{"chat_id": "a", "total_messages": 0}'),
    "/ws/dashboard": "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: KEY\r\n\r\n",
    "frames": '{"type": "connected"}\n{"type": "subscribed", "subscription_type": "chat_updates"}',
}


class Server:
    """Picks a response by a part of the path. Texts are bytes in Latin-1."""

    def __init__(self, responses: dict[str, str]) -> None:
        self.responses = {**USUAL, **responses}
        self.traced: list[tuple[str, str]] = []  # of each request with a trace context: the path and the context
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(100)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        gevent.spawn(self.accept)

    def accept(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            gevent.spawn(self.serve, connection)

    def serve(self, connection: Any) -> None:
        try:
            while request := connection.recv(65536):
                path = request.split(b" ")[1].decode("latin-1")
                known = next(part for part in ("/send", *self.responses) if part in path)
                if b"\r\nIf-None-Match: " in request:
                    known = "If-None-Match"
                if b"\r\ntraceparent: " in request:
                    context = request.partition(b"\r\ntraceparent: ")[2].partition(b"\r\n")[0].decode()
                    self.traced.append((path, context))
                key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0].decode()
                connection.sendall(self.responses[known].replace("KEY", accept_key(key)).encode("latin-1"))
                if known == "/ws/dashboard" and " 101 " in self.responses[known]:
                    for number, line in enumerate(self.responses["frames"].split("\n")):
                        if number == 1:
                            connection.recv(65536)  # the subscription
                        data = line.encode("latin-1")
                        raw = data.removeprefix(b"raw:")
                        connection.sendall(Frame(Opcode.TEXT, data).serialize(mask=False) if raw == data else raw)
                    while connection.recv(65536):
                        pass
                    break
                if "Content-Length" not in self.responses[known]:
                    break
        except OSError:
            pass
        finally:
            connection.close()


def run(case: dict[str, Any], folder: Path) -> Any:
    """Starts a case. Returns a greenlet that waits for its end and returns the history."""
    server = Server(case.get("responses", {}))
    plan = RunPlan(
        "scripted",
        1,
        str(folder),
        server.url,
        "reference",
        "some",
        TABLE,
        boot_id(),
        origin=case.get("header"),
        traceparent=case.get("traceparent", False),
    )
    number = case.get("number", 0)
    environment = Environment()
    node = Node(plan, "swarm-0", StatsRows(environment), lambda kind: node.grant(kind, number))
    enter(node)
    users: list[ChatUser] = [WidgetUser(environment), DashboardUser(environment)]
    greenlets = [gevent.spawn(user.run) for user in users]

    def history() -> dict[str, list[dict[str, Any]]]:
        gevent.sleep(0.3)
        node.begin(time.monotonic() + 0.1)
        if case.get("withdrawn"):
            gevent.sleep(0.3)
            gevent.killall(greenlets)
        gevent.sleep(0.6)
        failure = node.finish(node.start + 0.5)
        gevent.killall(greenlets)
        assert failure is None, failure
        tables = read(history_file(folder, "swarm-0")).tables
        rows = {
            name: [dict(zip(columns, map(plain, row), strict=True)) for row in zip(*columns.values(), strict=True)]
            for name, columns in tables.items()
        }
        return {**rows, "traced": [{"path": path, "context": context} for path, context in server.traced]}

    return gevent.spawn(history)


def plain(value: Any) -> Any:
    return value if isinstance(value, str) else value.item()


def main() -> None:
    cases = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        ends = [run(case, Path(folder) / str(number)) for number, case in enumerate(cases)]
        json.dump([end.get() for end in ends], sys.stdout)


if __name__ == "__main__":
    main()
