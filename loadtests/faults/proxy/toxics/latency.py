"""`latency`: everything arrives later, by latency ± jitter."""

from collections.abc import Sequence
from typing import ClassVar

from .toxic import Attribute, Due, Toxic


class LatencyToxic(Toxic):
    """Delays each piece from its own arrival, so that the rate stays what it was. Jitter never changes the order."""

    attributes: ClassVar = {"latency": Attribute("milliseconds"), "jitter": Attribute("milliseconds")}
    room = 1 << 20  # as much as is under way on a line of 200 ms and 40 Mbit/s

    def data(self, data: bytes, arrived: float) -> Sequence[Due]:
        jitter = self.values["jitter"]
        delay = self.values["latency"] + (self.chance.uniform(-jitter, jitter) if jitter else 0)
        return [(arrived + delay / 1000, data)]
