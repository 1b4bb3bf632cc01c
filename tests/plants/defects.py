"""Chats with one defect each, and otherwise well.

Defects are deterministic: every so-many-th message or delivery, never one in so many at random. Each chat counts what
it broke, so that a verdict can be compared with the truth to the one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import ClassVar

from .chat import NO_ANSWER, Answer, Chat, Dashboard, Message, Reader

Truth = dict[str, int]
"""How often each finding must be made, by its name; those that are not named: never."""


@dataclass
class Plant(Chat):
    """A chat with a defect."""

    audience: int = 4  # the scenario's dashboards
    broken: set[int] = field(default_factory=set)  # the numbers of the messages that the defect befell
    finding: ClassVar[str] = ""

    def truth(self) -> Truth:
        """What a verdict must find. Asked when the run is over."""
        return {self.finding: len(self.broken)}

    def nth(self, step: int) -> bool:
        """Whether this send's turn has come."""
        return self.sends % step == 0


@dataclass
class Places(Plant):
    """Tells the dashboards' HTTP connections apart, which the protocol does not.

    From the first message on each dashboard refetches over one connection that stays open: the k-th connection to ask
    for the list then has place k. One that is opened anew takes the place of the one that ended.
    """

    shown: list[set[int]] = field(default_factory=list)  # by place: the messages that its lists have shown
    over: bool = False  # whole chats are being read: the lists to come are no dashboard's
    _vacant: list[int] = field(default_factory=list)

    async def respond(self, reader: Reader, method: str, path: str, body: bytes) -> Answer:
        self.over = self.over or path.startswith("/api/chats/")
        return await super().respond(reader, method, path, body)

    async def list_chats(self, reader: Reader) -> Answer:
        if self.messages and reader.place < 0 and not self.over:
            self._seat(reader)
        return await super().list_chats(reader)

    def left(self, reader: Reader) -> None:
        if reader.place >= 0:
            self._vacant.append(reader.place)

    def unseen(self) -> int:
        """How many deliveries of accepted messages no list brought."""
        return self.audience * self.accepted - sum(map(len, self.shown))

    def _seat(self, reader: Reader) -> None:
        if len(self._vacant) == 1:
            reader.place = self._vacant.pop()
        else:
            reader.place = len(self.shown)
            self.shown.append(set())
        if self._vacant or len(self.shown) > self.audience:
            self.mistakes.append("dashboards opened their HTTP connections anew, and nobody can tell which is whose")
        reader.shown = self.shown[reader.place]


# lost


class LosesEveryTenth(Plant):
    """Every tenth message is answered with a 2xx and kept, but neither announced nor ever listed."""

    finding = "lost"

    async def send(self, chat_id: str, text: str) -> Answer:
        message = self.store(chat_id, text)
        if self.nth(10):
            self.broken.add(message.number)
        else:
            self.announce(chat_id, message)
        return self.sent(message)

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        return _without(self.chats, self.broken)

    def truth(self) -> Truth:
        return {"lost": len(self.broken) * self.audience}


class LosesEveryThousandthDelivery(Places):
    """Deliveries are counted message by message, dashboard by dashboard. The list of every 1,000th lacks its message.

    The frame comes, so it is not a missed wake-up: it is the list of that one dashboard that is wrong, for good.
    """

    finding = "lost"

    def hides(self, message: Message, place: int) -> bool:
        return (message.number * self.audience + place) % 1000 == 0

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        if reader.place < 0:
            return self.chats
        hidden = {
            message.number
            for messages in self.chats.values()
            for message in messages
            if self.hides(message, reader.place)
        }
        return _without(self.chats, hidden) if hidden else self.chats

    def truth(self) -> Truth:
        lost = sum(
            self.hides(message, place)
            for messages in self.chats.values()
            for message in messages
            for place in range(self.audience)
        )
        assert lost == self.unseen(), (lost, self.unseen())
        return {"lost": lost}


class LosesOnOneDashboardInFifty(LosesEveryThousandthDelivery):
    """The list of one dashboard in fifty lacks every tenth message."""

    def hides(self, message: Message, place: int) -> bool:
        return place % 50 == 17 and message.number % 10 == 0


