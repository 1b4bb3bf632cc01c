"""What a kind of chat promises, which decides what can be measured and how strong each word of the verdict is."""

from typing import Literal

import msgspec

Visible = Literal["refetch", "frame"]
"""When a dashboard shows a message: when a refetch that shows it has finished, or when a frame with its text came."""

Acceptance = Literal["status", "ack", "echo", "written"]
"""What makes a send accepted: the status (and body) of a response, an acknowledgement with its reference, its own
message coming back, or that its bytes were written."""

History = Literal["pages", "replay", "none"]
"""How everything in a chat can be read at the end: by requests, as the replay on a new connection, or not at all."""


SendOver = Literal["http", "socket"]
"""How messages are sent: by requests, or over the sender's WebSocket."""


class Promises(msgspec.Struct, frozen=True):
    """The defaults are those of the guide's chat."""

    visible: Visible = "refetch"
    accepted_by: Acceptance = "status"
    sends_over: tuple[SendOver, ...] = ("http",)
    """The ways in which a message can be sent."""
    confirms_subscriptions: bool = True
    """The target says when a subscription is in force. If not, a dashboard counts as subscribed once it has asked."""
    history: History = "pages"
    has_rooms: bool = False
    """Chats are the scenario's rooms. If not, each widget has a chat, and every dashboard shows all of them."""
    has_members: bool = False
    """Only members of a room may see it."""
    echoes: bool = True
    """A user who sends and views is sent its own messages."""
    replays_once: bool = False
    """What is replayed after a reconnection never overlaps with live frames."""
    dead_after: float | None = None
    """Seconds of silence after which a client must consider its connection dead, where the server pings. None: the
    client pings, as the scenario says."""
