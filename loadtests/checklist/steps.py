"""Walks the guide's checklist against any target in under 5 seconds.

reachable → connected → subscribed → list → chat → sent → notified → shown → in time
                                                   └ one message, watched by one dashboard ┘

`room_steps.py` has the checklist for a chat whose frames carry the text.
"""

import contextlib
import ssl
from collections.abc import Callable, Mapping, Sequence

from chatswarm.loadtests.messages.identity import new_run, text_of
from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.net.dialing import Dialer
from chatswarm.loadtests.net.origin import parse_origin
from chatswarm.loadtests.protocols.described import Described
from chatswarm.loadtests.protocols.protocol import ChatProtocol, Kind, User
from chatswarm.loadtests.system.units import human

from .delivery import DashboardClient, DeliveryProbe, take_steps
from .described_steps import DescribedWalk
from .diagnosis import GuideProblem, after_send, brief, diagnose
from .file_places import places_of
from .http import HttpClient, ProbeError
from .report import CheckReport, Step
from .room_steps import RoomWalk
from .symptoms import Delivery, StepName
from .walk import StepFailed, Testing, Walk, redirect_note, request_line, short
from .websocket import DashboardSocket

_OVERHEAD = 2.4  # seconds for the checklist on top of the update target: with 2 s and start-up, under 5 s
_LATE_MARGIN = 0.2  # seconds of it, past the update target, in which a late message can still be seen
_LAST_READS = 0.3  # seconds of it for locating a message that was not shown
_SIZE = 100  # characters of the message


def _ignore(_step: Step) -> None:
    pass


def run_checklist(
    protocol: ChatProtocol,
    base_url: str,
    *,
    update_target: float = 2.0,
    on_step: Callable[[Step], None] = _ignore,
    tls: ssl.SSLContext | None = None,
    origin: str | None = None,
    users: Sequence[Mapping[str, str]] = (),
    thorough: bool = False,
) -> CheckReport:
    """Walks the checklist up to the first step that fails. Leaves one customer with a chat and a message behind, or
    one room with its messages.

    `update_target` is in seconds; the guide's checklist takes at most 2.4 s longer, so 4.4 s by default, and that of a
    chat whose frames carry the text 5 s longer. `on_step` gets every step as it ends, and finally those not reached.
    `tls` replaces the system's CAs. `origin` is sent with the handshake and every request, as a browser sends its
    page's origin. `users`: rows of a users' file, first those of the viewers, then the sender's and the stranger's.

    A chat that a file describes is walked over more thoroughly, in at most 10 s, and the report has a transcript;
    `thorough` also waits for one heartbeat, for at most 60 s. Raises ValueError for an invalid URL, update target or
    origin, and if `users` lack something; and nothing else, whatever the chat does.
    """
    if not 0 < update_target < 3600:
        raise ValueError(f"update target: expected seconds above 0 and below 3600, got {update_target!r}")
    origin = None if origin is None else parse_origin(origin)
    dialer = Dialer(parse_address(base_url), tls)
    if protocol.promises.visible == "refetch":
        return _GuideWalk(protocol, base_url, dialer, update_target, on_step, origin, users).run()
    if isinstance(protocol, Described):
        return DescribedWalk(protocol, base_url, dialer, update_target, on_step, origin, users, thorough=thorough).run()
    return RoomWalk(protocol, base_url, dialer, update_target, on_step, origin, users).run()


