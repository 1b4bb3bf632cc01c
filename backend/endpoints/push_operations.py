"""The push chat's operations, with the limits in the settings: the source for OpenAPI.

A test fails for a route of push_app.py that is missing here, and for a response whose status or body is not listed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final

from msgspec import Meta

from chatswarm.backend.http.user_tokens import LONGEST_NAME, NAME_CHARACTER
from chatswarm.backend.settings import Settings
from chatswarm.backend.wire.push_shapes import (
    LoggedIn,
    Login,
    NewPost,
    PostedMessage,
    PushRefusal,
    RoomMembers,
    RoomPage,
    SavedRoom,
)

from .operation import Header, Operation, RequestParameter, ResponseSpec
from .operations import monitoring
from .push_calls import LOGIN, LONGEST_PAGE, MAX_MEMBERS, MEMBER, MESSAGES, PAGE, ROOM
from .push_socket import LONGEST_REPLAY, SOCKET
from .request_bodies import MAX_FORM, NOT_BLANK
from .sending import MAX_KEY, longest_body

_PATTERN: Final = f"^{NAME_CHARACTER}+$"
NAME: Final = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME, "pattern": _PATTERN}
"""A name of a user or a room, in JSON Schema."""
_NAME: Any = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME, pattern=_PATTERN)]


def _refused(about: str, *headers: Header) -> ResponseSpec:
    return ResponseSpec(about, PushRefusal, headers)


_UNREADABLE: Final = _refused("The request cannot be understood; the error says what was expected and what came.")
_NO_TOKEN: Final = _refused("A valid token is missing.", "WWW-Authenticate")
_NO_KEY: Final = {401: _refused("The service key is missing.", "WWW-Authenticate"), 403: _refused("It is another key.")}
_NO_MEMBER: Final = _refused("The user is no member of this room.")
_NO_ROOM: Final = _refused("There is no such room.")
_STORE: Final = {
    500: _refused("The store failed: it may or may not be stored."),
    503: _refused("The store is not available: nothing was stored. Try again.", "Retry-After"),
}
_NOT_READ: Final = _refused("The store is not available. Try again.", "Retry-After")

_ROOM: Final = RequestParameter("room", "path", _NAME, "The room's name")
_USER: Final = RequestParameter("user", "path", _NAME, "The user's name")

_SOCKET_ABOUT: Final = """\
A WebSocket with JSON text frames. OpenAPI cannot describe them, so this text does.

The token comes as `Authorization: Bearer TOKEN`, as `?token=TOKEN`, as the subprotocols `chatswarm.push` and \
`bearer.<base64url of the token, without padding>`, or in the first frame: `{"type": "auth", "token": TOKEN}`. The \
server's first frame is `hello`, with the `user` and the name of the `server`.

What a client sends, and the reply:

- `{"type": "join", "ref": R, "room": ROOM}`: `joined`, with the id of the room's `last` message, or `refused`. With \
`"after": ID`, all later messages come first, with `"replay": true`; if there are more than %d, `joined` has \
`"gap": true` and none is replayed.
- `{"type": "leave", "ref": R, "room": ROOM}`: `left`. Without `ref`, the membership has ended.
- `{"type": "send", "ref": R, "room": ROOM, "text": TEXT}`: `ack`, with the message's `id`, once it is on disk, or \
`nack`, with the `status` of the same send by HTTP. `ref` is its idempotency key, too.
- `{"type": "ping"}`: `pong`.
- Anything else: `error`.

Every message of a room is then sent to each member who has joined it, once and in the order of the ids:

```
{"type": "message", "room": "kitchen", "id": 42, "user": "ann", "text": "Hello", "sent_at": "…"}
```

