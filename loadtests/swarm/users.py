"""The two kinds of simulated user: a customer's widget, and an agent's dashboard."""

import random
import time
from typing import Any

import gevent
from gevent.event import Event
from locust import User, task
from locust.env import Environment

from chatswarm.loadtests.history.tables import UNREADABLE_HERE, ConnectionEvent, Role, SendOutcome, UserEvent
from chatswarm.loadtests.messages.identity import text_of
from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.protocols.protocol import Customer, Kind, Unreadable, UnreadableHere, read

from .backoff import delays
from .live.newly_shown import Viewer
from .net.http import Response, exchange
from .net.websocket import Closed, ConnectError, WebSocket, socket_url
from .node import as_unread, current, try_exchange
from .send_outcome import outcome_of

_SENDS_AT_ONCE = 1000  # per widget; fewer would let a slow target delay the sends


class ChatUser(User):
    """The base of widgets and dashboards: the run that they belong to, and a user's own HTTP connections."""

    abstract = True
    concurrency = 10
    role: Role
    route: str
    """The route of its requests, which may have a fault proxy."""
    index = -1  # until it has a number

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.node = current()
        self.http = self.node.client(self.concurrency, self.route)

    def take_number(self) -> bool:
        """Takes a number for this user. Returns whether the scenario plans a user of that number: others do nothing.

        Locust spawns users in bursts a second apart; this spreads them out again.
        """
        node, role = self.node, self.role.name.lower()
        index = node.number_for(role)
        self.rng = random.Random(f"chatswarm {node.plan.seed} {role} {index}")
        self.index = index
        self.planned = index < (node.scenario.widgets if self.role is Role.WIDGET else node.scenario.dashboards)
        if not self.planned:
            node.recorder.user(self.role, index, UserEvent.ADDED, time.monotonic())
            return False
        gevent.sleep(self.rng.uniform(0, min(1.0, node.scenario.ramp)))
        return True

    def on_stop(self) -> None:
        """Closes its connections, and records if this user is taken away in the middle of the run."""
        self.http.close()
        if self.index >= 0 and self.planned and not self.node.ending.is_set():
            self.node.recorder.user(self.role, self.index, UserEvent.WITHDRAWN, time.monotonic())


class WidgetUser(ChatUser):
    """A customer: submits the contact form, opens a chat, then sends messages at their scheduled times."""

    concurrency = _SENDS_AT_ONCE
    role = Role.WIDGET
    route = "widgets"
    chat: str | None = None
    chat_number = -1
    refusal: Response

    def on_start(self) -> None:
        """Opens a chat before the measured part begins."""
        if not self.take_number():
            return
        address = f"widget-{self.index}.{self.node.plan.run}"
        self.customer = Customer(f"Customer {self.index}", f"{address}@example.com")
        started = time.monotonic()
        form = try_exchange(self.http, lambda: self.node.protocol.submit_contact(self.customer))
        self.node.rows.response("CONTACT", "contact form", started, form)
        self.node.note_rate_limit("contact form", form.status, form.retry_after)
        self.refusal = form
        if not form.problem:
            self.open_chat()
        self.node.progress.widgets += 1

    @task
    def send_messages(self) -> None:
        """Sends on schedule, each message in its own greenlet, until the measured part ends."""
        self.node.started.wait()
        for n, offset in enumerate(self.node.schedule(self.index) if self.planned else ()):
            intended = self.node.start + offset
            if self.node.ending.wait(max(0.0, intended - time.monotonic())):
                break
            self.node.sends.spawn(self.send, n, intended)
        self.node.never.wait()

    def open_chat(self) -> None:
        """Creates a chat; if that fails, `refusal` is the response."""
        started = time.monotonic()
        response = try_exchange(self.http, lambda: self.node.protocol.create_chat(self.customer))
        self.node.note_rate_limit("new chat", response.status, response.retry_after)
        if not response.problem:
            try:
                self.chat = read(self.node.protocol.read_created, response.body)
            except Unreadable as error:
                response = as_unread(response, error)._replace(complete=False, error=str(error))
            else:
                self.chat_number = self.node.recorder.chat(self.chat, self.index)
                self.node.chats.append(self.chat)
        elif response.undecoded:
            response = response._replace(status=response.reading, complete=False)
        self.node.rows.response("CHAT", "create", started, response)
        self.refusal = response

    def send(self, n: int, intended: float) -> None:
        """Sends one message and records its outcome."""
        handed = time.monotonic()
        self.node.progress.sent += 1
        try:
            response, outcome, message_id = self.deliver(n)
        except Exception as error:  # noqa: BLE001 - every message has an outcome
            detail = f"a send failed: {type(error).__name__}: {error}"
            self.node.trouble("send", detail)
            response = Response(UNREADABLE_HERE, b"", False, handed, time.monotonic(), detail)
            outcome, message_id = SendOutcome.UNKNOWN, None
        self.record(n, self.chat_number, intended, handed, response, outcome, message_id)

    def deliver(self, n: int) -> tuple[Response, SendOutcome, int | None]:
        """Sends a message. Returns the response, the outcome and the id that the target gave it."""
        node, protocol = self.node, self.node.protocol
        if self.chat is None:
            self.open_chat()
        chat = self.chat
        if chat is None:
            return self.refusal, SendOutcome.REJECTED, None
        text = text_of(node.plan.run, self.index, n, node.scenario.size, node.scenario.text)
        response = try_exchange(self.http, lambda: protocol.send(chat, text))
        node.note_rate_limit("send", response.status, response.retry_after)
        outcome = outcome_of(
            written=response.written,
            status=response.status,
            complete=response.complete,
            unavailable_means_not_done=protocol.unavailable_means_not_done,
        )
        message_id = None
        if outcome is SendOutcome.ACCEPTED:
            # A 2xx is a promise, whatever the body says.
            try:
                message_id = None if response.undecoded else read(protocol.read_sent, response.body)
            except UnreadableHere as error:
                node.note("unreadable_here", f"the response to a send: {error}")
            except Unreadable as error:
                node.recorder.trouble(response.done, "unreadable", str(error))
        return response, outcome, message_id

    def record(
        self, n: int, chat: int, intended: float, handed: float, response: Response, outcome: SendOutcome,
        message_id: int | None,
    ) -> None:  # fmt: skip
        """Puts a send's outcome into the history, the progress and Locust's rows."""
        self.node.recorder.send(self.index, n, chat, intended, handed, response, outcome, message_id)
        if outcome is SendOutcome.ACCEPTED:
            self.node.progress.accepted += 1
        elif response.status < 0:
            self.node.progress.rig_failed += 1
        else:
            self.node.progress.refused += 1
        self.node.rows.response("SEND", "message", intended, response)


