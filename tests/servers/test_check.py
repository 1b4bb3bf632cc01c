"""`chatswarm check` with real servers: the files fit, and what is wrong with a copy of one is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from chatswarm.loadtests.checklist import CheckReport, run_checklist
from chatswarm.loadtests.checklist.symptoms import RoomStep
from tests.loadtests.checklist.described import Edit, described, edited, file_of

from . import centrifugo, django_channels, graphql_ws, lines, rabbitmq, socket_io
from .server import Server, UnavailableError

LINES = (Path(__file__).parents[1] / "protocols" / "lines.toml").read_text(encoding="utf-8")
FILES: dict[str, tuple[Server, str]] = {
    "lines": (lines.Lines(), LINES),
    "socket.io": (socket_io.SocketIo(), file_of("socket.io")),
    "graphql": (graphql_ws.GraphqlWs(), file_of("graphql-transport-ws")),
    "django-channels": (django_channels.DjangoChannels(), file_of("django-channels")),
    "centrifugo": (centrifugo.Centrifugo(), file_of("centrifugo")),
    "rabbitmq": (rabbitmq.RabbitMq(), file_of("stomp")),
}
NOT_PROMISED = "not promised: what is sent meanwhile is missed"


def checked(name: str, folder: Path, *edits: Edit, defect: str = "", update_target: float = 2.0) -> CheckReport:
    server, text = FILES[name]
    try:
        server.version()
        with server.running(folder, defect) as running:
            protocol = described(edited(text, *edits), running.base_url, running.environment)
            return run_checklist(protocol, running.base_url, update_target=update_target)
    except UnavailableError as error:
        pytest.skip(f"NO {name}: {error}")


def seen_at(report: CheckReport, name: RoomStep) -> str | None:
    return next((step.seen for step in report.steps if step.name is name), None)


@pytest.mark.parametrize(
    ("name", "replayed", "history"),
    [
        ("lines", NOT_PROMISED, None),
        ("socket.io", "replayed", "10 messages, in order"),
        ("graphql", NOT_PROMISED, "10 messages, in order"),
        ("django-channels", NOT_PROMISED, None),
        ("centrifugo", "replayed", "10 messages, in order"),
        ("rabbitmq", NOT_PROMISED, None),
    ],
)
def test_the_file_of_a_real_server_is_right(name: str, replayed: str, history: str | None, tmp_path: Path) -> None:
    report = checked(name, tmp_path)
    assert report.ok, report.problem
    assert report.seconds < 10
    assert seen_at(report, RoomStep.REPLAYED) == replayed
    assert seen_at(report, RoomStep.HISTORY) == history


WRONG: list[tuple[str, Edit, RoomStep, Sequence[str]]] = [
    (
        "lines",
        ('when = { "$.what" = "MSG" }', 'when = { "$.what" = "MESSAGE" }'),
        RoomStep.ACKNOWLEDGED,
        ["came back to sender, in a frame that no rule took: MSG|"],
    ),
    (
        "lines",
        ("(?P<what>[A-Z]+)", "(?P<what>OK)"),
        RoomStep.ACKNOWLEDGED,
        ["in a frame that no rule took: MSG|", "correct the pattern (line "],
    ),
    (
        "lines",
        ('"$.what" = "OK"', '"$.what" = "YES"'),
        RoomStep.JOINED,
        ["waits for $.what = YES", "only these came: OK|"],
    ),
    ("lines", ("'SAY|${room}", "'SAY ${room}"), RoomStep.ACKNOWLEDGED, ["an error frame came", "Sent: SAY room-"]),
    (
        "graphql",
        ('ref = "$.id"\nid = "$.payload.data.send.id"', 'ref = "$.payload.data.send.id"'),
        RoomStep.ACKNOWLEDGED,
        ["for another send than ours. Sent: {", "whose ref is 1"],
    ),
    (
        "graphql",
        ("$.data.messages[*]", "$.data.items[*]"),
        RoomStep.HISTORY,
        ["has our texts at $.data.messages[0].text", "messages or text lead elsewhere"],
    ),
    (
        "graphql",
        ('subprotocols = ["graphql-transport-ws"]', 'subprotocols = ["graphql-ws"]'),
        RoomStep.CONNECTED,
        ["Subprotocol not acceptable", "a subprotocol is another"],
    ),
    ("socket.io", ('text = "$[1]"', 'text = "$[9]"'), RoomStep.ACKNOWLEDGED, ["expects a text at $[9]", "42["]),
    (
        "socket.io",
        ('["chat message", "${text}"', '["chat msg", "${text}"'),
        RoomStep.ACKNOWLEDGED,
        ["nothing came of it", 'Sent: 423["chat msg"', "has another form than this chat expects"],
    ),
    (
        "socket.io",
        ('"$[0]" = "chat message" }', '"$[0]" = "message" }'),
        RoomStep.SHOWN,
        ["ignore (line", '"$[0]" = "chat message"'],
    ),
    ("socket.io", ("/socket.io/", "/socket/"), RoomStep.CONNECTED, ["closed the connection", "the path, the query"]),
    (
        "django-channels",
        ('text = "$.message"', 'text = "$.body"'),
        RoomStep.ACKNOWLEDGED,
        ["expects a text at $.body"],
    ),
    (
        "django-channels",
        ('when = { "$.message" = { exists = true } }', 'when = { "$.text" = { exists = true } }'),
        RoomStep.ACKNOWLEDGED,
        ["no rule took", '{ "$.message" = { exists = true } }, is = "message", text = "$.message"'],
    ),
]


@pytest.mark.parametrize(
    ("name", "edit", "broken", "said"), WRONG, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_wrong_with_a_copy_is_named(
    name: str, edit: Edit, broken: RoomStep, said: Sequence[str], tmp_path: Path
) -> None:
    report = checked(name, tmp_path, edit, update_target=0.5)
    assert report.problem is not None, report.steps
    assert next(step.name for step in report.steps if step.ok is False) is broken, report.problem
    whole = "\n".join([report.problem.seen, *report.problem.causes, *report.problem.remedies])
    for part in said:
        assert part in whole, whole


def test_what_a_server_loses_is_named(tmp_path: Path) -> None:
    report = checked("lines", tmp_path, defect="drops-every-tenth")
    assert seen_at(report, RoomStep.SERIES) is not None
    assert seen_at(report, RoomStep.REPLAYED) == "not shown to the viewer who stayed", "the tenth message"
