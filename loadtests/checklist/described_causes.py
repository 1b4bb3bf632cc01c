"""Why a chat and the file that describes it do not fit: what was seen, likely causes, and the lines to change.

No sockets and no clock: `described_steps.py` gathers the clues.
"""

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chatswarm.loadtests.messages.damage import WORDS, Condition
from chatswarm.loadtests.system.units import human

from .causes import GIVE_ORIGIN, PROCESS_LOG, Diagnosis

_SAY_TYPE = ("type", "event", "kind", "action", "op", "cmd", "msg", "command", "method", "name", "t")
"""Keys that usually say what a frame is."""
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEAD = re.compile(r"\d{1,3}(?:-\d+)?(?:/[^,]*,)?\d*(?=[\[{\"]|$)")
_STOMP = re.compile(r"[A-Z]{3,}\r?\n")
_SHOWN = 3  # frames
_LONGEST_TYPE = 40  # characters of what says what a frame is


@dataclass(frozen=True, slots=True)
class Came:
    """One frame from the server. `met`: the rule or step that took it; empty: none did."""

    who: str
    text: str
    met: str = ""
    meaning: str = ""  # of its rule: `ignore`
    room: str = ""  # by its rule
    reference: str = ""  # by its rule
    quotes: bool = False  # it has the text of the message
    advice: str = ""  # the rule that would take it as a message


@dataclass(frozen=True, slots=True)
class FileLines:
    """Where a file says what the causes speak of, each as `line 12`."""

    frames: str = ""
    encoding: str = ""
    send: str = ""
    accepted_by: str = ""
    history: str = ""
    history_messages: str = ""
    history_text: str = ""
    private: str = ""
    socket: str = ""
    text_as: str = ""
    heartbeat: str = ""
    kind: str = "json"  # the encoding


@dataclass(frozen=True, slots=True)
class Clues:
    """What was seen besides the failure. `came`: since the message was sent, or since the connection was opened."""

    lines: FileLines
    accepted_by: str = "ack"
    room: str = ""
    sent: str = ""
    reference: str = ""
    came: Sequence[Came] = ()
    waiting: Sequence[str] = ()
    """The steps that wait, and for what."""


# Logins, and other steps with requests.


def wrong_answer(what: str, detail: str) -> Diagnosis:
    """An answer is not as a step of the file expects. `detail` says which, what was expected and what came."""
    seen = f"{what} was answered, but not as the file says: {detail}."
    compare = "open the network tab, log in there, and compare the request and its answer with that line"
    if "a login page" in detail or "text/html" in detail:
        return Diagnosis(
            seen,
            [
                "the chat answers with a page for people, as it does without a session: a step is missing before it",
                "the path is a page's, and the API has another",
            ],
            [compare, "add the step that gets the session or the CSRF token before this one"],
        )
    if re.search(r"got (401|403)\b", detail):
        return Diagnosis(
            seen,
            [
                "the name, password or key is wrong, or is sent in another place than this chat wants it",
                "the origin is not allowed",
            ],
            ["check the users' file and the environment variables that the file uses", compare, GIVE_ORIGIN],
        )
    if re.search(r"got (404|405)\b", detail):
        return Diagnosis(
            seen,
            ["the path or the method is another here", "it is another chat"],
            [compare, "check the path in --target"],
        )
    if "in the answer, got nothing" in detail:
        return Diagnosis(
            seen,
            [
                "the value is under another path: the transcript shows the answer's form",
                "the answer is an error with a status of 2xx",
            ],
            ["correct the path in that line's keep"],
        )
    return Diagnosis(
        seen,
        ["the request has other fields than this chat expects", "the answer is right, and the file expects too much"],
        [compare, PROCESS_LOG],
    )


def cannot_be_made(said: str) -> Diagnosis:
    """A request or frame could not be made."""
    return Diagnosis(
        f"What comes next could not be made: {said}.",
        ["a value is used before anything has kept it", "a step that keeps it was not answered, or had no such value"],
        [
            "see in the transcript whether the frame or answer with the value has come",
            "give the value a default, with |or:",
        ],
    )


# Sockets.


