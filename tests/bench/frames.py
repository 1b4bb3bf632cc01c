"""What a bare frame costs the WebSocket of the swarm, if its server does not agree to deflate."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from statistics import median

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from .figure import Figure, fresh

MICROSECONDS = 1.0
FRAMES = 20_000


def figures() -> Iterator[Figure]:
    yield Figure("socket: per bare frame", fresh("frames")["microseconds"], MICROSECONDS, "µs")


def main() -> None:
    """Runs in a fresh process, because the swarm's sockets import gevent."""
    from chatswarm.loadtests.swarm.net.websocket import WebSocket

    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []

    def accept() -> None:
        connection, _ = listener.accept()
        protocol = ServerProtocol()
        protocol.receive_data(connection.recv(65536))
        (request,) = protocol.events_received()
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        connection.sendall(b"".join(protocol.data_to_send()))
        connections.append(connection)

    thread = threading.Thread(target=accept)
    thread.start()
    connection = WebSocket(f"ws://127.0.0.1:{listener.getsockname()[1]}/", 10)
    thread.join()
    frame = Frame(Opcode.TEXT, b"x" * 180).serialize(mask=False)
    used: list[float] = []
    for _ in range(21):
        begun = time.process_time()
        for _ in range(FRAMES):
            connection._messages(frame)
        used.append(time.process_time() - begun)
    connection.close()
    print(json.dumps({"microseconds": median(used) / FRAMES * 1e6}))


if __name__ == "__main__":
    main()
