"""Rogues at a chat whose users log in and whose rooms have members: a small push chat that shares no code with ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chatswarm.loadtests.faults.error import FaultError
from chatswarm.loadtests.faults.rogue_faults import ROGUES
from chatswarm.loadtests.faults.rogues.malformed_frames import BAD_FRAMES, request_of
from chatswarm.loadtests.faults.rogues.rogue import CannotBeginError
from chatswarm.loadtests.protocols.catalogue import shipped
from chatswarm.loadtests.protocols.push import KEY, Push
from chatswarm.loadtests.protocols.reference import Reference
from tests.backend.servers import running
from tests.plants.push import PushChat
from tests.plants.push.chat import PushSocket
from tests.plants.push.client import Client
from tests.plants.push.leaking import LetsStrangersJoin, LetsStrangersRead
from tests.plants.wire import HttpRequest, serving

from .misbehaving import attack, did_nothing, fault

RUN = "abcdefghij"
SERVICE_KEY = "the-key-of-the-service"
ROOMS = [f"room-{index}.{RUN}" for index in range(3)]
MEMBER = f"customer-0.{RUN}"


@dataclass
class ChatWithRooms:
    """A push chat with three rooms of one member, who writes into all of them."""

    chat: PushChat
    url: str
    client: Client
    token: str

    def write(self, number: int) -> None:
        for index, room in enumerate(ROOMS):
            sent = self.client.send(self.token, room, f"cs1 {RUN} {index} {number} {RUN}.{index}.{number}")
            assert sent.status_code == 201

    def attack(
        self, kind: str, until: Callable[[Any], object], protocol: str = "push", **values: Any
    ) -> dict[str, Any]:
        secret = {KEY: SERVICE_KEY}
        return attack(kind, self.url, until, environment=secret, protocol=protocol, run=RUN, rooms=ROOMS, **values)

    def members(self) -> set[str]:
        return {user for room in self.chat.rooms.values() for user in room.members}


@contextmanager
def with_rooms(chat: PushChat) -> Iterator[ChatWithRooms]:
    chat.key = SERVICE_KEY
    with serving(chat) as url, Client(url, SERVICE_KEY) as client:
        for room in ROOMS:
            assert client.room(room, [MEMBER]).status_code == 200
        self = ChatWithRooms(chat, url, client, client.token(MEMBER))
        self.write(0)
        yield self


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.websocket._WRITE_TIMEOUT", 0.1)
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.intruders._RETRY_DELAY", 0.05)
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.bad_token._GREETING", 0.2)
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.slow_reader._DRAIN_TIMEOUT", 0.5)


def tried_often(rogue: Any) -> bool:
    return bool(rogue.sends >= 6 * len(ROOMS))


def test_a_chat_that_keeps_its_rooms_to_their_members() -> None:
    with with_rooms(PushChat()) as chat:
        evidence = chat.attack("intruders", tried_often, attempts=100)
        assert chat.members() == {MEMBER}
        assert chat.chat.accepted == len(ROOMS)
    assert list(evidence) == ["joins", "refused", "let_in", "reads", "shown", "sends", "accepted"]
    assert evidence["refused"] == evidence["joins"] >= 6 * len(ROOMS)
    assert evidence["reads"] >= evidence["sends"] >= 6 * len(ROOMS)
    assert (evidence["let_in"], evidence["shown"], evidence["accepted"]) == (0, 0, 0)


def test_whoever_is_let_in_keeps_listening() -> None:
    """This chat refuses their reads, so whatever they are shown comes in frames."""
    wrote: list[int] = []

    def heard(rogue: Any) -> bool:
        if rogue.let_in == 2 * len(ROOMS) and not wrote:
            wrote.append(1)
            chat.write(1)
        return len(rogue.shown) == len(ROOMS)

    with with_rooms(LetsStrangersJoin()) as chat:
        evidence = chat.attack("intruders", heard, intruders=2, attempts=50)
    assert evidence["let_in"] == evidence["joins"] == 2 * len(ROOMS)
    assert (evidence["shown"], evidence["accepted"]) == (len(ROOMS), 0)


def test_every_text_that_strangers_can_read_counts_once() -> None:
    with with_rooms(LetsStrangersRead(page=1)) as chat:
        chat.write(1)
        evidence = chat.attack("intruders", tried_often, attempts=100)
    assert (evidence["shown"], evidence["let_in"], evidence["accepted"]) == (2 * len(ROOMS), 0, 0)


class TakesFromEverybody(PushChat):
    """Takes messages from whoever is logged in."""

    async def _accept(self, user: str, room: str, text: str, key: str) -> tuple[int, object]:
        del user, key
        return self.sent(self.store(MEMBER, room, text))


def test_what_strangers_can_send_is_counted() -> None:
    with with_rooms(TakesFromEverybody()) as chat:
        evidence = chat.attack("intruders", tried_often, attempts=100)
        stored = [post.text for room in ROOMS for post in chat.chat.rooms[room].posts]
    assert evidence["accepted"] == evidence["sends"] == len([text for text in stored if RUN not in text])
    assert (evidence["let_in"], evidence["shown"]) == (0, 0)


class CutsThemOff(PushChat):
    """Closes the connection of whoever knocks at a stranger's door."""

    def may_join(self, user: str, room: str) -> bool:
        for socket in self.sockets:
            if socket.user == user and user not in self.rooms[room].members:
                socket.close(4403)
        return super().may_join(user, room)


