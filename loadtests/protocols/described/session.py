"""One connection of one user, by a file: its steps in order, and what frames mean there.

While a step waits for its frame, each frame is first compared with what the step expects, and then with the rules.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

from chatswarm.loadtests.messages.trace import send_traceparent
from chatswarm.loadtests.protocols.protocol import (
    Answer,
    Frame,
    Heartbeat,
    Kind,
    Outgoing,
    Request,
    Taken,
    UnreadableHere,
    User,
)
from chatswarm.loadtests.protocols.variables import OutOfScopeError, Variables
from chatswarm.loadtests.system.units import seconds

from .conditions import Conditions
from .frames import Codec, Document, FrameRule, Source, identity
from .paths import MISSING, Path, Paths
from .requests import Keep, RequestStep, UnexpectedError
from .templates import Context, Template, written

_EXCERPT = 200
_LONGEST = 1e6  # seconds, of what a server can say of its heartbeats


@dataclass(frozen=True, slots=True)
class SentAgain:
    """The messages in a frame that ends a step."""

    each: Paths
    text: Path
    as_html: bool = False
    id: Path | None = None
    keep: Sequence[Keep] = ()  # from each of them, in order


@dataclass(frozen=True, slots=True)
class SocketStep:
    """One step of a socket. `where`: the place in the file, for people."""

    where: str
    line: int
    send: Template | None = None
    request: RequestStep | None = None
    expect: Conditions | None = None
    refuse: Conditions | None = None
    keep: Sequence[Keep] = ()
    messages: SentAgain | None = None
    recovered: Conditions | None = None

    @property
    def templates(self) -> list[Template]:
        """All of it that has holes."""
        found = [] if self.send is None else [self.send]
        if self.request is not None:
            found += self.request.request.templates
        return found + [one for each in (self.expect, self.refuse) if each is not None for one in each.templates]

    @property
    def paths(self) -> list[Path]:
        """All that begin at a frame."""
        conditions = [
            one for each in (self.expect, self.refuse, self.recovered) if each is not None for one in each.each
        ]
        return [one.path for one in conditions] + [one.path for one in self.keep if one.path is not None]

    @property
    def waits(self) -> bool:
        """Whether it ends with a frame or an answer, and not at once."""
        return self.expect is not None or self.request is not None


@dataclass(frozen=True, slots=True)
class SocketScript:
    """All that a file says of sockets, but for the handshake."""

    open: Sequence[SocketStep] = ()
    again: Sequence[SocketStep] = ()
    join: Sequence[SocketStep] = ()
    rejoin: Sequence[SocketStep] = ()
    send: Template | None = None
    ping: Template | None = None
    ping_every: Template | None = None
    pings_only_in_silence: bool = True
    dead_after: Template | None = None
    missed_on_rejoin: bool = False  # a client reads the history after each reconnection

    @property
    def steps(self) -> list[SocketStep]:
        return [*self.open, *self.again, *self.join, *self.rejoin]


@dataclass(slots=True)
class Remembered:
    """What a user's last connection has kept, for its next one."""

    variables: Variables
    rooms: dict[str, Variables] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Sequence:
    """Steps that are under way. `room`: whose; empty: of the connection."""

    steps: Sequence[SocketStep]
    context: Context
    room: str
    again: bool  # there was such a connection, or such a room on it, before
    at: int = 0
    asked: Request | None = None  # whose answer it waits for
    recovered: bool | None = None  # what the chat said of what was missed before; None: nothing

    @property
    def step(self) -> SocketStep:
        return self.steps[self.at]


