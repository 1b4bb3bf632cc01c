"""The push chat's HTTP calls: login, rooms and their members, and the messages of a room."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from chatswarm.backend.chat.push_service import PostRefusedError, PushService
from chatswarm.backend.http.auth import presented
from chatswarm.backend.http.responses import error_response, push_refusal, send_whole, success
from chatswarm.backend.http.user_tokens import LONGEST_NAME, UserTokens, is_name
from chatswarm.backend.store.rooms import put_room, set_member
from chatswarm.backend.wire.headers import Headers, header
from chatswarm.backend.wire.push_shapes import (
    LoggedIn,
    Login,
    NewPost,
    PostedMessage,
    RoomMembers,
    RoomPage,
    SavedRoom,
    shown_posts,
)
from chatswarm.backend.wire.shapes import encode

from .basics import READ, json_response
from .request_bodies import MAX_FORM, GoneError, TooLongError, UnreadableError, read_body, whole_number
from .sending import MAX_KEY, longest_body

LOGIN: Final = "/api/login"
ROOM: Final = "/api/rooms/{room}"
MEMBER: Final = "/api/rooms/{room}/members/{user}"
MESSAGES: Final = "/api/rooms/{room}/messages"

MAX_MEMBERS: Final = 4 << 20
"""Longest body with a room's members, in bytes."""

PAGE: Final = 100
LONGEST_PAGE: Final = 500

_TOKEN: Final = "Authorization: expected Bearer and a valid token"
_KEY: Final = "Authorization: expected Bearer and the service key"

S = TypeVar("S", bound=msgspec.Struct)


def user_of(tokens: UserTokens, headers: Headers) -> str | None:
    """The user whose valid token a request presents; None without one."""
    token = presented(headers)
    return tokens.user(token, time.time()) if token is not None else None


class PostEndpoint:
    """`POST …/messages`, the busiest write, as a bare ASGI endpoint: stores a message, responds once it is on disk."""

    def __init__(self, service: PushService, tokens: UserTokens) -> None:
        self._service = service
        self._tokens = tokens
        self._longest_body = longest_body(service.settings.max_message_length)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        service, headers, room = self._service, scope["headers"], scope["path"].split("/")[3]
        user = user_of(self._tokens, headers)
        if user is None:
            service.metrics.unauthorized.inc()
            service.log_refused(headers, 401, "token")
            await send_whole(send, error_response(401, _TOKEN, challenge=True, body=push_refusal))
            return
        try:
            body = await read_body(receive, self._longest_body)
            text, key = _decoded(body, NewPost).text, _key(headers)
            posted = await service.post(user, room, text, key)
        except GoneError:
            return
        except TooLongError as error:
            service.metrics.refused["too_long"].inc()
            service.log_refused(headers, 413, "too_long")
            message = f"body: expected at most {error} bytes"
            response = error_response(413, message, hang_up=True, body=push_refusal)
        except UnreadableError as error:
            service.metrics.refused["unreadable"].inc()
            service.log_refused(headers, 400, "unreadable")
            response = error_response(400, str(error), body=push_refusal)
        except PostRefusedError as refused:
            service.log_refused(headers, refused.status, refused.reason)
            message, retry_after = refused.message, refused.retry_after
            response = error_response(refused.status, message, retry_after=retry_after, body=push_refusal)
        else:
            service.log_saved(headers, posted.id, fresh=posted.fresh)
            response = success(201, encode(PostedMessage(room, posted.id)))
        await send_whole(send, response)


def add_calls(app: FastAPI, service: PushService, tokens: UserTokens) -> None:
    """Add all calls but the posts."""
    key = service.settings.push_key

    def check_service_key(request: Request) -> None:
        """Raise HTTPException unless the application's own backend calls, or there is no key."""
        if key is None:
            return
        given = presented(request.scope["headers"])
        if given is None or not key.match(given):
            service.metrics.unauthorized.inc()
            raise _unauthorized(_KEY) if given is None else HTTPException(403, _KEY)

    @app.post(LOGIN)
    async def login(request: Request) -> Response:
        wanted = _decoded(await read_body(request.receive, MAX_FORM), Login)
        user = _name("user", wanted.user)
        if key is not None and not key.match((wanted.key or "").encode()):
            service.metrics.unauthorized.inc()
            raise HTTPException(403, "key: expected the service key")
        return json_response(LoggedIn(user, tokens.issue(user, time.time()), tokens.lifetime))

    @app.put(ROOM)
    async def save_room(room: str, request: Request) -> Response:
        check_service_key(request)
        members = _decoded(await read_body(request.receive, MAX_MEMBERS), RoomMembers).members
        wanted = {_name("members", each) for each in members}
        await service.store.write(put_room(_name("room", room), wanted))
        return json_response(SavedRoom(room, len(wanted)))

    # One route for all methods of a path, so that `Allow` names them all.
    @app.api_route(MEMBER, methods=["PUT", "DELETE"])
    async def change_member(room: str, user: str, request: Request) -> Response:
        check_service_key(request)
        member = request.method == "PUT"
        if not await service.store.write(set_member(room, _name("user", user), member=member)):
            raise HTTPException(404, f"room: expected the name of a room, got {room[:80]!r}")
        return Response(status_code=HTTPStatus.NO_CONTENT)

    # PostEndpoint gets the posts before they come here.
    @app.api_route(MESSAGES, methods=[*READ, "POST"])
    async def read_messages(room: str, request: Request) -> Response:
        user = user_of(tokens, request.scope["headers"])
        if user is None:
            service.metrics.unauthorized.inc()
            raise _unauthorized(_TOKEN)
        after = whole_number(request.query_params.get("after"), "after", 0, 1 << 53, 0)
        limit = whole_number(request.query_params.get("limit"), "limit", 1, LONGEST_PAGE, PAGE)
        found = service.find_room(room)
        if found is None:
            raise HTTPException(404, f"room: expected the name of a room, got {room[:80]!r}")
        # One more than asked for tells whether there is another page.
        posts = await service.log.posts_for(found.row, user, after, limit + 1)
        if posts is None:
            raise HTTPException(403, f"room: expected one that you are a member of, got {room[:80]!r}")
        following = posts[limit - 1].id if len(posts) > limit else None
        return json_response(RoomPage(room, shown_posts(posts[:limit]), following))


def _decoded(body: bytes, shape: type[S]) -> S:
    """The body as this shape. Raises UnreadableError."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        fields = ", ".join(shape.__struct_fields__)
        raise UnreadableError(f"body: expected a JSON object with {fields}, got: {error}") from None


def _name(where: str, text: str) -> str:
    """A name of a user or a room. Raises UnreadableError for anything else."""
    if not is_name(text):
        expected = f"1 to {LONGEST_NAME} printable characters without space or /"
        raise UnreadableError(f"{where}: expected {expected}, got {text[:80]!r}")
    return text


def _key(headers: Headers) -> str | None:
    """The idempotency key of a request. Raises UnreadableError."""
    key = header(headers, b"idempotency-key")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise UnreadableError(f"Idempotency-Key: expected 1 to {MAX_KEY} characters, got {len(key)}")
    return key.decode("latin-1") if key is not None else None


def _unauthorized(message: str) -> HTTPException:
    return HTTPException(401, message, {"WWW-Authenticate": "Bearer"})