Close codes: 1008 for a client that sends nothing at all, 1009 for a message of more than %d bytes, 1012 when the chat \
shuts down, 1013 for a client that reads too slowly, 4401 without a valid token."""


def push_operations(settings: Settings) -> tuple[Operation, ...]:
    """All operations in reading order: the application's, the user's, and monitoring."""
    return (_login(settings), *_rooms(settings), _post(settings), _read(), _socket(settings), *monitoring())


def _login(settings: Settings) -> Operation:
    responses = {
        200: ResponseSpec("The token.", LoggedIn),
        400: _UNREADABLE,
        413: _refused(f"The body is longer than {MAX_FORM} bytes."),
    }
    if settings.push_key is not None:
        responses[403] = _refused("It is another key.")
    return Operation(
        method="POST",
        path=LOGIN,
        name="logIn",
        tag="Application",
        summary="Get a token for a user",
        responses=responses,
        body=Login,
        limits={"properties": {"user": NAME}},
        forms=False,
    )


def _rooms(settings: Settings) -> tuple[Operation, ...]:
    rooms = (
        Operation(
            method="PUT",
            path=ROOM,
            name="putRoom",
            tag="Application",
            summary="Create a room, or replace its members",
            responses={
                200: ResponseSpec("Saved.", SavedRoom),
                400: _UNREADABLE,
                413: _refused(f"The body is longer than {MAX_MEMBERS} bytes."),
                **_STORE,
            },
            parameters=(_ROOM,),
            body=RoomMembers,
            limits={"properties": {"members": {"type": "array", "items": NAME}}},
            forms=False,
        ),
        Operation(
            method="PUT",
            path=MEMBER,
            name="addMember",
            tag="Application",
            summary="Add a member to a room",
            responses={
                204: ResponseSpec("The user is a member.", None),
                400: _UNREADABLE,
                404: _NO_ROOM,
                **_STORE,
            },
            parameters=(_ROOM, _USER),
        ),
        Operation(
            method="DELETE",
            path=MEMBER,
            name="removeMember",
            tag="Application",
            summary="Remove a member from a room",
            responses={
                204: ResponseSpec("The user is no member.", None),
                400: _UNREADABLE,
                404: _NO_ROOM,
                **_STORE,
            },
            about="From now on, nothing of the room reaches this user, on any worker.",
            parameters=(_ROOM, _USER),
        ),
    )
    if settings.push_key is None:
        return rooms
    return tuple(replace(each, responses={**each.responses, **_NO_KEY}, security="key") for each in rooms)


def _post(settings: Settings) -> Operation:
    longest = settings.max_message_length
    sent = {
        201: ResponseSpec("The message is on disk.", PostedMessage),
        400: _UNREADABLE,
        401: _NO_TOKEN,
        403: _NO_MEMBER,
        404: _NO_ROOM,
        413: _refused(f"The text is longer than {longest} characters, or the body than {longest_body(longest)} bytes."),
        **_STORE,
    }
    if settings.sends_per_second is not None:
        much = f"There were more than {settings.sends_per_second:g} messages a second from this user."
        sent[429] = _refused(much, "Retry-After")
    key: Any = Annotated[str, Meta(min_length=1, max_length=MAX_KEY)]
    return Operation(
        method="POST",
        path=MESSAGES,
        name="postMessage",
        tag="User",
        summary="Send a message to a room",
        responses=sent,
        about="The response comes once the message is on disk.",
        parameters=(
            _ROOM,
            RequestParameter(
                "Idempotency-Key",
                "header",
                key,
                "Repeat it when you retry: the message is not stored twice, and the response is the same",
            ),
        ),
        body=NewPost,
        limits={"properties": {"text": {"type": "string", "maxLength": longest, "pattern": NOT_BLANK}}},
        forms=False,
        security="token",
    )


def _read() -> Operation:
    limit = Annotated[int, Meta(ge=1, le=LONGEST_PAGE)]
    after = Annotated[int, Meta(ge=0, le=1 << 53)]
    return Operation(
        method="GET",
        path=MESSAGES,
        name="readMessages",
        tag="User",
        summary="Read the messages of a room",
        responses={
            200: ResponseSpec("A page of messages.", RoomPage),
            400: _UNREADABLE,
            401: _NO_TOKEN,
            403: _NO_MEMBER,
            404: _NO_ROOM,
            503: _NOT_READ,
        },
        about="Oldest first. `next` is the `after` of the next page, null on the last one.",
        parameters=(
            _ROOM,
            RequestParameter("after", "query", after, "Only messages whose id is above this"),
            RequestParameter("limit", "query", limit, f"The most messages to return; without it {PAGE}"),
        ),
        security="token",
    )


def _socket(settings: Settings) -> Operation:
    responses = {
        101: ResponseSpec("The WebSocket is open.", None),
        400: ResponseSpec("The handshake is malformed.", str),
        401: _refused("The token is not valid.", "WWW-Authenticate"),
        426: _refused("This is a plain request, not a WebSocket handshake.", "Upgrade"),
        503: _refused("The limit on connections is reached.", "Retry-After"),
    }
    if settings.origins is not None:
        responses[403] = _refused("Pages from this origin may not connect.")
    return Operation(
        method="GET",
        path=SOCKET,
        name="connect",
        tag="User",
        summary="Get the messages of rooms, and send",
        responses=responses,
        about=_SOCKET_ABOUT % (LONGEST_REPLAY, settings.max_frame_size),
        security="token",
    )
