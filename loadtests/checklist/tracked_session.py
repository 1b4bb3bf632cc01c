"""A session whose frames are noted, each with the rule or step of the protocol's file that it met."""

from collections.abc import Callable, Sequence

from chatswarm.loadtests.protocols.described.session import DescribedSession
from chatswarm.loadtests.protocols.protocol import Answer, Frame, Kind, Outgoing, Request, Session, Taken
from chatswarm.loadtests.protocols.variables import Variables

from .file_places import FilePlaces
from .transcript import Witness


class TrackedSession:
    """One connection's session. `places`: None for a protocol that no file describes."""

    def __init__(self, session: Session, places: FilePlaces | None, witness: Witness) -> None:
        self.session = session
        self._places = places
        self._witness = witness
        self._asked: dict[int, str] = {}  # labels of requests, by id()

    @property
    def waiting(self) -> Sequence[str]:
        """The steps that wait for a frame or an answer, and for what."""
        if self._places is None or not isinstance(self.session, DescribedSession):
            return []
        return [
            self._places.step(step) + ("" if step.expect is None else f" waits for {step.expect}")
            for step in self.session.waiting
        ]

    @property
    def kept(self) -> Sequence[Variables]:
        """What it has kept on its connection, which may be secret."""
        return self.session.kept if isinstance(self.session, DescribedSession) else ()

    def open(self) -> Taken:
        return self._noted(self.session.open)

    def join(self, room: str, last: Frame | None) -> Taken:
        return self._noted(lambda: self.session.join(room, last))

    def answered(self, request: Request, answer: Answer) -> Taken:
        return self._noted(lambda: self.session.answered(request, answer))

    def take(self, frame: Frame, met: list[str]) -> Taken:
        """What a frame means. Adds to `met` what it met."""
        answered = self._answered()
        replying = "" if self._places is None else self._places.rule_of(frame)
        if frame.kind is Kind.MESSAGE and not self.session.expects:
            taken = self._noted(lambda: Taken((frame,), self.session.note(frame)), replying)
        else:
            taken = self._noted(lambda: self.session.take(frame), replying)
        met += self._answered()[len(answered) :] or [replying]
        return taken

    def send(self, room: str, text: str, reference: str) -> Outgoing:
        frame = self.session.send(room, text, reference)
        self._witness.sent(frame, "" if self._places is None else self._places.send_frame)
        return frame

    def ping(self) -> Outgoing | None:
        ping = self.session.ping()
        if ping is not None:
            self._witness.sent(ping, "" if self._places is None else self._places.heartbeat)
        return ping

    def label_of(self, request: Request) -> str:
        """The step that makes a request."""
        return self._asked.get(id(request), "")

    def _noted(self, act: Callable[[], Taken], replying: str = "") -> Taken:
        """Notes what is sent in consequence: what steps send, or else the reply of a rule."""
        begun = len(self._begun())
        taken = act()
        labels = self._begun()[begun:]
        for number, one in enumerate(taken.replies):
            label = labels[number] if number < len(labels) else replying
            if isinstance(one, Request):
                self._asked[id(one)] = label
            self._witness.sent(one, label)
        return taken

    def _begun(self) -> list[str]:
        """All steps so far that have sent something."""
        if self._places is None or not isinstance(self.session, DescribedSession):
            return []
        return [
            self._places.step(step) for step in self.session.begun if step.send is not None or step.request is not None
        ]

    def _answered(self) -> list[str]:
        if self._places is None or not isinstance(self.session, DescribedSession):
            return []
        return [self._places.step(step) for step in self.session.met]


def label_of(places: FilePlaces | None, frame: Frame) -> str:
    """The rule that a frame met, as a file calls it; empty for a protocol that no file describes."""
    return "" if places is None else places.rule_of(frame)
