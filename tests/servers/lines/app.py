"""The chat: JOIN, SAY and PING come as text frames, and OK, MSG, PONG and ERROR are sent back.

A field is anything without "|" and without a line break; only a text, which is the last field, may contain "|".
"""

import asyncio
import os
from collections import defaultdict
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.http11 import Request, Response

DEFECT = os.environ["DEFECT"]


class Chat:
    """All rooms. The file has one line for each message: room|user|text."""

    def __init__(self, path: Path) -> None:
        self.members: defaultdict[str, set[ServerConnection]] = defaultdict(set)
        self.history: defaultdict[str, list[str]] = defaultdict(list)
        self.said = 0
        path.touch()
        # What was being written when the server was killed is not a message.
        whole = path.read_bytes().rpartition(b"\n")[0]
        os.truncate(path, len(whole) + 1 if whole else 0)
        for line in whole.decode().split("\n") if whole else ():
            room, _, rest = line.partition("|")
            self.history[room].append(rest)
        self.file = path.open("a", encoding="utf-8", newline="\n")

    async def talk(self, socket: ServerConnection) -> None:
        """One connection."""
        try:
            async for frame in socket:
                answer = self.answer(socket, frame) if isinstance(frame, str) else "ERROR|expected text"
                if answer is not None:
                    await socket.send(answer)
        finally:
            for members in self.members.values():
                members.discard(socket)

    def answer(self, socket: ServerConnection, frame: str) -> str | None:
        """What the client that sent `frame` is answered, if anything."""
        if "\n" in frame:
            return "ERROR|expected one line"
        match frame.split("|", 3):
            case ["PING"]:
                return "PONG"
            case ["JOIN", room, user]:
                self.members[room].add(socket)
                return f"OK|{room}|{user}"
            case ["SAY", room, user, text] if socket in self.members[room]:
                self.say(socket, room, user, text)
                return None
            case ["SAY", room, *_]:
                return f"ERROR|expected JOIN|{room} first"
            case _:
                return "ERROR|expected JOIN|room|user, SAY|room|user|text or PING"

    def say(self, socket: ServerConnection, room: str, user: str, text: str) -> None:
        """Stores a message and sends it to everybody in the room."""
        self.said += 1
        tenth = self.said % 10 == 0
        if not (tenth and DEFECT == "forgets-every-tenth"):
            self.file.write(f"{room}|{user}|{text}\n")
            self.file.flush()
            self.history[room].append(f"{user}|{text}")
        audience = {socket} if tenth and DEFECT == "drops-every-tenth" else self.members[room]
        broadcast(audience, f"MSG|{room}|{user}|{text}")

    def respond(self, socket: ServerConnection, request: Request) -> Response | None:
        """Answers HTTP requests; None leaves the handshake of a socket to go on."""
        path = request.path.partition("?")[0]
        if path == "/chat":
            return None
        if path.startswith("/history/"):
            room = unquote(path.removeprefix("/history/"))
            return socket.respond(HTTPStatus.OK, "".join(f"{line}\n" for line in self.history.get(room, ())))
        return socket.respond(HTTPStatus.NOT_FOUND, "expected /chat or /history/ROOM\n")


async def main() -> None:
    chat = Chat(Path("messages.txt"))
    async with serve(chat.talk, "127.0.0.1", int(os.environ["PORT"]), process_request=chat.respond) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
