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
from .node import asked, current, unread
from .send_outcome import outcome_of

_SENDS_AT_ONCE = 1000  # per widget; with fewer a slow target would slow the sends


class ChatUser(User):
    """What widgets and dashboards share: the run they belong to, and HTTP connections of their own."""

    abstract = True
    concurrency = 10
    role: Role
    place: str
    """Where on the net its requests go."""
    index = -1  # until it has a place

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.node = current()
        self.http = self.node.client(self.concurrency, self.place)

    def take_place(self) -> bool:
        """Takes this user's number. Returns whether the scenario has a user of that number: others do nothing.

        Locust spawns users in bursts a second apart; here they spread again.
        """
        node, kind = self.node, self.role.name.lower()
        index = node.place(kind)
        self.dice = random.Random(f"chatswarm {node.plan.seed} {kind} {index}")
        self.index = index
        self.planned = index < (node.scenario.widgets if self.role is Role.WIDGET else node.scenario.dashboards)
        if not self.planned:
            node.recorder.user(self.role, index, UserEvent.ADDED, time.monotonic())
            return False
        gevent.sleep(self.dice.uniform(0, min(1.0, node.scenario.ramp)))
        return True

    def on_stop(self) -> None:
        """Says so if this user is taken away in the middle of the run, and keeps no connection."""
        self.http.close()
        if self.index >= 0 and self.planned and not self.node.ending.is_set():
            self.node.recorder.user(self.role, self.index, UserEvent.WITHDRAWN, time.monotonic())


class WidgetUser(ChatUser):
    """A customer: the contact form, a chat, then messages at the times that the schedule wants."""

    concurrency = _SENDS_AT_ONCE
    role = Role.WIDGET
    place = "widgets"
    chat: str | None = None
    chat_number = -1
    refusal: Response

    def on_start(self) -> None:
        """Gets a chat before the measured part begins."""
        if not self.take_place():
            return
        address = f"widget-{self.index}.{self.node.plan.run}"
        self.customer = Customer(f"Customer {self.index}", f"{address}@example.com")
        started = time.monotonic()
        form = asked(self.http, lambda: self.node.target.submit_contact(self.customer))
        self.node.rows.answer("CONTACT", "contact form", started, form)
        self.node.limited("contact form", form.status, form.retry_after)
        self.refusal = form
        if not form.problem:
            self.open_chat()
        self.node.progress.widgets += 1

    @task
    def converse(self) -> None:
        """Sends on schedule, each message in a greenlet of its own, until the measured part ends."""
        self.node.started.wait()
        for n, offset in enumerate(self.node.schedule(self.index) if self.planned else ()):
            intended = self.node.start + offset
            if self.node.ending.wait(max(0.0, intended - time.monotonic())):
                break
            self.node.sends.spawn(self.send, n, intended)
        self.node.never.wait()

    def open_chat(self) -> None:
        """Asks for a chat; without one, `refusal` says what came instead."""
        started = time.monotonic()
        answer = asked(self.http, lambda: self.node.target.create_chat(self.customer))
        self.node.limited("new chat", answer.status, answer.retry_after)
        if not answer.problem:
            try:
                self.chat = read(self.node.target.read_created, answer.body)
            except Unreadable as error:
                answer = unread(answer, error)._replace(complete=False, error=str(error))
            else:
                self.chat_number = self.node.recorder.chat(self.chat, self.index)
                self.node.chats.append(self.chat)
        elif answer.undecoded:
            answer = answer._replace(status=answer.reading, complete=False)
        self.node.rows.answer("CHAT", "create", started, answer)
        self.refusal = answer

    def send(self, n: int, intended: float) -> None:
        """One message, from now to its outcome."""
        handed = time.monotonic()
        self.node.progress.sent += 1
        try:
            answer, outcome, message_id = self.deliver(n)
        except Exception as error:  # noqa: BLE001 - whatever happens to a message, it has an outcome
            detail = f"a send failed: {type(error).__name__}: {error}"
            self.node.trouble("send", detail)
            answer = Response(UNREADABLE_HERE, b"", False, handed, time.monotonic(), detail)
            outcome, message_id = SendOutcome.UNKNOWN, None
        self.record(n, self.chat_number, intended, handed, answer, outcome, message_id)

    def deliver(self, n: int) -> tuple[Response, SendOutcome, int | None]:
        """Sends a message. Returns what came back, what became of it, and the id that it got."""
        node, target = self.node, self.node.target
        if self.chat is None:
            self.open_chat()
        chat = self.chat
        if chat is None:
            return self.refusal, SendOutcome.REJECTED, None
        text = text_of(node.plan.run, self.index, n, node.scenario.size, node.scenario.text)
        answer = asked(self.http, lambda: target.send(chat, text))
        node.limited("send", answer.status, answer.retry_after)
        outcome = outcome_of(
            written=answer.written,
            status=answer.status,
            complete=answer.complete,
            unavailable_means_not_done=target.unavailable_means_not_done,
        )
        message_id = None
        if outcome is SendOutcome.ACCEPTED:
            # A 2xx is a promise, whatever the body says.
            try:
                message_id = None if answer.undecoded else read(target.read_sent, answer.body)
            except UnreadableHere as error:
                node.note("unreadable_here", f"the answer to a send: {error}")
            except Unreadable as error:
                node.recorder.trouble(answer.done, "unreadable", str(error))
        return answer, outcome, message_id

    def record(
        self, n: int, chat: int, intended: float, handed: float, answer: Response, outcome: SendOutcome,
        message_id: int | None,
    ) -> None:  # fmt: skip
        """Puts a send's outcome into the history, the progress and Locust's rows."""
        self.node.recorder.send(self.index, n, chat, intended, handed, answer, outcome, message_id)
        if outcome is SendOutcome.ACCEPTED:
            self.node.progress.accepted += 1
        elif answer.status < 0:
            self.node.progress.rig_failed += 1
        else:
            self.node.progress.refused += 1
        self.node.rows.answer("SEND", "message", intended, answer)