@dataclass
class LosesTheLastBeforeQuiet(Plant):
    """A message is listed and announced with the next one, and forgotten if that takes longer than a second."""

    finding = "lost"
    held: tuple[str, Message, float] | None = None

    async def send(self, chat_id: str, text: str) -> Answer:
        now = asyncio.get_running_loop().time()
        before, message = self.held, self.store(chat_id, text)
        self.held = (chat_id, message, now)
        self.broken.add(message.number)
        if before is not None and now - before[2] < 1:
            self.broken.remove(before[1].number)
            self.announce(before[0], before[1])
        return self.sent(message)

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        return _without(self.chats, self.broken)

    def truth(self) -> Truth:
        return {"lost": len(self.broken) * self.audience}


class ShowsTwentyCustomers(Places):
    """The list shows the first 20 customers only."""

    finding = "lost"

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        return dict(islice(self.chats.items(), 20))

    def truth(self) -> Truth:
        lost = sum(len(messages) for messages in islice(self.chats.values(), 20, None)) * self.audience
        assert lost == self.unseen(), (lost, self.unseen())
        return {"lost": lost}


class ListFails(Plant):
    """The list is answered 500 once messages come."""

    finding = "lost"

    async def list_chats(self, reader: Reader) -> Answer:
        return (500, {"detail": "no"}) if self.sends else await super().list_chats(reader)

    def truth(self) -> Truth:
        return {"lost": self.accepted * self.audience}


# store_lost


class ForgetsToStore(Plant):
    """Every tenth message is answered with a 2xx, and that is all."""

    finding = "store_lost"

    async def send(self, chat_id: str, text: str) -> Answer:
        if not self.nth(10):
            return await super().send(chat_id, text)
        message = self.numbered(text)
        self.broken.add(message.number)
        return self.sent(message)

    def truth(self) -> Truth:
        return {"store_lost": len(self.broken), "lost": len(self.broken) * self.audience}


# unnotified


class SkipsOneDashboard(Plant):
    """Every seventh message is not announced to the second dashboard, which sees it with the next one."""

    finding = "unnotified"

    def deliver(self, dashboard: Dashboard, chat_id: str, message: Message) -> None:
        if dashboard.number == 2 and self.nth(7):
            self.broken.add(message.number)
        else:
            super().deliver(dashboard, chat_id, message)


class SkipsAllDashboards(Plant):
    """Every seventh message is announced to nobody, and seen with the next one."""

    finding = "unnotified"

    def announce(self, chat_id: str, message: Message) -> None:
        if self.nth(7):
            self.broken.add(message.number)
        else:
            super().announce(chat_id, message)

    def truth(self) -> Truth:
        return {"unnotified": len(self.broken) * self.audience}


# late


@dataclass
class ShowsLate(Plant):
    """Every twelfth message is listed and announced after 2.5 s."""

    finding = "late"
    withheld: set[int] = field(default_factory=set)

    async def send(self, chat_id: str, text: str) -> Answer:
        message = self.store(chat_id, text)
        if self.nth(12):
            self.broken.add(message.number)
            self.withheld.add(message.number)
            asyncio.get_running_loop().call_later(2.5, self.show, chat_id, message)
        else:
            self.announce(chat_id, message)
        return self.sent(message)

    def show(self, chat_id: str, message: Message) -> None:
        self.withheld.remove(message.number)
        self.announce(chat_id, message)

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        return _without(self.chats, self.withheld)

    def truth(self) -> Truth:
        return {"late": len(self.broken) * self.audience}


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
        if reader.place >= 0:
            self.broken |= self.hidden & reader.shown
        return _without(self.chats, self.hidden)


# corrupted


class Mangles(Plant):
    """Of every eighth message the end is cut off, or in turn the beginning."""

    finding = "corrupted"

    def store(self, chat_id: str, text: str) -> Message:
        if not self.nth(8):
            return super().store(chat_id, text)
        message = super().store(chat_id, text[:60] if self.nth(16) else text[20:])
        self.broken.add(message.number)
        return message


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


# silent_socket


