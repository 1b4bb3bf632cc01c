"""The checklist of chats whose frames carry the text, against a small push chat with one defect at a time."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from chatswarm.loadtests.checklist import ROOM_LABELS, CheckReport, Step, closing, report_text, run_checklist, step_line
from chatswarm.loadtests.checklist.room_causes import TITLES
from chatswarm.loadtests.checklist.symptoms import RoomStep
from chatswarm.loadtests.protocols.push import KEY, Push
from chatswarm.loadtests.protocols.reference import Reference
from chatswarm.loadtests.system.children import free_port
from chatswarm.loadtests.system.exit_code import ExitCode
from chatswarm.loadtests.testbed.reference_chat import ReferenceBackend
from tests.plants import Chat
from tests.plants.push import PushChat
from tests.plants.push.chat import Post, PushSocket, Room
from tests.plants.push.leaking import LetsStrangersJoin, LetsStrangersRead
from tests.plants.push.losing import ReplaysNothing
from tests.plants.push.showing import ReplaysAndPushes
from tests.plants.wire import HttpRequest, Response, serving

from .test_steps import certificates

SERVICE_KEY = "the-key-of-the-service"
STEPS = [step for step in RoomStep if step not in (RoomStep.SERIES, RoomStep.HEARTBEAT)]
"""Those of a chat that no file describes."""


def checked(chat: PushChat, protocol: Push | None = None, **options: Any) -> CheckReport:
    with serving(chat) as url:
        return run_checklist(protocol or Push(), url, **options)


def promising(**changes: object) -> Push:
    """A protocol like the push chat's, with other promises."""
    protocol = Push()
    protocol.promises = msgspec.structs.replace(Push.promises, **changes)
    return protocol


def assert_diagnosed(report: CheckReport, broken: RoomStep, seen: str, cause: str) -> None:
    assert report.problem is not None, report
    assert report.exit_code == ExitCode.FAIL
    marks = {step.name: step.ok for step in report.steps}
    at = list(marks).index(broken)
    assert list(marks.values()) == [True] * at + [False] + [None] * (len(marks) - at - 1), report.problem
    assert report.problem.title == TITLES[broken]
    assert seen in report.problem.seen
    assert cause in report.problem.causes[0]
    assert report.problem.remedies


def test_a_clean_chat_passes() -> None:
    report = checked(PushChat(key=SERVICE_KEY), Push(SERVICE_KEY))
    assert report.problem is None
    assert report.exit_code == ExitCode.PASS
    assert [step.name for step in report.steps] == STEPS
    assert list(RoomStep) == list(ROOM_LABELS)
    assert all(step.ok and step.seconds is not None and step.seen for step in report.steps)
    assert report.update_latency is not None
    assert [step.seen for step in report.steps[-3:]] == [
        "join: refused; read: HTTP 403",
        "replayed",
        "2 messages, in order",
    ]
    assert "All 12 steps passed in " in report_text(report)


def test_the_reference_push_chat_passes(tmp_path: Path) -> None:
    flags, environment = {"push": "on"}, {KEY: SERVICE_KEY}
    backend = ReferenceBackend(tmp_path / "backend.log", tmp_path / "chat.db", free_port(), flags, environment)
    try:
        backend.wait()
        report = run_checklist(Push(SERVICE_KEY), backend.base_url)
        assert report.ok, report.problem
        refused = run_checklist(Push(), backend.base_url)
    finally:
        backend.stop()
    assert_diagnosed(refused, RoomStep.LOGGED_IN, "POST /api/login returned HTTP 403", f"variable {KEY}")


def test_a_gap_is_read_by_a_request() -> None:
    report = checked(PushChat(replay_limit=0))
    assert report.ok
    assert report.steps[-2].seen == "marked as missed, and read"


def test_over_tls() -> None:
    server, client = certificates()
    with serving(PushChat(), server) as url:
        report = run_checklist(Push(), url, tls=client)
    assert report.ok, report.problem
    assert report.steps[3].seen.startswith("wss://")


@pytest.mark.parametrize("batches", ["array", "lines"])
def test_frames_that_hold_several_messages(batches: Any) -> None:
    """Lines of JSON are no frame of this protocol, but single messages are not batched."""
    assert checked(PushChat(batches=batches)).ok


