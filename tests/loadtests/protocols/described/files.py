"""Protocol files for tests."""

from collections.abc import Mapping

from chatswarm.loadtests.protocols.described import Described, read_description

SMALL = """\
format = 1
name = "small"
[socket]
path = "/ws"
[[frame]]
when = { "$.type" = "message" }
is = "message"
text = "$.text"
id = "$.id"
[send]
frame = '{"text": "${text}"}'
"""
"""The least that a file can say: 11 lines, one room, and nothing is confirmed."""


def protocol_of(text: str, environment: Mapping[str, str] = {}, target: str = "") -> Described:
    """The protocol that a file describes."""
    return Described(read_description(text, "ours.toml"), environment, target)
