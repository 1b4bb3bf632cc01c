"""`slow_close`: the end of the connection arrives later than its last byte."""

from typing import ClassVar

from .toxic import Attribute, Due, End, Toxic


class SlowCloseToxic(Toxic):
    """Holds back the end for `delay`; bytes pass untouched."""

    attributes: ClassVar = {"delay": Attribute("milliseconds")}

    def end(self, end: End, arrived: float) -> Due:
        return (arrived + self.values["delay"] / 1000, end)
