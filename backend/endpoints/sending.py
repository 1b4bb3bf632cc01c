"""`POST …/chats/{chat_id}/send`, by a widget or an agent: the busiest write, as a bare ASGI endpoint."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.types import Receive, Scope, Send

from chatswarm.backend.chat.service import ChatService
from chatswarm.backend.http.responses import error_response, send_whole, success
from chatswarm.backend.store.records import OutcomeUnknownError, Role, StoredChat, StoreUnavailableError
from chatswarm.backend.wire.headers import Headers, header
from chatswarm.backend.wire.shapes import NewMessage, SentMessage, encode

from .request_bodies import GoneError, TooLongError, UnreadableError, fields, read_body, storable

MAX_KEY = 255


class _RefusedError(Exception):
    def __init__(self, status: int, reason: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


# Nearly every body is JSON; unused fields are skipped while decoding.
_decode = msgspec.json.Decoder(NewMessage).decode


def longest_body(longest: int) -> int:
    """The body limit in bytes for messages of at most `longest` characters."""
    # JSON may take twelve bytes for one character (\ud83d\udd34); the rest is for names and other fields.
    return 12 * longest + 4096


class SendEndpoint:
    """Stores a message with the given role and responds once it is on disk."""

    def __init__(self, service: ChatService, role: Role) -> None:
        self._service = service
        self._role: Role = role
        self._longest = service.settings.max_message_length
        self._longest_body = longest_body(self._longest)
        self._accepted = service.metrics.accepted[role]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        service = self._service
        headers: Headers = scope["headers"]
        reason = ""
        try:
            body = await read_body(receive, self._longest_body)
            content, key, chat = self._validate(scope["path"].rsplit("/", 2)[1], headers, body)
            stored = await service.store.send(chat, self._role, content, key)
        except GoneError:
            return
        except TooLongError:
            reason = "too_long"
            response = error_response(413, f"body: expected at most {self._longest_body} bytes", hang_up=True)
        except _RefusedError as refused:
            reason = refused.reason
            response = error_response(refused.status, refused.message, retry_after=refused.retry_after)
        except StoreUnavailableError as error:
            reason = "unavailable"
            message = f"The store is not available, nothing was stored: {error}"
            response = error_response(503, message, retry_after=1)
        except OutcomeUnknownError as error:
            reason = "unknown"
            response = error_response(500, f"The store failed, the message may or may not be stored: {error}")
        else:
            (self._accepted if stored.fresh else service.metrics.repeated).inc()
            service.log_saved(headers, stored.id, fresh=stored.fresh)
            response = success(200, encode(SentMessage(True, "Message sent", stored.id, stored.seq)))
        if reason:
            service.metrics.refused[reason].inc()
            service.log_refused(headers, response.status, reason)
        await send_whole(send, response)

    def _validate(self, chat_id: str, headers: Headers, body: bytes) -> tuple[str, str | None, StoredChat]:
        """The text to store, its idempotency key and its chat. Raises _RefusedError for an invalid request."""
        try:
            content = _content(body, header(headers, b"content-type"))
            key = header(headers, b"idempotency-key")
            if key is not None and not 0 < len(key) <= MAX_KEY:
                raise UnreadableError(f"Idempotency-Key: expected 1 to {MAX_KEY} characters, got {len(key)}")
        except UnreadableError as error:
            raise _RefusedError(400, "unreadable", str(error)) from None
        if not content or content.isspace():
            raise _RefusedError(400, "empty", "content: expected text, got nothing")
        if len(content) > self._longest:
            expected = f"content: expected at most {self._longest} characters, got {len(content)}"
            raise _RefusedError(413, "too_long", expected)
        chat = self._service.find_chat(chat_id)
        if chat is None:
            raise _RefusedError(404, "no_chat", f"chat_id: expected the id of a chat, got {chat_id[:80]!r}")
        rate = self._service.rate
        if rate is not None and (wait := rate.wait(chat.id, asyncio.get_running_loop().time())):
            raise _RefusedError(429, "rate", "Too many messages in this chat", wait)
        return content, key.decode("latin-1") if key is not None else None, chat


def _content(body: bytes, content_type: bytes | None) -> str:
    """The text of a message. Raises UnreadableError."""
    if content_type is None or content_type.startswith(b"application/json"):
        try:
            content = _decode(body).content
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise UnreadableError(f"body: expected a JSON object with content, got: {error}") from None
        storable("content", content)
        return content
    values = fields(body, content_type)
    text = values.get("content")
    if not isinstance(text, str) or not isinstance(values.get("role"), str | None):
        raise UnreadableError(f"content: expected text, got {type(text).__name__}")
    storable("content", text)
    return text
