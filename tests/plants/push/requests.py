"""What clients of the push chat send, checked."""

from typing import Annotated, TypeVar

import msgspec

Name = Annotated[str, msgspec.Meta(pattern=r"^[^\s/\x00-\x1f\x7f]{1,200}$")]
"""A user's or room's."""

Ref = Annotated[str, msgspec.Meta(max_length=100)]


class Credentials(msgspec.Struct):
    """Of a login."""

    user: Name
    key: str = ""


class Members(msgspec.Struct):
    """All members of a room."""

    members: list[Name]


class Text(msgspec.Struct):
    """A message that is sent."""

    text: str


class Incoming(msgspec.Struct):
    """A frame from a client, of any type."""

    type: str
    ref: Ref = ""
    room: str = ""
    text: str = ""
    token: str = ""
    after: int | None = None


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error


Shape = TypeVar("Shape")


def decode(data: bytes | str, shape: type[Shape]) -> Shape:
    """What the client sent as JSON. Raises Refused with 400."""
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, str(error)) from None


def named(name: str) -> str:
    """A name that came in a path. Raises Refused with 400."""
    try:
        return msgspec.convert(name, Name)
    except msgspec.ValidationError as error:
        raise Refused(400, str(error)) from None