def test_an_intruder_who_is_cut_off_comes_back() -> None:
    with with_rooms(CutsThemOff()) as chat:
        evidence = chat.attack("intruders", lambda rogue: rogue.joins > 4, intruders=1, attempts=100)
        assert chat.chat.handshakes > 4
    assert (evidence["let_in"], evidence["shown"]) == (0, 0)


class CutsOffForTokens(PushChat):
    """Closes connections as if their tokens had expired. Its reads say nothing about tokens."""

    def may_join(self, user: str, room: str) -> bool:
        for socket in self.sockets:
            if socket.user == user:
                socket.close(4401)
        return False

    def _page(self, request: HttpRequest, room: str) -> tuple[int, object]:
        return 403, {"error": "no"}


@pytest.mark.parametrize("chat", [PushChat(lifetime=0.2), CutsOffForTokens()], ids=["reads", "closes"])
def test_an_intruder_whose_token_has_expired_logs_in_again(chat: PushChat, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise its refusals would say nothing about rooms."""
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.intruders._LOGIN_PAUSE", 0.0)
    with with_rooms(chat) as there:
        evidence = there.attack("intruders", lambda _: chat.logins > 4, intruders=1, attempts=50)
    assert evidence["let_in"] == 0


class Admits(PushChat):
    """Lets only members connect."""

    def admits(self, user: str) -> bool:
        return user == MEMBER


def test_it_does_not_begin_if_refusals_would_prove_nothing() -> None:
    with with_rooms(Admits()) as chat:
        with pytest.raises(CannotBeginError, match="a member of nothing to connect, got HTTP 403 to the handshake"):
            chat.attack("intruders", tried_often)
        for environment in ({}, {KEY: "another-key"}):
            with pytest.raises(CannotBeginError, match="to log in, got the login was answered 403"):
                attack("intruders", chat.url, tried_often, environment=environment, protocol="push", rooms=ROOMS)
        with pytest.raises(CannotBeginError, match="expected the ids of the run's rooms, got none"):
            attack("intruders", chat.url, tried_often, environment={KEY: SERVICE_KEY}, protocol="push")


def test_they_are_unfit_without_members(tmp_path: Path) -> None:
    plan = fault("intruders", "http://127.0.0.1:1", tmp_path)
    assert ROGUES["intruders"].unfit(plan.plan, plan.context) == (
        "expected a protocol whose rooms have members, got reference: pass another --protocol"
    )
    plan.context.protocol = "push"
    for kind in ("intruders", "bad_token"):
        assert ROGUES[kind].unfit(plan.plan, plan.context) is None


def test_the_fault_gets_the_key_from_the_environment_and_the_rooms_from_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, SERVICE_KEY)
    with with_rooms(PushChat()) as chat:
        intruders = fault("intruders", chat.url, tmp_path, attempts=100.0)
        intruders.context.protocol, intruders.context.run, intruders.context.rooms = "push", RUN, ROOMS
        intruders.begin()
        evidence = intruders.heal()
        assert not did_nothing(evidence)
        assert (evidence["let_in"], evidence["shown"]) == (0, 0)
        nowhere = fault("intruders", chat.url, tmp_path)
        nowhere.context.protocol = "push"
        with pytest.raises(FaultError, match="expected the ids of the run's rooms, got none"):
            nowhere.begin()


def test_slow_readers_are_members_of_the_rooms() -> None:
    def unread(rogue: Any) -> bool:
        chat.write(len(wrote))
        wrote.append(1)
        return all(reader.unread() for reader in rogue._readers)

    wrote = [0]
    with with_rooms(PushChat()) as chat:
        evidence = chat.attack("slow_reader", unread, readers=2)
        assert chat.members() == {MEMBER, f"rogue-0.{RUN}"}
    assert evidence["subscribed"] == evidence["readers"] == 2
    assert evidence["bytes_unread"] > 0


@pytest.mark.parametrize("kind", ["idle_sockets", "half_handshakes"])
def test_connections_are_held_open(kind: str) -> None:
    with with_rooms(PushChat()) as chat:
        evidence = chat.attack(kind, lambda rogue: rogue.open == 4, connections=4)
        assert chat.chat.logins == 2, "the rogues are one user"
    assert (evidence["opened"], evidence["refused"], evidence["open_at_end"]) == (4, 0, 4)


DESCRIBED = str(shipped()["push"])
"""The file that says the same as the class."""


@pytest.mark.parametrize(
    ("kind", "until"),
    [("intruders", tried_often), ("bad_token", lambda rogue: rogue.refused >= 8), ("slow_reader", lambda _: True)],
)
def test_a_chat_that_a_file_describes_is_attacked_like_any_other(kind: str, until: Callable[[Any], object]) -> None:
    with with_rooms(PushChat()) as chat:
        evidence = chat.attack(kind, until, protocol=DESCRIBED)
    assert not did_nothing(evidence)
    assert evidence.get("let_in", 0) == evidence.get("shown", 0) == 0


@pytest.mark.parametrize(
    ("chat", "kind", "seen"),
    [
        (LetsStrangersJoin, "intruders", "let_in"),
        (LetsStrangersRead, "intruders", "shown"),
    ],
)
def test_what_a_described_chat_lets_in_is_counted(chat: type[PushChat], kind: str, seen: str) -> None:
    with with_rooms(chat()) as there:
        evidence = there.attack(kind, lambda rogue: tried_often(rogue) and rogue.joins > 0, protocol=DESCRIBED)
    assert evidence[seen] > 0


class GreetsEverybody(PushChat):
    """Greets whoever connects."""

    def _user(self, token: str) -> str:
        return self._tokens[token].user if token in self._tokens else "guest"


def test_bad_tokens() -> None:
    with with_rooms(PushChat()) as chat:
        evidence = chat.attack("bad_token", lambda rogue: rogue.refused >= 8, attempts=50)
    assert (evidence["refused"], evidence["let_in"]) == (evidence["attempts"], 0)
    for protocol in ("push", DESCRIBED):
        with with_rooms(GreetsEverybody()) as chat:
            evidence = chat.attack("bad_token", lambda rogue: rogue.statuses.total() >= 8, protocol, attempts=50)
        assert evidence["let_in_with"].startswith("socket with a wrong token ×")


def test_foreign_origins() -> None:
    with with_rooms(PushChat()) as chat:
        evidence = chat.attack("foreign_origin", lambda rogue: rogue.statuses.total() >= 3, attempts=50)
    assert evidence["let_in"] == evidence["attempts"], "this chat does not look at the origin"


def test_bad_frames_are_what_this_chat_expects_damaged() -> None:
    right = request_of(Push().session(Push().user("dashboard", 0, RUN, {})), ROOMS)
    assert right == f'{{"type":"join","ref":"{ROOMS[0]}","room":"{ROOMS[0]}"}}'
    assert request_of(Push().session(Push().user("dashboard", 0, RUN, {})), ()) == '{"type": "ping"}'
    reference = Reference()
    subscribing = request_of(reference.session(reference.user("dashboard", 0, RUN, {})), ())
    assert subscribing == '{"action": "subscribe", "subscription_type": "chat_updates"}'


def test_the_reference_push_chat_responds_correctly_to_bad_frames(tmp_path: Path) -> None:
    with running(tmp_path, "--push") as backend:
        url = f"http://127.0.0.1:{backend.port}"
        with Client(url) as client:
            assert client.room(ROOMS[0], [MEMBER]).status_code == 200
        evidence = attack(
            "bad_frames",
            url,
            lambda rogue: rogue.answered_right + rogue.wrong >= len(BAD_FRAMES),
            protocol="push",
            rooms=ROOMS[:1],
        )
    assert evidence == {"sent": evidence["sent"], "answered_right": evidence["sent"], "wrong": 0}


def test_bad_frames_are_sent_by_a_member(monkeypatch: pytest.MonkeyPatch) -> None:
    these = {name: BAD_FRAMES[name] for name in ("invalid_json", "unknown_action", "wrong_types", "unmasked")}
    monkeypatch.setattr("chatswarm.loadtests.faults.rogues.bad_frames.BAD_FRAMES", these)
    heard: list[PushSocket] = []

    class Chat(PushChat):
        def subscribed(self, socket: PushSocket, room: str) -> None:
            heard.append(socket)

    with with_rooms(Chat()) as chat:
        evidence = chat.attack("bad_frames", lambda rogue: rogue.answered_right + rogue.wrong >= len(these))
    assert (evidence["answered_right"], evidence["wrong"]) == (evidence["sent"], 0)
    assert {socket.user for socket in heard} == {f"rogue-0.{RUN}"}


class RefusesEverybody(PushChat):
    """Refuses every join, and repeats the tokens that it gave."""

    def may_join(self, user: str, room: str) -> bool:
        return False

    def tell(self, socket: PushSocket, frame: dict[str, object]) -> None:
        super().tell(socket, {**frame, "error": f"not you: {', '.join(self._tokens)}"})


def test_a_refusal_does_not_show_a_token() -> None:
    with with_rooms(RefusesEverybody()) as chat:
        with pytest.raises(CannotBeginError, match="subscribed, got a refusal to join a room: not you: ") as caught:
            chat.attack("slow_reader", lambda _: True)
        _, of_rogues = chat.chat._tokens
    assert of_rogues not in str(caught.value)


class GivesStrangeTokens(PushChat):
    """Answers logins in another shape."""

    def login(self, user: str) -> tuple[int, object]:
        return 200, {"tokens": ["a-secret-token"]}


def test_a_login_that_cannot_be_read_is_not_shown() -> None:
    with with_rooms(PushChat()) as chat:
        chat.chat.login = GivesStrangeTokens().login  # type: ignore[method-assign]
        with pytest.raises(CannotBeginError, match="got a response to the login that cannot be read") as caught:
            chat.attack("intruders", lambda _: True)
    assert "secret" not in str(caught.value)
