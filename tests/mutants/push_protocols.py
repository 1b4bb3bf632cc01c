"""More protocols: push chats that accept sends in other ways, batch by lines, or say nothing of what was missed.

`--protocol` takes them by the path of this file.
"""

from collections.abc import Mapping, Sequence

import msgspec

from chatswarm.loadtests.protocols.protocol import Frame, Session, Taken, User
from chatswarm.loadtests.protocols.push import Push, PushSession

ECHO, WRITTEN, LINES, FORGETFUL = (
    f"{__file__}:{name}" for name in ("PushEcho", "PushWritten", "PushLines", "PushForgetful")
)


class PushEcho(Push):
    """A send over a socket is accepted by its own message."""

    name = "push-echo"
    promises = msgspec.structs.replace(Push.promises, accepted_by="echo")

    def __init__(self, _environment: Mapping[str, str]) -> None:
        super().__init__()


class PushWritten(Push):
    """A send over a socket counts as accepted once its bytes went out, and no room can be read."""

    name = "push-written"
    promises = msgspec.structs.replace(Push.promises, accepted_by="written", sends_over=("socket",), history="none")

    def __init__(self, _environment: Mapping[str, str]) -> None:
        super().__init__()


class PushLines(Push):
    """A WebSocket message may have several frames, each on a line."""

    name = "push-lines"

    def __init__(self, _environment: Mapping[str, str]) -> None:
        super().__init__()

    def read_frames(self, data: bytes) -> Sequence[Frame]:
        return [frame for line in data.split(b"\n") for frame in super(PushLines, self).read_frames(line)]


class _ForgetfulSession(PushSession):
    def join(self, room: str, last: Frame | None) -> Taken:
        return super().join(room, None)


class PushForgetful(Push):
    """Who joins a room again cannot say what it has seen, and is told nothing of what it missed."""

    name = "push-forgetful"

    def __init__(self, _environment: Mapping[str, str]) -> None:
        super().__init__()

    def session(self, user: User, *, everything: bool = False, room: str = "") -> Session:
        return _ForgetfulSession(everything=everything)
