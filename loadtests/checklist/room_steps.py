"""Walks the checklist of a chat whose frames carry the text, in under 7 seconds: two viewers, a sender and a stranger.

reachable → logged in → room created → connected → joined → sent → acknowledged → shown → in time
          → stranger refused → cut viewer gets what it missed → history complete
"""

import contextlib
import queue
import time
from collections.abc import Callable, Mapping, Sequence

from chatswarm.loadtests.messages.identity import new_run, text_of
from chatswarm.loadtests.net.dialing import Dialer, DialError, start_thread
from chatswarm.loadtests.protocols.described import Described
from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.protocols.protocol import ChatProtocol, Frame, Kind, Request, Unreadable
from chatswarm.loadtests.system.units import human

from . import room_causes
from .causes import Diagnosis
from .delivery import take_steps
from .diagnosis import GuideProblem
from .file_places import places_of
from .http import ProbeError, ProbeResponse, excerpt
from .report import Step
from .room_client import RoomClient, next_of
from .symptoms import Failure, RoomStep
from .walk import StepFailed, Testing, Walk, WrongError, redirect_note, request_line, short

_BEFORE = 2.0  # seconds for the steps before the send
_LATE_MARGIN = 0.2  # seconds past the update target in which a late message can still be seen
LOCATE = 0.3
"""Seconds for locating a message that was not shown."""
_AFTER = 2.5  # seconds for the steps after it
_REPLAY = 1.0  # seconds for the replay, once the viewer is back
AGAIN = 0.1
"""Seconds in which a message that was replayed may come once more."""
SIZE = 100
"""Characters of a message."""
_REFUSALS = (401, 403, 404)
_WHO = ("viewer 1", "viewer 2", "sender", "stranger")


