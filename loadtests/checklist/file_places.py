"""The places of a protocol file by the names that people read: `frame 1: message (line 40)`, `login 1 (line 12)`."""

import re

from chatswarm.loadtests.protocols.described import Described, Description
from chatswarm.loadtests.protocols.described.frames import FrameRule, Source
from chatswarm.loadtests.protocols.described.lines import line_of, lines_of
from chatswarm.loadtests.protocols.described.requests import RequestStep
from chatswarm.loadtests.protocols.described.session import SocketStep
from chatswarm.loadtests.protocols.protocol import ChatProtocol, Frame

from .transcript import NO_RULE

_WHERE = re.compile(r"line (\d+) of the protocol file \((.+)\)")


class FilePlaces:
    """Of one file."""

    def __init__(self, description: Description) -> None:
        self.description = description
        self._lines = lines_of(description.text)

    def line(self, *place: str | int) -> int:
        """The line of a key, or of the nearest table around it."""
        return line_of(self._lines, place)

    def at(self, *place: str | int) -> str:
        """The same, for people."""
        return f"line {self.line(*place)}"

    def rule(self, rule: FrameRule) -> str:
        return f"{rule} (line {rule.line})"

    def step(self, step: SocketStep) -> str:
        return f"{step.where.removeprefix('socket.')} (line {step.line})"

    def request(self, step: RequestStep) -> str:
        found = _WHERE.match(step.where)
        return step.where if found is None else f"{found[2].removeprefix('socket.')} (line {found[1]})"

    @property
    def send_frame(self) -> str:
        return f"send ({self.at('send', 'frame')})"

    @property
    def send_request(self) -> str:
        return f"send ({self.at('send', 'request')})"

    @property
    def history(self) -> str:
        return f"history ({self.at('history')})"

    @property
    def refetch(self) -> str:
        return f"refetch ({self.at('refetch')})"

    @property
    def heartbeat(self) -> str:
        return f"heartbeat ({self.at('heartbeat')})"

    @property
    def login(self) -> list[str]:
        return [self.request(step) for step in self.description.login]

    @property
    def before(self) -> list[str]:
        return [self.request(step) for step in self.description.before]

    @property
    def create(self) -> list[str]:
        """What the creation of a room or chat asks for, in order."""
        own = [self.request(step) for step in self.description.create]
        return [*(self.login if self.description.creators_log_in else []), *own]

    @property
    def everything(self) -> list[str]:
        """All that a chat can exercise, in the order of the file's sections."""
        file = self.description
        changes = [self.request(step) for step in (file.add, file.remove) if step is not None]
        parts = {
            self.send_frame: file.script.send is not None,
            self.send_request: file.send_request is not None,
            self.history: file.promises.history != "none",
            self.refetch: file.refetch is not None,
            self.heartbeat: file.script.ping is not None,
        }
        own = [self.request(step) for step in file.create]
        steps = [self.step(step) for step in file.script.steps]
        rules = [self.rule(rule) for rule in file.rules.rules]
        return [
            *self.login,
            *own,
            *changes,
            *self.before,
            *steps,
            *rules,
            *(name for name, there in parts.items() if there),
        ]

    def not_seen(self, met: set[str]) -> list[str]:
        """What has not been exercised."""
        return [name for name in self.everything if name not in met]

    def rule_of(self, frame: Frame) -> str:
        """What a frame that no step took has met."""
        rule = taking(frame)
        return NO_RULE if rule is None else self.rule(rule)


def taking(frame: Frame) -> FrameRule | None:
    """The rule that took a frame; None: none did."""
    return frame.source.rule if isinstance(frame.source, Source) else None


def places_of(protocol: ChatProtocol) -> FilePlaces | None:
    """The places of the protocol's file; None if it has none."""
    return FilePlaces(protocol.description) if isinstance(protocol, Described) else None
