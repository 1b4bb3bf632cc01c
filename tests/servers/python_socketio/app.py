"""The chat: rooms that are joined, and messages that are acknowledged and sent to everybody in their room."""

import itertools
import os

import socketio  # type: ignore[import-untyped]
import uvicorn

DEFECT = os.environ["DEFECT"]
PING = float(os.environ["PING"])

sio = socketio.AsyncServer(async_mode="asgi", ping_interval=PING, ping_timeout=PING)
app = socketio.ASGIApp(sio)
ids = itertools.count(1)


@sio.event  # type: ignore[untyped-decorator]
async def join(sid: str, data: dict[str, str]) -> dict[str, bool]:
    await sio.enter_room(sid, data["room"])
    return {"ok": True}


@sio.event  # type: ignore[untyped-decorator]
async def message(sid: str, data: dict[str, str]) -> dict[str, bool | int]:
    number = next(ids)
    # None is everybody, and a client's own id is a room in which only that client is.
    room: str | None = data["room"]
    if number % 10 == 0 and DEFECT == "drops-every-tenth":
        room = sid
    elif number % 10 == 0 and DEFECT == "leaks-every-tenth":
        room = None
    await sio.emit("message", {"room": data["room"], "id": number, "text": data["text"]}, room=room)
    return {"ok": True, "id": number}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), lifespan="off", log_level="warning")
