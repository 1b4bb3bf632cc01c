"""`limit_data`: closes the connection after a number of bytes, even in the middle of a frame."""

from collections.abc import Sequence
from typing import ClassVar

from .toxic import Attribute, Due, End, Toxic


class LimitDataToxic(Toxic):
    """Passes `bytes` bytes, counted from when the toxic was applied, then closes. The rest is lost."""

    attributes: ClassVar = {"bytes": Attribute("bytes")}

    _passed = 0

    def data(self, data: bytes, arrived: float) -> Sequence[Due]:
        rest = max(0, self.values["bytes"] - self._passed)
        piece = data[:rest]
        self._passed += len(piece)
        dues: list[Due] = [(arrived, piece)] if piece else []
        if self._passed >= self.values["bytes"]:
            dues.append((arrived, End.CLOSE))
        return dues
