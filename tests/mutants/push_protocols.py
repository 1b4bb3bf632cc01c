"""Two more protocols: push chats whose sends are accepted by their echo, or that batch by lines.

`--protocol` takes them by the path of this file.
"""

from collections.abc import Mapping, Sequence

import msgspec

from chatswarm.loadtests.protocols.protocol import Frame
from chatswarm.loadtests.protocols.push import Push

ECHO, LINES = f"{__file__}:PushEcho", f"{__file__}:PushLines"


class PushEcho(Push):
    """A send over a socket is accepted by its own message."""

    name = "push-echo"
    promises = msgspec.structs.replace(Push.promises, accepted_by="echo")

    def __init__(self, _environment: Mapping[str, str]) -> None:
        super().__init__()


class PushLines(Push):
    """A WebSocket message may have several frames, each on a line."""

    name = "push-lines"

    def __init__(self, _environment: Mapping[str, str]) -> None:
        super().__init__()

    def read_frames(self, data: bytes) -> Sequence[Frame]:
        return [frame for line in data.split(b"\n") for frame in super(PushLines, self).read_frames(line)]
