"""One user's sends: at their scheduled times, by HTTP or over a socket, each with an outcome in the history."""

import time
from typing import NamedTuple

from chatswarm.loadtests.history.tables import UNREADABLE_HERE, SendOutcome
from chatswarm.loadtests.messages import trace
from chatswarm.loadtests.messages.identity import text_of
from chatswarm.loadtests.protocols.protocol import (
    Kind,
    LoginError,
    RefusedError,
    Request,
    Sent,
    Unreadable,
    UnreadableHere,
    User,
    read,
)

from .account import Account, take_steps
from .connection import UserConnection
from .final_read import as_unread
from .net.http import TIMEOUT, Response
from .node import Node
from .send_outcome import outcome_of, outcome_of_rejection

_NEVER = float("nan")


class SendResult(NamedTuple):
    """What became of one send."""

    response: Response
    outcome: SendOutcome
    message_id: int | str | None = None
    connection: int = -1  # that it went over


class Sender:
    """Sends the messages of one sender of the schedule."""

    def __init__(self, node: Node, number: int, account: Account, connection: UserConnection | None = None) -> None:
        """`connection`: the socket to send over; None: by HTTP."""
        self._node = node
        self._number = number
        self._account = account
        self._connection = connection
        self._patience = node.protocol.promises.accepted_within or TIMEOUT
        self._chat: str | None = None  # its own, where each widget has one
        self._refusal = Response(0, b"", False, _NEVER, _NEVER)

    def get_ready(self) -> None:
        """Logs in, and opens the sender's own chat where each has one. What fails is tried again with each send."""
        try:
            self._account.log_in()
        except LoginError as error:
            self._refusal = Response(error.status, b"", False, _NEVER, time.monotonic(), f"login: {error}")
            return
        if self._node.rooms is None:
            self._open_chat()

    def follow_schedule(self) -> None:
        """Sends each message in its own greenlet, until the measured part ends."""
        node = self._node
        node.started.wait()
        for n, offset in enumerate(node.schedule(self._number)):
            intended = node.start + offset
            if node.ending.wait(max(0.0, intended - time.monotonic())):
                break
            node.sends.spawn(self.send, n, intended)

    def send(self, n: int, intended: float) -> None:
        """Sends one message and records its outcome."""
        node, handed = self._node, time.monotonic()
        node.progress.sent += 1
        chat: str | None = None
        try:
            chat = self._chat_of(n)
            if chat is None:
                result = SendResult(self._refusal, SendOutcome.REJECTED)
            else:
                text = text_of(node.plan.run, self._number, n, node.scenario.size, node.scenario.text)
                reference = f"{node.plan.run}.{self._number}.{n}"
                result = (self._by_http if self._connection is None else self._by_socket)(chat, text, reference)
        except Exception as error:  # noqa: BLE001 - every message has an outcome
            detail = self._account.blanked(f"a send failed: {type(error).__name__}: {error}")
            node.trouble("send", detail)
            failed = Response(UNREADABLE_HERE, b"", False, handed, time.monotonic(), detail)
            result = SendResult(failed, SendOutcome.UNKNOWN)
        number = -1 if chat is None else node.recorder.chat(chat)
        self._record(n, number, intended, handed, result)

    def _chat_of(self, n: int) -> str | None:
        """The chat that a message goes to; None if there is none."""
        rooms = self._node.rooms
        if rooms is not None:
            room = rooms.of_sender(self._number, n)
            return rooms.ids[room] if room >= 0 else None
        if self._chat is None:
            self.get_ready()
        return self._chat

    def _open_chat(self) -> None:
        """Creates the sender's own chat; if that fails, `_refusal` is the response."""
        node, account = self._node, self._account
        responses: list[Response] = []

        def ask(request: Request) -> Response:
            started = time.monotonic()
            response = account.exchange(lambda _: request)
            node.note_rate_limit("new chat", response.status, response.retry_after)
            node.rows.response("CHAT", "create", started, response)
            responses.append(response)
            return response

        try:
            self._chat = take_steps(node.protocol.create_chat(account.user), ask)
        except RefusedError as error:
            last = responses[-1] if responses else self._refusal
            failed = last.complete and not last.undecoded and last._replace(complete=False, error=str(error))
            self._refusal = failed or last._replace(status=error.status, complete=False)
        except Unreadable as error:
            problem = account.blanked(str(error))
            last = responses[-1] if responses else self._refusal
            self._refusal = as_unread(last, error)._replace(complete=False, error=problem)
        else:
            node.recorder.chat(self._chat, self._number)
            node.chats[self._chat] = account

    def _by_http(self, chat: str, text: str, reference: str) -> SendResult:
        node, protocol = self._node, self._node.protocol
        response = self._account.exchange(lambda user: self._request(user, chat, text, reference))
        node.note_rate_limit("send", response.status, response.retry_after)
        outcome = outcome_of(
            written=response.written,
            status=response.status,
            complete=response.complete,
            unavailable_means_not_done=protocol.unavailable_means_not_done,
        )
        sent = Sent()
        if outcome is SendOutcome.ACCEPTED:
            # Unless the body says otherwise, a 2xx is a promise, even if the body cannot be read.
            try:
                sent = Sent() if response.undecoded else read(protocol.read_sent, response.body)
            except UnreadableHere as error:
                node.note("unreadable_here", self._account.blanked(f"the response to a send: {error}"))
            except Unreadable as error:
                node.recorder.trouble(response.done, "unreadable", self._account.blanked(str(error)))
        if not sent.accepted:
            self._note_rejection(f"a send was answered {response.status}, but with the error {sent.detail}")
            outcome = SendOutcome.REJECTED
        return SendResult(response, outcome, sent.message_id)

    def _request(self, user: User, chat: str, text: str, reference: str) -> Request:
        request = self._node.protocol.send(user, chat, text, reference)
        if self._node.plan.traceparent:
            return request.with_header(trace.HEADER, trace.send_traceparent(reference))
        return request

    def _by_socket(self, chat: str, text: str, reference: str) -> SendResult:
        assert self._connection is not None
        written = self._connection.send(chat, text, reference, self._patience)
        reply = written.reply
        status = written.status if reply is None else reply.status
        response = Response(status, b"", reply is not None, written.sent, written.done, written.detail)
        if reply is None:
            # Nothing says what became of it.
            outcome = SendOutcome.UNKNOWN if response.written else SendOutcome.REJECTED
            return SendResult(response, outcome, connection=written.connection)
        if reply.kind is Kind.REJECTED:
            self._node.note_rate_limit("send", status, None)
            self._note_rejection(f"a send over a socket was rejected: {written.detail}")
            promise = self._node.protocol.unavailable_means_not_done
            outcome = outcome_of_rejection(status, unavailable_means_not_done=promise)
            return SendResult(response, outcome, connection=written.connection)
        return SendResult(response, SendOutcome.ACCEPTED, reply.message_id, written.connection)

    def _note_rejection(self, detail: str) -> None:
        self._node.note_few("rejected", self._account.blanked(detail))

    def _record(self, n: int, chat: int, intended: float, handed: float, result: SendResult) -> None:
        """Puts a send's outcome into the history, the progress and Locust's rows."""
        node, response = self._node, result.response
        node.recorder.send(
            self._number, n, chat, intended, handed, response, result.outcome, result.message_id,
            server=node.server_of(response), connection=result.connection,
        )  # fmt: skip
        problem = ""
        if result.outcome is SendOutcome.ACCEPTED:
            node.progress.accepted += 1
        else:
            problem = response.problem or "rejected"
            if response.status < 0:
                node.progress.rig_failed += 1
            else:
                node.progress.refused += 1
        node.rows.request("SEND", "message", response.done - intended, len(response.body), problem)
