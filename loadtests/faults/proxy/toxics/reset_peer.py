"""`reset_peer`: resets the connection (RST) at both ends."""

from collections.abc import Sequence
from typing import ClassVar

from .toxic import NEVER, Attribute, Due, End, Toxic, Values


class ResetPeerToxic(Toxic):
    """Resets after `timeout`, and holds what arrives until then. If it is removed in time, that goes on.

    On a new connection, the time counts from the first bytes of the toxic's stream, as in Toxiproxy: a request gets
    through, and the reset comes instead of the response. A connection that was already open is reset even if it is
    idle. (Toxiproxy waits for bytes there as well, and then closes with a FIN.)
    """

    attributes: ClassVar = {"timeout": Attribute("milliseconds")}

    _first_bytes: float | None = None  # when they arrived

    def data(self, data: bytes, arrived: float) -> Sequence[Due]:
        self._first_bytes = arrived if self._first_bytes is None else self._first_bytes
        return [(NEVER, data)]

    def end(self, end: End, arrived: float) -> Due:
        self._first_bytes = arrived if self._first_bytes is None else self._first_bytes
        return (NEVER, end)

    def deadline(self) -> tuple[float, End] | None:
        since = self._first_bytes if self.fresh else self.began
        return None if since is None else (since + self.values["timeout"] / 1000, End.RESET)

    def update(self, values: Values, now: float) -> None:
        super().update(values, now)
        self._first_bytes = None if self._first_bytes is None else now
