"""`slicer`: cuts data into small pieces."""

from collections.abc import Sequence
from typing import ClassVar

from .toxic import Attribute, Due, Toxic, Values


class SlicerToxic(Toxic):
    """Cuts data into pieces of `average_size` ± `size_variation` bytes, `delay` microseconds apart, one write each.

    Timers have a resolution of 1 ms: with a shorter delay, several pieces follow each other in each tick.
    """

    attributes: ClassVar = {
        "average_size": Attribute("bytes", minimum=1),
        "size_variation": Attribute("bytes"),
        "delay": Attribute("microseconds"),
    }
    one_at_a_time = True

    _free = 0.0  # when the next piece may go

    @classmethod
    def problem(cls, values: Values) -> str | None:
        if values["size_variation"] < values["average_size"]:
            return None
        return f"size_variation: expected fewer bytes than average_size, got {values['size_variation']}"

    def data(self, data: bytes, arrived: float) -> Sequence[Due]:
        average, variation = self.values["average_size"], self.values["size_variation"]
        dues: list[Due] = []
        self._free = max(self._free, arrived)
        start = 0
        while start < len(data):
            size = self.rng.randint(average - variation, average + variation)
            dues.append((self._free, data[start : start + size]))
            self._free += self.values["delay"] / 1_000_000
            start += size
        return dues

    def update(self, values: Values, now: float) -> None:
        super().update(values, now)
        self._free = now