def nothing_expected_came(clues: Clues, waited: float) -> Diagnosis:
    """A step waits for a frame that does not come."""
    step = "; ".join(clues.waiting) or "the connection"
    unmet = [one for one in clues.came if not one.met]
    others = [one for one in clues.came if one.met]
    if not clues.came:
        return Diagnosis(
            f"{step}, but within {human(waited)} no frame came at all.",
            [
                "this chat says nothing at this point: it waits for a frame of the client, or never answers",
                "what was sent has another form than it expects, and it ignores it",
                "it did not find the credentials where the file puts them",
            ],
            [
                "copy the first frames from the network tab, in both directions",
                "take the expect out, if this chat sends nothing there",
            ],
        )
    shown = unmet or others
    return Diagnosis(
        f"{step}, but within {human(waited)} only these came: {_listed(shown)}.",
        [
            "the frame that ends this step looks different: one of these may be it",
            "what was sent before has another form than this chat expects",
            "the chat refuses, and the file has no refuse for it",
        ],
        [
            "correct the step's expect, so that it fits the right one of these frames",
            "add a refuse, if one of them says no",
        ],
    )


def closed_at_once(lines: FileLines, what: str, detail: str) -> Diagnosis:
    """The connection ended before it was open or greeted."""
    said = f": {detail}" if detail else ""
    return Diagnosis(
        f"The chat closed the connection to {what}{said}.",
        [
            f"the path, the query, a header or a subprotocol is another ({lines.socket})",
            "the first frame has another form than this chat expects, or comes too early",
            "the credentials are not accepted (codes 1008, 3000, 4401, 4403)",
            "the handler crashed (code 1011, or no code at all)",
        ],
        [
            "compare the handshake with a real client's in the network tab",
            "look up what the close code means",
            PROCESS_LOG,
        ],
    )


def refused(what: str, detail: str) -> Diagnosis:
    """A step was answered with its `refuse`, or an error frame came. `what`: `The connection`, `The join`."""
    said = f": {detail}" if detail else ""
    return Diagnosis(
        f"{what} was refused{said}.",
        [
            "the user may not do this: wrong credentials, or no member of the room",
            "what was sent has another form than this chat expects",
            "the refuse of this step fits a frame that says something else",
        ],
        ["read the frame in the transcript, and compare what was sent with a real client's", PROCESS_LOG],
    )


def unreadable(clues: Clues, detail: str, data: str) -> Diagnosis:
    """A frame that the encoding, or a rule's path, cannot read. `data`: the frame."""
    if "line " in detail and "expects a" in detail:
        return Diagnosis(
            f"A frame met a rule that cannot read it: {detail.removeprefix('a frame: ')}. The frame: {data}.",
            ["the path is another in this frame", "the rule's condition is too wide: this is another kind of frame"],
            ["correct the path in that line, or narrow the rule's when"],
        )
    return Diagnosis(
        f"A frame came that the file's encoding ({clues.lines.encoding}) cannot read: {data}.",
        [*_other_encoding(data, clues.lines.kind), "the path is another service's"],
        ["correct the encoding, or start from the shipped file that is nearest: chatswarm protocols"],
    )


def _other_encoding(data: str, kind: str) -> list[str]:
    """What a frame looks like that the encoding cannot read."""
    found = []
    if kind != "json" and json_of(data) is not None:
        found.append('it is JSON: encoding = "json"')
    elif _STOMP.match(data):
        found.append('it looks like STOMP: encoding = "stomp"')
    elif "\x1e" in data or "\\x1e" in data or "\\u001e" in data:
        found.append('several documents, each with an end: terminator = "\\u001e" (as SignalR)')
    elif _HEAD.match(data) and _HEAD.match(data)[0]:  # type: ignore[index]
        found.append("a number before the JSON: head = '…' (as Socket.IO)")
    elif re.search(r"[}\]]\s*(?:\\n|\n| )\s*[{\[]", data):
        found.append('several documents in one message: separator = "\\n"')
    elif not data.lstrip().startswith(("{", "[", '"')):
        found.append('it looks like plain text: encoding = "text" and a pattern')
    return [*found, "the chat speaks another protocol, or another version of it"]


# The message.


def not_acknowledged(clues: Clues, waited: float, fallback: Diagnosis) -> Diagnosis:
    """A message was not accepted within `waited` seconds. `fallback`: what can be said without the file."""
    if clues.accepted_by == "ack":
        found = _no_ack(clues, waited)
    elif clues.accepted_by == "echo":
        found = _taken_wrongly(clues, "sender") or _no_echo(clues, waited)
    else:
        found = None
    return found or fallback


