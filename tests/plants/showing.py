"""Chats that show what is not so: `duplicated`, `reordered`, `phantom`, `vanished`, `corrupted`, `misplaced`."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from .chat import Answer, Dashboard, Message, Reader
from .plant import Places, Plant, Truth, without

# duplicated


class StoresTwice(Plant):
    """Every eighth message is stored twice, under two numbers, and announced once."""

    finding = "duplicated"

    async def send(self, chat_id: str, text: str) -> Answer:
        message = self.store(chat_id, text)
        if self.nth(8):
            self.broken.add(self.store(chat_id, text).number)
        self.announce(chat_id, message)
        return self.sent(message)


class ListsTwice(Plant):
    """The list shows every eighth message twice. The store has it once."""

    finding = "duplicated"

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

    def deliver(self, dashboard: Dashboard, chat_id: str, message: Message) -> None:
        super().deliver(dashboard, chat_id, message)
        if dashboard.number == 2 and self.nth(8):
            self.broken.add(message.number)
            super().deliver(dashboard, chat_id, message)


# reordered


class StoresBeforeThePrevious(Plant):
    """Every eighth message is stored in front of the one before it in its chat."""

    finding = "reordered"

    def store(self, chat_id: str, text: str) -> Message:
        message = super().store(chat_id, text)
        messages = self.chats[chat_id]
        if self.nth(8) and len(messages) > 1:
            messages[-2:] = [messages[-1], messages[-2]]
            self.broken.add(message.number)
        return message


class ListsTheWrongWayRound(Places):
    """To every second connection the list shows a chat's last two messages swapped, if the last is an eighth one."""

    finding = "reordered"

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        if reader.place % 2 == 0 or reader.place < 0:
            return self.chats
        chats = {chat_id: list(messages) for chat_id, messages in self.chats.items()}
        for messages in chats.values():
            if len(messages) > 1 and messages[-1].number % 8 == 0:
                messages[-2:] = [messages[-1], messages[-2]]
                # The earlier one is what now stands on the wrong side.
                self.broken.add(messages[-1].number)
        return chats


# phantom


class MakesUpMessages(Plant):
    """After every tenth message the chat has one more that its customer never sent: stored, listed and announced."""

    finding = "phantom"

    async def send(self, chat_id: str, text: str) -> Answer:
        answer = await super().send(chat_id, text)
        if self.nth(10):
            phantom = self.store(chat_id, "Hello?")
            self.broken.add(phantom.number)
            self.announce(chat_id, phantom)
        return answer


class KeepsWhatItRejects(Plant):
    """Every tenth message is answered 422, and all the same stored, listed and announced."""

    finding = "phantom"

    async def send(self, chat_id: str, text: str) -> Answer:
        answer = await super().send(chat_id, text)
        if self.nth(10):
            self.broken.add(self.messages)
            return 422, {"detail": "no"}
        return answer

    def truth(self) -> Truth:
        return {"phantom": len(self.broken), "refused": len(self.broken)}


class AnnouncesNothing(Plant):
    """After every tenth message all dashboards hear of one with an id that nothing has. Needs ids."""

    finding = "phantom"

    def announce(self, chat_id: str, message: Message) -> None:
        super().announce(chat_id, message)
        if self.nth(10):
            self.broken.add(message.number)
            super().announce(chat_id, Message(1_000_000 + message.number, ""))


# vanished


class Deletes(Plant):
    """Every seventh message is gone a second after it was stored."""

    finding = "vanished"

    def store(self, chat_id: str, text: str) -> Message:
        message = super().store(chat_id, text)
        if self.nth(7):
            self.broken.add(message.number)
            asyncio.get_running_loop().call_later(1, self.chats[chat_id].remove, message)
        return message

    def truth(self) -> Truth:
        return {"vanished": len(self.broken), "store_lost": len(self.broken)}


@dataclass
class HidesCustomers(Places):
    """Of every fourteenth message the whole chat is missing in the list from 1 s to 1.5 s after it was stored."""

    finding = "vanished"
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
class HidesForASecond(Places):
    """Every seventh message is missing in the list from 1 s to 2 s after it was stored. The store has it throughout."""

    finding = "vanished"
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
        if reader.place >= 0:
            self.broken |= {number for number in self.hidden & reader.shown if self._would_show(number, shown)}
        return shown

    def _would_show(self, number: int, shown: Mapping[str, Sequence[Message]]) -> bool:
        """Whether a list has older messages of the same chat than the one that it lacks."""
        chat_id = next(name for name, messages in self.chats.items() if any(m.number == number for m in messages))
        return shown[chat_id][-(self.tail or len(shown[chat_id])) :][0].number < number


# corrupted


class Mangles(Plant):
    """Every eighth message is stored damaged: without its end, without its beginning, or with one letter changed."""

    finding = "corrupted"

    def store(self, chat_id: str, text: str) -> Message:
        if not self.nth(8):
            return super().store(chat_id, text)
        damaged = (text[:60], text[20:], text.replace("quick", "qu\ufffdck"))[self.sends // 8 % 3]
        message = super().store(chat_id, damaged)
        self.broken.add(message.number)
        return message


class ListsMangled(Plant):
    """The list shows every eighth message with one letter changed. The store has it right."""

    finding = "corrupted"

    def shown(self, message: Message) -> dict[str, object]:
        if message.number % 8:
            return super().shown(message)
        self.broken.add(message.number)
        return super().shown(replace(message, text=message.text.replace("quick", "qu\ufffdck")))


# misplaced


class Misfiles(Plant):
    """Every eighth message is stored and announced in the next customer's chat."""

    finding = "misplaced"

    async def send(self, chat_id: str, text: str) -> Answer:
        if not self.nth(8):
            return await super().send(chat_id, text)
        chats = list(self.chats)
        answer = await super().send(chats[(chats.index(chat_id) + 1) % len(chats)], text)
        self.broken.add(self.messages)
        return answer


class ListsInAnotherChat(Plant):
    """The list shows every eighth message in the next customer's chat. The store has it right."""

    finding = "misplaced"

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
