"""Chats that show wrong contents: `duplicated`, `reordered`, `phantom`, `vanished`, `corrupted`, `misplaced`."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .chat import Dashboard, Message, Reader, Response
from .plant import Plant, TracksConnections, Truth, without

# duplicated


class StoresTwice(Plant):
    """Every eighth message is stored twice, under two numbers, and announced once."""

    finding = "duplicated"
    cause = "stored_twice"

    async def send(self, chat_id: str, text: str) -> Response:
        message = self.store(chat_id, text)
        if self.nth(8):
            self.broken.add(self.store(chat_id, text).number)
        self.announce(chat_id, message)
        return self.sent(message)


class ListsTwice(Plant):
    """The list shows every eighth message twice. The store has it once."""

    finding = "duplicated"
    cause = "listed_twice"

    def store(self, chat_id: str, text: str) -> Message:
        message = super().store(chat_id, text)
        if self.nth(8):
            self.broken.add(message.number)
        return message

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        return {
            chat_id: [
                message for message in messages for _ in range(2 if message.number in self.broken else 1)
            ]
            for chat_id, messages in self.chats.items()
        }  # fmt: skip

    def total(self, chat_id: str, listed: Sequence[Message]) -> int:
        return len(self.chats[chat_id])


class AnnouncesTwice(Plant):
    """Every eighth message is announced twice to the second dashboard."""

    finding = "duplicated"
    cause = "announced_twice"

    def deliver(self, dashboard: Dashboard, chat_id: str, message: Message) -> None:
        super().deliver(dashboard, chat_id, message)
        if dashboard.number == 2 and self.nth(8):
            self.broken.add(message.number)
            super().deliver(dashboard, chat_id, message)


# reordered


class StoresBeforeThePrevious(Plant):
    """Every eighth message is stored before the previous one in its chat."""

    finding = "reordered"
    cause = "stored_out_of_order"

    def store(self, chat_id: str, text: str) -> Message:
        message = super().store(chat_id, text)
        messages = self.chats[chat_id]
        if self.nth(8) and len(messages) > 1:
            messages[-2:] = [messages[-1], messages[-2]]
            self.broken.add(message.number)
        return message


class ListsReordered(TracksConnections):
    """On every second connection, a chat's last two messages are swapped if the last is an eighth one."""

    finding = "reordered"
    cause = "listed_out_of_order"

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        if reader.slot % 2 == 0 or reader.slot < 0:
            return self.chats
        chats = {chat_id: list(messages) for chat_id, messages in self.chats.items()}
        for messages in chats.values():
            if len(messages) > 1 and messages[-1].number % 8 == 0:
                messages[-2:] = [messages[-1], messages[-2]]
                # The earlier message is now in the wrong position.
                self.broken.add(messages[-1].number)
        return chats


# phantom


class InventsMessages(Plant):
    """After every tenth message, one that its customer did not send is stored, listed and announced."""

    finding = "phantom"
    cause = "never_sent"

    async def send(self, chat_id: str, text: str) -> Response:
        response = await super().send(chat_id, text)
        if self.nth(10):
            phantom = self.store(chat_id, "Hello?")
            self.broken.add(phantom.number)
            self.announce(chat_id, phantom)
        return response


class StoresRejectedSends(Plant):
    """Every tenth message gets a 422, but is stored, listed and announced."""

    finding = "phantom"
    cause = "stored_though_rejected"

    async def send(self, chat_id: str, text: str) -> Response:
        response = await super().send(chat_id, text)
        if self.nth(10):
            self.broken.add(self.messages)
            return 422, {"detail": "no"}
        return response

    def truth(self) -> Truth:
        return {"phantom": len(self.broken), "refused": len(self.broken)}


class AnnouncesUnknownIds(Plant):
    """After every tenth message, an unknown message id is announced to all dashboards. Needs ids."""

    finding = "phantom"
    cause = "never_sent"

    def announce(self, chat_id: str, message: Message) -> None:
        super().announce(chat_id, message)
        if self.nth(10):
            self.broken.add(message.number)
            super().announce(chat_id, Message(1_000_000 + message.number, ""))


# vanished


