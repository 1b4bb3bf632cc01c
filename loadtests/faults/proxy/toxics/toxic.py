"""What a toxic is: decisions about the bytes of one direction of one connection. No sockets, and no clock.

    intake ─► stub(toxic) ─► stub(toxic) ─► socket

A toxic says when each piece may go on. Its stub (`toxic_stub.py`) holds the pieces meanwhile, keeps them in order, and
releases them at once when the toxic is removed.
"""

import enum
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

NEVER = float("inf")
"""When a piece goes on that has to wait until the toxic is changed or removed."""


class End(enum.Enum):
    """How one direction of a connection ends. It goes through the toxics behind the last byte."""

    HALF = "half"  # the sender has nothing more to say (FIN); the other direction lives on
    CLOSE = "close"  # the connection is closed, both directions, after what came before has been delivered
    RESET = "reset"  # the connection is reset (RST); what is on its way may be lost


Values = Mapping[str, int]
"""A toxic's attributes: all of them are whole numbers, as Toxiproxy's are."""

Due = tuple[float, bytes | End]
"""When a piece, or the end, may go on: seconds of the clock that `arrived` and `now` are told by."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """What an attribute may be. One that is not given is 0, as in Toxiproxy."""

    unit: str
    least: int = 0
    most: int = 2**63 - 1

    @property
    def expected(self) -> str:
        return f"a whole number of {self.unit}, {self.least} or more"


class Toxic:
    """One toxic in one direction of one connection. Unless a subclass says otherwise it lets everything pass."""

    attributes: ClassVar[Mapping[str, Attribute]] = {}
    room: ClassVar[int] = 64 << 10
    """Bytes that may wait in its stage before the sender is made to wait (back-pressure)."""
    apart: ClassVar[bool] = False
    """Whether pieces are written one by one, even if several are due."""

    def __init__(self, values: Values, chance: random.Random, now: float, *, fresh: bool) -> None:
        """`values` has all of `attributes`; `now` is when it met the connection, which was `fresh` if just opened."""
        self.values = values
        self.chance = chance
        self.began = now
        self.fresh = fresh

    @classmethod
    def problem(cls, values: Values) -> str | None:
        """What is wrong with values that are each right: `place: expected …, got …`."""
        del values
        return None

    def data(self, data: bytes, arrived: float) -> Sequence[Due]:
        """When the pieces of `data` may go on. Pieces left out are swallowed: then the connection must end.

        An End among them closes the connection once what is before it has gone on.
        """
        return [(arrived, data)]

    def end(self, end: End, arrived: float) -> Due:
        """When the sender's end may go on, and as what."""
        return (arrived, end)

    def alarm(self) -> tuple[float, End] | None:
        """When and how it ends the connection by itself; what it holds then is lost."""
        return None

    def update(self, values: Values, now: float) -> None:
        """Other attributes from now on. What was waiting is handed to `data` and `end` once more, in order."""
        self.values = values
        self.began = now

    @property
    def spoils(self) -> bool:
        """Whether the connection has to be closed when this toxic is removed."""
        return False
