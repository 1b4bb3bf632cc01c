"""Proves a protocol file against its chat, in at most 10 seconds: ten messages, and a transcript of all that was said.

… → sent → acknowledged → shown → in time → eight more → stranger refused → cut viewer gets what it missed
  → history complete (→ heartbeat)
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chatswarm.loadtests.messages.identity import Condition, quotes_a_text, recognise, text_of
from chatswarm.loadtests.net.dialing import Dialer
from chatswarm.loadtests.protocols.described import Described, read_members
from chatswarm.loadtests.protocols.described.frames import JsonCodec, Source, StompCodec, TextCodec
from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.protocols.protocol import Kind
from chatswarm.loadtests.system.units import human

from . import described_causes, room_causes
from .causes import Diagnosis
from .described_causes import Came, Clues, FileLines
from .diagnosis import GuideProblem
from .file_places import FilePlaces, taking
from .http import ProbeError, excerpt
from .report import Step
from .room_client import CameFrame, RoomClient, next_of
from .room_steps import AGAIN, SIZE, RoomWalk, Sending, start, steps_of, watch
from .symptoms import Failure, RoomStep, Symptoms
from .transcript import NO_RULE, shown, written
from .walk import StepFailed, Testing, WrongError, short

_SERIES_TIME = 1.5  # seconds for eight messages
_LAST_OF_SERIES = 0.5  # seconds for the last of them, where they have to keep a pace
_AFTER = 2.5  # seconds for the steps after them
_REPLAYED_ALL = 1.5  # seconds for everything to be sent again
_HEARTBEAT = 60.0  # seconds that a heartbeat is waited for at most
_ANSWER = 10.0  # seconds for what comes after a ping
_SERIES = range(2, 10)
_SPECIAL = 6  # the number of the message with characters that HTML and JSON escape
_LAST = 10
_KINDS: Mapping[type, str] = {JsonCodec: "json", TextCodec: "text", StompCodec: "stomp"}


class DescribedWalk(RoomWalk):
    """One walk. Leaves a room with ten messages behind."""

    protocol: Described

    def __init__(
        self,
        protocol: Described,
        base_url: str,
        dialer: Dialer,
        update_target: float,
        on_step: Callable[[Step], None],
        origin: str | None,
        rows: Sequence[Mapping[str, str]] = (),
        *,
        thorough: bool = False,
    ) -> None:
        """`rows`: see `RoomWalk`. Raises ValueError if they lack something, or no room has members among them."""
        rows, self._existing = _with_a_room(protocol, rows)
        super().__init__(
            protocol, base_url, dialer, update_target, on_step, origin, rows, _steps_of(protocol, thorough=thorough)
        )
        self._places = FilePlaces(protocol.description)
        self._sendings: dict[int, Sending] = {}
        self._stranger_failed: ProbeError | None = None
        self._stranger_waits = False

    def walk(self) -> None:
        promises = self.protocol.promises
        self.prepare()
        self._deliver(self._text(1))
        with self.step(RoomStep.SERIES, self._socket_url) as testing:
            testing.seen = self._send_series(testing)
        self._deadline = time.monotonic() + _AFTER
        if promises.has_members:
            with self.step(RoomStep.STRANGER, self._socket_url) as testing:
                testing.seen = self._refused(testing)
        if promises.has_rooms:
            with self.step(RoomStep.REPLAYED, self._socket_url) as testing:
                self._cut_and_come_back(testing, _LAST)
        if promises.history != "none":
            with self.step(RoomStep.HISTORY, "the history") as testing:
                self._read_history(testing)
        if RoomStep.HEARTBEAT in self.names:
            with self.step(RoomStep.HEARTBEAT, self._socket_url) as testing:
                testing.seen = self._beat()
        self._note_unknown()

    def _create_room(self, testing: Testing) -> None:
        if self._existing:
            self._room = self._existing
            testing.seen = f"room {short(self._room)}, which exists"
        else:
            super()._create_room(testing)

    # Messages.

    def _text(self, number: int) -> str:
        return text_of(self._run, 0, number, SIZE, "unicode" if number == _SPECIAL else "ascii")

    def _number_of(self, text: str) -> int:
        """The number of the message in a text; -1: none of ours."""
        return recognise(text, self._run).n

    def _sending(self, text: str, number: int) -> Sending:
        ways = self.protocol.promises.sends_over
        # Where both ways are described, both are tried.
        over_socket = number % 2 == 1 if len(ways) == 2 else None
        sending = Sending(
            self.protocol, self._sender, self._room, text, f"check.{self._run}.{number}",
            lambda text: self._number_of(text) == number, over_socket=over_socket,
        )  # fmt: skip
        self._sendings[number] = sending
        return sending

    def _send_series(self, testing: Testing) -> str:
        """Sends eight messages in quick succession, or as many as the chat lets one user send."""
        if self.protocol.promises.has_members:
            self._let_a_stranger_try(testing)
        testing.what = self._socket_url
        limit = self.protocol.promises.sends_per_user
        pause = 0.0 if limit is None else 1 / limit
        numbers = _SERIES if not pause else _SERIES[: int(_SERIES_TIME / pause)]
        sendings = [self._sending(self._text(number), number) for number in numbers]
        began = time.monotonic()
        until = began + _SERIES_TIME + (_LAST_OF_SERIES if pause else 0.0)
        if not pause:
            start(sendings, until, testing)
        for turn, sending in enumerate(sendings if pause else ()):
            time.sleep(max(0.0, began + (turn + 1) * pause - time.monotonic()))
            start([sending], until, testing)
        watch(sendings, self._viewers, self._sender, until)
        self._judge_series(sendings, time.monotonic() - began)
        time.sleep(min(pause, _SERIES_TIME))  # before the next one
        return f"{len(sendings)} messages in {human(time.monotonic() - began)}"

    def _judge_series(self, sendings: Sequence[Sending], waited: float) -> None:
        """Raises WrongError for the first that is not as it should be."""
        of = len(sendings)
        for sending in sendings:
            if sending.accepted is None:
                left = sum(one.accepted is None for one in sendings)
                found = self.why_not_acknowledged(sending, waited, None)
                raise WrongError(f"{left} of {of} not acknowledged", found)
        for sending in sendings:
            if missing := len(self._viewers) - len(sending.shown):
                left = sum(len(one.shown) < len(self._viewers) for one in sendings)
                raise WrongError(f"{left} of {of} not shown", self.why_not_shown(sending, missing, waited, None))
        for sending in sendings:
            if (wrong := self.wrong_in(sending)) is not None:
                raise wrong
            again = max(self._times(viewer, sending) for viewer in self._viewers)
            if again > 1:
                raise WrongError(f"shown {again} times", room_causes.shown_live_again(again))

    def _times(self, viewer: RoomClient, sending: Sending) -> int:
        return sum(one.frame.text is not None and sending.is_it(one.frame.text) for one in viewer.shown)

    # Strangers.

    def _let_a_stranger_try(self, testing: Testing) -> None:
        """A stranger tries to join before the messages that it must not be shown."""
        deadline, self._deadline = self._deadline, time.monotonic() + _SERIES_TIME
        try:
            self._connect(self._stranger, testing)
            self._stranger_waits = self._stranger.ask_to_join(self._room, self._deadline)
        except ProbeError as error:
            self._stranger_failed = error
        finally:
            self._deadline = deadline

    def _refused_join(self, testing: Testing) -> str:
        del testing
        stranger = self._stranger
        try:
            if self._stranger_failed is not None:
                raise self._stranger_failed
            if self._stranger_waits and stranger.joined(self._room, self._deadline)[-1].kind is Kind.JOINED:
                raise WrongError("a stranger joined the room", self.why_let_in("joined it"))
            while next_of([stranger], time.monotonic() + AGAIN) is not None:
                pass
        except ProbeError as error:
            said = self.refusal_in(error)
            if said is None:
                raise
            return said
        if any(self._number_of(one.frame.text or "") >= 0 for one in stranger.shown):
            raise WrongError("a stranger was shown messages", self.why_let_in("was shown its messages"))
        return "refused" if self._stranger_waits else "nothing was shown"

    def _refused_read(self, testing: Testing) -> str:
        return super()._refused_read(testing) if self.protocol.promises.history == "pages" else "not possible"

    # Coming back.

    def _how_it_came(self, viewer: RoomClient, text: str, testing: Testing, marked: bool) -> str:
        file = self.protocol.description
        if marked or file.script.again or file.script.rejoin or file.reads_what_was_missed:
            return super()._how_it_came(viewer, text, testing, marked)
        until = time.monotonic() + AGAIN
        while next_of([viewer], until) is not None:
            pass
        return "sent again" if viewer.times(text) else "not promised: what is sent meanwhile is missed"

    def _read_missed(self, viewer: RoomClient, text: str, testing: Testing) -> str:
        if not self.protocol.description.reads_what_was_missed:
            return "marked as missed, and nothing reads it (the file has no read_on)"
        return super()._read_missed(viewer, text, testing)

    # Afterwards.

    def _read_history(self, testing: Testing) -> None:
        sent = [number for number, one in self._sendings.items() if one.accepted is not None]
        by_replay = self.protocol.promises.history == "replay"
        texts = self._replayed(testing, len(sent)) if by_replay else self._read_pages(testing, sent)
        found = [number for text in texts if (number := self._number_of(text)) >= 0]
        missing, again = set(sent) - set(found), len(found) - len(set(found))
        if missing:
            raise WrongError(f"{len(missing)} missing", self._why_missing(len(sent), len(missing), by_replay=by_replay))
        if again:
            raise WrongError(f"{again} twice", room_causes.wrong_history(0, again, len(sent)))
        in_order = len(self.protocol.promises.sends_over) == 1
        if found != sorted(found) if in_order else found[0] != 1 or found[-1] != max(sent):
            raise WrongError("in another order", room_causes.wrong_history(0, 0, len(sent)))
        where = "[history]" if by_replay else f"[history] ({self._places.at('history', 'text')})"
        for text in texts:
            if (number := self._number_of(text)) >= 0 and (wrong := self._changed(number, text, where)) is not None:
                raise wrong
        testing.seen = f"{len(sent)} messages, in order" if in_order else f"{len(sent)} messages"

    def _read_pages(self, testing: Testing, sent: Sequence[int]) -> list[str]:
        def enough(texts: list[str]) -> bool:
            return set(sent) <= {self._number_of(text) for text in texts}

        return self._viewers[0].read(self._room, self._deadline, testing, enough)

    def _replayed(self, testing: Testing, expected: int) -> list[str]:
        """What a new connection that knows nothing is sent."""
        viewer = self._viewers[0]
        viewer.close()
        before = len(viewer.shown)
        self._deadline = time.monotonic() + _REPLAYED_ALL
        self._connect(viewer, testing, everything=True)
        if self.protocol.promises.has_rooms:
            viewer.join(self._room, self._deadline)
        until = self._deadline
        while next_of([viewer], until) is not None:
            ours = sum(self._number_of(one.frame.text or "") >= 0 for one in viewer.shown[before:])
            if ours >= expected:
                until = min(until, time.monotonic() + AGAIN)
        self.transcript.met.add(self._places.history)
        return [one.frame.text or "" for one in viewer.shown[before:]]

    def _beat(self) -> str:
        """Waits for one heartbeat. Raises WrongError and ProbeError."""
        for client in (self._viewers[1], self._sender, self._stranger):
            client.close()
        viewer = self._viewers[0]
        every, dead_after = viewer.session.session.heartbeat.seconds, viewer.session.session.dead_after
        pings = self.protocol.description.script.ping is not None
        if pings and every is None:
            every = 0.0  # the scenario says when
        wait = every if pings and every is not None else dead_after
        if wait is None and any(rule.meaning == "ping" for rule in self.protocol.description.rules.rules):
            came = _anything(viewer, time.monotonic() + _HEARTBEAT)
            return "the server pings" if came else f"no ping came within {_HEARTBEAT:g} s"
        if wait is None:
            return "the file has none"
        if wait > _HEARTBEAT:
            return f"not waited for: {human(wait)}"
        began = time.monotonic()
        if not pings:
            if not _anything(viewer, began + wait):
                waited = time.monotonic() - began
                raise WrongError("silence", described_causes.no_sign_of_life(self._clues(), waited, pinged=False))
            return f"the first frame came after {human(time.monotonic() - began)}"
        while _anything(viewer, began + wait):  # the server may ping first
            pass
        pinged = time.monotonic()
        viewer.ping(pinged + _ANSWER)
        answer = min(_ANSWER, dead_after or _ANSWER)
        if not _anything(viewer, pinged + answer):
            raise WrongError("no answer", described_causes.no_sign_of_life(self._clues(), answer, pinged=True))
        answered = time.monotonic() - pinged
        while viewer.has_frames:
            viewer.next(pinged)  # an error is no answer
        return f"answered {human(answered)} after the ping"

    def _note_unknown(self) -> None:
        unknown = [entry for entry in self.transcript.entries(self.blanked) if NO_RULE in entry.met]
        if unknown:
            several = f"{len(unknown)} frames" if len(unknown) > 1 else "1 frame"
            self.notes.append(f"{several} met no rule, and would be passed over in a run; the first: {unknown[0].text}")

    # Why something failed.

    def diagnose(self, failed: StepFailed) -> GuideProblem:
        problem = super().diagnose(failed)
        found = None if problem.here or failed.found is not None else self._explained(failed.symptoms)
        return problem if found is None else GuideProblem(problem.title, *found)

    def _explained(self, symptoms: Symptoms) -> Diagnosis | None:
        """What the file has to do with a failure of talking to the chat."""
        on_socket = symptoms.what == self._socket_url
        for client in self._clients:
            if client.unreadable:
                data = shown(written(client.unreadable), self.blanked)
                return described_causes.unreadable(self._clues(), symptoms.detail, data)
        waiting = next((one for one in self._clients if one.connected and one.session.waiting), None)
        if symptoms.failure is Failure.NO_FRAME and waiting is not None:
            return described_causes.nothing_expected_came(self._clues_of(waiting), symptoms.waited)
        if symptoms.failure is Failure.ERROR_FRAME and symptoms.broken is RoomStep.CONNECTED:
            return described_causes.refused("The connection", symptoms.detail)
        if symptoms.failure is Failure.UNREADABLE and symptoms.broken is RoomStep.HISTORY:
            return described_causes.unreadable_history(self._clues(), symptoms.what, symptoms.detail)
        if symptoms.broken in (RoomStep.ACKNOWLEDGED, RoomStep.SERIES) and on_socket:
            came = {Failure.ERROR_FRAME: "an error frame came", Failure.CLOSED: "the connection was closed"}
            if symptoms.failure in came:
                return described_causes.send_went_wrong(
                    self._clues(self._latest), came[symptoms.failure], symptoms.detail
                )
        if symptoms.broken is RoomStep.CONNECTED and on_socket and symptoms.failure is Failure.CLOSED:
            return described_causes.closed_at_once(self._lines, symptoms.what, symptoms.detail)
        return None

    def why_refused(self, detail: str) -> Diagnosis:
        return described_causes.refused("The join", detail)

    def why_not_acknowledged(self, sending: Sending, waited: float, stored: bool | None) -> Diagnosis:
        fallback = super().why_not_acknowledged(sending, waited, stored)
        if not sending.over_socket:
            return fallback
        return described_causes.not_acknowledged(self._clues(sending), waited, fallback)

    def why_not_shown(self, sending: Sending, missing: int, waited: float, stored: bool | None) -> Diagnosis:
        fallback = super().why_not_shown(sending, missing, waited, stored)
        return described_causes.not_shown(self._clues(sending), fallback)

    def why_let_in(self, how: str) -> Diagnosis:
        return described_causes.let_in(self._clues(), super().why_let_in(how))

    def why_not_replayed(self, *, marked: bool) -> Diagnosis:
        steps = self.protocol.description.script
        names = [self._places.step(step) for step in (*steps.again, *steps.rejoin)]
        return described_causes.not_replayed(names, super().why_not_replayed(marked=marked))

    def wrong_in(self, sending: Sending) -> WrongError | None:
        for frame in sending.frames:
            if frame.chat_id not in (self._room, ""):
                one = next(one for one in self._clues(sending).came if one.quotes and one.room == frame.chat_id)
                found = described_causes.of_another_room(self._clues(sending), one)
                return WrongError(f"shown in the room {short(frame.chat_id)}", found)
            rule = taking(frame)
            where = "[[frame]]" if rule is None else self._places.rule(rule)
            if (wrong := self._changed(self._number_of(frame.text or ""), frame.text or "", where)) is not None:
                return wrong
            if rule is not None and rule.id is not None and frame.message_id is None:
                self.notes.append(f"the id of {where} leads to nothing in a frame with a message")
        return None

    def _changed(self, number: int, text: str, where: str) -> WrongError | None:
        """What is wrong with a shown text, which `where` in the file reads."""
        sent = self._sendings[number].text
        if text == sent:
            return None
        condition = recognise(text, self._run).condition
        found = described_causes.changed(condition, sent, excerpt(text, 300), where)
        if number == _SPECIAL and condition not in (Condition.HTML_ESCAPED, Condition.HTML_UNESCAPED):
            # Most runs send no such characters.
            self.notes.append(f"only the text with special characters came back changed: {found.seen}")
            return None
        return WrongError("changed", found)

    def _why_missing(self, sent: int, missing: int, *, by_replay: bool) -> Diagnosis:
        fallback = room_causes.wrong_history(missing, 0, sent)
        if by_replay:
            return fallback
        body = self._viewers[0].last_body
        quotes = ""
        if quotes_a_text(body, self._run):
            document = described_causes.json_of(body)
            quotes = described_causes.path_to(document, self._has_a_text) or "somewhere in it"
        shown_body = shown(written(body), self.blanked)
        return described_causes.wrong_history(self._clues(), sent, sent - missing, shown_body, quotes, fallback)

    def _has_a_text(self, value: object) -> bool:
        return isinstance(value, str) and self._number_of(value) >= 0

    # Clues.

    @property
    def _latest(self) -> Sending:
        return list(self._sendings.values())[-1]

    @property
    def _lines(self) -> FileLines:
        at = self._places.at
        codec = self.protocol.description.codec
        encoding = at("socket", "pattern" if isinstance(codec, TextCodec) else "encoding")
        return FileLines(
            frames=at("frame", 0), encoding=encoding, send=at("send", "frame"), accepted_by=at("send", "accepted_by"),
            history=at("history"), history_messages=at("history", "messages"), history_text=at("history", "text"),
            private=at("rooms", "private"), socket=at("socket"), heartbeat=at("heartbeat"),
            kind=_KINDS.get(type(codec), "codec"),
        )  # fmt: skip

    def _clues(self, sending: Sending | None = None) -> Clues:
        """What came since a message was sent."""
        since = 0.0 if sending is None else sending.sent
        number = -1 if sending is None else self._number_of(sending.text)
        came = [self._came(client, one, number) for client in self._clients for one in client.came if one.at >= since]
        sent = "" if sending is None else self._sent_as(number)
        reference = "" if sending is None else sending.reference
        return Clues(self._lines, self.protocol.promises.accepted_by, self._room, sent, reference, came)

    def _clues_of(self, client: RoomClient) -> Clues:
        """What came to a user since its connection or its join began."""
        came = [self._came(client, one, -1) for one in client.came if one.at >= client.asked_at]
        return Clues(
            self._lines, self.protocol.promises.accepted_by, self._room, came=came, waiting=client.session.waiting
        )

    def _came(self, client: RoomClient, one: CameFrame, number: int) -> Came:
        frame, rule = one.frame, taking(one.frame)
        quotes = number >= 0 and self._pattern(number).search(written(one.data)) is not None
        advice = ""
        if quotes and isinstance(frame.source, Source) and frame.kind is not Kind.MESSAGE:
            body = frame.source.document.body
            one_room = self.protocol.promises.one_room
            advice = described_causes.rule_for(body, self._pattern(number), self._room, one_room=one_room)
        return Came(
            client.who,
            shown(written(one.data), self.blanked),
            "" if rule is None else self._places.rule(rule),
            "" if rule is None else rule.meaning,
            frame.chat_id,
            frame.reference,
            quotes,
            advice,
        )

    def _pattern(self, number: int) -> re.Pattern[str]:
        return re.compile(rf"cs1\W+{self._run}\W+0\W+{number}\b", re.IGNORECASE)

    def _sent_as(self, number: int) -> str:
        """The frame or request that sent a message."""
        return self.transcript.sent(self._pattern(number), self.blanked) or "a message"


def _anything(client: RoomClient, until: float) -> bool:
    """Whether any WebSocket message comes by then."""
    try:
        client.receive(until)
    except ProbeError as error:
        if error.failure is not Failure.NO_FRAME:
            raise
        return False
    return True


def _steps_of(protocol: Described, *, thorough: bool) -> list[RoomStep]:
    promises: Promises = protocol.promises
    left_out = {RoomStep.HEARTBEAT} if not thorough else set()
    if promises.history == "none":
        left_out.add(RoomStep.HISTORY)
    names = {*steps_of(promises), RoomStep.SERIES, RoomStep.HEARTBEAT, RoomStep.HISTORY} - left_out
    return [step for step in RoomStep if step in names]


def _with_a_room(protocol: Described, rows: Sequence[Mapping[str, str]]) -> tuple[Sequence[Mapping[str, str]], str]:
    """The rows of users who share a room that exists, then of a stranger; and the room. Empty: none has to exist.

    Raises ValueError.
    """
    file = protocol.description.rooms.file
    if file is None:
        return rows, ""
    rooms = read_members(Path(protocol.description.location).absolute().parent / file)
    for room, members in rooms.items():
        inside = [row for row in rows if row["name"] in members]
        if len(inside) >= 3:
            others = [row for row in rows if row["name"] not in members]
            return [*inside[:3], *others[:1]], room
    raise ValueError(
        f"expected a users' file (--users-file) with three members of one of the rooms in {file}, got none"
    )
