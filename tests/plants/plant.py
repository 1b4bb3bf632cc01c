"""What all plants are made of: they know what they broke, and can tell the dashboards' connections apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from .chat import Answer, Chat, Message, Reader

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

    seen: list[set[int]] = field(default_factory=list)  # by place: the messages that its lists have shown
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
        return self.audience * self.accepted - sum(map(len, self.seen))

    def _seat(self, reader: Reader) -> None:
        if len(self._vacant) == 1:
            reader.place = self._vacant.pop()
        else:
            reader.place = len(self.seen)
            self.seen.append(set())
        if self._vacant or len(self.seen) > self.audience:
            self.mistakes.append("dashboards opened their HTTP connections anew, and nobody can tell which is whose")
        reader.shown = self.seen[reader.place]


def without(chats: Mapping[str, Sequence[Message]], hidden: set[int]) -> dict[str, list[Message]]:
    return {
        chat_id: [message for message in messages if message.number not in hidden]
        for chat_id, messages in chats.items()
    }
