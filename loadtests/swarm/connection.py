"""A user's WebSocket: opened, subscribed and joined to rooms, again after each loss, and sent over."""

import time
from collections.abc import Callable
from typing import NamedTuple

import gevent
from gevent.event import Event

from chatswarm.loadtests.history.tables import UNREADABLE_HERE, ConnectionEvent
from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.protocols.protocol import Frame, Kind, LoginError, Request, Session

from .account import Account
from .backoff import delays
from .draws import Draws
from .intake import Intake
from .net.websocket import Closed, ConnectError, WebSocket
from .node import Node
from .pending_sends import PendingSends
from .silence import SilenceClock

_NEVER = float("nan")
_LOOK_EVERY = 0.1  # seconds
_REJOIN_AFTER = 1.0  # seconds


class Owner(NamedTuple):
    """Whose connection it is: a dashboard's or a widget's number; the other one is -1."""

    dashboard: int = -1
    widget: int = -1

    @property
    def role(self) -> str:
        return "dashboard" if self.dashboard >= 0 else "widget"


class Written(NamedTuple):
    """What came of a message that was to be sent over a socket. Times are monotonic seconds.

    `reply` is None if nothing came in time. `status` then says why there was no socket: that of the last login or
    handshake; negative: the rig's fault; 0: something else.
    """

    connection: int  # -1: nothing was written
    sent: float  # NaN: nothing was written
    done: float
    reply: Frame | None = None
    status: int = 0
    detail: str = ""