def _no_echo(clues: Clues, waited: float) -> Diagnosis | None:
    if any(one.quotes and one.who != "sender" for one in clues.came):
        own = [one for one in clues.came if one.who == "sender" and not one.met]
        said = f" What came to the sender, and met no rule: {_listed(own)}." if own else ""
        return Diagnosis(
            f"Viewers were sent the message, but within {human(waited)} it did not come back to its sender.{said}",
            [
                "this chat sends nobody their own messages; perhaps it acknowledges them",
                "the sender has not joined the room",
            ],
            [f'say accepted_by = "ack" with a rule that is = "ack", or "written" ({clues.lines.accepted_by})'],
        )
    if any(one.quotes for one in clues.came):
        return None
    return _nothing_back(clues, waited)


def _no_ack(clues: Clues, waited: float) -> Diagnosis | None:
    own = [one for one in clues.came if one.who == "sender"]
    acks = [one for one in own if one.meaning in ("ack", "nack")]
    if acks:
        ack = acks[0]
        return Diagnosis(
            f"An acknowledgement came, but for another send than ours. Sent: {clues.sent}. Came: {ack.text} "
            f"({ack.met}), whose ref is {ack.reference or 'nothing'}.",
            [
                "the ref of that rule leads to something else than the reference of the send",
                f"the send ({clues.lines.send}) does not carry ${{ref}} or ${{uid}} where the chat reads it",
            ],
            [f"let the ref of {ack.met} lead to what the send put in as ${{ref}} or ${{uid}}"],
        )
    unmet = [one for one in own if not one.met]
    if unmet:
        return Diagnosis(
            f"The message was sent, and this came back, but no rule took it: {_listed(unmet)}. Sent: {clues.sent}.",
            [
                "that is the acknowledgement, and the rule for it does not fit",
                "it is an error: the send has another form",
            ],
            [f'add or correct the [[frame]] that is = "ack" ({clues.lines.frames}), so that it fits this frame'],
        )
    naming = [one for one in own if clues.reference and clues.reference in one.text and not one.quotes]
    if naming:
        return Diagnosis(
            f"A frame with the reference of the send came, but {naming[0].met} took it: {naming[0].text}.",
            ["that is the acknowledgement, and no rule that is ack fits it, or an earlier one does"],
            [f'add a [[frame]] that is = "ack" and fits this frame, before the others ({clues.lines.frames})'],
        )
    echoes = [one for one in own if one.quotes]
    if echoes:
        return Diagnosis(
            f"The message came back to its sender, but no acknowledgement came within {human(waited)}.",
            ["this chat acknowledges nothing: that its own message comes back is the sign"],
            [f'say accepted_by = "echo" ({clues.lines.accepted_by})'],
        )
    others = [one for one in own if one.meaning not in ("ping", "")]
    if others:
        return Diagnosis(
            f"The message was sent ({clues.sent}), but within {human(waited)} no acknowledgement came. "
            f"What came: {_listed(others)}.",
            [
                "one of these is the acknowledgement, and an earlier rule takes it as something else",
                "the chat ignores the send",
            ],
            [f'put the rule that is = "ack" before the one that took it ({clues.lines.frames})', PROCESS_LOG],
        )
    if any(one.quotes for one in clues.came):
        return Diagnosis(
            f"Viewers were sent the message, but within {human(waited)} its sender was sent nothing at all.",
            ["this chat does not acknowledge messages, and sends none back to their sender"],
            [f'say accepted_by = "written" ({clues.lines.accepted_by}): nothing says then what was accepted'],
        )
    return _nothing_back(clues, waited)


def _nothing_back(clues: Clues, waited: float) -> Diagnosis:
    return Diagnosis(
        f"The message was sent, and within {human(waited)} nothing came of it, to its sender or anybody else. "
        f"Sent: {clues.sent}.",
        [
            f"the send ({clues.lines.send}) has another form than this chat expects, and is ignored",
            "the sender has to join the room first, or may not write there",
            "the backend hangs",
        ],
        ["compare the send with a real client's frame in the network tab", PROCESS_LOG],
    )


def not_shown(clues: Clues, fallback: Diagnosis) -> Diagnosis:
    """A message was accepted, but not shown to the viewers."""
    return _taken_wrongly(clues, "viewer") or fallback


