"""What a protocol file says, once it has been read and found right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chatswarm.loadtests.protocols.promises import Promises

from .conditions import Conditions
from .frames import Codec, Rules
from .paths import Path, Paths
from .requests import RequestStep, RequestTemplate
from .session import SocketScript
from .templates import Context, Template


class ProtocolFileError(ValueError):
    """A protocol file that cannot be used. `problems` holds all reasons, one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True)
class MessagePaths:
    """Where messages are in an answer, and what each has. `id` and `text` begin at the message."""

    each: Paths
    text: Path
    as_html: bool = False
    id: Path | None = None
    ours: Conditions | None = None


@dataclass(frozen=True, slots=True)
class CountedPages:
    """Pages that are counted, or messages that are skipped, by a variable."""

    name: str
    start: int
    step: int


@dataclass(frozen=True, slots=True)
class NextValue:
    """A variable of the next page. `of_last`: its path begins at the page's last message."""

    path: Path
    of_last: bool


@dataclass(frozen=True, slots=True)
class HistoryPages:
    """How everything in a room is read."""

    request: RequestTemplate
    messages: MessagePaths
    newest_first: bool = False
    sort_by: Path | None = None
    counted: CountedPages | None = None
    next: Mapping[str, NextValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefetchedList:
    """The list that dashboards read again."""

    request: RequestTemplate
    rooms: Paths
    room: Path
    total: Path | None
    messages: MessagePaths


@dataclass(frozen=True, slots=True)
class SendAnswer:
    """What the response to a send says. `accepted` None: any is an acceptance."""

    accepted: Conditions | None = None
    rejected: Conditions | None = None
    id: Path | None = None
    detail: Path | None = None


@dataclass(frozen=True, slots=True)
class HandshakeTemplate:
    """How a WebSocket is opened."""

    request: RequestTemplate
    subprotocols: Sequence[Template] = ()


@dataclass(frozen=True, slots=True)
class RoomNames:
    """What rooms are called. `template` has `${index}`, or there is one room only; None: the creation says."""

    template: Template | None = None
    ids: Sequence[str] = ()
    file: str | None = None
    """The members' file of rooms that exist, next to the protocol file."""


@dataclass(frozen=True)
class Description:
    """One chat. `text`: the file's, which travels to every process of a swarm."""

    name: str
    text: str
    location: str
    promises: Promises
    handshake: HandshakeTemplate
    codec: Codec
    rules: Rules
    script: SocketScript
    users: Mapping[str, Template] = field(default_factory=dict)
    columns: Mapping[str, int] = field(default_factory=dict)
    """The columns that a user must have, each with the line that needs it."""
    users_file: str | None = None
    login: Sequence[RequestStep] = ()
    before: Sequence[RequestStep] = ()
    """What a client asks for each connection before its handshake."""
    rooms: RoomNames = field(default_factory=RoomNames)
    create: Sequence[RequestStep] = ()
    creates_chats: bool = False
    creators_log_in: bool = False
    add: RequestStep | None = None
    remove: RequestStep | None = None
    send_request: RequestTemplate | None = None
    send_answer: SendAnswer = field(default_factory=SendAnswer)
    history: HistoryPages | None = None
    reads_what_was_missed: bool = False
    refetch: RefetchedList | None = None
    list_window: int | None = None
    unavailable_means_not_done: bool = False
    expired_codes: Sequence[int] = ()
    server_header: str = ""
    environment: Mapping[str, int] = field(default_factory=dict)
    """The environment variables that it needs, each with the line."""
    all_environment: frozenset[str] = frozenset()
    """The same, and those that it uses if they are set."""

    @property
    def place_of_rules(self) -> str:
        """Where the rules for frames are in the file."""
        lines = [rule.line for rule in self.rules.rules]
        return f"lines {lines[0]} to {lines[-1]} ([[frame]])"

    def missing_variables(self, environment: Mapping[str, str]) -> list[str]:
        """A line for each environment variable that is not set."""
        return [
            f"{self.location}: line {line}: expected the environment variable {name} to be set, got none"
            for name, line in self.environment.items()
            if not environment.get(name, "").strip()
        ]

    def room_id(self, index: int, context: Context) -> str | None:
        """The id of a room; None if its creation says. Raises ValueError if there is no room of that number."""
        names = self.rooms
        if names.ids:
            if index >= len(names.ids):
                raise ValueError(
                    f"expected at most {len(names.ids)} rooms, as the protocol file lists, got {index + 1}"
                )
            return names.ids[index]
        return None if names.template is None else names.template.fill(context)
