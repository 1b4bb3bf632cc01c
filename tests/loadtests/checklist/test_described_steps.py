"""The checklist of chats that a file describes, against small chats: right files pass, and wrong ones are explained."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

import pytest

from chatswarm.loadtests.checklist import CheckReport, report_text, run_checklist
from chatswarm.loadtests.checklist.report import DescribedReport
from chatswarm.loadtests.checklist.room_causes import TITLES
from chatswarm.loadtests.checklist.symptoms import RoomStep, StepName
from chatswarm.loadtests.protocols.push import KEY
from tests.plants import Chat
from tests.plants.push import PushChat
from tests.plants.push.chat import Post, Room
from tests.plants.push.leaking import LetsStrangersJoin, LetsStrangersRead
from tests.plants.push.losing import ReplaysNothing
from tests.plants.wire import Response, serving

from .described import Edit, described, edited, file_of
from .test_room_steps import Gossips, GossipsAtJoins, GossipsAtLogin

SERVICE_KEY = "the-key-of-the-service"
PUSH = file_of("push")
MESSAGES: Edit = ('when = { "$.type" = "message" }', 'when = { "$.type" = "msg" }')
REST = '[[frame]]\nwhen = { "$.type" = { exists = true } }\nis = "ignore"\n'
NO_REST: Edit = (REST, "")
TEXT = 'text = "$.text"\nid = "$.id"\nreplay'


def checked(text: str, chat: PushChat | None = None, **options: Any) -> DescribedReport:
    chat = chat or PushChat()
    chat.key = SERVICE_KEY
    with serving(chat) as url:
        report = run_checklist(described(text, url, {KEY: SERVICE_KEY}), url, **options)
    assert isinstance(report, DescribedReport)
    return report


def seen_at(report: CheckReport, name: RoomStep) -> str:
    return next(step.seen for step in report.steps if step.name is name)


def met_by(report: DescribedReport, who: str, text: str, *, sent: bool = False) -> list[str]:
    """What the frames and answers of a user that have a text in them met."""
    return [one.met for one in report.transcript if one.who == who and one.sent == sent and text in one.text]


def assert_diagnosed(report: CheckReport, broken: RoomStep, *said: str) -> None:
    """The step is the first that failed, and everything in `said` is somewhere in the diagnosis."""
    assert report.problem is not None, report.steps
    marks = {step.name: step.ok for step in report.steps}
    at = list(marks).index(broken)
    assert list(marks.values()) == [True] * at + [False] + [None] * (len(marks) - at - 1), report.problem
    assert report.problem.title == TITLES[broken]
    whole = "\n".join([report.problem.seen, *report.problem.causes, *report.problem.remedies])
    for part in said:
        assert part in whole, whole


def line_of(text: str, part: str) -> str:
    return f"line {text[: text.index(part)].count(chr(10)) + 1}"


def test_a_right_file_passes_and_everything_that_was_said_is_shown() -> None:
    report = checked(PUSH)
    assert report.ok, report.problem
    assert report.seconds < 10
    assert [step.name for step in report.steps] == [step for step in RoomStep if step is not RoomStep.HEARTBEAT]
    assert seen_at(report, RoomStep.REPLAYED) == "replayed"
    message = f"frame 1: message ({line_of(PUSH, '[[frame]]')})"
    for viewer in ("viewer 1", "viewer 2"):
        assert met_by(report, viewer, '"type": "message"') == [message] * 10
    assert met_by(report, "viewer 1", "POST /api/login", sent=True) == [f"login 1 ({line_of(PUSH, '[[login]]')})"]
    assert met_by(report, "viewer 2", '"joined"') == [
        f"join 1 ({line_of(PUSH, '[[socket.join]]')})",
        f"rejoin 1 ({line_of(PUSH, '[[socket.rejoin]]')})",
    ]
    assert len(met_by(report, "sender", '"ack"')) + len(met_by(report, "sender", "201 ")) == 10, "both ways are tried"
    assert not any(one.met == "no rule" for one in report.transcript)
    said = json.loads(report.json())
    assert said["transcript"][0] == {
        "who": "viewer 1",
        "sent": True,
        "text": said["transcript"][0]["text"],
        "met": "login 1 (line 18)",
    }
    assert [name.partition(" (")[0] for name in said["not_seen"]] == [
        "rooms.add", "rooms.remove", "frame 3: nack", "frame 4: left", "frame 5: missed", "frame 6: error",
        "frame 7: ignore", "heartbeat",
    ]  # fmt: skip
    shown = report_text(report, 200)
    assert "not seen: rooms.add (line" in shown
    assert "sender   → " in shown
    assert SERVICE_KEY not in shown + report.json().decode()


def test_classes_have_no_transcript() -> None:
    from chatswarm.loadtests.protocols.push import Push

    with serving(PushChat()) as url:
        report = run_checklist(Push(), url)
    assert report.ok
    assert "transcript" not in json.loads(report.json())


def test_nobody_is_a_stranger_where_rooms_have_no_members() -> None:
    report = checked(edited(PUSH, ("private = true", "private = false")))
    assert report.ok, report.problem
    assert RoomStep.STRANGER not in [step.name for step in report.steps]
    assert "stranger" not in {one.who for one in report.transcript}


def test_what_was_missed_is_read_where_the_file_says_so() -> None:
    report = checked(PUSH, PushChat(replay_limit=0))
    assert report.ok, report.problem
    assert seen_at(report, RoomStep.REPLAYED) == "marked as missed, and read"
    alone = edited(PUSH, ('read_on = "gap"', ""))
    assert seen_at(checked(alone, PushChat(replay_limit=0)), RoomStep.REPLAYED).startswith("marked as missed, and noth")


REJOIN = PUSH[PUSH.index("[[socket.rejoin]]") : PUSH.index('[[frame]]\nwhen = { "$.type" = "message" }')]


def test_a_chat_that_sends_nothing_again_need_not() -> None:
    without = edited(PUSH, (REJOIN, ""), ('read_on = "gap"', ""))
    report = checked(without, ReplaysNothing())
    assert report.ok, report.problem
    assert seen_at(report, RoomStep.REPLAYED) == "not promised: what is sent meanwhile is missed"


def test_a_chat_that_confirms_nothing_is_not_waited_for() -> None:
    asked = '[[socket.join]]\nsend = \'{"type": "join", "ref": "${room}", "room": "${room}"}\'\n'
    start, end = PUSH.index("[[socket.open]]"), PUSH.index('[[frame]]\nwhen = { "$.type" = "message" }')
    silent = edited(PUSH[:start] + asked + PUSH[end:], ('keep = { "room.last" = "$.id" }', ""), ('read_on = "gap"', ""))
    report = checked(silent)
    assert report.ok, report.problem
    assert seen_at(report, RoomStep.STRANGER) == "join: nothing was shown; read: HTTP 403"
    assert_diagnosed(
        checked(silent, LetsStrangersJoin()), RoomStep.STRANGER, "was shown its messages", "private = true"
    )


@pytest.mark.parametrize("accepted_by", ["echo", "written"])
def test_every_kind_of_acceptance(accepted_by: str) -> None:
    other = edited(PUSH, ('accepted_by = "ack"', f'accepted_by = "{accepted_by}"'))
    report = checked(other, PushChat(acks=False))
    assert report.ok, report.problem
    assert (RoomStep.ACKNOWLEDGED in [step.name for step in report.steps]) == (accepted_by == "echo")


def test_messages_that_are_sent_by_request_only() -> None:
    frame = 'frame = \'{"type": "send", "ref": "${uid}", "room": "${room}", "text": "${text}"}\'\n'
    report = checked(edited(PUSH, (frame, ""), ('accepted_by = "ack"', "")))
    assert report.ok, report.problem
    assert seen_at(report, RoomStep.HISTORY) == "10 messages, in order"


def test_a_limit_of_sends_is_kept() -> None:
    report = checked(PUSH + "\n[limits]\nsends_per_user = 2\n")
    assert report.ok, report.problem
    assert seen_at(report, RoomStep.SERIES).startswith("3 messages")


def test_a_heartbeat_is_waited_for_if_asked() -> None:
    beating = edited(PUSH, ("[heartbeat]", '[heartbeat]\nevery = "200ms"'))
    report = checked(beating, thorough=True)
    assert report.ok, report.problem
    assert "after the ping" in seen_at(report, RoomStep.HEARTBEAT)
    assert met_by(report, "viewer 1", "pong") == [f"frame 7: ignore ({line_of(beating, REST)})"]
    send = 'send = \'{"type": "ping"}\''
    ignored = edited(beating, (send, 'send = \'{"type": "pong"}\'\ndead_after = "300ms"'))
    assert_diagnosed(checked(ignored, thorough=True), RoomStep.HEARTBEAT, "nothing came within", "heartbeat (line")
    unknown = edited(beating, (send, 'send = \'{"type": "beat"}\''))
    assert_diagnosed(checked(unknown, thorough=True), RoomStep.HEARTBEAT, "sent an error frame: expected a type")


# Users who exist.

WITH_USERS = edited(
    PUSH,
    ('[users.each]\nname = "${role}-${index}.${run}"\n', ""),
    ('"user": "${user.name}"', '"user": "${user.name}", "password": "${user.password}"'),
)


def test_users_come_from_the_users_file() -> None:
    with pytest.raises(
        ValueError, match=r"expected a users' file \(--users-file\) with the column password, which line 1"
    ):
        checked(WITH_USERS)
    rows = [{"name": name, "password": f"secret of {name}"} for name in ("anna", "ben", "carla", "dora")]
    report = checked(WITH_USERS, users=rows)
    assert report.ok, report.problem
    logins = [one.text for one in report.transcript if one.sent and one.text.startswith("POST /api/login")]
    assert [name for name in ("anna", "ben", "carla", "dora") if any(f'"{name}"' in text for text in logins)] == [
        "anna", "ben", "carla", "dora",
    ]  # fmt: skip
    assert "secret of" not in report.json().decode()


def test_rooms_that_exist_are_used_by_their_members(tmp_path: Any) -> None:
    (tmp_path / "rooms.csv").write_text("id,members\nempty,zoe\nours,ben carla dora\n", encoding="utf-8")
    start, end = PUSH.index("[rooms]"), PUSH.index("[rooms.add]")
    text = edited(PUSH[:start] + '[rooms]\nfile = "rooms.csv"\nprivate = true\n' + PUSH[end:])
    path = tmp_path / "ours.toml"
    path.write_text(text, encoding="utf-8")
    rows = [{"name": name} for name in ("anna", "ben", "carla", "dora")]

    class HasARoom(PushChat):
        def login(self, user: str) -> Response:
            self.rooms.setdefault("ours", Room({"ben", "carla", "dora"}))
            return super().login(user)

    from chatswarm.loadtests.protocols.catalogue import find_protocol

    chat = HasARoom(key=SERVICE_KEY)
    with serving(chat) as url:
        protocol = find_protocol(str(path)).make({KEY: SERVICE_KEY}, url)
        report = run_checklist(protocol, url, users=rows)
        with pytest.raises(ValueError, match="three members of one of the rooms in rooms"):
            run_checklist(protocol, url, users=rows[:3])
    assert report.ok, report.problem
    assert seen_at(report, RoomStep.ROOM) == "room ours, which exists"


# What is wrong with a file.

ACKS = 'when = { "$.type" = "ack" }'
NO_ACKS: Edit = (ACKS, 'when = { "$.type" = "k" }')
HTML: Edit = (TEXT, TEXT.replace("\n", '\ntext_as = "html"\n', 1))
WRONG: list[tuple[str, Sequence[Edit], RoomStep, Sequence[str]]] = [
    (
        "no rule for messages",
        [MESSAGES, NO_REST],
        RoomStep.SHOWN,
        ["came back to viewer 1, in a frame that no rule took", 'this rule: [[frame]] when = { "$.type" = "message" }'],
    ),
    (
        "another rule takes messages",
        [MESSAGES],
        RoomStep.SHOWN,
        ["but frame 7: ignore (line", "narrow that rule"],
    ),
    (
        "a wrong path of the reference",
        [('is = "ack"\nref = "$.ref"', 'is = "ack"\nref = "$.id"')],
        RoomStep.ACKNOWLEDGED,
        ["for another send than ours. Sent: {", 'Came: {"type": "ack"', "whose ref is 1", "frame 2: ack (line"],
    ),
    (
        "no rule for acknowledgements",
        [NO_ACKS, NO_REST],
        RoomStep.ACKNOWLEDGED,
        ['{"type": "ack"', "no rule took it", 'the [[frame]] that is = "ack" (line'],
    ),
    (
        "another rule takes acknowledgements",
        [NO_ACKS],
        RoomStep.ACKNOWLEDGED,
        ["with the reference of the send came, but frame 7: ignore"],
    ),
    (
        "a wrong path of the text",
        [(TEXT, TEXT.replace("$.text", "$.body"))],
        RoomStep.ACKNOWLEDGED,
        ["expects a text at $.body", '{"type": "message"'],
    ),
    (
        "a wrong path of the room",
        [('room = "$.room"\ntext', 'room = "$.user"\ntext')],
        RoomStep.SHOWN,
        ["as one of the room 'widget-0.", "correct the room of frame 1: message (line"],
    ),
    (
        "a wrong path of the history",
        [('"$.messages[*]"', '"$.items[*]"')],
        RoomStep.HISTORY,
        ["has our texts at $.messages[0].text", "messages or text lead elsewhere (line"],
    ),
    (
        "a greeting that never comes",
        [('"$.type" = "hello"', '"$.type" = "welcome"')],
        RoomStep.CONNECTED,
        ["open 1 (line 41) waits for $.type = welcome", 'only these came: {"type": "hello"'],
    ),
    (
        "a join that is never answered",
        [('{ "$.type" = "joined", "$.room"', '{ "$.type" = "in", "$.room"')],
        RoomStep.JOINED,
        ["join 1 (line", 'only these came: {"type": "joined"'],
    ),
    (
        "a wrong path of the token",
        [('"$.token"', '"$.jwt"')],
        RoomStep.LOGGED_IN,
        ["line 18 of the protocol file (login 1): expected $.jwt in the answer, got nothing", "the transcript shows"],
    ),
    (
        "a wrong path of the login",
        [("POST /api/login", "POST /login")],
        RoomStep.LOGGED_IN,
        ["got 404", "another here"],
    ),
    (
        "another encoding",
        [('path = "/ws/push"', 'path = "/ws/push"\nencoding = "stomp"')],
        RoomStep.CONNECTED,
        ["cannot read: {", 'it is JSON: encoding = "json"'],
    ),
    (
        "another path",
        [('path = "/ws/push"', 'path = "/ws/other"')],
        RoomStep.CONNECTED,
        ["HTTP 404", "the path is wrong"],
    ),
    (
        "a send in another form",
        [('\'{"type": "send"', '\'{"type": "say"')],
        RoomStep.ACKNOWLEDGED,
        ["an error frame came", "Sent: {"],
    ),
    (
        "texts that are no HTML",
        [HTML],
        RoomStep.SERIES,
        ['take text_as = "html" out of frame 1: message (line'],
    ),
]


@pytest.mark.parametrize(("edits", "broken", "said"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong_with_a_file_is_named(edits: Sequence[Edit], broken: RoomStep, said: Sequence[str]) -> None:
    report = checked(edited(PUSH, *edits), update_target=0.3)
    assert_diagnosed(report, broken, *said)
    assert report.seconds < 10


class SendsHtml(PushChat):
    """Sends texts as a page shows them."""

    def frame(self, post: Post) -> dict[str, object]:
        return {**super().frame(post), "text": html.escape(post.text)}


def test_html_in_frames_is_named() -> None:
    report = checked(PUSH, SendsHtml(), update_target=0.3)
    assert_diagnosed(report, RoomStep.SERIES, "HTML-escaped", 'say text_as = "html" in frame 1: message (line')
    assert checked(edited(PUSH, HTML), SendsHtml()).ok


class DropsEmoji(PushChat):
    """Stores no characters beyond the basic plane."""

    def store(self, user: str, room: str, text: str) -> Post:
        return super().store(user, room, "".join(one for one in text if ord(one) < 0x10000))


def test_what_only_special_characters_suffer_is_a_note() -> None:
    report = checked(PUSH, DropsEmoji())
    assert report.ok, report.problem
    assert any("only the text with special characters came back changed" in note for note in report.notes)


@pytest.mark.parametrize(
    ("chat", "broken", "said"),
    [
        (LetsStrangersJoin, RoomStep.STRANGER, ["joined it", "private = true (line 25)"]),
        (LetsStrangersRead, RoomStep.STRANGER, ["was shown its messages by a read", "take private out"]),
        (ReplaysNothing, RoomStep.REPLAYED, ["neither replayed nor marked", "what rejoin 1 (line 49) sends"]),
    ],
)
def test_what_the_chat_does_otherwise_is_named(chat: type[PushChat], broken: RoomStep, said: Sequence[str]) -> None:
    assert_diagnosed(checked(PUSH, chat(), update_target=0.3), broken, *said)


def test_a_file_may_describe_the_guides_chat() -> None:
    with serving(Chat()) as url:
        report = run_checklist(described(file_of("reference"), url), url)
    assert report.ok, report.problem
    assert [step.name for step in report.steps] == list(StepName)
    assert isinstance(report, DescribedReport)
    assert {"open 2 (line 35)", "frame 1: hint (line 39)", "send (line 57)"} <= {one.met for one in report.transcript}
    assert [name.partition(" (")[0] for name in report.not_seen] == [
        "frame 2: error",
        "frame 3: ignore",
        "history",
        "heartbeat",
    ]


@pytest.mark.parametrize("chat", [Gossips, GossipsAtJoins, GossipsAtLogin])
def test_secrets_are_never_shown(chat: type[PushChat]) -> None:
    gossip = chat()
    report = checked(PUSH, gossip)
    assert not report.ok
    shown = report_text(report, 200) + report.json().decode() + repr(report)
    assert gossip._tokens
    for secret in (SERVICE_KEY, *gossip._tokens):
        assert secret[:8] not in shown
