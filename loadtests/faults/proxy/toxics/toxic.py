"""The base class of toxics, which decide when bytes may go on in one direction of a connection. No I/O.

    intake ─► stub(toxic) ─► stub(toxic) ─► socket

A toxic decides when each piece may go on. Its stub (`toxic_stub.py`) holds the pieces until then, keeps them in order,
and releases them at once when the toxic is removed.
"""

import enum
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

NEVER = float("inf")
"""The due time of a piece that must wait until the toxic is changed or removed."""


class End(enum.Enum):
    """How one direction of a connection ends. It follows the last byte through the toxics."""

    HALF = "half"  # the sender sends no more (FIN); the other direction stays open
    CLOSE = "close"  # both directions are closed, after everything before has been delivered
    RESET = "reset"  # the connection is reset (RST); data in transit may be lost


Values = Mapping[str, int]
"""A toxic's attributes: whole numbers, as in Toxiproxy."""

Due = tuple[float, bytes | End]
"""When a piece, or the end, may go on: seconds on the same clock as `arrived` and `now`."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """The allowed values of an attribute. As in Toxiproxy, the default is 0."""

    unit: str
    minimum: int = 0
    maximum: int = 2**63 - 1

    @property
    def expected(self) -> str:
        return f"a whole number of {self.unit}, {self.minimum} or more"


class Toxic:
    """One toxic in one direction of one connection. This base class lets everything pass."""

    attributes: ClassVar[Mapping[str, Attribute]] = {}
    capacity: ClassVar[int] = 64 << 10
    """Bytes that may wait in its stub before the sender must wait (back-pressure)."""
    one_at_a_time: ClassVar[bool] = False
    """Whether pieces are written one at a time, even if several are due."""

    def __init__(self, values: Values, rng: random.Random, now: float, *, fresh: bool) -> None:
        """`values`: all of `attributes`. `now`: when it is applied. `fresh`: the connection was just opened."""
        self.values = values
        self.rng = rng
        self.began = now
        self.fresh = fresh

    @classmethod
    def problem(cls, values: Values) -> str | None:
        """What is wrong with values that are each valid: `attribute: expected …, got …`. None if nothing is."""
        del values
        return None

    def data(self, data: bytes, arrived: float) -> Sequence[Due]:
        """When the pieces of `data` may go on. Omitted bytes are swallowed; the connection must then end.

        An End among them closes the connection once everything before it has gone on.
        """
        return [(arrived, data)]

    def end(self, end: End, arrived: float) -> Due:
        """When the sender's end may go on, and as which end."""
        return (arrived, end)

    def deadline(self) -> tuple[float, End] | None:
        """When and how the toxic ends the connection by itself. It loses what it holds then. None: never."""
        return None

    def update(self, values: Values, now: float) -> None:
        """Change the attributes. Waiting pieces are then passed to `data` and `end` again, in order."""
        self.values = values
        self.began = now

    @property
    def closes_on_removal(self) -> bool:
        """Whether the connection must be closed when this toxic is removed."""
        return False
