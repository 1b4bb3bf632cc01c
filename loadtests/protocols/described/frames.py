"""What a WebSocket message says: its documents by the file's encoding, and the rule that each of them meets."""

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from chatswarm.loadtests.protocols.outgoing import whole
from chatswarm.loadtests.protocols.protocol import Frame, Kind, Unreadable, UnreadableHere

from .conditions import Conditions
from .paths import MISSING, NAMESPACE, Path, Paths, decoded, inside, step
from .requests import Keep
from .templates import Template, written


class Document(NamedTuple):
    """One document in a WebSocket message. `head`: what stands before it, by name; `body`: MISSING if there is none."""

    head: Any
    body: Any


class Codec(Protocol):
    """Turns WebSocket messages into documents, and filled templates into messages."""

    def decode(self, data: bytes) -> Iterable[Document]:
        """Raises Unreadable if this is no message of that kind."""
        ...

    def encode(self, text: str) -> str | bytes: ...


class JsonCodec:
    """JSON, perhaps several documents in a message, perhaps with a head before each."""

    def __init__(self, separator: str = "", terminator: str = "", head: re.Pattern[str] | None = None) -> None:
        self._split = (separator or terminator).encode()
        self._terminator = terminator
        self._head = head

    def decode(self, data: bytes) -> Iterable[Document]:
        parts = [part for part in data.split(self._split) if part] if self._split else [data]
        return [self._document(part) for part in parts]

    def encode(self, text: str) -> str:
        return whole(text) + self._terminator

    def _document(self, data: bytes) -> Document:
        if self._head is None:
            return Document(None, _json(data, data))
        text = data.decode("utf-8", "replace")
        found = self._head.match(text)
        if found is None:
            return Document({}, MISSING)
        head = {name: value for name, value in found.groupdict().items() if value is not None}
        rest = text[found.end() :]
        try:
            return Document(head, _json(rest, data) if rest else MISSING)
        except Unreadable:
            # Such as Engine.IO's `3probe`: nothing that a chat sends.
            return Document({}, MISSING)


class TextCodec:
    """Plain text, read by a pattern: its named groups are the document."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self.groups = tuple(pattern.groupindex)

    def decode(self, data: bytes) -> Iterable[Document]:
        found = self._pattern.fullmatch(data.decode("utf-8", "replace"))
        if found is None:
            return [Document(None, MISSING)]
        return [Document(None, {name: value for name, value in found.groupdict().items() if value is not None})]

    def encode(self, text: str) -> str:
        return whole(text)


class StompCodec:
    """STOMP 1.2: the head has the command and the headers, and the body is JSON if it can be."""

    def decode(self, data: bytes) -> Iterable[Document]:
        text = data.decode("utf-8", "replace").lstrip("\r\n")
        if not text:
            return []  # a heartbeat
        blank = _BLANK_LINE.search(text)
        top = "" if blank is None else text[: blank.start()].replace("\r\n", "\n").removesuffix("\r")
        command, *lines = top.split("\n")
        if blank is None or not (command.isascii() and command.isalpha() and command.isupper()):
            raise Unreadable(f"a frame: expected STOMP, got {data[:200]!r}")
        head, body = {"command": command}, text[blank.end() :]
        for line in lines:
            name, _, value = line.partition(":")
            if "\\" in line and command != "CONNECTED":  # in which STOMP escapes nothing
                name, value = _unescaped(name), _unescaped(value)
            head.setdefault(name, value)  # of equal headers the first counts
        ended = body.rstrip("\r\n")
        body = ended[:-1] if ended.endswith("\x00") else body
        document = inside(body) if body[:1] in ("{", "[") else body
        return [Document(head, body if document is MISSING else document)]

    def encode(self, text: str) -> str:
        if not text.strip("\n"):
            return "\n"  # a heartbeat
        text = whole(text).lstrip("\n").removesuffix("\x00")
        return (text if "\n\n" in text else text.rstrip("\n") + "\n\n") + "\x00"


_BLANK_LINE = re.compile(r"\n\r?\n")
_ESCAPES = {"\\r": "\r", "\\n": "\n", "\\c": ":", "\\\\": "\\"}


def _unescaped(text: str) -> str:
    return re.sub(r"\\.", lambda found: _ESCAPES.get(found[0], found[0]), text)


def _json(text: str | bytes, data: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return decoded(text)
    except RecursionError as error:
        raise UnreadableHere(f"a frame: nested too deeply, got {data[:200]!r}") from error
    except ValueError as error:
        raise Unreadable(f"a frame: expected JSON, got {data[:200]!r}") from error


# Rules.

MEANINGS: Mapping[str, Kind] = {
    "message": Kind.MESSAGE,
    "hint": Kind.MESSAGE,
    "ack": Kind.ACKNOWLEDGED,
    "nack": Kind.REJECTED,
    "ping": Kind.OTHER,
    "ignore": Kind.OTHER,
    "left": Kind.LEFT,
    "dropped": Kind.DROPPED,
    "missed": Kind.MISSED,
    "error": Kind.ERROR,
}


@dataclass(frozen=True, slots=True)
class FrameRule:
    """What frames that fit mean. `number`: from 1, in the file; `line`: where it stands."""

    number: int
    line: int
    meaning: str
    when: Conditions = field(default_factory=Conditions)
    each: Paths | None = None
    room: Path | None = None
    text: Path | None = None
    as_html: bool = False
    id: Path | None = None
    ours: Conditions | None = None
    replay: Conditions | None = None
    ref: Path | None = None
    status: Path | None = None
    detail: Path | None = None
    reply: Template | None = None
    keep: Sequence[Keep] = ()

    def __str__(self) -> str:
        return f"frame {self.number}: {self.meaning}"

    @property
    def paths(self) -> list[Path]:
        """All that begin at the document."""
        kept = [one.path for one in self.keep]
        conditions = [one for each in (self.when, self.ours, self.replay) if each is not None for one in each.each]
        if self.each is not None:  # the others begin at each message
            return [one.path for one in self.when.each]
        found = [*kept, self.room, self.text, self.id, self.ref, self.status, self.detail]
        return [path for path in found if path is not None] + [one.path for one in conditions]

    @property
    def changes_the_session(self) -> bool:
        """Whether its frames do more on their connection than to show a message."""
        return bool(self.keep) or self.reply is not None


class Source(NamedTuple):
    """What a session has to know of a frame. `rule`: None if none took it; `item`: where the rule's paths begin."""

    rule: FrameRule | None
    document: Document
    item: Any = None


