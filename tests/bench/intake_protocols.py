"""Push chats whose frames differ on every connection, and one whose frames announce without a text."""

from collections.abc import Sequence

import msgspec

from chatswarm.loadtests.protocols.protocol import Frame, Kind, Unreadable
from chatswarm.loadtests.protocols.push import Push


class _Message(msgspec.Struct):
    type: str
    room: str = ""
    id: int = -1
    text: str = ""
    replay: bool = False


class Bare(Push):
    """Frames only announce that there is a message."""

    def read_frames(self, data: bytes) -> Sequence[Frame]:
        (frame,) = super().read_frames(data)
        return (frame._replace(text=None),)


class Numbered(Push):
    """Each connection numbers its frames in `seq`."""


class Stomp(Push):
    """Frames have a head, whose `message-id` is the connection's own, and end with a zero byte."""

    def __init__(self) -> None:
        super().__init__()
        self._message = msgspec.json.Decoder(_Message)

    def read_frames(self, data: bytes) -> Sequence[Frame]:
        head, _, body = data.partition(b"\n\n")
        if not head.startswith(b"MESSAGE\n"):
            return super().read_frames(data)
        try:
            read = self._message.decode(body[:-1])
        except msgspec.MsgspecError as error:
            raise Unreadable(f"a frame: {error}") from error
        return (Frame(Kind.MESSAGE, read.room, message_id=read.id, text=read.text, replayed=read.replay),)