class RoomWalk(Walk):
    """One walk. Leaves a room with two messages behind."""

    def __init__(
        self,
        protocol: ChatProtocol,
        base_url: str,
        dialer: Dialer,
        update_target: float,
        on_step: Callable[[Step], None],
        origin: str | None,
        rows: Sequence[Mapping[str, str]] = (),
        names: Sequence[RoomStep] | None = None,
    ) -> None:
        """`rows`: of a users' file, for the viewers, the sender and the stranger; `names`: the steps, in order.

        Raises ValueError if the rows lack something.
        """
        super().__init__(protocol, base_url, dialer, origin, on_step, names or steps_of(protocol.promises))
        self._update_target = update_target
        self._run = new_run()
        # A file's `${run}` has letters and digits only.
        self._of_run = self._run if isinstance(protocol, Described) else f"check-{self._run}"
        places = (("dashboard", 0), ("dashboard", 1), ("widget", 0), ("dashboard", 2))
        self.users = [
            protocol.user(role, index, self._of_run, rows[number] if number < len(rows) else {})
            for number, (role, index) in enumerate(places)
            if number < 3 or protocol.promises.has_members or not isinstance(protocol, Described)
        ]
        # If the name has several addresses, they use different ones.
        clients = [
            RoomClient(protocol, user, dialer, origin, turn, self.blanked, self.witness(who))
            for turn, (user, who) in enumerate(zip(self.users, _WHO, strict=False))
        ]
        self._viewers, self._sender, self._stranger = clients[:2], clients[2], clients[-1]
        self._clients = clients if protocol.promises.has_members else clients[:3]
        self._room = ""
        self._socket_url = self.address.socket_url
        self._deadline = self.began + _BEFORE
        self._latency: float | None = None

    def brief(self, failed: StepFailed) -> str:
        symptoms = failed.symptoms
        if symptoms.failure is Failure.STATUS:
            return f"HTTP {symptoms.status}"
        return symptoms.detail if symptoms.failure is None else symptoms.failure

    def diagnose(self, failed: StepFailed) -> GuideProblem:
        symptoms = failed.symptoms
        if failed.found is None:
            return room_causes.explain(symptoms, on_socket=symptoms.what == self._socket_url)
        assert isinstance(symptoms.broken, RoomStep)
        return GuideProblem(room_causes.TITLES[symptoms.broken], *failed.found)

    def further_secrets(self) -> list[str]:
        return [value for client in self._clients for value in client.cookies.values()]

    def blanked(self, text: str) -> str:
        text = super().blanked(text)
        for client in self._clients:
            for variables in client.kept:
                text = variables.blanked(text)
        return text

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def latency(self) -> float | None:
        return self._latency

    def peers(self) -> dict[str, set[str]]:
        names = ("the first viewer", "the second viewer", "the sender", "the stranger")
        return {name: client.peers | client.http.peers for name, client in zip(names, self._clients, strict=False)}

    def walk(self) -> None:
        promises = self.protocol.promises
        self.prepare()
        self._deliver(text_of(self._run, 0, 1, SIZE))
        self._deadline = time.monotonic() + _AFTER
        if promises.has_members:
            with self.step(RoomStep.STRANGER, self._socket_url) as testing:
                testing.seen = self._refused(testing)
        if promises.has_rooms:
            with self.step(RoomStep.REPLAYED, self._socket_url) as testing:
                self._cut_and_come_back(testing, 2)
        if promises.history == "pages":
            with self.step(RoomStep.HISTORY, "the history") as testing:
                self._read_history(testing)

    # Before the message.

    def prepare(self) -> None:
        """The steps before the message."""
        promises = self.protocol.promises
        with self.step(RoomStep.REACHABLE, self.address.authority) as testing:
            self._viewers[0].http.reach(self._deadline)  # any status will do: "/" is not part of the protocol
            testing.seen = f"{self.address.authority} responds"
        with self.step(RoomStep.LOGGED_IN, "the login") as testing:
            for client in self._clients:
                client.log_in(self._deadline, testing)
            testing.seen = f"{len(self._clients)} users"
        with self.step(RoomStep.ROOM, "the room") as testing:
            self._create_room(testing)
        with self.step(RoomStep.CONNECTED, "the WebSocket") as testing:
            for client in [*self._viewers, self._sender]:
                self._connect(client, testing)
            testing.seen = self._socket_url
        if promises.has_rooms:
            with self.step(RoomStep.JOINED, self._socket_url) as testing:
                for client in [*self._viewers, *([self._sender] if self.sender_joins else [])]:
                    self._join(client)
                testing.seen = f"room {short(self._room)}"

    @property
    def sender_joins(self) -> bool:
        """Whether the sender has to join the room."""
        promises = self.protocol.promises
        return promises.accepted_by == "echo" or (promises.senders_join and sends_over_socket(promises))

    def _create_room(self, testing: Testing) -> None:
        members = [client.user for client in (*self._viewers, self._sender)]
        has_rooms, places = self.protocol.promises.has_rooms, places_of(self.protocol)
        creation = (
            self.protocol.create_room(0, self._of_run, members)
            if has_rooms
            else self.protocol.create_chat(self._sender.user)
        )
        # Where a room's members are users of the application, the first of them makes it.
        http = (self._viewers[0] if has_rooms and places is not None else self._sender).http
        labels = places.create if places else ()
        self._room = take_steps(creation, http, self._deadline, testing, self.blanked, labels)
        testing.seen = f"room {short(self._room)}{redirect_note(http.redirected)}"

    def _connect(self, client: RoomClient, testing: Testing, *, everything: bool = False) -> None:
        path = client.handshake_path(self._room, self._deadline, testing, everything=everything)
        testing.what = self._socket_url = self.address.socket_url + path
        client.open(self._deadline, everything=everything)
        client.greet(self._deadline)

    def _join(self, client: RoomClient) -> None:
        answer = client.join(self._room, self._deadline)[-1]
        if answer.kind is Kind.REFUSED:
            detail = excerpt(answer.detail)
            raise WrongError("the join was refused", self.why_refused(detail))

    # Why something failed.

    def why_refused(self, detail: str) -> Diagnosis:
        """A member's join was refused."""
        return room_causes.join_refused(detail)

    def why_not_acknowledged(self, sending: "Sending", waited: float, stored: bool | None) -> Diagnosis:
        """A message was not accepted."""
        return room_causes.not_acknowledged(waited, bool(sending.shown), stored)

    def why_not_shown(self, sending: "Sending", missing: int, waited: float, stored: bool | None) -> Diagnosis:
        """A message was not shown to `missing` of two viewers."""
        del sending
        return room_causes.not_shown(missing, waited, stored)

    def wrong_in(self, sending: "Sending") -> WrongError | None:
        """What is wrong with a message that was shown to both viewers."""
        del sending
        return None

    def why_let_in(self, how: str) -> Diagnosis:
        """A stranger got what only members may have."""
        return room_causes.let_in(how)

    def why_not_replayed(self, *, marked: bool) -> Diagnosis:
        """A viewer that came back did not get what it missed. `marked`: it was told that it missed something."""
        return room_causes.not_replayed(marked)

    # The message.

    def _deliver(self, text: str) -> None:
        """Sends a message, and notes the steps that end with both viewers having been shown it in time."""
        with self.step(RoomStep.SENT, self._socket_url) as testing:
            sending = self._sending(text, 1)
            start([sending], time.monotonic() + self._update_target, testing)
            testing.seen = f"{len(text)} characters"
        until = sending.sent + self._update_target + _LATE_MARGIN
        error: ProbeError | Unreadable | WrongError | None = None
        try:
            watch([sending], self._viewers, self._sender, until)
        except (ProbeError, Unreadable, WrongError) as caught:
            error = caught
        waited = time.monotonic() - sending.sent
        if RoomStep.ACKNOWLEDGED in self.names:
            self._acknowledged(sending, error, waited)
        shown = [sending.shown.get(id(viewer)) for viewer in self._viewers]
        missing = shown.count(None)
        if not missing and error is None:
            error = self.wrong_in(sending)
        if missing or error is not None:
            stored = self._stored(text) if error is None else None
            error = error or WrongError("not shown", self.why_not_shown(sending, missing, waited, stored))
            raise self._failed(RoomStep.SHOWN, error, waited)
        seconds = max(at for at in shown if at is not None) - sending.sent
        self.note(Step(RoomStep.SHOWN, True, seconds, "its text in a frame"))
        timing = f"{human(seconds)} after it was sent; the target is {self._update_target:g} s"
        self._latency = seconds
        if seconds > self._update_target:
            found = room_causes.late(seconds, sending.accepted, self._update_target)
            raise self._failed(RoomStep.IN_TIME, WrongError(timing, found), seconds)
        self.note(Step(RoomStep.IN_TIME, True, seconds, timing))

    def _sending(self, text: str, number: int) -> "Sending":
        """A message to be sent. `number`: in its text."""
        return Sending(self.protocol, self._sender, self._room, text, f"check.{self._run}.{number}")

    def _acknowledged(
        self, sending: "Sending", error: ProbeError | Unreadable | WrongError | None, waited: float
    ) -> None:
        """Notes the acknowledgement. Raises StepFailed if it has not come."""
        if sending.accepted is not None:
            self.note(Step(RoomStep.ACKNOWLEDGED, True, sending.accepted, sending.how))
            return
        if error is None:
            stored = self._stored(sending.text)
            error = WrongError("not acknowledged", self.why_not_acknowledged(sending, waited, stored))
        what = sending.what if sending.wrong_response else ""
        raise self._failed(RoomStep.ACKNOWLEDGED, error, waited, what)

    def _failed(
        self, name: RoomStep, error: ProbeError | Unreadable | WrongError, seconds: float, what: str = ""
    ) -> StepFailed:
        symptoms = self.symptoms(name, what or self._socket_url, error, seconds)
        return StepFailed(symptoms, seconds, error.found if isinstance(error, WrongError) else None)

    def _stored(self, text: str) -> bool | None:
        """Whether the history has the message; None if it cannot be read."""
        if self.protocol.promises.history != "pages":
            return None
        with contextlib.suppress(ProbeError, Unreadable):
            texts = self._viewers[0].read(self._room, time.monotonic() + LOCATE, Testing(""), lambda read: text in read)
            return text in texts
        return None

    # After it.

    def _refused(self, testing: Testing) -> str:
        """What a stranger gets. Raises WrongError if it is let in or shown anything."""
        return f"join: {self._refused_join(testing)}; read: {self._refused_read(testing)}"

    def _refused_join(self, testing: Testing) -> str:
        stranger = self._stranger
        try:
            self._connect(stranger, testing)
            answer = stranger.join(self._room, self._deadline)[-1]
        except ProbeError as error:
            said = self.refusal_in(error)
            if said is None:
                raise
            return said
        if answer.kind is Kind.JOINED or stranger.shown:
            raise WrongError("a stranger joined the room", self.why_let_in("joined it"))
        return "refused"

    def refusal_in(self, error: ProbeError) -> str | None:
        """How a connection or a join was refused; None if this is no refusal."""
        if error.failure is Failure.STATUS and error.status in _REFUSALS:
            return f"HTTP {error.status} to the handshake"
        if error.failure in (Failure.CLOSED, Failure.ERROR_FRAME):
            return f"{error.failure} ({error.detail})"
        return None

    def _refused_read(self, testing: Testing) -> str:
        try:
            texts = self._stranger.read(self._room, self._deadline, testing)
        except ProbeError as error:
            if error.failure is Failure.STATUS and error.status in _REFUSALS:
                return f"HTTP {error.status}"
            raise
        if texts:
            raise WrongError("a stranger read the room", self.why_let_in("was shown its messages by a read"))
        return "nothing was shown"

    def _cut_and_come_back(self, testing: Testing, number: int) -> None:
        """Sends message `number` while a viewer is away."""
        viewer, text = self._viewers[1], text_of(self._run, 0, number, SIZE)
        assert viewer.socket is not None
        viewer.socket.cut()
        sending = self._sending(text, number)
        start([sending], self._deadline, testing)
        watch([sending], self._viewers[:1], self._sender, self._deadline)
        if sending.accepted is None:
            found = self.why_not_acknowledged(sending, time.monotonic() - sending.sent, None)
            raise WrongError("a message was not acknowledged", found)
        if not sending.shown:
            found = self.why_not_shown(sending, 1, time.monotonic() - sending.sent, None)
            raise WrongError("not shown to the viewer who stayed", found)
        self._connect(viewer, testing)
        came = viewer.join(self._room, self._deadline)
        if came[-1].kind is Kind.REFUSED:
            raise WrongError("the join was refused", self.why_refused(excerpt(came[-1].detail)))
        marked = any(frame.kind is Kind.MISSED for frame in came)
        testing.seen = self._how_it_came(viewer, text, testing, marked)
        earlier = text_of(self._run, 0, 1, SIZE)
        again = max(viewer.times(text), viewer.times(earlier) if self.protocol.promises.replays_once else 0)
        if again > 1:
            raise WrongError(f"shown {again} times", room_causes.shown_again(again))

    def _how_it_came(self, viewer: RoomClient, text: str, testing: Testing, marked: bool) -> str:
        """How the viewer that came back got what it missed; `marked`: it was told that it has missed something.

        Raises ProbeError, Unreadable, and WrongError if it did not get it.
        """
        until = min(self._deadline, time.monotonic() + (AGAIN if viewer.times(text) else _REPLAY))
        while not marked and (came := next_of([viewer], until)) is not None:
            marked = came[1].frame.kind is Kind.MISSED
            if viewer.times(text):
                until = min(until, time.monotonic() + AGAIN)
        if viewer.times(text):
            return "replayed"
        if not marked:
            raise WrongError("neither replayed nor marked as missed", self.why_not_replayed(marked=False))
        return self._read_missed(viewer, text, testing)

    def _read_missed(self, viewer: RoomClient, text: str, testing: Testing) -> str:
        """How the viewer read what is marked as missed. Raises ProbeError, Unreadable, and WrongError if it cannot."""
        if text not in (viewer.missed(self._room, self._deadline, testing) or ()):
            raise WrongError("marked as missed, but not to be read", self.why_not_replayed(marked=True))
        return "marked as missed, and read"

    def _read_history(self, testing: Testing) -> None:
        sent = [text_of(self._run, 0, n, SIZE) for n in (1, 2) if n == 1 or self.protocol.promises.has_rooms]
        texts = self._viewers[0].read(self._room, self._deadline, testing)
        found = [text for text in texts if text in sent]
        if found != sent:
            missing, again = len(set(sent) - set(found)), len(found) - len(set(found))
            brief = f"{missing} missing" if missing else f"{again} twice" if again else "in another order"
            raise WrongError(brief, room_causes.wrong_history(missing, again))
        testing.seen = f"{len(sent)} messages, in order"


