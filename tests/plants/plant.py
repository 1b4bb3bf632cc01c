"""The base classes of all plants, which record what they broke and which dashboard a connection belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from .chat import Chat, Message, Reader, Response

Count = int | range
"""How many cases a verdict must count: exactly, or a range where only the moment decides."""

Truth = Mapping[str, Count]
"""The expected count of each finding, by name; 0 if it is not named."""


def most(count: Count) -> int:
    """The highest number that it allows."""
    return max(count, default=0) if isinstance(count, range) else count


@dataclass
class Plant(Chat):
    """A chat with a defect."""

    audience: int = 4  # the scenario's dashboards
    broken: set[int] = field(default_factory=set)  # the numbers of the messages that the defect affected
    finding: ClassVar[str] = ""
    cause: ClassVar[str] = ""
    """The cause that `chatswarm why` must name first for the finding: an id, or several with " or " between them.
    Empty: it must name none, and say that the finding is unexplained.
    """
    cause_of_lost: ClassVar[str] = ""
    """The same for what is lost because of the finding; empty: nothing is."""

    def truth(self) -> Truth:
        """The counts that a verdict must have. Call it after the run."""
        return {self.finding: len(self.broken)}

    def nth(self, step: int) -> bool:
        """Whether the current send is a multiple of `step`."""
        return self.sends % step == 0


@dataclass
class TracksConnections(Plant):
    """Assigns HTTP connections to dashboards, which the protocol does not.

    From the first message on, each dashboard refetches over one connection that stays open: the k-th connection to
    request the list gets slot k. A new connection takes the slot of the one that was closed.
    """

    seen: list[set[int]] = field(default_factory=list)  # by slot: the numbers of the messages that its lists have shown
    over: bool = False  # whole chats are being read, so later lists are not for dashboards
    _free_slots: list[int] = field(default_factory=list)

    async def respond(self, reader: Reader, method: str, path: str, body: bytes) -> Response:
        self.over = self.over or path.startswith("/api/chats/")
        return await super().respond(reader, method, path, body)

    async def list_chats(self, reader: Reader) -> Response:
        if self.messages and reader.slot < 0 and not self.over:
            self._assign_slot(reader)
        return await super().list_chats(reader)

    def left(self, reader: Reader) -> None:
        if reader.slot >= 0:
            self._free_slots.append(reader.slot)

    def unseen(self) -> int:
        """The number of deliveries of accepted messages that no list has shown."""
        return self.audience * self.accepted - sum(map(len, self.seen))

    def _assign_slot(self, reader: Reader) -> None:
        if len(self._free_slots) == 1:
            reader.slot = self._free_slots.pop()
        else:
            reader.slot = len(self.seen)
            self.seen.append(set())
        if self._free_slots or len(self.seen) > self.audience:
            self.mistakes.append("several dashboards reopened their HTTP connections, so they cannot be matched")
        reader.shown = self.seen[reader.slot]


def without(chats: Mapping[str, Sequence[Message]], hidden: set[int]) -> dict[str, list[Message]]:
    return {
        chat_id: [message for message in messages if message.number not in hidden]
        for chat_id, messages in chats.items()
    }
