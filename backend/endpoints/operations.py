"""The parameters, bodies and responses of the reference chat's routes, with the limits in the settings, for OpenAPI.

A test fails for a route of app.py that is missing here, and for a response whose status or body is not listed here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from chatswarm.backend.chat.chat_list import TAIL
from chatswarm.backend.http.auth import LIST, needs_token
from chatswarm.backend.settings import Settings
from chatswarm.backend.wire.shapes import (
    ChatId,
    ContactForm,
    CustomersChats,
    Health,
    Listed,
    NewChat,
    NewMessage,
    OpenedChat,
    Refusal,
    Saved,
    SentMessage,
    WholeChat,
)

from .operation import Operation, RequestParameter, ResponseSpec
from .reading_list import LONGEST
from .request_bodies import MAX_FIELD, MAX_FORM, NOT_BLANK
from .sending import MAX_KEY, longest_body

SOCKET: Final = "/ws/dashboard"

_WHEN_NOT_DONE: Final = ResponseSpec(
    "The store is not available: nothing was stored. Try again.", headers=("Retry-After",)
)
_WHEN_UNKNOWN: Final = ResponseSpec("The store failed: it may or may not be stored.")
_WHEN_NOT_READ: Final = ResponseSpec("The store is not available. Try again.", headers=("Retry-After",))
_UNREADABLE: Final = ResponseSpec("The request cannot be understood; the message says what was expected and what came.")
_NO_CHAT: Final = ResponseSpec("There is no such chat.")
_CHAT: Final = RequestParameter("chat_id", "path", ChatId, "The chat's id")

_SOCKET_ABOUT: Final = """\
A WebSocket with JSON text frames. OpenAPI cannot describe them, so this text does.

What the dashboard sends, and the reply:

- `{"action": "subscribe", "subscription_type": "chat_updates"}`: `subscribed`, with the `last_message_id`. With
  `"after": MESSAGE_ID`, all messages after that one are announced first; if there are too many, one frame of type
  `refetch` comes instead.
- `{"action": "unsubscribe", "subscription_type": "chat_updates"}`: `unsubscribed`.
- `{"action": "ping"}`: `pong`.
- Anything else: `error`, with a `message`.

The first frame is `connected`, with a `connection_id`. Every message of every chat is then announced to each
subscriber, once and in the order of the ids:

```
{"type": "chat_updates", "data": {
  "type": "chat_message_notification", "chat_id": "…", "message_role": "user",
  "timestamp": "…", "message_id": 42, "seq": 7}}
```

Close codes: 1008 for a dashboard that sends nothing at all, 1009 for a message of more than %d bytes, 1012 when the
chat shuts down, 1013 for a dashboard that reads too slowly."""

_SOCKET_TOKEN: Final = """

