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
    joins_rooms: bool = True
    """A connection is sent the messages of the rooms that it has joined, and of no others."""
    senders_join: bool = True
    """Who sends over a socket has to have joined the room."""
    one_room: bool = False
    """A connection has one room, which its frames do not name."""
    most_rooms: int | None = None
    """How many rooms there can be; None: any number."""
    members_change: bool = True
    """Users can become members of a room, and stop being members, in the middle of a run."""
    echoes: bool = True
    """A user who sends and views is sent its own messages."""
    replays_once: bool = False
    """What is replayed after a reconnection never overlaps with live frames."""
    accepted_within: float | None = None
    """Seconds that a client waits for an acknowledgement; None: as for a response."""
    sends_per_user: float | None = None
    """The most messages per second that one user may send; None: the chat has no such limit."""
    dead_after: float | None = None
    """Seconds of silence after which a client must consider its connection dead, where the server pings. None: the
    client pings, as the scenario says."""