class Deletes(Plant):
    """Every seventh message is deleted a second after it was stored."""

    finding = "vanished"
    cause = "deleted"

    def store(self, chat_id: str, text: str) -> Message:
        message = super().store(chat_id, text)
        if self.nth(7):
            self.broken.add(message.number)
            asyncio.get_running_loop().call_later(1, self.chats[chat_id].remove, message)
        return message

    def truth(self) -> Truth:
        return {"vanished": len(self.broken), "store_lost": len(self.broken)}


@dataclass
class HidesCustomers(TracksConnections):
    """The chat of every fourteenth message is missing from the list from 1 s to 1.5 s after it was stored."""

    finding = "vanished"
    cause = "hidden_for_a_while"
    hidden: set[str] = field(default_factory=set)

    def store(self, chat_id: str, text: str) -> Message:
        message = super().store(chat_id, text)
        if self.nth(14):
            loop = asyncio.get_running_loop()
            loop.call_later(1, self.hidden.add, chat_id)
            loop.call_later(1.5, self.hidden.discard, chat_id)
        return message

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        for chat_id in self.hidden:
            self.broken |= {message.number for message in self.chats[chat_id]} & reader.shown
        return {chat_id: messages for chat_id, messages in self.chats.items() if chat_id not in self.hidden}


@dataclass
class HidesForASecond(TracksConnections):
    """Every seventh message is missing from the list from 1 s to 2 s after it was stored, but not from the store."""

    finding = "vanished"
    cause = "hidden_for_a_while"
    hidden: set[int] = field(default_factory=set)

    def store(self, chat_id: str, text: str) -> Message:
        message = super().store(chat_id, text)
        if self.nth(7):
            loop = asyncio.get_running_loop()
            loop.call_later(1, self.hidden.add, message.number)
            loop.call_later(2, self.hidden.discard, message.number)
        return message

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        shown = without(self.chats, self.hidden)
        if reader.slot >= 0:
            self.broken |= {number for number in self.hidden & reader.shown if self._would_show(number, shown)}
        return shown

    def _would_show(self, number: int, shown: Mapping[str, Sequence[Message]]) -> bool:
        """Whether the list shows an older message of the same chat, so that this one is missing."""
        chat_id = next(name for name, messages in self.chats.items() if any(m.number == number for m in messages))
        return shown[chat_id][-(self.tail or len(shown[chat_id])) :][0].number < number


# corrupted


class StoresDamaged(Plant):
    """Every eighth message is stored damaged: its end or beginning cut off, or one letter changed."""

    finding = "corrupted"
    cause = "text_changed"

    def store(self, chat_id: str, text: str) -> Message:
        if not self.nth(8):
            return super().store(chat_id, text)
        damaged = (text[:60], text[20:], text.replace("quick", "qu\ufffdck"))[self.sends // 8 % 3]
        message = super().store(chat_id, damaged)
        self.broken.add(message.number)
        return message


class ListsDamaged(Plant):
    """The list shows every eighth message with one letter changed. The store is correct."""

    finding = "corrupted"
    cause = "text_changed"

    def shown(self, message: Message) -> dict[str, object]:
        if message.number % 8:
            return super().shown(message)
        self.broken.add(message.number)
        return super().shown(replace(message, text=message.text.replace("quick", "qu\ufffdck")))


# misplaced


class StoresInAnotherChat(Plant):
    """Every eighth message is stored and announced in the next customer's chat."""

    finding = "misplaced"
    cause = "stored_in_another_chat"

    async def send(self, chat_id: str, text: str) -> Response:
        if not self.nth(8):
            return await super().send(chat_id, text)
        chats = list(self.chats)
        response = await super().send(chats[(chats.index(chat_id) + 1) % len(chats)], text)
        self.broken.add(self.messages)
        return response


class ListsInAnotherChat(Plant):
    """The list shows every eighth message in the next customer's chat. The store is correct."""

    finding = "misplaced"
    cause = "shown_in_another_chat"

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        moved = {message.number for messages in self.chats.values() for message in messages if message.number % 8 == 0}
        self.broken |= moved
        shown = without(self.chats, moved)
        chats = list(self.chats)
        for chat_id, after in zip(chats, chats[1:] + chats[:1], strict=True):
            shown[after] += [message for message in self.chats[chat_id] if message.number in moved]
        for messages in shown.values():
            messages.sort(key=lambda message: message.number)
        return shown