class Sending:
    """One message that is sent: whether the chat accepted it, and who was shown it."""

    def __init__(
        self,
        protocol: ChatProtocol,
        sender: RoomClient,
        room: str,
        text: str,
        reference: str,
        is_it: Callable[[str], bool] | None = None,
        *,
        over_socket: bool | None = None,
    ) -> None:
        """`is_it`: whether a shown text is this message; None: if it is equal.

        `over_socket`: None: as the chat does it.
        """
        self.text = text
        self.reference = reference
        self.sent = 0.0
        self.accepted: float | None = None  # seconds until it was
        self.how = ""  # what said so
        self.what = ""  # the request that sent it; empty if a frame did
        self.wrong_response = False  # whether it is this request that failed
        self.shown: dict[int, float] = {}  # when, by the viewer's id()
        self.frames: list[Frame] = []  # that showed it to viewers
        self.answers: list[Frame] = []  # acknowledgements and rejections of nothing that is known
        self._protocol = protocol
        self._sender = sender
        self._room = room
        self.is_it = is_it or (lambda shown: shown == text)
        self._acceptance = protocol.promises.accepted_by
        self._over_socket = sends_over_socket(protocol.promises) if over_socket is None else over_socket
        self._responses: queue.SimpleQueue[ProbeResponse | ProbeError] = queue.SimpleQueue()

    @property
    def over_socket(self) -> bool:
        return self._over_socket

    def send(self, deadline: float) -> None:
        """Sends it over the socket. Raises ProbeError."""
        self.sent = self._sender.send(self._room, self.text, self.reference, deadline)
        if self._acceptance == "written":
            self.accepted, self.how = 0.0, "as written"

    def request(self) -> Request:
        """What sends it by HTTP."""
        request = self._protocol.send(self._sender.user, self._room, self.text, self.reference)
        self.what = request_line(request)
        return request

    def open(self, deadline: float) -> None:
        """Makes sure that there is a connection for `ask`."""
        self._sender.http.open(deadline)

    def ask(self, request: Request, deadline: float) -> None:
        """Sends it by HTTP. The response is for `take_response`."""
        self.sent = time.monotonic()
        try:
            self._responses.put(self._sender.send_by(request, deadline))
        except ProbeError as error:
            self._responses.put(error)

    @property
    def waits_for_a_response(self) -> bool:
        return bool(self.what) and self.accepted is None

    def take_response(self) -> None:
        """Looks at the response, if it has come. Raises ProbeError, Unreadable and WrongError."""
        with contextlib.suppress(queue.Empty):
            response = self._responses.get_nowait()
            self.wrong_response = True  # unless the rest goes well
            if isinstance(response, ProbeError):
                raise response
            self._sender.required(response)
            sent = self._sender.parsed(self._protocol.read_sent, response.body)
            if not sent.accepted:
                detail = excerpt(self._sender.blanked(sent.detail))
                raise WrongError("rejected", room_causes.rejected(response.status, detail))
            self.accepted, self.how = response.done - self.sent, f"HTTP {response.status}"
            self.wrong_response = False

    def take_shown(self, viewer: RoomClient, frame: Frame, at: float) -> None:
        """A viewer was shown a message."""
        if frame.text is not None and self.is_it(frame.text):
            self.shown.setdefault(id(viewer), at)
            self.frames.append(frame)

    def take_answer(self, frame: Frame, at: float) -> None:
        """The sender got a frame. Raises WrongError if that is a rejection."""
        if not self._over_socket:
            return
        if frame.kind is Kind.REJECTED and frame.reference in (self.reference, ""):
            raise WrongError("rejected", room_causes.rejected(frame.status, excerpt(frame.detail)))
        if frame.kind is Kind.ACKNOWLEDGED and frame.reference == self.reference:
            self.accepted, self.how = at - self.sent, "by a frame with its reference"
        elif frame.kind in (Kind.ACKNOWLEDGED, Kind.REJECTED):
            self.answers.append(frame)
        elif self._acceptance == "echo" and frame.kind is Kind.MESSAGE and self.is_it(frame.text or ""):
            self.accepted, self.how = at - self.sent, "by its own message coming back"


