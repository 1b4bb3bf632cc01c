"""`timeout`: a black hole. Bytes are taken, acknowledged and thrown away; then the connection is closed."""

from collections.abc import Sequence
from typing import ClassVar

from .toxic import Attribute, Due, End, Toxic


class TimeoutToxic(Toxic):
    """Swallows everything, and closes after `timeout`; with 0, when it is removed.

    The time counts from when the toxic met the connection, as Toxiproxy's manual has it (its code starts again with
    each chunk). As in Toxiproxy, its removal always closes.
    """

    attributes: ClassVar = {"timeout": Attribute("milliseconds")}

    _swallowed = False

    def data(self, data: bytes, arrived: float) -> Sequence[Due]:
        del data, arrived
        self._swallowed = True
        return []

    def end(self, end: End, arrived: float) -> Due:
        # A clean half-close behind swallowed bytes would tell the receiver that it has all of them.
        return (arrived, End.CLOSE if self._swallowed and end is End.HALF else end)

    def alarm(self) -> tuple[float, End] | None:
        timeout = self.values["timeout"]
        return (self.began + timeout / 1000, End.CLOSE) if timeout else None

    @property
    def spoils(self) -> bool:
        return True
