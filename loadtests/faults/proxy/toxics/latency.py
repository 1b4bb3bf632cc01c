"""`latency`: delays all data by latency ± jitter."""

from collections.abc import Sequence
from typing import ClassVar

from .toxic import Attribute, Due, Toxic


class LatencyToxic(Toxic):
    """Delays each piece from its own arrival, which leaves the throughput unchanged. Jitter never reorders."""

    attributes: ClassVar = {"latency": Attribute("milliseconds"), "jitter": Attribute("milliseconds")}
    capacity = 1 << 20  # the data in transit on a line of 200 ms and 40 Mbit/s

    def data(self, data: bytes, arrived: float) -> Sequence[Due]:
        jitter = self.values["jitter"]
        delay = self.values["latency"] + (self.rng.uniform(-jitter, jitter) if jitter else 0)
        return [(arrived + delay / 1000, data)]
