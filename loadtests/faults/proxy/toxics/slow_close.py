"""`slow_close`: delays the end of the connection after its last byte."""

from typing import ClassVar

from .toxic import Attribute, Due, End, Toxic


class SlowCloseToxic(Toxic):
    """Delays the end by `delay`. Data passes at once."""

    attributes: ClassVar = {"delay": Attribute("milliseconds")}

    def end(self, end: End, arrived: float) -> Due:
        return (arrived + self.values["delay"] / 1000, end)
