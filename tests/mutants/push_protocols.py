"""`chatswarm` with two more protocols: push chats whose sends are accepted by their echo, or that batch by lines.

Run as a script, it is the command, and then also the swarm that this starts.
"""

import sys
from collections.abc import Sequence

import msgspec

from chatswarm.loadtests.protocols import PROTOCOLS
from chatswarm.loadtests.protocols.protocol import Frame
from chatswarm.loadtests.protocols.push import Push

COMMAND = [sys.executable, __file__]
ECHO, LINES = "push-echo", "push-lines"
_SWARM = "swarm"


class PushEcho(Push):
    """A send over a socket is accepted by its own message."""

    name = ECHO
    promises = msgspec.structs.replace(Push.promises, accepted_by="echo")


class PushLines(Push):
    """A WebSocket message may have several frames, each on a line."""

    name = LINES

    def read_frames(self, data: bytes) -> Sequence[Frame]:
        return [frame for line in data.split(b"\n") for frame in super(PushLines, self).read_frames(line)]


def register() -> None:
    """Adds them to the protocols that `--protocol` takes."""
    PROTOCOLS.update({ECHO: lambda _: PushEcho(), LINES: lambda _: PushLines()})


def main() -> None:
    """Runs `chatswarm`, or for its own use the swarm."""
    register()
    if sys.argv[1] == _SWARM:
        del sys.argv[1]
        from chatswarm.loadtests.swarm.locust import launch

        launch.main()
    else:
        from chatswarm.loadtests import entry
        from chatswarm.loadtests.run import run

        run.python = lambda _, *arguments: [*COMMAND, _SWARM, *arguments]  # type: ignore[attr-defined]
        entry.main()


if __name__ == "__main__":
    main()