def test_the_protocols_promises_decide_what_is_checked() -> None:
    chat = PushChat()
    report = checked(chat, promising(accepted_by="status", has_members=False, history="none"))
    assert report.ok, report.problem
    left_out = {RoomStep.STRANGER, RoomStep.HISTORY}
    assert [step.name for step in report.steps] == [step for step in STEPS if step not in left_out]
    assert [step.seen for step in report.steps if step.name is RoomStep.ACKNOWLEDGED] == ["HTTP 201"]
    assert len(chat.sockets) == 0
    report = checked(PushChat(acks=False), promising(accepted_by="echo"))
    assert report.ok, report.problem
    report = checked(PushChat(acks=False), promising(accepted_by="written"))
    assert report.ok, report.problem
    assert RoomStep.ACKNOWLEDGED not in [step.name for step in report.steps]


class Broken(PushChat):
    """The base of the chats below."""


class HoldsTokensBack(Broken):
    def login(self, user: str) -> Response:
        return 200, {"user": user}


class RefusesRooms(Broken):
    def _replace_members(self, request: HttpRequest, name: str, members: Sequence[str]) -> Response:
        return 500, {"error": "disk full"}


class RefusesSockets(Broken):
    def admits(self, user: str) -> bool:
        return False


class DoesNotGreet(Broken):
    def _greet(self, socket: PushSocket, user: str) -> None:
        socket.user = user


class HangsUp(Broken):
    def _greet(self, socket: PushSocket, user: str) -> None:
        socket.close(4401)


class ForgetsMembers(Broken):
    def _replace_members(self, request: HttpRequest, name: str, members: Sequence[str]) -> Response:
        self.rooms[name] = Room(set())
        return 200, {"room": name, "members": 0}


class IgnoresJoins(Broken):
    def _join(self, socket: PushSocket, frame: Any) -> None:
        pass


class RejectsSends(Broken):
    async def send(self, user: str, room: str, text: str) -> Response:
        return 413, {"error": "a message has at most 20 characters"}


class IgnoresSends(Broken):
    async def _take(self, socket: PushSocket, frame: Any) -> None:
        pass


class StoresOnly(Broken):
    def announce(self, post: Post) -> None:
        pass


class StoresNothing(Broken):
    def store(self, user: str, room: str, text: str) -> Post:
        return self.numbered(user, room, text)

    def announce(self, post: Post) -> None:
        pass


class TellsOne(Broken):
    def announce(self, post: Post) -> None:
        self.deliver(self.joined(post.room)[0], post)


class IsLate(Broken):
    def announce(self, post: Post) -> None:
        asyncio.get_running_loop().call_later(0.4, super().announce, post)


class IgnoresStrangers(Broken):
    def _join(self, socket: PushSocket, frame: Any) -> None:
        if socket.user in self.rooms[frame.room].members:
            super()._join(socket, frame)


class LosesTheOldest(Broken):
    def stored(self, room: str) -> Sequence[Post]:
        return self.rooms[room].posts[1:] if len(self.rooms[room].posts) > 1 else self.rooms[room].posts


class ShowsBackwards(Broken):
    def stored(self, room: str) -> Sequence[Post]:
        return self.rooms[room].posts[::-1]


CASES: list[tuple[Callable[[], PushChat], RoomStep, str, str]] = [
    (HoldsTokensBack, RoomStep.LOGGED_IN, "POST /api/login got a response that cannot be read", "another shape"),
    (lambda: PushChat(key="another"), RoomStep.LOGGED_IN, "POST /api/login returned HTTP 403", f"variable {KEY}"),
    (RefusesRooms, RoomStep.ROOM, "returned HTTP 500: {", "fails while it handles"),
    (RefusesSockets, RoomStep.CONNECTED, "was refused with HTTP 403: no.", "the origin is not allowed"),
    (DoesNotGreet, RoomStep.CONNECTED, "the user was not greeted within", "hangs before its greeting"),
    (HangsUp, RoomStep.CONNECTED, "closed the socket: 4401", "does not accept the user's token"),
    (ForgetsMembers, RoomStep.JOINED, "its join was refused: expected a room", "not known where the join arrived"),
    (IgnoresJoins, RoomStep.JOINED, "The join was sent, but no answer came", "does not know this frame"),
    (RejectsSends, RoomStep.ACKNOWLEDGED, "(status 413, a message has at most 20", "membership is not known"),
    (IgnoresSends, RoomStep.ACKNOWLEDGED, "nothing shows that it was stored", "does not know this frame"),
    (lambda: PushChat(acks=False), RoomStep.ACKNOWLEDGED, "although viewers were shown it", "another reference"),
    (StoresOnly, RoomStep.SHOWN, "neither of the two viewers was shown it", "without sending it on"),
    (StoresNothing, RoomStep.SHOWN, "the history does not have it either", "was not stored"),
    (TellsOne, RoomStep.SHOWN, "only one of the two viewers was shown it", "in different processes"),
    (IsLate, RoomStep.IN_TIME, "the target is 0.3 s. It was accepted after", "sending it on is slow"),
    (IgnoresStrangers, RoomStep.STRANGER, "got no answer within", "does not look at who is a member"),
    (LetsStrangersJoin, RoomStep.STRANGER, "is no member of the room, joined it", "not whether it is a member"),
    (LetsStrangersRead, RoomStep.STRANGER, "shown its messages by a read", "not whether it is a member"),
    (ReplaysNothing, RoomStep.REPLAYED, "neither replayed nor marked as missed", "ignores where the viewer left"),
    (ReplaysAndPushes, RoomStep.REPLAYED, "was shown a message 2 times", "replay and live frames overlap"),
    (LosesTheOldest, RoomStep.HISTORY, "lacks 1 of the 2 messages", "acknowledged before they are stored"),
    (ShowsBackwards, RoomStep.HISTORY, "in another order than they were sent", "sorted by a time"),
]


