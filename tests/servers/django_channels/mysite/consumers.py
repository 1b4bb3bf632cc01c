"""The tutorial's consumer: what one member of a room says is sent to all, the sender too."""

import itertools
import json
import os

from channels.generic.websocket import AsyncWebsocketConsumer  # type: ignore[import-untyped]

DEFECT = os.environ["DEFECT"]
said = itertools.count(1)


class ChatConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One connection."""

    async def connect(self) -> None:
        self.room_name = self.scope["url_route"]["kwargs"]["room_name"]
        self.room_group_name = f"chat_{self.room_name}"
        await self.channel_layer.group_add(self.room_group_name, self.channel_name)
        await self.accept()

    async def disconnect(self, close_code: int) -> None:
        await self.channel_layer.group_discard(self.room_group_name, self.channel_name)

    async def receive(self, text_data: str) -> None:
        event = {"type": "chat.message", "message": json.loads(text_data)["message"]}
        tenth = next(said) % 10 == 0
        if tenth and DEFECT == "drops-every-tenth":
            await self.channel_layer.send(self.channel_name, event)
            return
        await self.channel_layer.group_send(self.room_group_name, event)
        if tenth and DEFECT == "sends-every-tenth-twice":
            await self.channel_layer.group_send(self.room_group_name, event)

    async def chat_message(self, event: dict[str, str]) -> None:
        await self.send(text_data=json.dumps({"message": event["message"]}))
