"""The chat of a tutorial: FastAPI, lists in memory, and a loop that awaits each dashboard's send.

It speaks as much of the guide's protocol as a swarm needs. Its list shows as many texts of each chat as the reference
chat's, so that the two differ in how they serve, and not in how much.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel

Stored = dict[str, object]

app = FastAPI()
messages: list[Stored] = []
chats: defaultdict[str, list[Stored]] = defaultdict(list)
connections: list[WebSocket] = []
LISTED = 3
"""The texts of a chat that the list shows."""


class TutorialMessage(BaseModel):
    content: str
    role: str = "user"


@app.websocket("/ws/dashboard")
async def dashboard(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"type": "connected", "message": "WebSocket connected"})
    connections.append(websocket)
    try:
        while True:
            asked = await websocket.receive_json()
            await websocket.send_json({"type": "subscribed", "subscription_type": asked["subscription_type"]})
    except WebSocketDisconnect:
        connections.remove(websocket)


@app.post("/api/users/chats/{chat_id}/send")
async def send(chat_id: str, message: TutorialMessage) -> dict[str, object]:
    timestamp = datetime.now(UTC).isoformat()
    stored = {"chat_id": chat_id, "text": message.content, "role": message.role, "timestamp": timestamp, "read": False}
    messages.append(stored)
    chats[chat_id].append(stored)
    notification = {
        "type": "chat_message_notification",
        "chat_id": chat_id,
        "message_role": message.role,
        "timestamp": timestamp,
        "message_id": len(messages),
        "seq": len(messages),
    }
    for websocket in connections:
        await websocket.send_json({"type": "chat_updates", "data": notification})
    return {"success": True, "message": "Message sent", "message_id": len(messages), "seq": len(messages)}


@app.post("/api/users/data")
async def contact() -> dict[str, object]:
    return {"success": True, "message": "Thank you"}


@app.post("/api/users/chats/create")
async def create() -> dict[str, object]:
    chat_id = str(uuid4())
    chats[chat_id] = []
    return {"success": True, "chat_id": chat_id, "message": "Chat created"}


@app.get("/api/debug/users-chats")
async def list_chats() -> dict[str, object]:
    return {"users": [{"chats": [shown(chat_id, stored[-LISTED:])]} for chat_id, stored in chats.items()]}


@app.get("/api/chats/{chat_id}")
async def whole_chat(chat_id: str) -> dict[str, object]:
    return shown(chat_id, chats[chat_id])


def shown(chat_id: str, stored: Sequence[Stored]) -> dict[str, object]:
    return {"chat_id": chat_id, "status": "active", "total_messages": len(chats[chat_id]), "messages": stored}
