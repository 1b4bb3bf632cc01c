"""The chat of a tutorial: FastAPI, a list in memory, and a loop that awaits each dashboard's send."""

from datetime import UTC, datetime

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel

app = FastAPI()
messages: list[dict[str, object]] = []
connections: list[WebSocket] = []


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
    messages.append(
        {"chat_id": chat_id, "content": message.content, "role": message.role, "timestamp": timestamp, "read": False}
    )
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