class DescribedSession:
    """One connection. Satisfies `Session`."""

    def __init__(
        self, script: SocketScript, codec: Codec, user: User, *, everything: bool = False, room: str = "",
        notes: bool = False,
    ) -> None:  # fmt: skip
        """`everything`: it knows nothing of earlier connections; `room`: the only one of this connection."""
        self._script = script
        self._codec = codec
        self._room = room
        self.notes = notes
        before = None if everything else user.memory.connection
        self._before: Remembered | None = before if isinstance(before, Remembered) else None
        self._variables = Variables("connection", user.variables)
        self._rooms: dict[str, Variables] = {}
        if self._before is not None:
            self._variables.take(self._before.variables)
        self._remembered = Remembered(self._variables, {} if self._before is None else dict(self._before.rooms))
        if not everything:
            user.memory.connection, user.memory.variables = self._remembered, self._variables
        self._under_way: list[_Sequence] = []
        self.expects = False
        self.begun: list[SocketStep] = []
        """All steps so far."""
        self.met: list[SocketStep] = []
        """Those that were answered, with yes or no."""
        self._number = 0
        self._references: dict[str, tuple[str, str]] = {}  # of sends: number and reference, by either

    # What the chat says.

    @property
    def kept(self) -> Sequence[Variables]:
        """The variables of the connection, and of the rooms on it."""
        return [self._variables, *self._rooms.values()]

    @property
    def waiting(self) -> Sequence[SocketStep]:
        """The steps that wait for a frame or an answer."""
        return [sequence.step for sequence in self._under_way]

    @property
    def waits_for(self) -> str:
        steps = {
            f"{step.where} (line {step.line}) waits for {step.expect or 'an answer'}": None for step in self.waiting
        }
        return "; ".join(steps)

    @property
    def dead_after(self) -> float | None:
        return self._duration(self._script.dead_after)

    @property
    def heartbeat(self) -> Heartbeat:
        return Heartbeat(self._duration(self._script.ping_every), self._script.pings_only_in_silence)

    def open(self) -> Taken:
        """Raises OutOfScopeError or ValueError if the first step cannot be made, as do `join`, `send` and `ping`. All
        else raises nothing: a later step that cannot be made has failed.
        """
        script, context = self._script, self._context()
        again = self._before is not None and bool(script.again) and _known(script.again, context)
        return self._begin(_Sequence(script.again if again else script.open, context, "", again))

    def join(self, room: str, last: Frame | None) -> Taken:  # noqa: ARG002 - it is in the variables
        script, there_before = self._script, room in self._remembered.rooms
        context = self._context(room)
        again = there_before and bool(script.rejoin) and _known(script.rejoin, context)
        steps = script.rejoin if again else script.join
        self._remembered.rooms.setdefault(room, self._rooms[room])
        return self._begin(_Sequence(steps, context, room, there_before))

    def send(self, room: str, text: str, reference: str) -> Outgoing:
        assert self._script.send is not None, "the file says how a frame sends"
        number = self._next()
        self._references[number] = self._references[reference] = (number, reference)
        traceparent = lambda: send_traceparent(reference)  # noqa: E731 - most files do not have it
        context = self._context(room).and_(text=text, uid=reference, ref=number, traceparent=traceparent)
        return self._codec.encode(self._script.send.fill(context))

    def ping(self) -> Outgoing | None:
        if self._script.ping is None:
            return None
        return self._codec.encode(self._script.ping.fill(self._context(self._room).and_(ref=self._next())))

    def take(self, frame: Frame) -> Taken:
        source = frame.source
        if not isinstance(source, Source):
            return Taken((frame,))
        for sequence in self._under_way:
            step = sequence.step
            head, body = source.document
            if step.refuse is not None and step.refuse.fit(body, head, sequence.context):
                self.met.append(step)
                return self._failed(sequence, frame, written(body)[:_EXCERPT])
            if step.expect is not None and step.expect.fit(body, head, sequence.context):
                return self._expected(sequence, frame, source.document)
        if source.rule is None:
            return Taken((frame,))
        replies = self._noted(frame, source.rule)
        if frame.kind in (Kind.ACKNOWLEDGED, Kind.REJECTED):
            frame = frame._replace(reference=self._reference(frame.reference))
        return Taken((frame,), replies)

    def note(self, frame: Frame) -> Sequence[Outgoing]:
        source = frame.source
        return self._noted(frame, source.rule) if isinstance(source, Source) and source.rule is not None else ()

    def answered(self, request: Request, answer: Answer) -> Taken:
        sequence = next((one for one in self._under_way if one.asked is request), None)
        if sequence is None or sequence.step.request is None:
            return Taken(())
        try:
            for name, value in sequence.step.request.take(answer, sequence.context).items():
                self._keep(name, value, sequence.room)
        except UnexpectedError as error:
            self.met.append(sequence.step)
            return self._failed(sequence, Frame(Kind.OTHER), str(error))
        self.met.append(sequence.step)
        sequence.at, sequence.asked = sequence.at + 1, None
        return self._go_on(sequence, [])

    # Steps.

    def _begin(self, sequence: _Sequence) -> Taken:
        self._under_way.append(sequence)
        self.expects = True
        try:
            return self._advance(sequence, [])
        except (OutOfScopeError, ValueError):
            self._end(sequence)
            raise

    def _end(self, sequence: _Sequence) -> None:
        self._under_way.remove(sequence)
        self.expects = bool(self._under_way)

    def _go_on(self, sequence: _Sequence, frames: list[Frame]) -> Taken:
        """The same as `_advance`, but a step that cannot be made has failed."""
        try:
            return self._advance(sequence, frames)
        except (OutOfScopeError, ValueError) as error:
            why = f"line {sequence.step.line} of the protocol file ({sequence.step.where}): {error}"
            return Taken([*frames, *self._failed(sequence, Frame(Kind.OTHER), why).frames])

    def _advance(self, sequence: _Sequence, frames: list[Frame]) -> Taken:
        """Goes on to the next step that waits. Returns what is to be sent, and `frames` with what has come of it."""
        out: list[Outgoing] = []
        while sequence.at < len(sequence.steps):
            step = sequence.step
            self.begun.append(step)
            sequence.context = Context(sequence.context.variables, {"ref": self._next()})
            if step.send is not None:
                out.append(self._codec.encode(step.send.fill(sequence.context)))
            if step.request is not None:
                sequence.asked = step.request.request.make(sequence.context)
                out.append(sequence.asked)
            if step.waits:
                break
            sequence.at += 1
        else:
            self._end(sequence)
            frames += self._done(sequence)
        return Taken(frames, out)

    def _done(self, sequence: _Sequence) -> list[Frame]:
        if not sequence.room:
            return [Frame(Kind.SUBSCRIBED)]
        frames = [Frame(Kind.JOINED, sequence.room, recovered=sequence.again and sequence.recovered is True)]
        if sequence.recovered is False or (sequence.again and self._script.missed_on_rejoin):
            frames.append(Frame(Kind.MISSED, sequence.room))
        return frames

    def _expected(self, sequence: _Sequence, frame: Frame, document: Document) -> Taken:
        """The frame ends a step."""
        step, (head, body) = sequence.step, document
        self._keep_found(step.keep, body, head, sequence.room)
        frames = self._sent_again(step, sequence.room, body)
        if frame.kind is Kind.MESSAGE:
            frames.append(frame)
        if step.recovered is not None:
            sequence.recovered = step.recovered.fit(body, head, sequence.context)
        self.met.append(step)
        sequence.at += 1
        if sequence.at < len(sequence.steps):
            frames.append(Frame(Kind.CONNECTED))
        return self._go_on(sequence, frames)

    def _sent_again(self, step: SocketStep, room: str, body: object) -> list[Frame]:
        if step.messages is None:
            return []
        frames = []
        try:
            found = step.messages.each.find(body)
        except UnreadableHere:
            return []
        for one in found:
            text = step.messages.text.find(one)
            self._keep_found(step.messages.keep, one, None, room, plain=True)
            if isinstance(text, str):
                number = None if step.messages.id is None else identity(step.messages.id.find(one))
                text = html.unescape(text) if step.messages.as_html else text
                frames.append(Frame(Kind.MESSAGE, room, message_id=number, text=text, replayed=True))
        return frames

    def _failed(self, sequence: _Sequence, frame: Frame, detail: str) -> Taken:
        self._end(sequence)
        kind = Kind.REFUSED if sequence.room else Kind.ERROR
        return Taken((frame._replace(kind=kind, chat_id=sequence.room, detail=detail, text=None),))

    # Variables.

    def _context(self, room: str = "") -> Context:
        room = room or self._room
        return Context(self._variables_of(room) if room else self._variables)

    def _variables_of(self, room: str) -> Variables:
        variables = self._rooms.get(room)
        if variables is None:
            variables = self._rooms[room] = Variables("room", self._variables)
            variables.set_plain("room", room)
            if self._before is not None and room in self._before.rooms:
                variables.take(self._before.rooms[room])
        return variables

    def _noted(self, frame: Frame, rule: FrameRule) -> Sequence[Outgoing]:
        """Keeps what a rule keeps. Returns its reply."""
        if not rule.changes_the_session:
            return ()
        assert isinstance(frame.source, Source)
        room = frame.chat_id or self._room
        self._keep_found(rule.keep, frame.source.item, frame.source.document.head, room, plain=True)
        if rule.reply is None:
            return ()
        try:
            return (self._codec.encode(rule.reply.fill(self._context(room))),)
        except (OutOfScopeError, ValueError):
            return ()  # without what it needs there is nothing to say

    def _keep_found(self, keep: Sequence[Keep], body: object, head: object, room: str, *, plain: bool = False) -> None:
        """Keeps what is there; what is not leaves the value before."""
        for one in keep:
            value = MISSING if one.path is None else one.path.find(body, head)
            if value is not MISSING and value is not None:
                self._keep(one.name, written(value), room, plain=plain)

    def _keep(self, name: str, value: str, room: str, *, plain: bool = False) -> None:
        """`plain`: values that come with messages are no secrets."""
        if name.startswith("room."):
            if room := room or self._room:  # otherwise nothing says whose it is
                variables = self._remembered.rooms[room] = self._variables_of(room)
                variables.set_plain(name, value)
        elif plain:
            self._variables.set_plain(name, value)
        else:
            self._variables[name] = value

    def _next(self) -> str:
        self._number += 1
        return str(self._number)

    def _reference(self, said: str) -> str:
        if said not in self._references:
            return said
        number, reference = self._references[said]
        self._references.pop(number, None)
        self._references.pop(reference, None)
        return reference

    def _duration(self, template: Template | None) -> float | None:
        if template is None:
            return None
        try:
            duration = seconds(template.fill(self._context(self._room)))
        except (OutOfScopeError, ValueError):
            return None
        return duration if 0 < duration < _LONGEST else None


def _known(steps: Sequence[SocketStep], context: Context) -> bool:
    """Whether all variables that steps need are known, but for those that an earlier one of them keeps."""
    kept = {"ref"}
    for step in steps:
        for name in set[str]().union(*(template.needed for template in step.templates)) - kept:
            try:
                context[name]
            except OutOfScopeError:
                return False
        kept |= {one.name for one in step.keep}
    return True
