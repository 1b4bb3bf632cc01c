"""Clients that misbehave on purpose, in a separate process. One kind per file; `rogue.py` is the base class."""

from collections.abc import Mapping

from .bad_frames import BadFrames
from .bad_token import BadToken
from .connection_flood import ConnectionFlood
from .foreign_origin import ForeignOrigin
from .half_handshakes import HalfHandshakes
from .idle_sockets import IdleSockets
from .intruders import Intruders
from .rogue import Rogue
from .slow_reader import SlowReader

KINDS: Mapping[str, type[Rogue]] = {
    "bad_frames": BadFrames,
    "bad_token": BadToken,
    "connection_flood": ConnectionFlood,
    "foreign_origin": ForeignOrigin,
    "half_handshakes": HalfHandshakes,
    "idle_sockets": IdleSockets,
    "intruders": Intruders,
    "slow_reader": SlowReader,
}

__all__ = ["KINDS", "Rogue"]