_Read = Callable[[Any, Any, Document], list[Frame]]
"""From what a document says, its head, and the document, to its frames."""


class Rules:
    """All rules, as one function that is generated: asking one after the other would cost more than reading JSON."""

    def __init__(self, rules: Sequence[FrameRule], codec: Codec) -> None:
        self.rules = rules
        self.messages_change_the_session = any(
            rule.changes_the_session for rule in rules if MEANINGS[rule.meaning] is Kind.MESSAGE
        )
        self._codec = codec
        self._frames: _Read = _generated(rules)

    def read(self, data: bytes) -> list[Frame]:
        """The frames in one WebSocket message. Raises Unreadable."""
        frames: list[Frame] = []
        for document in self._codec.decode(data):
            frames += self._frames(document.body, document.head, document)
        return frames


def _other_frame(rule: FrameRule, body: Any, head: Any, whole: Document) -> Frame:  # noqa: ANN401 - any JSON
    """A frame that is no message."""
    kind, source = MEANINGS[rule.meaning], Source(rule, whole, body)
    if kind is Kind.OTHER:
        return Frame(kind, source=source)
    status = MISSING if rule.status is None else rule.status.find(body, head)
    return Frame(
        kind,
        "" if rule.room is None else _room_of(rule, rule.room.find(body, head), body),
        message_id=None if rule.id is None else identity(rule.id.find(body, head)),
        detail=_detail(rule, body, head),
        reference="" if rule.ref is None else written(rule.ref.find(body, head)),
        status=status if type(status) is int and 0 <= status < 1000 else 0,
        source=source,
    )


def _detail(rule: FrameRule, body: Any, head: Any) -> str:  # noqa: ANN401 - any JSON
    found = body if rule.detail is None else rule.detail.find(body, head)
    return "" if rule.meaning == "ack" else written(found)[:500]


def _room_of(rule: FrameRule, value: object, body: object) -> str:
    if value is MISSING or value is None:
        assert rule.room is not None
        raise Unreadable(
            f"a frame: line {rule.line} of the protocol file expects a room at {rule.room.text}, got nothing in "
            f"{written(body)[:200]!r}"
        )
    return written(value)


def _no_text(rule: FrameRule, value: object) -> str:
    assert rule.text is not None
    raise Unreadable(
        f"a frame: line {rule.line} of the protocol file expects a text at {rule.text.text}, got "
        f"{written(value)[:200]!r}"
    )


_LARGEST_ID = 2**63 - 1  # that a history can hold


