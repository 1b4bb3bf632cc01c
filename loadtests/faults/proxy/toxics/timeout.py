"""`timeout`: a black hole that acknowledges and drops all data, then closes the connection."""

from collections.abc import Sequence
from typing import ClassVar

from .toxic import Attribute, Due, End, Toxic


class TimeoutToxic(Toxic):
    """Swallows everything, and closes after `timeout`, or with 0 only when it is removed.

    The time counts from when the toxic was applied, as Toxiproxy's manual says (its code starts again with each
    chunk). As in Toxiproxy, removing it always closes the connection.
    """

    attributes: ClassVar = {"timeout": Attribute("milliseconds")}

    _swallowed = False

    def data(self, data: bytes, arrived: float) -> Sequence[Due]:
        del data, arrived
        self._swallowed = True
        return []

    def end(self, end: End, arrived: float) -> Due:
        # A clean half-close after swallowed bytes would look to the receiver like complete data.
        return (arrived, End.CLOSE if self._swallowed and end is End.HALF else end)

    def deadline(self) -> tuple[float, End] | None:
        timeout = self.values["timeout"]
        return (self.began + timeout / 1000, End.CLOSE) if timeout else None

    @property
    def closes_on_removal(self) -> bool:
        return True