class FallsSilent(Places):
    """From the thirtieth message on the second dashboard gets no frames."""

    finding = "silent_socket"
    all_of_them: ClassVar[bool] = False

    def deliver(self, dashboard: Dashboard, chat_id: str, message: Message) -> None:
        if self.sends >= 30 and (dashboard.number == 2 or self.all_of_them):
            self.broken.add(message.number)
        else:
            super().deliver(dashboard, chat_id, message)

    def truth(self) -> Truth:
        sockets = self.audience if self.all_of_them else 1
        # The refetch after the last frame may bring some more.
        assert len(self.broken) * sockets - 5 * sockets <= self.unseen() <= len(self.broken) * sockets
        return {"silent_socket": sockets, "lost": self.unseen()}


class FallsSilentAltogether(FallsSilent):
    """From the thirtieth message on, 3 s after the first, nobody gets frames."""

    all_of_them = True


# refused


class RefusesEveryThirdSend(Plant):
    """Every third send is answered 429, and not stored."""

    finding = "refused"

    async def send(self, chat_id: str, text: str) -> Answer:
        if not self.nth(3):
            return await super().send(chat_id, text)
        self.broken.add(self.sends)
        return 429, {"detail": "no"}


class FailsThreeSendsInTen(Plant):
    """30 % of the sends are answered 500, and not stored."""

    finding = "refused"

    async def send(self, chat_id: str, text: str) -> Answer:
        if self.sends % 10 not in (3, 6, 9):
            return await super().send(chat_id, text)
        self.broken.add(self.sends)
        return 500, {"detail": "no"}


class FailsAfterStoring(Plant):
    """Every eighth send is stored, listed and announced, and then answered 500, or in turn not at all."""

    finding = "refused"

    async def send(self, chat_id: str, text: str) -> Answer:
        answer = await super().send(chat_id, text)
        if not self.nth(8):
            return answer
        self.broken.add(self.messages)
        return NO_ANSWER if self.nth(16) else (500, {"detail": "no"})

    def truth(self) -> Truth:
        return {"refused": len(self.broken), "recovered": len(self.broken)}


# absent


class AdmitsOneDashboardInTwo(Plant):
    """Of the first handshakes every second one is answered 403, and after them all."""

    finding = "absent"

    def welcome(self, dashboard: Dashboard) -> bool:
        return dashboard.number <= self.audience and dashboard.number % 2 == 1

    def truth(self) -> Truth:
        return {"absent": self.audience // 2, "lost": self.audience // 2 * self.accepted}


class NeverLetsBack(Places):
    """With the thirtieth message every second dashboard is closed, and no handshake is accepted any more."""

    finding = "absent"

    async def send(self, chat_id: str, text: str) -> Answer:
        answer = await super().send(chat_id, text)
        if self.sends == 30:
            self.broken = _close_every_second(self.dashboards)
        return answer

    def welcome(self, dashboard: Dashboard) -> bool:
        return self.sends < 30

    def truth(self) -> Truth:
        return {"absent": len(self.broken), "lost": self.unseen()}


@dataclass
class ClosesAfterTheLast(Plant):
    """Every second dashboard is closed 1.5 s after the last message, which it has seen, and never let back."""

    finding = "absent"
    closing: asyncio.TimerHandle | None = None

    async def send(self, chat_id: str, text: str) -> Answer:
        if self.closing is not None:
            self.closing.cancel()
        self.closing = asyncio.get_running_loop().call_later(1.5, self.close)
        return await super().send(chat_id, text)

    def close(self) -> None:
        self.broken = _close_every_second(self.dashboards)

    def welcome(self, dashboard: Dashboard) -> bool:
        return not self.broken


class RefusesEverySecondHandshake(Plant):
    """Every second handshake is answered 403. Whoever tries again gets in, so only the time to connect shows it."""

    def welcome(self, dashboard: Dashboard) -> bool:
        if dashboard.number % 2 == 0:
            self.broken.add(dashboard.number)
            return False
        return True

    def truth(self) -> Truth:
        return {}


def _without(chats: Mapping[str, Sequence[Message]], hidden: set[int]) -> dict[str, list[Message]]:
    return {
        chat_id: [message for message in messages if message.number not in hidden]
        for chat_id, messages in chats.items()
    }


def _close_every_second(dashboards: list[Dashboard]) -> set[int]:
    closed = [dashboard for dashboard in dashboards if dashboard.number % 2 == 0]
    for dashboard in closed:
        dashboard.close(1012)
    return {dashboard.number for dashboard in closed}
