"""Chats that do not deliver every message to every dashboard: `lost`, `store_lost`, `unnotified`, `late`."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from .chat import Dashboard, Message, Reader, Response
from .plant import Plant, TracksConnections, Truth, without

# lost


class LosesEveryTenth(Plant):
    """Every tenth message gets a 2xx and is stored, but is neither announced nor listed."""

    finding = "lost"
    cause = "every_kth"

    async def send(self, chat_id: str, text: str) -> Response:
        message = self.store(chat_id, text)
        if self.nth(10):
            self.broken.add(message.number)
        else:
            self.announce(chat_id, message)
        return self.sent(message)

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        return without(self.chats, self.broken)

    def truth(self) -> Truth:
        return {"lost": len(self.broken) * self.audience}


class LosesEveryThousandthDelivery(TracksConnections):
    """Every 1,000th delivery, counted by message and then by dashboard, is missing from that dashboard's list.

    Its frame is sent, so this is not a missed notification: the list of that one dashboard stays wrong.
    """

    finding = "lost"

    def hides(self, message: Message, slot: int) -> bool:
        return (message.number * self.audience + slot) % 1000 == 0

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        if reader.slot < 0:
            return self.chats
        hidden = {
            message.number
            for messages in self.chats.values()
            for message in messages
            if self.hides(message, reader.slot)
        }
        return without(self.chats, hidden) if hidden else self.chats

    def truth(self) -> Truth:
        lost = sum(
            self.hides(message, slot)
            for messages in self.chats.values()
            for message in messages
            for slot in range(self.audience)
        )
        assert lost == self.unseen(), (lost, self.unseen())
        return {"lost": lost}


class LosesOnOneDashboardInFifty(LosesEveryThousandthDelivery):
    """The list of one dashboard in fifty lacks every tenth message."""

    cause = "one_dashboard"

    def hides(self, message: Message, slot: int) -> bool:
        return slot % 50 == 17 and message.number % 10 == 0


@dataclass
class LosesTheLastBeforeQuiet(Plant):
    """Each message is listed and announced with the next one, or not at all if the next takes longer than a second."""

    finding = "lost"
    cause = "last_before_quiet"
    held: tuple[str, Message, float] | None = None

    async def send(self, chat_id: str, text: str) -> Response:
        now = asyncio.get_running_loop().time()
        before, message = self.held, self.store(chat_id, text)
        self.held = (chat_id, message, now)
        self.broken.add(message.number)
        if before is not None and now - before[2] < 1:
            self.broken.remove(before[1].number)
            self.announce(before[0], before[1])
        return self.sent(message)

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        return without(self.chats, self.broken)

    def truth(self) -> Truth:
        return {"lost": len(self.broken) * self.audience}


class ShowsTwentyCustomers(TracksConnections):
    """The list shows only the first 20 customers."""

    finding = "lost"
    cause = "list_window"

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        return dict(islice(self.chats.items(), 20))

    def truth(self) -> Truth:
        lost = sum(len(messages) for messages in islice(self.chats.values(), 20, None)) * self.audience
        assert lost == self.unseen(), (lost, self.unseen())
        return {"lost": lost}


@dataclass
class LosesOneChat(Plant):
    """What is sent into the second chat that was created is stored, but neither announced nor listed."""

    finding = "lost"
    cause = "one_chat"

    @property
    def unlisted(self) -> str:
        return next(islice(self.chats, 1, None), "")

    def announce(self, chat_id: str, message: Message) -> None:
        if chat_id == self.unlisted:
            self.broken.add(message.number)
        else:
            super().announce(chat_id, message)

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        return {chat_id: messages for chat_id, messages in self.chats.items() if chat_id != self.unlisted}

    def truth(self) -> Truth:
        return {"lost": len(self.broken) * self.audience}


class ClosesAndStaysQuiet(TracksConnections):
    """Just before the 55th message of 60, all dashboards are closed.

    The rest has been sent when they are back, so pages that do not refetch after reconnecting never show it.
    """

    finding = "lost"
    cause = "nobody_asked"

    async def send(self, chat_id: str, text: str) -> Response:
        if self.sends == 55:
            for dashboard in list(self.dashboards):
                dashboard.close(1012)
        return await super().send(chat_id, text)

    def truth(self) -> Truth:
        return {"lost": self.unseen()}


class ListFails(Plant):
    """The list returns 500 after the first send."""

    finding = "lost"
    cause = "list_fails"

    async def list_chats(self, reader: Reader) -> Response:
        return (500, {"detail": "no"}) if self.sends else await super().list_chats(reader)

    def truth(self) -> Truth:
        return {"lost": self.accepted * self.audience}


class AnnouncesTooEarly(TracksConnections):
    """Every message is announced half a second before it is listed, so it is shown with the next ones, if any."""

    finding = "lost"
    cause = "frame_before_list"

    async def send(self, chat_id: str, text: str) -> Response:
        message = self.store(chat_id, text)
        self.broken.add(message.number)
        asyncio.get_running_loop().call_later(0.5, self.broken.remove, message.number)
        self.announce(chat_id, message)
        return self.sent(message)

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        return without(self.chats, self.broken)

    def truth(self) -> Truth:
        return {"lost": self.unseen()}


@dataclass
class CachesTheList(TracksConnections):
    """The list is rebuilt only once a second, so refetches for the last messages show an old one."""

    finding = "lost"
    cause = "cached_list"
    cached: dict[str, list[Message]] = field(default_factory=dict)
    made: float = 0.0

    def listed(self, reader: Reader) -> Mapping[str, Sequence[Message]]:
        now = asyncio.get_running_loop().time()
        if now - self.made > 1:
            self.cached, self.made = without(self.chats, set()), now
        return self.cached

    def truth(self) -> Truth:
        return {"lost": self.unseen()}


# store_lost


class ForgetsToStore(Plant):
    """Every tenth message gets a 2xx, and is not stored."""

    finding = "store_lost"
    cause = "every_kth"
    cause_of_lost = "never_stored"

    async def send(self, chat_id: str, text: str) -> Response:
        if not self.nth(10):
            return await super().send(chat_id, text)
        message = self.numbered(text)
        self.broken.add(message.number)
        return self.sent(message)

    def truth(self) -> Truth:
        return {"store_lost": len(self.broken), "lost": len(self.broken) * self.audience}


# unnotified


class SkipsOneDashboard(Plant):
    """Every seventh message is not announced to the second dashboard, which shows it with the next one."""

    finding = "unnotified"
    cause = "one_dashboard or every_kth or frame_never_sent"

    def deliver(self, dashboard: Dashboard, chat_id: str, message: Message) -> None:
        if dashboard.number == 2 and self.nth(7):
            self.broken.add(message.number)
        else:
            super().deliver(dashboard, chat_id, message)


class SkipsAllDashboards(Plant):
    """Every seventh message is not announced to any dashboard, and is shown with the next one."""

    finding = "unnotified"
    cause = "every_kth or frame_never_sent"

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
    cause = "slow_notify"
    withheld: set[int] = field(default_factory=set)

    async def send(self, chat_id: str, text: str) -> Response:
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
        return without(self.chats, self.withheld)

    def truth(self) -> Truth:
        return {"late": len(self.broken) * self.audience}