class DashboardUser(ChatUser):
    """An agent's inbox: a socket that hears of messages, and a refetch of the list for what it heard."""

    role = Role.DASHBOARD
    place = "refetches"
    connection = -1
    arrived = False
    refetcher: Any = None
    stay: Any = None  # the greenlet of a connection that is planned for a while only

    def on_start(self) -> None:
        if not self.take_place():
            return
        self.wanted = Event()
        self.viewer = Viewer()
        self.request = self.node.target.list_chats()
        plan = self.node.plan
        address = parse_address(plan.base_url)
        self.url = socket_url(plan.base_url, self.node.target.socket_path)
        self.via = plan.via_of("sockets") or (address.host, address.port)
        self.socket_headers = dict(self.node.target.socket_headers)
        if plan.origin is not None:
            self.socket_headers["Origin"] = plan.origin
        self.refetcher = gevent.spawn(self.refetch_when_wanted)

    def on_stop(self) -> None:
        """Leaves no greenlet behind."""
        super().on_stop()
        for greenlet in (self.refetcher, self.stay):
            if greenlet is not None:
                greenlet.kill(block=False)

    @task
    def watch(self) -> None:
        """Is there whenever the scenario plans it to be."""
        node = self.node
        planned = node.scenario.planned(self.index) if self.planned else []
        for start, stop in planned:
            if start > 0:
                node.started.wait()
                gevent.sleep(max(0.0, node.start + start - time.monotonic()))
            if stop >= node.scenario.duration:
                self.stay_connected()
            self.stay = gevent.spawn(self.stay_connected)
            node.started.wait()
            gevent.sleep(max(0.0, node.start + stop - time.monotonic()))
            self.stay.kill()
        self.node.never.wait()

    def stay_connected(self) -> None:
        """Connects, and connects again whenever the socket is lost, as the policy says, until killed."""
        waits = delays(self.node.scenario.reconnect, self.dice)
        while True:
            if self.session():
                waits = delays(self.node.scenario.reconnect, self.dice)
            wait = next(waits, None)
            if wait is None:
                self.node.never.wait()
            gevent.sleep(wait)

    def session(self) -> bool:
        """One connection, from its opening to its end. Returns whether it got as far as subscribed."""
        node, recorder = self.node, self.node.recorder
        opened = time.monotonic()
        connection = self.connection = recorder.opening(self.index, opened)
        socket: WebSocket | None = None
        subscribed = False
        try:
            socket = WebSocket(
                self.url, node.scenario.handshake, self.socket_headers, self.via, passed_over=self.passed
            )
            self.await_frame(socket, Kind.CONNECTED)
            socket.send(node.target.subscribe())
            self.await_frame(socket, Kind.SUBSCRIBED)
            subscribed = True
            first, self.arrived = not self.arrived, True
            if first:
                node.progress.arrived += 1
            recorder.connection(connection, self.index, ConnectionEvent.SUBSCRIBED, socket.received_at)
            node.rows.request("CONNECT", "dashboard", socket.received_at - opened, 0, "")
            node.progress.subscribed += 1
            if first or node.scenario.reconnect != "origin":
                self.wanted.set()
            self.listen(socket)
        except (ConnectError, Closed) as error:
            now = time.monotonic()
            event = ConnectionEvent.CLOSED if subscribed else ConnectionEvent.FAILED
            code = error.code if isinstance(error, Closed) else error.status
            recorder.connection(connection, self.index, event, now, code, str(error))
            node.rows.request("CONNECT", "dashboard", now - opened, 0, f"lost: {error}" if subscribed else str(error))
            if isinstance(error, ConnectError):
                node.limited("handshake", error.status, error.retry_after)
                node.turned_away(error.status)
            elif error.own:
                node.trouble("socket", f"the rig lost a WebSocket: {error}")
        except gevent.GreenletExit:
            recorder.connection(connection, self.index, ConnectionEvent.STOPPED, time.monotonic())
            raise
        except Exception as error:  # noqa: BLE001 - whatever happens to a connection, it has an end
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

    def passed(self, detail: str) -> None:
        """An address of the target was passed over."""
        self.node.note("passed_over", detail)

    def await_frame(self, socket: WebSocket, kind: Kind) -> None:
        """Reads up to a frame of that kind. Raises Closed, with what came instead."""
        patience = self.node.scenario.handshake
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            found = False
            for data in socket.receive(left):
                frame = self.take(socket, data)
                if frame is Kind.ERROR:
                    raise Closed(1006, f"expected {kind.name.lower()}, got the error frame {data[:200]!r}")
                found = found or frame is kind
            if found:
                return
        raise Closed(1006, f"no {kind.name.lower()} frame within {patience:g} s")

    def listen(self, socket: WebSocket) -> None:
        """Takes frames until the socket is lost. Raises Closed."""
        scenario = self.node.scenario
        while True:
            socket.listen(lambda data: self.take(socket, data), scenario.ping_interval)
            pinged = time.monotonic()
            socket.send(self.node.target.ping())
            socket.listen(lambda data: self.take(socket, data), scenario.ping_timeout)
            if socket.received_at < pinged and scenario.reconnect != "origin":
                raise Closed(1006, f"nothing came for {scenario.ping_timeout:g} s after a ping")

    def take(self, socket: WebSocket, data: bytes) -> Kind:
        """One frame: records an announcement, and wants a refetch for it."""
        recorder = self.node.recorder
        announcement = recorder.known_announcement(data)
        if announcement is None:
            try:
                frame = read(self.node.target.read_frame, data)
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
            self.wanted.set()
        return Kind.MESSAGE

    def refetch_when_wanted(self) -> None:
        """Runs until killed: one refetch in flight, at most one waiting, and no more often than the scenario says."""
        # The broadcast that wakes all dashboards at once would have them refetch in step for ever. On machines of their
        # own their timers differ, and they drift apart.
        interval = self.node.scenario.refetch.interval * self.dice.uniform(1.0, 1.1)
        last = 0.0
        while True:
            self.wanted.wait()
            if (early := last + interval - time.monotonic()) > 0:
                gevent.sleep(early)
            # A frame from here on may speak of a message that this refetch does not show: it wants another one.
            self.wanted.clear()
            last = time.monotonic()
            self.refetch()

    def refetch(self) -> None:
        """Fetches the list once, and records which version of it this dashboard shows from now on."""
        node, connection = self.node, self.connection
        started = time.monotonic()
        answer = exchange(self.http, self.request)
        node.limited("refetch", answer.status, answer.retry_after)
        version, problem = -1, answer.problem
        try:
            if not problem:
                version = node.listing.version_of(answer.body)
        except Unreadable as error:
            answer, problem = unread(answer, error), str(error)
        except Exception as error:  # noqa: BLE001 - whatever happens to a refetch, it has a row
            problem = f"a refetch failed: {type(error).__name__}: {error}"
            answer = answer._replace(status=UNREADABLE_HERE)
            node.trouble("refetch", problem)
        if version < 0:
            node.unshown(answer.status, problem)
        node.recorder.refetch(connection, self.index, started, answer, version)
        node.rows.request("REFETCH", "chat list", answer.done - started, len(answer.body), problem)
        if version >= 0:
            node.shows(self.index, self.viewer, version, answer.done)
