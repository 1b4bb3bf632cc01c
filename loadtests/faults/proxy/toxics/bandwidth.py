"""`bandwidth`: limits the throughput to a rate in KB/s."""

from collections.abc import Sequence
from typing import ClassVar

from .toxic import NEVER, Attribute, Due, Toxic, Values

_STEP = 100  # milliseconds of data per piece, as in Toxiproxy


class BandwidthToxic(Toxic):
    """A line of `rate` × 1000 bytes per second. At rate 0 nothing moves, and nothing is lost."""

    attributes: ClassVar = {"rate": Attribute("KB/s (1 KB: 1000 bytes)")}

    _free = 0.0  # when the line will have sent everything queued so far

    def data(self, data: bytes, arrived: float) -> Sequence[Due]:
        rate = self.values["rate"]  # bytes per millisecond
        if rate == 0:
            return [(NEVER, data)]
        dues: list[Due] = []
        self._free = max(self._free, arrived)
        for start in range(0, len(data), rate * _STEP):
            piece = data[start : start + rate * _STEP]
            self._free += len(piece) / (rate * 1000)
            dues.append((self._free, piece))
        return dues

    def update(self, values: Values, now: float) -> None:
        super().update(values, now)
        self._free = now  # what waits is scheduled again at the new rate