def start(sendings: Sequence[Sending], deadline: float, testing: Testing) -> None:
    """Sends messages, one after the other in each of both ways. Raises ProbeError."""
    by_http = [(sending, sending.request()) for sending in sendings if not sending.over_socket]
    if by_http:
        first = by_http[0][0]
        testing.what = first.what
        first.open(deadline)  # connecting does not count as update latency
        first.sent = time.monotonic()  # until it is: `ask` says when exactly

        def ask() -> None:
            for sending, request in by_http:
                sending.ask(request, deadline)

        try:
            # In a thread, because a response may come after the frames, or never.
            start_thread(ask, "send")
        except DialError as error:
            raise ProbeError.from_dial(error) from error
    for sending in sendings:
        if sending.over_socket:
            sending.send(deadline)


def watch(sendings: Sequence[Sending], viewers: Sequence[RoomClient], sender: RoomClient, until: float) -> None:
    """Returns once all were accepted and all viewers were shown them, or at `until`.

    Raises ProbeError, Unreadable, and WrongError if one is rejected.
    """

    def done() -> bool:
        return all(one.accepted is not None and len(one.shown) >= len(viewers) for one in sendings)

    while not done() and (now := time.monotonic()) < until:
        for one in sendings:
            one.take_response()
        if done():
            return
        pause = 0.01 if any(one.waits_for_a_response for one in sendings) else 1.0
        if (came := next_of([*viewers, sender], min(until, now + pause))) is None:
            continue
        client, (at, frame) = came
        for one in sendings:
            if client is sender:
                one.take_answer(frame, at)
            elif frame.kind is Kind.MESSAGE:
                one.take_shown(client, frame, at)


def sends_over_socket(promises: Promises) -> bool:
    """Whether messages are sent over the sender's socket here, where they can be."""
    return "socket" in promises.sends_over and promises.accepted_by != "status"


def steps_of(promises: Promises) -> list[RoomStep]:
    """The steps that there are for a chat with these promises."""
    left_out = {
        RoomStep.JOINED: not promises.has_rooms,
        RoomStep.SERIES: True,
        RoomStep.HEARTBEAT: True,
        RoomStep.ACKNOWLEDGED: promises.accepted_by == "written",
        RoomStep.STRANGER: not promises.has_members,
        RoomStep.REPLAYED: not promises.has_rooms,
        RoomStep.HISTORY: promises.history != "pages",
    }
    return [step for step in RoomStep if not left_out.get(step, False)]