A browser cannot send an `Authorization` header here. It offers two subprotocols instead: `chatswarm` and
`bearer.<base64url of the token, without padding>`."""


def operations(settings: Settings) -> tuple[Operation, ...]:
    """All operations in reading order: the customer's, the agent's, and monitoring."""
    described = (*_customers(settings), *_agents(settings), *monitoring())
    if settings.dashboard_tokens is None:
        return described
    return tuple(replace(each, security="token") if _guarded(each.path) else each for each in described)


def _guarded(path: str) -> bool:
    """Whether this path requires a token, if tokens are configured."""
    return path == SOCKET or needs_token(path)


def _customers(settings: Settings) -> tuple[Operation, ...]:
    text = {"type": "string", "maxLength": MAX_FIELD}
    some = {"anyOf": [text, {"type": "null"}]}
    too_long = ResponseSpec(f"The body is longer than {MAX_FORM} bytes.")
    failures = {400: _UNREADABLE, 413: too_long, 500: _WHEN_UNKNOWN, 503: _WHEN_NOT_DONE}
    chat = {"chat_id": "$response.body#/chat_id"}
    follow = {"sendFromWidget": chat, "sendFromDashboard": chat, "getChat": chat}
    poll = {"getCustomersChats": {"user_id_or_email": "$response.body#/user_id"}}
    return (
        Operation(
            method="POST",
            path="/api/users/data",
            name="saveContact",
            tag="Widget",
            summary="Save a contact form",
            responses={200: ResponseSpec("Saved.", Saved), **failures},
            about="A form with a known customer's email updates that customer.",
            body=ContactForm,
            limits={"properties": {"email": some, "name": some, "category": some}},
        ),
        Operation(
            method="POST",
            path="/api/users/chats/create",
            name="createChat",
            tag="Widget",
            summary="Open a chat",
            responses={200: ResponseSpec("Opened.", OpenedChat, links={**follow, **poll}), **failures},
            body=NewChat,
            limits={
                "properties": {"user_id": some, "email": some, "name": some},
                "anyOf": [
                    {"required": ["user_id"], "properties": {"user_id": {**text, "minLength": 1}}},
                    {"required": ["email"], "properties": {"email": {**text, "pattern": NOT_BLANK}}},
                ],
            },
        ),
        _send(
            settings, "sendFromWidget", "/api/users/chats/{chat_id}/send", "Widget", "Send a message as the customer"
        ),
        Operation(
            method="GET",
            path="/api/users/{user_id_or_email}/chats",
            name="getCustomersChats",
            tag="Widget",
            summary="Read a customer's chats",
            responses={
                200: ResponseSpec("The customer's chats, the one with the newest activity first.", CustomersChats),
                404: ResponseSpec("There is no such customer."),
                503: _WHEN_NOT_READ,
            },
            about="With all messages of each chat: a widget polls this for replies.",
            parameters=(RequestParameter("user_id_or_email", "path", str, "A customer's id or email"),),
        ),
    )


def _agents(settings: Settings) -> tuple[Operation, ...]:
    limit = Annotated[int, Meta(ge=1, le=LONGEST)]
    after, at_most = Annotated[int, Meta(ge=0, le=1 << 53)], Annotated[int, Meta(ge=0, le=1 << 31)]
    refused = {401: _no_token(Refusal)} if settings.dashboard_tokens is not None else {}
    return (
        Operation(
            method="GET",
            path=LIST,
            name="listChats",
            tag="Dashboard",
            summary="Read the list of chats",
            responses={
                200: ResponseSpec("The list.", Listed, ("ETag",)),
                304: ResponseSpec("The list has not changed: it still has the tag in If-None-Match.", None, ("ETag",)),
                400: _UNREADABLE,
                **refused,
                503: _WHEN_NOT_READ,
            },
            about=f"The chats with the newest activity, below their customers, with the last {TAIL} messages of each. "
            "It shows at least every message that any dashboard was notified of before.",
            parameters=(
                RequestParameter(
                    "limit", "query", limit, f"How many chats; without it {settings.list_size}", may_be_empty=True
                ),
                RequestParameter("If-None-Match", "header", str, "The ETag of the list that you have"),
            ),
        ),
        Operation(
            method="GET",
            path="/api/chats/{chat_id}",
            name="getChat",
            tag="Dashboard",
            summary="Read a chat",
            responses={
                200: ResponseSpec("The chat.", WholeChat),
                400: _UNREADABLE,
                **refused,
                404: _NO_CHAT,
                503: _WHEN_NOT_READ,
            },
            about="With all of its messages, or those after a number.",
            parameters=(
                _CHAT,
                RequestParameter("after", "query", after, "Only messages whose seq is above this"),
                RequestParameter("limit", "query", at_most, "The most messages to return; without it all of them"),
            ),
        ),
        _send(settings, "sendFromDashboard", "/api/dashboard/chats/{chat_id}/send", "Dashboard", "Reply as an agent"),
        _dashboard_socket(settings),
    )


def _dashboard_socket(settings: Settings) -> Operation:
    responses = {
        101: ResponseSpec("The WebSocket is open.", None),
        400: ResponseSpec("The handshake is malformed.", str),
        426: ResponseSpec("This is a plain request, not a WebSocket handshake.", headers=("Upgrade",)),
        503: ResponseSpec("The limit on dashboards is reached.", str, ("Retry-After",)),
    }
    if settings.dashboard_tokens is not None:
        responses[401] = _no_token(str)
    if settings.origins is not None:
        responses[403] = ResponseSpec("Pages from this origin may not connect.", str)
    return Operation(
        method="GET",
        path=SOCKET,
        name="connectDashboard",
        tag="Dashboard",
        summary="Get notified of every message",
        responses=responses,
        about=_SOCKET_ABOUT % settings.max_frame_size + (_SOCKET_TOKEN if settings.dashboard_tokens else ""),
    )


def monitoring() -> tuple[Operation, ...]:
    """What both chats have for an operator."""
    return (
        Operation(
            method="GET",
            path="/health",
            name="getHealth",
            tag="Monitoring",
            summary="Check that the store can be written",
            responses={
                200: ResponseSpec("It can: this call has just written to it.", Health),
                503: ResponseSpec("It cannot.", Health, ("Retry-After",)),
            },
        ),
        Operation(
            method="GET",
            path="/metrics",
            name="getMetrics",
            tag="Monitoring",
            summary="Read the metrics",
            responses={200: ResponseSpec("In Prometheus' text format; of all workers, where there are several.", str)},
        ),
    )


def _send(settings: Settings, name: str, path: str, tag: Literal["Widget", "Dashboard"], summary: str) -> Operation:
    longest = settings.max_message_length
    responses = {200: ResponseSpec("The message is on disk.", SentMessage), 400: _UNREADABLE}
    if settings.dashboard_tokens is not None and needs_token(path):
        responses[401] = _no_token(Refusal)
    responses[404] = _NO_CHAT
    responses[413] = ResponseSpec(
        f"The content is longer than {longest} characters, or the body than {longest_body(longest)} bytes."
    )
    if settings.sends_per_second is not None:
        much = f"There were more than {settings.sends_per_second:g} messages a second in this chat."
        responses[429] = ResponseSpec(much, headers=("Retry-After",))
    responses |= {500: _WHEN_UNKNOWN, 503: _WHEN_NOT_DONE}
    key: Any = Annotated[str, Meta(min_length=1, max_length=MAX_KEY)]
    return Operation(
        method="POST",
        path=path,
        name=name,
        tag=tag,
        summary=summary,
        responses=responses,
        about="The response comes once the message is on disk.",
        parameters=(
            _CHAT,
            RequestParameter(
                "Idempotency-Key",
                "header",
                key,
                "Repeat it when you retry: the message is not stored twice, and the response is the same",
            ),
        ),
        body=NewMessage,
        limits={"properties": {"content": {"type": "string", "maxLength": longest, "pattern": NOT_BLANK}}},
    )


def _no_token(body: type) -> ResponseSpec:
    return ResponseSpec("A valid token is missing.", body, ("WWW-Authenticate",))