class UserConnection:
    """One user's connection to the target, one socket after another."""

    def __init__(
        self, node: Node, account: Account, owner: Owner, draws: Draws, *,
        on_messages: Callable[[int], object] | None = None, on_connected: Callable[[], object] | None = None,
    ) -> None:  # fmt: skip
        """`on_messages` is called from the event loop, with how many WebSocket messages that have a chat's message came
        together; `on_connected`: after each subscription.
        """
        self.number = -1
        """In the history."""
        self.rooms: set[str] = set()
        """Those that it joins each time it connects. Once it runs, change them with `join` and `leave`."""
        self.subscribed = Event()
        """It is subscribed now, and the target has answered for all rooms."""
        self.tried = Event()
        """It was subscribed, or its first try has failed."""
        self.ever_subscribed = False
        self._node = node
        self._protocol = node.protocol
        self._promises = node.protocol.promises
        self._account = account
        self._owner = owner
        self._draws = draws
        self._on_connected = on_connected
        self._sends = PendingSends(by_echo=self._promises.accepted_by == "echo")
        self._intake = Intake(node, account, owner.dashboard, self._sends, on_messages, self._join_again)
        self._address = parse_address(node.plan.base_url)
        route = "sockets" if owner.dashboard >= 0 else "widgets"
        self._via = node.plan.via_of(route) or (self._address.host, self._address.port)
        self._socket: WebSocket | None = None
        self._session: Session | None = None
        self._may_join = False
        self._login = -1  # the number of the login that it was opened with
        self._failure = (0, "")  # why it is not subscribed: status and detail

    def stay(self) -> None:
        """Connects, and reconnects after each loss as the policy says, until killed.

        Not once the history is closed: the chat that was started for the run ends before its users do.
        """
        policy = self._node.scenario.reconnect
        waits = delays(policy, self._draws.uniform)
        while True:
            if self._connect_once():
                waits = delays(policy, self._draws.uniform)
            wait = None if self._node.recorder.closed else next(waits, None)
            if wait is None:
                self._node.never.wait()
            gevent.sleep(wait)

    def join(self, room: str) -> None:
        """Also joins this room: now if there is a connection, and with each new one."""
        self.rooms.add(room)
        if self._may_join and self._session is not None:
            self._ask(self._session, room)

    def _join_again(self, room: str) -> None:
        """The target has dropped the subscription to a room. Not at once: it may do so each time."""
        session = self._session

        def ask() -> None:
            if session is not None and session is self._session and room in self.rooms:
                self._ask(session, room)

        gevent.spawn_later(_REJOIN_AFTER, ask)

    def leave(self, room: str) -> None:
        """Joins this room no more. The target ends the subscription."""
        self.rooms.discard(room)

    def send(self, room: str, text: str, reference: str, timeout: float) -> Written:
        """Sends a message over the socket, and waits for what makes it accepted. Raises nothing."""
        deadline = time.monotonic() + timeout
        ready = self._ready_until(deadline)
        if ready is None:
            status, why = self._failure
            detail = f"no open socket within {timeout:g} s{f': {why}' if why else ''}"
            return Written(-1, _NEVER, time.monotonic(), status=status, detail=detail)
        socket, session = ready
        connection, sent = self.number, _NEVER
        with self._sends.waiting(room, text, reference) as reply:
            try:
                frame = session.send(room, text, reference)
                if isinstance(frame, Request):
                    raise TypeError("expected a frame that sends a message, got a request")
                if socket.is_open:
                    sent = time.monotonic()
                socket.send(frame)
                if self._promises.accepted_by == "written":
                    acknowledged = Frame(Kind.ACKNOWLEDGED, room, reference=reference)
                    return Written(connection, sent, time.monotonic(), acknowledged)
                came, done = reply.get(timeout=max(0.0, deadline - time.monotonic()))
                return Written(connection, sent, done, came, detail=self._account.blanked(came.detail))
            except gevent.Timeout:
                status, detail = 0, f"no acknowledgement within {timeout:g} s"
            except Closed as error:
                status, detail = 0, f"the connection ended: {error}"
            except Exception as error:  # noqa: BLE001 - protocols are third-party code, and there must be an outcome
                status, detail = UNREADABLE_HERE, f"the protocol failed: {type(error).__name__}: {error}"
        return Written(connection, sent, time.monotonic(), status=status, detail=self._account.blanked(detail))

    def _ready_until(self, deadline: float) -> tuple[WebSocket, Session] | None:
        """A socket that is subscribed and open, as soon as there is one; None if there is none by then."""
        while (left := deadline - time.monotonic()) > 0:
            if not self.subscribed.wait(left):
                break
            socket, session = self._socket, self._session
            if socket is not None and session is not None and socket.is_open:
                return socket, session
            gevent.sleep(0.001)  # it has just ended, and whoever listens to it has not heard of that yet
        return None

    # One socket, from its opening to its end.

    def _connect_once(self) -> bool:
        """One connection. Returns whether it was subscribed."""
        node, opened = self._node, time.monotonic()
        self.number = node.recorder.opening(self._owner.dashboard, opened, self._owner.widget)
        self._intake.begin(self.number, self._room)
        subscribed = False
        try:
            self._login = self._account.log_in()
            socket, session = self._open()
            since = self._subscribe(socket, session)
            subscribed = True
            self._begin(opened, since)
            self._listen(socket, session)
        except (ConnectError, Closed, LoginError) as error:
            self._note_loss(error, opened, subscribed=subscribed)
        except gevent.GreenletExit:
            self._record(ConnectionEvent.STOPPED, time.monotonic())
            raise
        except Exception as error:  # noqa: BLE001 - every connection has an end
            detail = self._account.blanked(f"the rig failed: {type(error).__name__}: {error}")
            event, code = (ConnectionEvent.CLOSED, 1006) if subscribed else (ConnectionEvent.FAILED, UNREADABLE_HERE)
            self._failure = (UNREADABLE_HERE, detail)
            self._record(event, time.monotonic(), code, detail)
            node.trouble("socket", detail)
        finally:
            self._end(subscribed=subscribed)
        return subscribed

    def _open(self) -> tuple[WebSocket, Session]:
        """Opens a socket. Raises ConnectError."""
        node, account = self._node, self._account
        socket = self._socket = account.open_socket(
            node.plan.base_url, self._via, node.plan.origin, node.scenario.handshake, room=self._room,
            deflate=node.scenario.deflate, on_skipped=self._note_skipped,
        )  # fmt: skip
        session = self._session = self._protocol.session(account.user, room=self._room)
        self._intake.attach(socket, session)
        return socket, session

    @property
    def _room(self) -> str:
        """The only room of this connection, where connections have one; otherwise empty."""
        return next(iter(self.rooms), "") if self._promises.one_room else ""

    def _subscribe(self, socket: WebSocket, session: Session) -> float:
        """Subscribes and joins all rooms. Returns since when that is in force. Raises Closed."""
        intake = self._intake
        intake.heed(session.open(), time.monotonic())
        self._await(socket, lambda: intake.subscribed, "subscribed")
        self._may_join = True
        for room in sorted(self.rooms):
            self._ask(session, room)
        self._await(socket, lambda: not intake.awaited, "joined")
        return intake.subscribed_at

    def _ask(self, session: Session, room: str) -> None:
        """Asks to be subscribed to a room."""
        self._intake.heed(session.join(room, self._intake.ask(room)), time.monotonic())

    def _await(self, socket: WebSocket, met: Callable[[], bool], what: str) -> None:
        """Reads until a condition is met. Raises Closed if an error frame or nothing arrives instead."""
        intake, patience, began = self._intake, self._node.scenario.handshake, time.monotonic()
        while not met():
            left = max(began, intake.greeted_at) + patience - time.monotonic()
            if left <= 0:
                waits = "" if self._session is None else self._session.waits_for
                raise Closed(1006, f"no {what} frame within {patience:g} s{f': {waits}' if waits else ''}")
            # In short pieces, because the last word may be the answer to a request.
            intake.take(socket.receive(min(left, _LOOK_EVERY)))
            if intake.error is not None and not met():
                raise Closed(1006, f"expected {what}, got the error frame {intake.error[:200]!r}")

    def _begin(self, opened: float, since: float) -> None:
        """It is subscribed `since` then."""
        node = self._node
        self._record(ConnectionEvent.SUBSCRIBED, since)
        node.rows.request("CONNECT", self._owner.role, since - opened, 0, "")
        if self._owner.dashboard >= 0:
            node.progress.subscribed += 1
            node.progress.arrived += not self.ever_subscribed
        self._failure = (0, "")
        self.subscribed.set()
        self.tried.set()
        if self._on_connected is not None:
            self._on_connected()
        self.ever_subscribed = True

    def _listen(self, socket: WebSocket, session: Session) -> None:
        """Takes what comes until the socket is lost. Raises Closed.

        Pings, if this protocol's clients do, as the protocol or else the scenario says. A connection is dead after the
        silence that the protocol names; if it names none, after the scenario's time-out without anything since a ping.
        """
        scenario, dead_after = self._node.scenario, session.dead_after or self._promises.dead_after
        heartbeat = session.heartbeat
        if heartbeat.seconds is None:
            heartbeat = heartbeat._replace(seconds=scenario.ping_interval)
        silence = SilenceClock(heartbeat, scenario.ping_timeout, dead_after, socket.received_at)
        while True:
            socket.listen(self._intake.take, max(0.0, silence.next - time.monotonic()))
            if not self._is_silent(socket, silence.since):
                silence.ended(socket.received_at)
            now = time.monotonic()
            match silence.due(now):
                case "ping" if self._ping(session):
                    silence.pinged(now)
                case "ping":
                    silence.without_pings()
                case "end" if dead_after is not None:
                    raise Closed(1006, f"nothing came for {dead_after:g} s, after which this protocol gives up")
                case "end" if scenario.reconnect != "origin":
                    raise Closed(1006, f"nothing came for {scenario.ping_timeout:g} s after a ping")
                case "end":
                    silence.ended(now)
                case _:
                    pass

    def _ping(self, session: Session) -> bool:
        """Sends a heartbeat, if this protocol's clients do. Returns whether they do."""
        ping = session.ping()
        if ping is None:
            return False
        self._intake.send((ping,))
        return True

    def _is_silent(self, socket: WebSocket, since: float) -> bool:
        """Whether nothing came since then. Looks once more at what the kernel has: a rig whose loop was late must not
        take that for the target's silence. Raises Closed.
        """
        if socket.received_at <= since:
            self._intake.take(socket.receive(0))
        return socket.received_at <= since

    def _note_loss(self, error: ConnectError | Closed | LoginError, opened: float, *, subscribed: bool) -> None:
        node, now, detail = self._node, time.monotonic(), self._account.blanked(str(error))
        event = ConnectionEvent.CLOSED if subscribed else ConnectionEvent.FAILED
        code = error.code if isinstance(error, Closed) else error.status
        if isinstance(error, LoginError):
            detail = f"login: {detail}"
        self._failure = (0 if isinstance(error, Closed) else error.status, detail)
        self._record(event, now, code, detail)
        if node.recorder.closed:
            return
        shown = f"lost: {detail}" if subscribed else detail
        node.rows.request("CONNECT", self._owner.role, now - opened, 0, shown)
        if isinstance(error, ConnectError):
            node.note_rate_limit("handshake", error.status, error.retry_after)
            node.note_unauthorized(error.status)
        elif isinstance(error, Closed) and error.rig_failed:
            node.trouble("socket", f"the rig lost a WebSocket: {detail}")
        self._account.note_loss(error, self._login)

    def _end(self, *, subscribed: bool) -> None:
        """Closes the socket, and ends what waits for it."""
        if subscribed and self._owner.dashboard >= 0:
            self._node.progress.subscribed -= 1
        self.subscribed.clear()
        self.tried.set()
        self._may_join = False
        self._sends.end()
        if self._socket is not None:
            self._socket.close()
        self._socket = self._session = None

    def _record(self, event: ConnectionEvent, at: float, code: int = 0, detail: str = "") -> None:
        socket, server, deflate = self._socket, -1, None
        if socket is not None and event is not ConnectionEvent.STOPPED:
            deflate = socket.deflate
            name = socket.headers.first(self._protocol.server_header) if self._protocol.server_header else None
            server = self._node.server_named(socket.peer, name)
        dashboard, widget = self._owner
        self._node.recorder.connection(
            self.number, dashboard, event, at, code, detail, widget=widget, server=server, deflate=deflate
        )

    def _note_skipped(self, detail: str) -> None:
        self._node.note("passed_over", detail)