class _GuideWalk(Walk):
    def __init__(
        self,
        protocol: ChatProtocol,
        base_url: str,
        dialer: Dialer,
        update_target: float,
        on_step: Callable[[Step], None],
        origin: str | None,
        rows: Sequence[Mapping[str, str]],
    ) -> None:
        super().__init__(protocol, base_url, dialer, origin, on_step, list(StepName))
        self._update_target = update_target
        self._places = places_of(protocol)
        # A file's `${run}` has letters and digits only.
        self._run = f"check-{new_run()}" if self._places is None else new_run()
        self._agent = protocol.user("dashboard", 0, self._run, rows[0] if rows else {})
        self._customer = protocol.user("widget", 0, self._run, rows[1] if len(rows) > 1 else {})
        self.users = [self._agent, self._customer]
        self._dashboard = DashboardClient(protocol, self._agent, dialer, origin, self.witness("dashboard"))
        # If the name has two addresses, the dashboard's socket uses one and the widget the other.
        self._widget = HttpClient(dialer, origin, turn=2, witness=self.witness("widget"))
        self._delivery = Delivery()
        self._end = self.began + update_target + _OVERHEAD
        # The steps before the send share the rest of the time, so that a slow chat fails at its slow step.
        self._send_deadline = self._end - update_target - _LATE_MARGIN - _LAST_READS

    def brief(self, failed: StepFailed) -> str:
        return brief(failed.symptoms)

    def diagnose(self, failed: StepFailed) -> GuideProblem:
        return diagnose(failed.symptoms)

    def close(self) -> None:
        self._dashboard.close()
        self._widget.close()

    def latency(self) -> float | None:
        return self._delivery.shown if any(s.ok and s.name is StepName.SHOWN for s in self.steps) else None

    def peers(self) -> dict[str, set[str]]:
        return {
            "the dashboard's WebSocket": self._dashboard.peers,
            "its HTTP requests": self._dashboard.http.peers,
            "the widget": self._widget.peers,
        }

    def walk(self) -> None:
        dashboard, protocol, deadline = self._dashboard, self.protocol, self._send_deadline
        with self.step(StepName.REACHABLE, self.address.authority) as testing:
            dashboard.http.reach(deadline)  # any status will do: "/" is not part of the protocol
            testing.seen = f"{self.address.authority} responds"
        with self.step(StepName.CONNECTED, self.address.socket_url) as testing:
            self._prepare(testing)
            socket_url = testing.what = self.address.socket_url + dashboard.handshake.path.partition("?")[0]
            self._connect(deadline)
            if self._places is None:  # a file says only when a dashboard is subscribed
                dashboard.wait_for(Kind.CONNECTED, deadline)
            testing.seen = socket_url
        with self.step(StepName.SUBSCRIBED, socket_url) as testing:
            dashboard.wait_for(Kind.SUBSCRIBED, deadline)
            testing.seen = "`subscribed` frame"
        with self.step(StepName.LIST, request_line(protocol.list_chats(self._agent))) as testing:
            chats, response = dashboard.refetch(deadline)
            testing.seen = (f"{len(chats)} chats" if len(chats) != 1 else "1 chat") + redirect_note(response.redirected)
        self._open_chat()

    def _prepare(self, testing: Testing) -> None:
        """What a dashboard needs to connect."""
        dashboard, protocol, places = self._dashboard, self.protocol, self._places
        for steps, labels in (
            (protocol.login(self._agent), places.login if places else ()),
            (protocol.before_handshake(self._agent), places.before if places else ()),
        ):
            take_steps(steps, dashboard.http, self._send_deadline, testing, self.blanked, labels, secret=True)
        dashboard.prepare()
        self.with_token = bool(dashboard.handshake.headers)

    def _connect(self, deadline: float) -> None:
        """The dashboard's handshake. If it is refused, retries with the chat's own origin to see if that is why."""
        try:
            self._dashboard.socket.open(deadline)
        except ProbeError as error:
            own = self.address.origin
            if error.status in (401, 403) and self.origin != own:
                retry = DashboardSocket(self.dialer, self._dashboard.handshake, own, turn=1)
                with contextlib.suppress(ProbeError):
                    retry.open(deadline)
                    self.accepted_origin = own
                retry.close()
            raise

    def _open_chat(self) -> None:
        with self.step(StepName.CHAT, "the contact form") as testing:
            chat_id = self._created_chat(testing)
        self._deliver(self._customer, chat_id, text_of(new_run(), 0, 1, _SIZE))

    def _created_chat(self, testing: Testing) -> str:
        protocol, deadline, places, widget = self.protocol, self._send_deadline, self._places, self._widget
        login, create = (places.login, places.create) if places else ((), ())
        take_steps(protocol.login(self._customer), widget, deadline, testing, self.blanked, login, secret=True)
        creation = (
            protocol.create_room(0, self._run, [self._agent, self._customer])
            if protocol.promises.has_rooms
            else protocol.create_chat(self._customer)
        )
        chat_id = take_steps(creation, widget, deadline, testing, self.blanked, create)
        testing.seen = f"chat {short(chat_id)}{redirect_note(widget.redirected)}"
        if protocol.promises.has_rooms:
            self._dashboard.join(chat_id)
            self._dashboard.wait_for(Kind.JOINED, deadline)
        return chat_id

    def _deliver(self, customer: User, chat_id: str, text: str) -> None:
        before = self._count_before(chat_id)
        probe = DeliveryProbe(
            self.protocol, customer, self._dashboard, self._widget, chat_id, text, before, self._delivery, self._places
        )
        until, first = self._end - _LAST_READS, len(self.steps)

        def on_progress() -> None:
            for name in after_send(self._delivery, self._update_target)[len(self.steps) - first :]:
                self.note(Step(name, True, *self._passed_step(name, probe)))

        probe.run(until, self._end, on_progress)
        on_progress()
        if len(self.steps) < len(StepName):
            raise self._delivery_failure(list(StepName)[len(self.steps)], probe)

    def _delivery_failure(self, broken: StepName, probe: DeliveryProbe) -> StepFailed:
        protocol, delivery = self.protocol, self._delivery
        error = {StepName.SENT: probe.send_error, StepName.SHOWN: probe.refetch_error}.get(broken)
        request = protocol.list_chats(self._agent) if broken is StepName.SHOWN else probe.send_request
        symptoms = self.symptoms(broken, request_line(request), error, delivery.watched)
        symptoms.delivery, symptoms.update_target = delivery, self._update_target
        symptoms.list_window = protocol.list_window
        late = delivery.shown if broken is StepName.IN_TIME else None
        return StepFailed(symptoms, delivery.watched if late is None else late)

    def _count_before(self, chat_id: str) -> int | None:
        """The chat's message count before the send; 0 if the list lacks the chat, as it may while it is empty."""
        try:
            chats, _ = self._dashboard.refetch(self._send_deadline)
        except ProbeError:
            return None
        return next((chat.total for chat in chats if chat.chat_id == chat_id), 0)

    def _passed_step(self, name: StepName, probe: DeliveryProbe) -> tuple[float | None, str]:
        delivery = self._delivery
        shown = human(delivery.shown)
        return {
            StepName.SENT: (delivery.accepted, f"HTTP {probe.status}{redirect_note(probe.redirected)}"),
            StepName.NOTIFIED: (delivery.notified, "the frame for this chat"),
            StepName.SHOWN: (delivery.refetch, probe.shown_as),
            StepName.IN_TIME: (delivery.shown, f"{shown} after it was sent; the target is {self._update_target:g} s"),
        }[name]
