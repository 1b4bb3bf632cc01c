"""`reset_peer`: the connection is reset (RST) at both ends."""

from collections.abc import Sequence
from typing import ClassVar

from .toxic import NEVER, Attribute, Due, End, Toxic, Values


class ResetPeerToxic(Toxic):
    """Resets after `timeout`; until then it holds what arrives. Removed in time, it lets that go on.

    On a connection that is opened under it, the time counts from the first bytes of its stream, as in Toxiproxy: a
    request arrives, its answer meets the reset. One that was open before is reset whether or not it says anything.
    (Toxiproxy waits for bytes there as well, and then closes with a FIN.)
    """

    attributes: ClassVar = {"timeout": Attribute("milliseconds")}

    _since: float | None = None  # when the first bytes came

    def data(self, data: bytes, arrived: float) -> Sequence[Due]:
        self._since = arrived if self._since is None else self._since
        return [(NEVER, data)]

    def end(self, end: End, arrived: float) -> Due:
        self._since = arrived if self._since is None else self._since
        return (NEVER, end)

    def alarm(self) -> tuple[float, End] | None:
        since = self._since if self.fresh else self.began
        return None if since is None else (since + self.values["timeout"] / 1000, End.RESET)

    def update(self, values: Values, now: float) -> None:
        super().update(values, now)
        self._since = None if self._since is None else now