def _taken_wrongly(clues: Clues, who: str) -> Diagnosis | None:
    """The message came, but no rule took it as what it is. `who`: begins the name of who got it."""
    quoting = [one for one in clues.came if one.quotes and one.who.startswith(who)]
    if not quoting:
        return None
    unmet = next((one for one in quoting if not one.met), None)
    if unmet is not None:
        where = (
            f"pattern ({clues.lines.encoding})" if clues.lines.kind == "text" else f"[[frame]] ({clues.lines.frames})"
        )
        advice = (
            f"add this rule: {unmet.advice}" if unmet.advice else f"correct the {where}, so that it fits this frame"
        )
        return Diagnosis(
            f"The message came back to {unmet.who}, in a frame that no rule took: {unmet.text}.",
            [f"the file has no rule for this frame, or the {where} does not fit it"],
            [advice],
        )
    other_rule = next((one for one in quoting if one.meaning not in ("message", "")), None)
    if other_rule is not None:
        further = [f"with this rule: {other_rule.advice}"] if other_rule.advice else []
        return Diagnosis(
            f"The message came back to {other_rule.who}, but {other_rule.met} took its frame: {other_rule.text}.",
            ["that rule comes first, and fits too much", "the rule for messages does not fit this frame"],
            [f"narrow that rule, or put the rule for messages before it ({clues.lines.frames})", *further],
        )
    return None


def of_another_room(clues: Clues, one: Came) -> Diagnosis:
    """A message was shown, but as one of another room."""
    return Diagnosis(
        f"The message came back to {one.who} as one of the room {one.room!r}, but it was sent into {clues.room!r}: "
        f"{one.text}.",
        [
            f"the room of {one.met} leads to something else than the room's id",
            "the room's id is another than the one by which frames call it",
        ],
        [f"correct the room of {one.met}", "take it out, if the connection has only one room"],
    )


def changed(condition: Condition, sent: str, shown: str, where: str) -> Diagnosis:
    """A message came back changed. `where`: what showed it."""
    how = WORDS.get(condition, "it has changed")
    seen = f"A message came back changed in {where}: {how}. Sent: {sent}. Came: {shown}."
    if condition is Condition.HTML_ESCAPED or html.unescape(shown) == sent:
        return Diagnosis(seen, ["the chat sends texts as HTML"], [f'say text_as = "html" in {where}'])
    if condition is Condition.HTML_UNESCAPED:
        return Diagnosis(
            seen,
            ["the chat does not send texts as HTML, but the file says so"],
            [f'take text_as = "html" out of {where}'],
        )
    return Diagnosis(
        seen,
        [
            "the path leads to another form of the text: a preview, or one for a page",
            "the chat changes what people write",
        ],
        [f"correct the text of {where}, if the frame also has the text as it was sent"],
    )


def let_in(clues: Clues, fallback: Diagnosis) -> Diagnosis:
    """A stranger got what only members may have, by the file."""
    return fallback._replace(
        causes=[
            *fallback.causes,
            f"the file promises more than this chat does: private = true ({clues.lines.private})",
        ],
        remedies=[*fallback.remedies, "take private out, if everybody may see every room"],
    )


# What comes after it.


def wrong_history(clues: Clues, expected: int, found: int, body: str, quotes: str, fallback: Diagnosis) -> Diagnosis:
    """The history lacks messages. `body`: the answer's beginning; `quotes`: the path of a text in it; empty: none."""
    if found:
        return fallback
    if quotes:
        return Diagnosis(
            f"The history was answered, and has our texts at {quotes}, but the file's paths find none: {body}.",
            [f"messages or text lead elsewhere ({clues.lines.history_messages}, {clues.lines.history_text})"],
            [f"correct the paths in [history] ({clues.lines.history}), so that they lead to {quotes}"],
        )
    return Diagnosis(
        f"The history was answered, but shows none of the {expected} messages: {body}.",
        [
            f"the request asks for another room, or for another part of it ({clues.lines.history})",
            "messages are accepted before they are stored, or are not stored at all",
            "the history is read from a replica that lags",
        ],
        ["compare the request in the transcript with a real client's", "take [history] out, if this chat has none"],
    )


def unreadable_history(clues: Clues, what: str, detail: str) -> Diagnosis:
    """A page of the history cannot be read."""
    if "a login page" in detail:
        causes = ["the request has no valid session or token, and is answered with a page for people"]
    else:
        causes = ["the paths of [history] lead elsewhere", "the request asks for something else"]
    return Diagnosis(
        f"{what} got an answer that the file's [history] cannot read: {detail}.",
        causes,
        [
            f"compare the request and its answer with {clues.lines.history} and what follows",
            "take [history] out, if this chat has none",
        ],
    )


def send_went_wrong(clues: Clues, came: str, detail: str) -> Diagnosis:
    """An error frame, or the end of the connection, came after a send."""
    said = f": {detail}" if detail else ""
    return Diagnosis(
        f"The message was sent, and {came}{said}. Sent: {clues.sent}.",
        ["the send has another form than this chat expects", "the sender may not write there, or has to join first"],
        [f"compare the send ({clues.lines.send}) with a real client's frame in the network tab"],
    )


