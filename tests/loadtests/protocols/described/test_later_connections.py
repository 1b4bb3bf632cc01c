"""A user's later connection: it takes `again` and `rejoin` once what they need is known."""

import pytest

from chatswarm.loadtests.protocols.described import Described, read_description
from chatswarm.loadtests.protocols.protocol import Session

FILE = """
format = 1
name = "ours"
[socket]
path = "/ws"
[[socket.open]]
expect = { "$.type" = "hello" }
[[socket.join]]
send = '{"join": "${room}"}'
expect = { "$.type" = "joined" }
keep = { "room.epoch" = "$.epoch" }
[[socket.rejoin]]
send = '{"join": "${room}", "after": "${room.epoch}"}'
expect = { "$.type" = "joined" }
keep = { "room.epoch" = "$.epoch" }
[[frame]]
when = { "$.type" = "message" }
is = "message"
room = "$.room"
text = "$.text"
[send]
frame = '{"text": "${text}"}'
"""


def asked(session: Session, protocol: Described, joined: str) -> list[object]:
    """What a connection sends to join the room, which is answered with `joined`."""
    session.open()
    for frame in protocol.read_frames(b'{"type": "hello"}'):
        session.take(frame)
    sent: list[object] = [*session.join("one", None).replies]
    for frame in protocol.read_frames(joined.encode()):
        session.take(frame)
    return sent


@pytest.mark.parametrize(
    ("joined", "again"),
    [
        ('{"type": "joined", "epoch": "x"}', '{"join": "one", "after": "x"}'),
        # What a step keeps itself is not known before it.
        ('{"type": "joined"}', '{"join": "one"}'),
    ],
)
def test_a_rejoin_needs_what_the_join_kept(joined: str, again: str) -> None:
    protocol = Described(read_description(FILE, "ours.toml"), {})
    user = protocol.user("dashboard", 0, "run", {})
    assert asked(protocol.session(user), protocol, joined) == ['{"join": "one"}']
    assert asked(protocol.session(user), protocol, joined) == [again]
