"""Walks the checklist of a chat whose frames carry the text, in under 7 seconds: two viewers, a sender and a stranger.

reachable → logged in → room created → connected → joined → sent → acknowledged → shown → in time
          → stranger refused → cut viewer gets what it missed → history complete
"""

import contextlib
import queue
import time
from collections.abc import Callable, Sequence

from chatswarm.loadtests.messages.identity import new_run, text_of
from chatswarm.loadtests.net.dialing import Dialer, DialError, start_thread
from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.protocols.protocol import ChatProtocol, Frame, Kind, Request, Unreadable
from chatswarm.loadtests.system.units import human

from . import room_causes
from .delivery import parsed, require_2xx
from .diagnosis import GuideProblem
from .http import ProbeError, ProbeResponse, excerpt
from .report import Step
from .room_client import RoomClient, next_of
from .symptoms import Failure, RoomStep
from .walk import StepFailed, Testing, Walk, WrongError, redirect_note, request_line, short

_BEFORE = 2.0  # seconds for the steps before the send
_LATE_MARGIN = 0.2  # seconds past the update target in which a late message can still be seen
_LOCATE = 0.3  # seconds for locating a message that was not shown
_AFTER = 2.5  # seconds for the steps after it
_REPLAY = 1.0  # seconds for the replay, once the viewer is back
_AGAIN = 0.1  # seconds in which a message that was replayed may come once more
_SIZE = 100  # characters of a message
_REFUSALS = (401, 403, 404)


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
    ) -> None:
        super().__init__(protocol, base_url, dialer, origin, on_step, _steps_of(protocol.promises))
        self._update_target = update_target
        self._run = new_run()
        of_run = f"check-{self._run}"
        self.users = [
            protocol.user("dashboard", 0, of_run, {}),
            protocol.user("dashboard", 1, of_run, {}),
            protocol.user("widget", 0, of_run, {}),
            protocol.user("dashboard", 2, of_run, {}),
        ]
        # If the name has several addresses, they use different ones.
        clients = [
            RoomClient(protocol, user, dialer, origin, turn, self.blanked) for turn, user in enumerate(self.users)
        ]
        self._viewers, self._sender, self._stranger = clients[:2], clients[2], clients[3]
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
                joining = [*self._viewers, *([self._sender] if promises.accepted_by == "echo" else [])]
                for client in joining:
                    self._join(client)
                testing.seen = f"room {short(self._room)}"
        self._deliver(text_of(self._run, 0, 1, _SIZE))
        self._deadline = time.monotonic() + _AFTER
        if promises.has_members:
            with self.step(RoomStep.STRANGER, self._socket_url) as testing:
                testing.seen = self._refused(testing)
        if promises.has_rooms:
            with self.step(RoomStep.REPLAYED, self._socket_url) as testing:
                self._cut_and_come_back(testing, text_of(self._run, 0, 2, _SIZE))
        if promises.history == "pages":
            with self.step(RoomStep.HISTORY, "the history") as testing:
                self._read_history(testing)

    # Before the message.

    def _create_room(self, testing: Testing) -> None:
        members = [client.user for client in (*self._viewers, self._sender)]
        request = (
            self.protocol.create_room(0, f"check-{self._run}", members)
            if self.protocol.promises.has_rooms
            else self.protocol.create_chat(self._sender.user)
        )
        testing.what = request_line(request)
        response = require_2xx(self._sender.ask(request, self._deadline))
        self._room = parsed(self.protocol.read_created, response.body)
        testing.seen = f"room {short(self._room)}{redirect_note(response.redirected)}"

    def _connect(self, client: RoomClient, testing: Testing) -> None:
        path = self.protocol.handshake(client.user).path.partition("?")[0]
        testing.what = self._socket_url = self.address.socket_url + path
        client.open(self._deadline)
        client.greet(self._deadline)

    def _join(self, client: RoomClient) -> None:
        answer = client.join(self._room, self._deadline)[-1]
        if answer.kind is Kind.REFUSED:
            detail = excerpt(answer.detail)
            raise WrongError("the join was refused", room_causes.join_refused(detail))

    # The message.

    def _deliver(self, text: str) -> None:
        """Sends a message, and notes the steps that end with both viewers having been shown it in time."""
        with self.step(RoomStep.SENT, self._socket_url) as testing:
            sending = _Sending(self.protocol, self._sender, self._room, text, f"check.{self._run}.1")
            sending.start(time.monotonic() + self._update_target, testing)
            testing.seen = f"{len(text)} characters"
        until = sending.sent + self._update_target + _LATE_MARGIN
        error: ProbeError | Unreadable | WrongError | None = None
        try:
            sending.watch(self._viewers, until)
        except (ProbeError, Unreadable, WrongError) as caught:
            error = caught
        waited = time.monotonic() - sending.sent
        if RoomStep.ACKNOWLEDGED in self.names:
            self._acknowledged(sending, error, waited)
        shown = [sending.shown.get(id(viewer)) for viewer in self._viewers]
        missing = shown.count(None)
        if missing or error is not None:
            stored = self._stored(text) if error is None else None
            error = error or WrongError("not shown", room_causes.not_shown(missing, waited, stored))
            raise self._failed(RoomStep.SHOWN, error, waited)
        seconds = max(at for at in shown if at is not None) - sending.sent
        self.note(Step(RoomStep.SHOWN, True, seconds, "its text in a frame"))
        timing = f"{human(seconds)} after it was sent; the target is {self._update_target:g} s"
        self._latency = seconds
        if seconds > self._update_target:
            found = room_causes.late(seconds, sending.accepted, self._update_target)
            raise self._failed(RoomStep.IN_TIME, WrongError(timing, found), seconds)
        self.note(Step(RoomStep.IN_TIME, True, seconds, timing))

    def _acknowledged(
        self, sending: "_Sending", error: ProbeError | Unreadable | WrongError | None, waited: float
    ) -> None:
        """Notes the acknowledgement. Raises StepFailed if it has not come."""
        if sending.accepted is not None:
            self.note(Step(RoomStep.ACKNOWLEDGED, True, sending.accepted, sending.how))
            return
        if error is None:
            stored = self._stored(sending.text)
            found = room_causes.not_acknowledged(waited, bool(sending.shown), stored)
            error = WrongError("not acknowledged", found)
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
            return text in self._viewers[0].read(self._room, time.monotonic() + _LOCATE, Testing(""))
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
            if error.failure is Failure.STATUS and error.status in _REFUSALS:
                return f"HTTP {error.status} to the handshake"
            if error.failure in (Failure.CLOSED, Failure.ERROR_FRAME):
                return f"{error.failure} ({error.detail})"
            raise
        if answer.kind is Kind.JOINED or stranger.shown:
            raise WrongError("a stranger joined the room", room_causes.let_in("joined it"))
        return "refused"

    def _refused_read(self, testing: Testing) -> str:
        try:
            texts = self._stranger.read(self._room, self._deadline, testing)
        except ProbeError as error:
            if error.failure is Failure.STATUS and error.status in _REFUSALS:
                return f"HTTP {error.status}"
            raise
        if texts:
            raise WrongError("a stranger read the room", room_causes.let_in("was shown its messages by a read"))
        return "nothing was shown"

    def _cut_and_come_back(self, testing: Testing, text: str) -> None:
        viewer = self._viewers[1]
        assert viewer.socket is not None
        viewer.socket.cut()
        sending = _Sending(self.protocol, self._sender, self._room, text, f"check.{self._run}.2")
        sending.start(self._deadline, testing)
        sending.watch(self._viewers[:1], self._deadline)
        if sending.accepted is None:
            found = room_causes.not_acknowledged(time.monotonic() - sending.sent, bool(sending.shown), None)
            raise WrongError("a second message was not acknowledged", found)
        self._connect(viewer, testing)
        came = viewer.join(self._room, self._deadline)
        if came[-1].kind is Kind.REFUSED:
            raise WrongError("the join was refused", room_causes.join_refused(excerpt(came[-1].detail)))
        marked = any(frame.kind is Kind.MISSED for frame in came)
        testing.seen = self._how_it_came(viewer, text, testing, marked)
        earlier = text_of(self._run, 0, 1, _SIZE)
        again = max(viewer.times(text), viewer.times(earlier) if self.protocol.promises.replays_once else 0)
        if again > 1:
            raise WrongError(f"shown {again} times", room_causes.shown_again(again))

    def _how_it_came(self, viewer: RoomClient, text: str, testing: Testing, marked: bool) -> str:
        """How the viewer that came back got what it missed; `marked`: it was told that it has missed something.

        Raises ProbeError, Unreadable, and WrongError if it did not get it.
        """
        until = min(self._deadline, time.monotonic() + (_AGAIN if viewer.times(text) else _REPLAY))
        while not marked and (came := next_of([viewer], until)) is not None:
            marked = came[1].frame.kind is Kind.MISSED
            if viewer.times(text):
                until = min(until, time.monotonic() + _AGAIN)
        if viewer.times(text):
            return "replayed"
        if not marked:
            raise WrongError("neither replayed nor marked as missed", room_causes.not_replayed(marked=False))
        if text not in viewer.missed(self._room, self._deadline, testing):
            raise WrongError("marked as missed, but not to be read", room_causes.not_replayed(marked=True))
        return "marked as missed, and read"

    def _read_history(self, testing: Testing) -> None:
        sent = [text_of(self._run, 0, n, _SIZE) for n in (1, 2) if n == 1 or self.protocol.promises.has_rooms]
        texts = self._viewers[0].read(self._room, self._deadline, testing)
        found = [text for text in texts if text in sent]
        if found != sent:
            missing, again = len(set(sent) - set(found)), len(found) - len(set(found))
            brief = f"{missing} missing" if missing else f"{again} twice" if again else "in another order"
            raise WrongError(brief, room_causes.wrong_history(missing, again))
        testing.seen = f"{len(sent)} messages, in order"


