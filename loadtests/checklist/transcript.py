"""What a check's users and the chat said to each other, and which rule or step of the protocol file each part met."""

import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from chatswarm.loadtests.protocols.protocol import Handshake, Outgoing, Request
from chatswarm.loadtests.system.text import one_line

NO_RULE = "no rule"
_WIDEST = 200  # characters of a text that are shown
_KEPT = 4000  # characters that are kept of it: secrets are blanked before it is cut
_MOST = 400  # entries
# What a file computes from secrets is none of the variables: signed tokens, and signatures.
_COMPUTED = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]+|\b[0-9a-f]{64}\b")
_BLANKS = re.compile(r"[ \t\r\n]+")
# What a text of ours is filled up with, which only makes lines long.
_PADDING = re.compile(r"the quick brown[a-z ]*(?= [a-z2-7]{10}\.)")


class Entry(msgspec.Struct, frozen=True):
    """One frame, request or response. `met`: the rule or step of the file; empty: neither could have met it."""

    who: str
    sent: bool
    text: str
    met: str


@dataclass(frozen=True, slots=True)
class _Said:
    at: float
    who: str
    sent: bool
    text: str
    met: str


@dataclass(slots=True)
class Transcript:
    """Of all users of a check. Safe to use from several threads."""

    met: set[str] = field(default_factory=set)
    """The rules and steps that were met."""
    _said: list[_Said] = field(default_factory=list)

    def entries(self, blanked: Callable[[str], str]) -> list[Entry]:
        """Everything, in order of time. `blanked` removes secrets from a text."""
        said = sorted(self._said, key=lambda one: one.at)
        entries = [Entry(one.who, one.sent, shown(one.text, blanked), one.met) for one in said[:_MOST]]
        if len(said) > _MOST:
            entries.append(Entry("", False, f"… and {len(said) - _MOST} more", ""))
        return entries

    def sent(self, found: "re.Pattern[str]", blanked: Callable[[str], str]) -> str:
        """The first frame or request that has this in it; empty if there is none."""
        text = next((one.text for one in self._said if one.sent and found.search(one.text)), "")
        return shown(text, blanked, _WIDEST * 2)

    def add(self, who: str, text: str, met: Iterable[str], *, sent: bool, at: float | None = None) -> None:
        """Something was said. `at`: when, in monotonic seconds; None: now."""
        labels = list(dict.fromkeys(label for label in met if label))
        self.met |= set(labels) - {NO_RULE}
        at = time.monotonic() if at is None else at
        self._said.append(_Said(at, who, sent, text[:_KEPT], ", ".join(labels)))


@dataclass(frozen=True, slots=True)
class Witness:
    """One user's part of a transcript. `who`: the user, for people."""

    transcript: Transcript
    who: str

    def sent(self, outgoing: Outgoing, met: str = "") -> None:
        """A frame that is about to be sent. A request is noted by whoever makes it."""
        if not isinstance(outgoing, Request):
            self.transcript.add(self.who, written(outgoing), [met], sent=True)

    def came(self, data: bytes, met: Sequence[str], at: float) -> None:
        """A WebSocket message came."""
        self.transcript.add(self.who, written(data), met, sent=False, at=at)

    def asked(self, request: Request, met: str) -> None:
        """A request is about to be made."""
        body = "" if not request.body else f" {written(request.body)}"
        self.transcript.add(self.who, f"{request.method} {request.path}{body}", [met], sent=True)

    def answered(self, status: int, body: bytes, met: str, *, secret: bool) -> None:
        """A response came. `secret`: it may have secrets that nobody knows yet."""
        said = _form_of(body) if secret else written(body)
        self.transcript.add(self.who, f"{status} {said}".rstrip(), [met], sent=False)

    def shake_hands(self, handshake: Handshake) -> None:
        """A WebSocket is about to be opened."""
        offered = f", subprotocols {', '.join(handshake.subprotocols)}" if handshake.subprotocols else ""
        self.transcript.add(self.who, f"GET {handshake.path} (WebSocket{offered})", [], sent=True)

    def shaken_hands(self, at: float) -> None:
        """It is open. `at`: when to say so, in monotonic seconds."""
        self.transcript.add(self.who, "101", [], sent=False, at=at)

    def failed(self, detail: str, met: str) -> None:
        """No response came."""
        self.transcript.add(self.who, f"no response: {detail}", [met], sent=False)


def written(data: str | bytes) -> str:
    """A frame or body for people."""
    return data if isinstance(data, str) else data[: 4 * _KEPT].decode(errors="replace")


def shown(text: str, blanked: Callable[[str], str], limit: int = _WIDEST) -> str:
    """A text without secrets, on one line, and cut if it is long."""
    text = _PADDING.sub("…", _BLANKS.sub(" ", _COMPUTED.sub("***", blanked(text))))
    text = one_line(text.strip())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _form_of(body: bytes) -> str:
    """A body with its texts blanked: what is left shows where they are."""
    try:
        return json.dumps(_without_texts(json.loads(body)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"({len(body)} bytes that are no JSON)" if body else ""


def _without_texts(value: Any) -> Any:  # noqa: ANN401 - any JSON
    match value:
        case str():
            return "***"
        case dict():
            return {key: _without_texts(one) for key, one in value.items()}
        case list():
            return [_without_texts(one) for one in value]
    return value