def identity(value: object) -> int | str | None:
    """A message's id, as a history can hold it; None for anything else."""
    if isinstance(value, str):
        return value or None
    return value if type(value) is int and 0 <= value <= _LARGEST_ID else None


# Code.


class _Function:
    """The code of a function of a document, its head and the whole. Each value is looked up once, when it is needed."""

    def __init__(self, name: str, namespace: dict[str, Any]) -> None:
        self.lines = [f"def {name}(document, head, whole):"]
        self._namespace = namespace
        self._known: dict[tuple[Any, ...], str] = {("document",): "document", ("head",): "head"}
        self._indent = "    "

    def add(self, line: str) -> None:
        self.lines.append(self._indent + line)

    @contextmanager
    def branch(self, condition: str) -> Iterator[None]:
        """What is looked up in a branch is not known after it."""
        known, indent = self._known, self._indent
        self.add(f"if {condition}:")
        self._known, self._indent = dict(known), indent + "    "
        yield
        self._known, self._indent = known, indent

    def value(self, path: Path) -> str:
        """The variable with the value at a path."""
        place: tuple[Any, ...] = (path.root,)
        for number, stage in enumerate(path.stages):
            for key in ([None] if number else []) + list(stage):
                before, place = self._known[place], (*place, ("inside",) if key is None else key)
                if place not in self._known:
                    self._known[place] = f"v{len(self.lines)}"
                    code = f"inside({before})" if key is None else step(before, key)
                    self.add(f"{self._known[place]} = {code}")
        return self._known[place]

    def fits(self, conditions: Conditions) -> str:
        """An expression that says whether conditions fit."""
        tests = []
        for one in conditions.each:
            value = self.value(one.path)
            tests.append(f"{self.named(one.test)}({value})" if one.code is None else one.code(value))
        return " and ".join(f"({test})" for test in tests) or "True"

    def named(self, thing: object) -> str:
        """A name for something that the code uses."""
        name = f"n{len(self._namespace)}"
        self._namespace[name] = thing
        return name


def _generated(rules: Sequence[FrameRule]) -> _Read:
    """A function that makes the frames of a document: by the first rule that it fits."""
    namespace: dict[str, Any] = {
        **NAMESPACE, "Frame": Frame, "Source": Source, "MESSAGE": Kind.MESSAGE, "OTHER": Kind.OTHER,
        "UNKNOWN": Kind.UNKNOWN, "identity": identity, "unescape": html.unescape, "room_of": _room_of,
        "no_text": _no_text, "other_frame": _other_frame,
        "new": tuple.__new__,  # what NamedTuples do, too, but with a call more
    }  # fmt: skip
    read = _Function("read", namespace)
    functions = [read]
    for rule in rules:
        name = read.named(rule)
        with read.branch(read.fits(rule.when)):
            if MEANINGS[rule.meaning] is not Kind.MESSAGE:
                read.add(f"return [other_frame({name}, document, head, whole)]")
            elif rule.each is None:
                read.add(f"return [{_message(read, rule, name)}]")
            else:
                item = _Function(f"item_{name}", namespace)
                item.add(f"return {_message(item, rule, name)}")
                functions.append(item)
                items = f"{read.named(rule.each.find)}(document)"
                read.add(
                    f"return [item_{name}(one, head, whole) for one in {items}] or "
                    f"[Frame(OTHER, source=Source({name}, whole))]"
                )
    read.add("return [Frame(UNKNOWN, source=Source(None, whole))]")
    exec("\n".join(line for function in functions for line in function.lines), namespace)  # noqa: S102 - literals by repr
    generated: _Read = namespace["read"]
    return generated


def _message(code: _Function, rule: FrameRule, name: str) -> str:
    """An expression for the frame of a rule for messages. Adds what has to be looked up for it."""
    room = text = number = None
    if rule.room is not None:
        value = code.value(rule.room)
        room = f"{value} if type({value}) is str else room_of({name}, {value}, document)"
    if rule.text is not None:
        value = code.value(rule.text)
        text = f"{value} if type({value}) is str else no_text({name}, {value})"
        text = f"unescape({text})" if rule.as_html else text
    if rule.id is not None:
        number = f"identity({code.value(rule.id)})"
    ours = "True" if rule.ours is None else code.fits(rule.ours)
    replayed = "False" if rule.replay is None else code.fits(rule.replay)
    source = f"new(Source, ({name}, whole, document))"
    fields = f"MESSAGE, {room or repr('')}, {ours}, {number}, '', {text}, {replayed}, '', 0, {source}, False"
    return f"new(Frame, ({fields}))"