class _Sending:
    """One message that was sent: whether the chat accepted it, and who was shown it."""

    def __init__(self, protocol: ChatProtocol, sender: RoomClient, room: str, text: str, reference: str) -> None:
        self.text = text
        self.sent = 0.0
        self.accepted: float | None = None  # seconds until it was
        self.how = ""  # what said so
        self.what = ""  # the request that sent it; empty if a frame did
        self.wrong_response = False  # whether it is this request that failed
        self.shown: dict[int, float] = {}  # when, by the viewer's id()
        self._protocol = protocol
        self._sender = sender
        self._room = room
        self._reference = reference
        self._responses: queue.SimpleQueue[ProbeResponse | ProbeError] = queue.SimpleQueue()

    def start(self, deadline: float, testing: Testing) -> None:
        """Sends it. Raises ProbeError."""
        promises = self._protocol.promises
        acceptance = promises.accepted_by
        if "socket" in promises.sends_over and acceptance != "status":
            self.sent = self._sender.send(self._room, self.text, self._reference, deadline)
            if acceptance == "written":
                self.accepted = 0.0
            return
        request = self._protocol.send(self._sender.user, self._room, self.text, self._reference)
        testing.what = self.what = request_line(request)
        self._sender.http.open(deadline)  # connecting does not count as update latency
        self.sent = time.monotonic()
        try:
            # In a thread, because its response may come after the frames, or never.
            start_thread(lambda: self._responses.put(self._ask(request, deadline)), "send")
        except DialError as error:
            raise ProbeError.from_dial(error) from error

    def watch(self, viewers: Sequence[RoomClient], until: float) -> None:
        """Returns once it was accepted and all viewers were shown it, or at `until`.

        Raises ProbeError, Unreadable, and WrongError if it is rejected.
        """
        clients = [*viewers, self._sender]
        while (self.accepted is None or len(self.shown) < len(viewers)) and (now := time.monotonic()) < until:
            self._take_response()
            pause = 0.01 if self.what and self.accepted is None else 1.0
            if (came := next_of(clients, min(until, now + pause))) is None:
                continue
            client, (at, frame) = came
            if client is not self._sender:
                if frame.kind is Kind.MESSAGE and frame.text == self.text:
                    self.shown.setdefault(id(client), at)
            else:
                self._take_answer(frame, at)

    def _ask(self, request: Request, deadline: float) -> ProbeResponse | ProbeError:
        try:
            return self._sender.ask(request, deadline)
        except ProbeError as error:
            return error

    def _take_response(self) -> None:
        with contextlib.suppress(queue.Empty):
            response = self._responses.get_nowait()
            self.wrong_response = True  # unless the rest goes well
            if isinstance(response, ProbeError):
                raise response
            sent = parsed(self._protocol.read_sent, require_2xx(response).body)
            if not sent.accepted:
                raise WrongError("rejected", room_causes.rejected(response.status, excerpt(sent.detail)))
            self.accepted, self.how = response.done - self.sent, f"HTTP {response.status}"
            self.wrong_response = False

    def _take_answer(self, frame: Frame, at: float) -> None:
        echo = self._protocol.promises.accepted_by == "echo"
        if frame.kind is Kind.REJECTED and frame.reference in (self._reference, ""):
            raise WrongError("rejected", room_causes.rejected(frame.status, excerpt(frame.detail)))
        if frame.kind is Kind.ACKNOWLEDGED and frame.reference == self._reference:
            self.accepted, self.how = at - self.sent, "by a frame with its reference"
        elif echo and frame.kind is Kind.MESSAGE and frame.text == self.text:
            self.accepted, self.how = at - self.sent, "by its own message coming back"


def _steps_of(promises: Promises) -> list[RoomStep]:
    """The steps that there are for a chat with these promises."""
    left_out = {
        RoomStep.JOINED: not promises.has_rooms,
        RoomStep.ACKNOWLEDGED: promises.accepted_by == "written",
        RoomStep.STRANGER: not promises.has_members,
        RoomStep.REPLAYED: not promises.has_rooms,
        RoomStep.HISTORY: promises.history != "pages",
    }
    return [step for step in RoomStep if not left_out.get(step, False)]