def not_replayed(steps: Sequence[str], fallback: Diagnosis) -> Diagnosis:
    """A viewer that came back did not get what it missed. `steps`: those with which it comes back."""
    if not steps:
        return fallback
    return fallback._replace(
        causes=[
            f"what {', '.join(steps)} sends does not name the last message: a keep of the rule is missing or wrong",
            *fallback.causes,
        ],
        remedies=[
            "see in the transcript what the viewer sent when it came back",
            "take these steps out, if the chat sends nothing again",
            *fallback.remedies,
        ],
    )


def no_sign_of_life(clues: Clues, waited: float, *, pinged: bool) -> Diagnosis:
    """Nothing came after a ping, or within the silence after which the file gives up."""
    if pinged:
        return Diagnosis(
            f"The ping of the heartbeat ({clues.lines.heartbeat}) was sent, and nothing came within {human(waited)}.",
            ["the chat does not know this ping, and ignores it", "it answers later than clients wait"],
            [f"correct the send of the heartbeat ({clues.lines.heartbeat})", "take it out, if clients send none"],
        )
    return Diagnosis(
        f"Nothing came for {human(waited)}, after which clients give up by the file ({clues.lines.heartbeat}).",
        ["dead_after is shorter than the time between two pings of the server", "the server does not ping"],
        [f"raise dead_after ({clues.lines.heartbeat}), or take it out"],
    )


# The rule that is missing.


def rule_for(document: Any, is_it: "re.Pattern[str]", room: str, *, one_room: bool) -> str:  # noqa: ANN401 - any JSON
    """The rule that would take a frame as a message; empty if its text is nowhere in it. `is_it`: finds the text."""
    text = path_to(document, lambda value: isinstance(value, str) and is_it.search(value) is not None)
    if text is None:
        return ""
    parts = []
    said = _type_of(document)
    if said is not None:
        parts.append(f'when = {{ "{said[0]}" = {json.dumps(said[1], ensure_ascii=False)} }}')
    else:
        parts.append(f'when = {{ "{text}" = {{ exists = true }} }}')
    parts.append('is = "message"')
    where = None if one_room else path_to(document, lambda value: value == room and room != "")
    if where is not None:
        parts.append(f'room = "{where}"')
    parts.append(f'text = "{text}"')
    return f"[[frame]] {', '.join(parts)}"


def path_to(document: Any, fits: Any) -> str | None:  # noqa: ANN401 - any JSON
    """The path of the first value that fits; into a text that is itself JSON, if it is there. None: nowhere."""
    return _found(document, fits, "$", 0)


def _found(value: Any, fits: Any, path: str, depth: int) -> str | None:  # noqa: ANN401 - any JSON
    if depth > 20:
        return None
    if isinstance(value, str):
        with_json = value.lstrip()[:1] in ("{", "[")
        inner = json_of(value) if with_json else None
        if inner is not None and (deeper := _found(inner, fits, "$", depth + 1)) is not None:
            return f"{path} -> {deeper}"
    if fits(value):
        return path
    children: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        children = [(f"{path}{_step(key)}", one) for key, one in value.items()]
    elif isinstance(value, list):
        children = [(f"{path}[{number}]", one) for number, one in enumerate(value)]
    for place, one in children:
        if (deeper := _found(one, fits, place, depth + 1)) is not None:
            return deeper
    return None


def _step(key: str) -> str:
    return f".{key}" if _PLAIN_KEY.fullmatch(key) else f"['{key}']"


def json_of(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    """A text as JSON; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _type_of(document: Any) -> tuple[str, str] | None:  # noqa: ANN401 - any JSON
    """The path and value that probably say what kind of frame this is."""
    if isinstance(document, list):
        named = [
            (f"$[{number}]", one)
            for number, one in enumerate(document)
            if isinstance(one, str) and 0 < len(one) <= _LONGEST_TYPE and not one.isdigit()
        ]
        # An event's name stands first, or right before what it carries.
        return None if not named else named[-1] if isinstance(document[-1], dict) else named[0]
    if isinstance(document, dict):
        for key in _SAY_TYPE:
            if isinstance(said := document.get(key), str) and len(said) <= _LONGEST_TYPE:
                return f"$.{key}", said
    return None


def _listed(came: Sequence[Came]) -> str:
    texts = [f"{one.text} ({one.met})" if one.met else one.text for one in came[:_SHOWN]]
    more = f", and {len(came) - _SHOWN} more" if len(came) > _SHOWN else ""
    return "; ".join(dict.fromkeys(texts)) + more