@pytest.mark.parametrize(("chat", "broken", "seen", "cause"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_defect_is_named(chat: Callable[[], PushChat], broken: RoomStep, seen: str, cause: str) -> None:
    report = checked(chat(), Push("the-key-of-the-check"), update_target=0.3)
    assert_diagnosed(report, broken, seen, cause)
    assert report.seconds < 9  # it promises 5.3


def test_every_step_can_fail() -> None:
    tested = {broken for _, broken, _, _ in CASES}
    assert set(STEPS) - tested == {RoomStep.REACHABLE, RoomStep.SENT}


def test_nobody_there() -> None:
    report = run_checklist(Push(), "http://127.0.0.1:9")
    assert_diagnosed(report, RoomStep.REACHABLE, "the connection was refused", "not running")


def test_another_kind_of_chat() -> None:
    with serving(Chat()) as url:
        report = run_checklist(Push(), url)
    assert_diagnosed(report, RoomStep.LOGGED_IN, "POST /api/login returned HTTP 404", "this route does not exist")
    with serving(PushChat()) as url:
        assert not run_checklist(Reference(), url).ok


class Gossips(PushChat):
    """Repeats secrets in its errors."""

    def _page(self, request: HttpRequest, room: str) -> Response:
        token = request.headers["authorization"].removeprefix("Bearer ")
        return 500, {"error": f"{'x' * 137}{token}, {self.key}"}  # what is shown ends within the token


class GossipsAtJoins(PushChat):
    """Repeats secrets in its refusals."""

    def _join(self, socket: PushSocket, frame: Any) -> None:
        known = ", ".join(["x" * 148, self.key, *self._tokens])
        self.tell(socket, {"type": "refused", "ref": frame.ref, "room": frame.room, "error": known})


class GossipsAtLogin(PushChat):
    """Repeats secrets in a response to a login that cannot be read."""

    def login(self, user: str) -> Response:
        _, body = super().login(user)
        assert isinstance(body, dict)
        return 200, {"user": user, "tokens": [body["token"]], "key": self.key}


@pytest.mark.parametrize("chat", [Gossips, GossipsAtJoins, GossipsAtLogin])
def test_secrets_are_never_shown(chat: type[PushChat]) -> None:
    steps: list[Step] = []
    gossip = chat(key=SERVICE_KEY)
    report = checked(gossip, Push(SERVICE_KEY), on_step=steps.append)
    assert not report.ok
    console = Console(width=500, color_system=None)
    with console.capture() as capture:
        console.print(*map(step_line, steps), closing(report))
    shown = capture.get() + report.json().decode() + repr(report)
    assert gossip._tokens
    for secret in (SERVICE_KEY, *gossip._tokens):
        assert secret[:8] not in shown


def test_the_command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, SERVICE_KEY)
    command = [sys.executable, "-m", "chatswarm.loadtests.entry", "check", "--protocol", "push", "--target"]
    with serving(PushChat(key=SERVICE_KEY)) as url:
        done = subprocess.run([*command, url, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [step["name"] for step in json.loads(done.stdout)["steps"]] == STEPS
    assert SERVICE_KEY not in done.stdout + done.stderr
    refused = subprocess.run([*command, url, "--browser"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--browser: expected --protocol reference, which the guide's pages speak, got push" in refused.stderr
