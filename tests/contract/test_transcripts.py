"""What real chats and a client said to each other, said again with the shipped protocol files."""

import copy
import json
import re
import tomllib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from chatswarm.loadtests.protocols.catalogue import shipped
from chatswarm.loadtests.protocols.described import Described, Description, read_description
from chatswarm.loadtests.protocols.protocol import Answer, Frame, Kind, Request, Session, Taken, Unreadable

TRANSCRIPTS = Path(__file__).with_name("transcripts")
NAMES = sorted(shipped())
STEPS = {"do", "in", "out", "request", "handshake"}
KEYS = STEPS | {
    "means", "text", "uid", "index", "members", "texts", "chats", "headers", "subprotocols", "sends", "status",
    "answer", "answer_headers", "sent",
}  # fmt: skip

_T = TypeVar("_T")


class Differs(AssertionError):
    """The client says or understands something else than in the transcript."""


def description_of(name: str) -> Description:
    return read_description(shipped()[name].read_text(encoding="utf-8"), f"{name}.toml")


def transcript_of(name: str) -> dict[str, Any]:
    return tomllib.loads((TRANSCRIPTS / f"{name}.toml").read_text(encoding="utf-8"))


def is_same(one: str, other: str) -> bool:
    """Whether two texts are the same, or the same JSON."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return one == other


class Replay:
    """One transcript. Its lines say what is done, and then what has to be sent and what came."""

    def __init__(self, transcript: dict[str, Any], description: Description) -> None:
        self.room: str = transcript["room"]
        self._run: str = transcript["run"]
        self._given: dict[str, str] = transcript["user"]
        self._description = description
        computed = {"now": str(transcript["now"])} if "now" in transcript else None
        target = transcript.get("base_url", "https://chat.example.com")
        self.protocol = Described(description, transcript.get("environment", {}), target, computed)
        self.user = self.protocol.user("widget", 0, self._run, self._given)
        self._lines: Sequence[dict[str, Any]] = transcript["line"]
        self._at = 0
        self._session: Session | None = None
        self._outgoing: list[object] = []
        self._seen: list[str | None] = []
        self._replayed: list[str] | None = None
        self._done: dict[str, Callable[[dict[str, Any]], None]] = {
            "create": self._create, "open": self._open, "again": self._connect_again, "join": self._join,
            "rejoin": self._join, "send": self._send, "send-http": self._send_by_request, "ping": self._ping,
            "list": self._list, "history": self._history,
        }  # fmt: skip

    def run(self) -> None:
        """Raises Differs."""
        while self._at < len(self._lines):
            line = self._next()
            if "do" in line:
                self._expect(not self._outgoing, "nothing more to be sent", self._outgoing)
                self._done[line["do"]](line)
            elif "out" in line:
                self._say(line["out"])
            else:
                self._expect("in" in line, "this to be said", line)
                self._hear(line)
        self._expect(not self._outgoing, "nothing more to be sent", self._outgoing)
        if self._replayed is not None:
            self._expect(self._seen == self._replayed, self._replayed, self._seen)

    def _next(self) -> dict[str, Any]:
        self._at += 1
        self._expect(self._at <= len(self._lines), "nothing", "one thing more")
        line = self._lines[self._at - 1]
        self._expect(not line.keys() - KEYS and len(line.keys() & STEPS) == 1, "a line of a transcript", line)
        return line

    def _expect(self, fine: bool, expected: object, got: object) -> None:
        if not fine:
            raise Differs(f"line {self._at} of the transcript: expected {expected!r}, got {got!r}")

    # What is done.

    def _create(self, line: dict[str, Any]) -> None:
        if self._description.creates_chats:
            room = self._answer_all(self.protocol.create_chat(self.user))
        else:
            members = [self.protocol.user("widget", 1, self._run, {**self._given, "name": n}) for n in line["members"]]
            room = self._answer_all(self.protocol.create_room(line["index"], self._run, members))
        self._expect(room == self.room, self.room, room)

    def _open(self, line: dict[str, Any]) -> None:
        self._answer_all(self.protocol.login(self.user))
        self._connect()

    def _connect_again(self, line: dict[str, Any]) -> None:
        self._connect()

    def _connect(self, *, everything: bool = False) -> None:
        self._answer_all(self.protocol.before_handshake(self.user))
        room = self.room if self.protocol.promises.one_room else ""
        shake = self.protocol.handshake(self.user, everything=everything, room=room)
        line = self._next()
        self._expect(line.get("handshake") == shake.path, line, shake.path)
        if "subprotocols" in line:
            self._expect(line["subprotocols"] == list(shake.subprotocols), line["subprotocols"], shake.subprotocols)
        for name, value in line.get("headers", {}).items():
            self._expect(shake.headers.get(name) == value, value, shake.headers)
        self._session = self.protocol.session(self.user, everything=everything, room=room)
        self._take(self._session.open(), line)

    @property
    def session(self) -> Session:
        assert self._session is not None
        return self._session

    def _join(self, line: dict[str, Any]) -> None:
        self._take(self.session.join(self.room, None), line)

    def _send(self, line: dict[str, Any]) -> None:
        self._outgoing.append(self.session.send(self.room, line["text"], line["uid"]))

    def _ping(self, line: dict[str, Any]) -> None:
        self._outgoing.append(self.session.ping())

    def _send_by_request(self, line: dict[str, Any]) -> None:
        answered, answer = self._answer(self.protocol.send(self.user, self.room, line["text"], line["uid"]))
        wanted = answered.get("sent", {})
        if not 200 <= answer.status < 300:
            self._expect(wanted == {"accepted": False}, wanted, answer.status)
            return
        sent = self.protocol.read_sent(answer.body)
        for name, value in wanted.items():
            self._expect(getattr(sent, name) == value, {name: value}, sent)

    def _list(self, line: dict[str, Any]) -> None:
        _, answer = self._answer(self.protocol.list_chats(self.user))
        got = [
            {
                "chat_id": one.chat_id,
                "total": one.total,
                "texts": [text.text for text in one.texts if text.from_customer],
            }
            for one in self.protocol.read_list(answer.body)
        ]
        self._expect(got == line["chats"], line["chats"], got)

    def _history(self, line: dict[str, Any]) -> None:
        if self.protocol.promises.history == "replay":
            self._seen, self._replayed = [], line["texts"]
            self._connect(everything=True)
            return
        pages: list[list[str]] = []
        at: str | None = None
        while not pages or at is not None:
            _, answer = self._answer(self.protocol.whole_chat(self.user, self.room, at))
            page = self.protocol.read_whole_chat(answer.body, at)
            texts = [text.text for text in page.texts if text.from_customer]
            pages.insert(0 if page.newest_first else len(pages), texts)
            at = page.next
        got = [text for texts in pages for text in texts]
        self._expect(got == line["texts"], line["texts"], got)

    # What is said.

    def _answer(self, request: Request) -> tuple[dict[str, Any], Answer]:
        line = self._next()
        wanted = line.get("request")
        self._expect(wanted == f"{request.method} {request.path}", line, f"{request.method} {request.path}")
        body, wanted = (request.body or b"").decode(), line.get("sends", "")
        self._expect(is_same(body, wanted), wanted, body)
        for name, value in line.get("headers", {}).items():
            self._expect(request.headers.get(name) == value, value, request.headers)
        headers = {name.lower(): value for name, value in line.get("answer_headers", {}).items()}
        return line, Answer(line["status"], headers, line.get("answer", "").encode())

    def _answer_all(self, steps: Generator[Request, Answer, _T]) -> _T:
        try:
            request = next(steps)
            while True:
                request = steps.send(self._answer(request)[1])
        except StopIteration as end:
            result: _T = end.value
            return result

    def _say(self, wanted: str) -> None:
        self._expect(bool(self._outgoing), wanted, "nothing")
        said = self._outgoing.pop(0)
        assert isinstance(said, str)
        self._expect(self._parts(said) == self._parts(wanted), wanted, said)

    def _parts(self, said: str) -> tuple[str, object, str]:
        """What stands before the JSON of a frame, the JSON, and what ends it. A frame without JSON is all head."""
        found = re.fullmatch(r"([^\[{]*)([\[{].*[\]}])(\x1e?)", said, re.DOTALL)
        return (said, None, "") if found is None else (found[1], json.loads(found[2]), found[3])

    def _hear(self, line: dict[str, Any]) -> None:
        taken: list[Frame] = []
        for frame in self.protocol.read_frames(line["in"].encode()):
            one = self.session.take(frame)
            taken += one.frames
            self._outgoing += one.replies
        self._seen += [frame.text for frame in taken if frame.kind is Kind.MESSAGE]
        self._compare(taken, line)

    def _take(self, taken: Taken, line: dict[str, Any]) -> None:
        self._outgoing += taken.replies
        self._compare(taken.frames, line)

    def _compare(self, frames: Sequence[Frame], line: dict[str, Any]) -> None:
        if "means" not in line:
            return
        got = [frame._replace(source=None) for frame in frames if frame.kind is not Kind.OTHER]
        means = [one for one in line["means"] if one["kind"] != "OTHER"]
        self._expect(len(got) == len(means), means, got)
        for frame, wanted in zip(got, means, strict=True):
            for name, value in wanted.items():
                found = frame.kind.name if name == "kind" else getattr(frame, name)
                self._expect(found == value and type(found) is type(value), {name: value}, frame)


def test_every_shipped_file_has_a_transcript() -> None:
    assert sorted(path.stem for path in TRANSCRIPTS.glob("*.toml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_was_said_is_said_again(name: str) -> None:
    transcript = transcript_of(name)
    assert transcript["source"].startswith(("recorded from ", "from the documentation: "))
    Replay(transcript, description_of(name)).run()


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_for_messages_and_acknowledgements_is_met(name: str) -> None:
    transcript, description = transcript_of(name), description_of(name)
    heard = [
        frame for line in transcript["line"] if "in" in line for frame in description.rules.read(line["in"].encode())
    ]
    met = {frame.source.rule.number for frame in heard if frame.source.rule is not None}
    wanted = ("message", "hint", "ack")
    assert [str(rule) for rule in description.rules.rules if rule.meaning in wanted and rule.number not in met] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_transcript_that_says_something_else_fails(name: str) -> None:
    """Each thing that is to be understood, each frame and each request that is to be sent."""
    transcript, description = transcript_of(name), description_of(name)
    for number, line in enumerate(transcript["line"]):
        for key, other in (("means", [{"kind": "UNKNOWN"}]), ("out", "{}x"), ("request", "GET /"), ("handshake", "/x")):
            if key in line:
                wrong = copy.deepcopy(transcript)
                wrong["line"][number][key] = other
                with pytest.raises(Differs, match=r"^line \d+ of the transcript: expected "):
                    Replay(wrong, description).run()
                if key == "out":
                    del wrong["line"][number]
                    with pytest.raises(Differs):
                        Replay(wrong, description).run()


@pytest.mark.parametrize(
    ("name", "says", "instead"),
    [
        ("push", 'text = "$.text"', 'text = "$.room"'),
        ("push", 'keep = { "room.last" = "$.id" }', ""),
        ("push", "recovered = ", "recovered = { '$.gap' = true } #"),
        ("centrifugo", 'separator = "\\n"', ""),
        ("stomp", 'text = "$.text"', 'text = "$"'),
        ("mattermost", 'sort_by = "$.create_at"', ""),
        ("pusher", "|md5}", "|sha256}"),
        ("signalr", 'ref = "$.invocationId"', 'ref = "$.type"'),
        ("socket.io", 'offset = "$[2]"', 'offset = "$[3]"'),
        ("rocket.chat", 'reply = \'{"msg": "pong"}\'', "reply = '{}'"),
    ],
)
def test_a_file_that_says_something_else_fails(name: str, says: str, instead: str) -> None:
    text = shipped()[name].read_text(encoding="utf-8")
    assert says in text
    with pytest.raises((Differs, Unreadable)):
        Replay(transcript_of(name), read_description(text.replace(says, instead, 1), name)).run()