class DashboardUser(ChatUser):
    """An agent's inbox: a WebSocket that announces messages, and a refetch of the list for each announcement."""

    role = Role.DASHBOARD
    route = "refetches"
    connection = -1
    arrived = False
    refetcher: Any = None
    connection_greenlet: Any = None  # of a connection that is planned for part of the run

    def on_start(self) -> None:
        if not self.take_number():
            return
        self.refetch_wanted = Event()
        self.viewer = Viewer()
        self.request = self.node.protocol.list_chats()
        plan = self.node.plan
        address = parse_address(plan.base_url)
        self.url = socket_url(plan.base_url, self.node.protocol.socket_path)
        self.via = plan.via_of("sockets") or (address.host, address.port)
        self.socket_headers = dict(self.node.protocol.socket_headers)
        if plan.origin is not None:
            self.socket_headers["Origin"] = plan.origin
        self.refetcher = gevent.spawn(self.refetch_when_wanted)

    def on_stop(self) -> None:
        """Also kills its greenlets."""
        super().on_stop()
        for greenlet in (self.refetcher, self.connection_greenlet):
            if greenlet is not None:
                greenlet.kill(block=False)

    @task
    def follow_plan(self) -> None:
        """Stays connected while the scenario plans this dashboard."""
        node = self.node
        planned = node.scenario.planned(self.index) if self.planned else []
        for start, stop in planned:
            if start > 0:
                node.started.wait()
                gevent.sleep(max(0.0, node.start + start - time.monotonic()))
            if stop >= node.scenario.duration:
                self.stay_connected()
            self.connection_greenlet = gevent.spawn(self.stay_connected)
            node.started.wait()
            gevent.sleep(max(0.0, node.start + stop - time.monotonic()))
            self.connection_greenlet.kill()
        self.node.never.wait()

    def stay_connected(self) -> None:
        """Connects, and reconnects after each loss as the policy says, until killed."""
        waits = delays(self.node.scenario.reconnect, self.rng)
        while True:
            if self.connect_once():
                waits = delays(self.node.scenario.reconnect, self.rng)
            wait = next(waits, None)
            if wait is None:
                self.node.never.wait()
            gevent.sleep(wait)

    def connect_once(self) -> bool:
        """One connection, from its opening to its end. Returns whether it was subscribed."""
        node, recorder = self.node, self.node.recorder
        opened = time.monotonic()
        connection = self.connection = recorder.opening(self.index, opened)
        socket: WebSocket | None = None
        subscribed = False
        try:
            socket = WebSocket(
                self.url, node.scenario.handshake, self.socket_headers, self.via, on_skipped=self.note_skipped
            )
            self.await_frame(socket, Kind.CONNECTED)
            socket.send(node.protocol.subscribe())
            self.await_frame(socket, Kind.SUBSCRIBED)
            subscribed = True
            first, self.arrived = not self.arrived, True
            if first:
                node.progress.arrived += 1
            recorder.connection(connection, self.index, ConnectionEvent.SUBSCRIBED, socket.received_at)
            node.rows.request("CONNECT", "dashboard", socket.received_at - opened, 0, "")
            node.progress.subscribed += 1
            if first or node.scenario.reconnect != "origin":
                self.refetch_wanted.set()
            self.listen(socket)
        except (ConnectError, Closed) as error:
            now = time.monotonic()
            event = ConnectionEvent.CLOSED if subscribed else ConnectionEvent.FAILED
            code = error.code if isinstance(error, Closed) else error.status
            recorder.connection(connection, self.index, event, now, code, str(error))
            node.rows.request("CONNECT", "dashboard", now - opened, 0, f"lost: {error}" if subscribed else str(error))
            if isinstance(error, ConnectError):
                node.note_rate_limit("handshake", error.status, error.retry_after)
                node.note_unauthorized(error.status)
            elif error.rig_failed:
                node.trouble("socket", f"the rig lost a WebSocket: {error}")
        except gevent.GreenletExit:
            recorder.connection(connection, self.index, ConnectionEvent.STOPPED, time.monotonic())
            raise
        except Exception as error:  # noqa: BLE001 - every connection has an end
            detail = f"the rig failed: {type(error).__name__}: {error}"
            event, code = (ConnectionEvent.CLOSED, 1006) if subscribed else (ConnectionEvent.FAILED, UNREADABLE_HERE)
            recorder.connection(connection, self.index, event, time.monotonic(), code, detail)
            node.trouble("socket", detail)
        finally:
            if subscribed:
                node.progress.subscribed -= 1
            if socket is not None:
                socket.close()
        return subscribed

    def note_skipped(self, detail: str) -> None:
        """Notes that an address of the target was skipped."""
        self.node.note("passed_over", detail)

    def await_frame(self, socket: WebSocket, kind: Kind) -> None:
        """Reads until a frame of that kind arrives. Raises Closed if an error frame or nothing arrives instead."""
        patience = self.node.scenario.handshake
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            found = False
            for data in socket.receive(left):
                frame = self.handle_frame(socket, data)
                if frame is Kind.ERROR:
                    raise Closed(1006, f"expected {kind.name.lower()}, got the error frame {data[:200]!r}")
                found = found or frame is kind
            if found:
                return
        raise Closed(1006, f"no {kind.name.lower()} frame within {patience:g} s")

    def listen(self, socket: WebSocket) -> None:
        """Handles frames until the socket is lost. Raises Closed."""
        scenario = self.node.scenario
        while True:
            socket.listen(lambda data: self.handle_frame(socket, data), scenario.ping_interval)
            pinged = time.monotonic()
            socket.send(self.node.protocol.ping())
            socket.listen(lambda data: self.handle_frame(socket, data), scenario.ping_timeout)
            if socket.received_at < pinged and scenario.reconnect != "origin":
                raise Closed(1006, f"nothing came for {scenario.ping_timeout:g} s after a ping")

    def handle_frame(self, socket: WebSocket, data: bytes) -> Kind:
        """Records the announcement in a frame, if there is one, and requests a refetch for it."""
        recorder = self.node.recorder
        announcement = recorder.known_announcement(data)
        if announcement is None:
            try:
                frame = read(self.node.protocol.read_frame, data)
            except Unreadable as error:
                if isinstance(error, UnreadableHere):
                    self.node.trouble("frame", str(error))
                self.node.rows.request("FRAME", "unreadable", None, len(data), str(error))
                return Kind.OTHER
            if frame.kind is not Kind.MESSAGE:
                return frame.kind
            announcement = recorder.announcement(data, frame)
        recorder.frame(self.connection, announcement, socket.received_at)
        self.node.progress.frames += 1
        if self.node.scenario.refetch.policy == "every":
            gevent.spawn(self.refetch)
        else:
            self.refetch_wanted.set()
        return Kind.MESSAGE

    def refetch_when_wanted(self) -> None:
        """Runs until killed: one refetch in flight, at most one waiting, and no more often than the scenario allows."""
        # A broadcast wakes all dashboards at once, and would keep their refetches in step for ever. Real dashboards are
        # on different machines, whose timers drift apart.
        interval = self.node.scenario.refetch.interval * self.rng.uniform(1.0, 1.1)
        last = 0.0
        while True:
            self.refetch_wanted.wait()
            if (early := last + interval - time.monotonic()) > 0:
                gevent.sleep(early)
            # A frame that comes from here on may announce a message that this refetch does not show.
            self.refetch_wanted.clear()
            last = time.monotonic()
            self.refetch()

    def refetch(self) -> None:
        """Fetches the list once, and records the version that this dashboard now shows."""
        node, connection = self.node, self.connection
        started = time.monotonic()
        response = exchange(self.http, self.request)
        node.note_rate_limit("refetch", response.status, response.retry_after)
        version, problem = -1, response.problem
        try:
            if not problem:
                version = node.listing.version_of(response.body)
        except Unreadable as error:
            response, problem = as_unread(response, error), str(error)
        except Exception as error:  # noqa: BLE001 - every refetch has a row
            problem = f"a refetch failed: {type(error).__name__}: {error}"
            response = response._replace(status=UNREADABLE_HERE)
            node.trouble("refetch", problem)
        if version < 0:
            node.note_unshown(response.status, problem)
        node.recorder.refetch(connection, self.index, started, response, version)
        node.rows.request("REFETCH", "chat list", response.done - started, len(response.body), problem)
        if version >= 0:
            node.on_shown(self.index, self.viewer, version, response.done)
