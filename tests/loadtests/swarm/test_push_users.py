"""Users of a chat with logins, rooms and texts in frames: whatever the target does, it is recorded as it was.

All cases run at the same time against chats in this process. The users are in a separate process, because importing
Locust patches the process.
"""

import json
import math
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chatswarm.loadtests.history.tables import (
    RECOVERED,
    UNREADABLE_HERE,
    ConnectionEvent,
    MembershipEvent,
    SendOutcome,
    Sighting,
)
from tests.plants.wire import NO_RESPONSE, HttpRequest, serving

from . import push_targets as targets
from .push_protocols import KEY, SEND_TIMEOUT
from .push_targets import MARK, Target

ACCEPTED, REJECTED, UNKNOWN = SendOutcome
OPENING, SUBSCRIBED, CLOSED, FAILED, STOPPED = ConnectionEvent
JOINED, REFUSED, LEFT, ADDED, REMOVED = MembershipEvent
Row = dict[str, Any]


@dataclass
class Case:
    """A chat, and who talks to it how."""

    chat: Target = field(default_factory=Target)
    protocol: str = "Plain"
    ready: float = 20.0  # seconds until T0, at most, if not all users get ready
    passwords: bool = False  # there is a users' file with them
    stall: float = 0.0  # seconds for which the users' process does nothing at all
    hurried: bool = False  # its sends have SEND_TIMEOUT
    rooms: Row = field(default_factory=dict)
    swarm: Row = field(default_factory=dict)

    def table(self) -> Row:
        usual = {
            "dashboards": 2, "widgets": 1, "rate": 8, "arrivals": "even", "duration": "1.5s", "ramp": "0s",
            "update_target": "0.1s", "handshake": "20s", "size": 80,
        }  # fmt: skip
        return {"swarm": usual | self.swarm, "rooms": {"count": 1} | self.rooms}


@dataclass
class Outcome:
    """What came of a case."""

    chat: Target
    rows: dict[str, list[Row]]
    failed: list[tuple[str, str]]  # kind and error of Locust's rows
    problems: list[str]

    def events(self, dashboard: int = 0, table: str = "connection") -> list[int]:
        return [row["event"] for row in self.rows[table] if row["dashboard"] == dashboard]

    @property
    def outcomes(self) -> set[tuple[int, int]]:
        """Of all sends: the outcomes with their statuses."""
        assert self.rows["send"], "expected sends"
        return {(row["outcome"], row["status"]) for row in self.rows["send"]}

    def ends(self, event: ConnectionEvent, dashboard: int = 0) -> list[Row]:
        return [row for row in self.rows["connection"] if (row["event"], row["dashboard"]) == (event, dashboard)]

    def notes(self, kind: str) -> list[str]:
        return [row["detail"] for row in self.rows["note"] if row["kind"] == kind]

    def troubles(self, kind: str) -> list[str]:
        return [row["detail"] for row in self.rows["trouble"] if row["kind"] == kind]

    def seen(self, dashboard: int = 0, *how: Sighting) -> list[int]:
        """The `n` of the messages that came to a dashboard in one of these ways."""
        mine = {row["connection"] for row in self.rows["connection"] if row["dashboard"] == dashboard}
        said = {row["announcement"]: row for row in self.rows["announcement"]}
        came = [said[row["announcement"]] for row in self.rows["frame"] if row["connection"] in mine]
        return sorted(row["n"] for row in came if row["how"] in (how or tuple(Sighting)))

    def accepted(self) -> list[int]:
        return sorted(row["n"] for row in self.rows["send"] if row["outcome"] == ACCEPTED)

    def final(self) -> list[int]:
        return [row["status"] for row in self.rows["final"]]


def over_socket(chat: Target, protocol: str = "Plain", **more: Any) -> Case:
    swarm = {"send_over": "socket"} | more.pop("swarm", {})
    return Case(chat, protocol, swarm=swarm, **more)


def is_handshake(request: HttpRequest) -> bool:
    return request.upgrades


def is_membership(request: HttpRequest) -> bool:
    return "/members/" in request.path


UNREADY = {"ready": 1.0, "swarm": {"handshake": "0.5s"}}
CHANGES = {"count": 2, "members": 1, "change": [{"at": 0.4, "join": 1, "leave": 1}]}

CASES: dict[str, Case] = {
    "as usual": Case(),
    "socket": over_socket(Target()),
    "login refused": Case(targets.RefusesLogins(), ready=1.0),
    "login refused over sockets": over_socket(targets.RefusesLogins(), ready=1.0, hurried=True),
    "login without a response": Case(targets.RefusesLogins(answer=NO_RESPONSE), ready=1.0),
    "login page": Case(targets.RefusesLogins(answer=None), ready=1.0),
    "login of another shape": Case(targets.RefusesLogins(answer=(200, {"tokn": f"{MARK}0123456789"})), ready=1.0),
    "broken login": Case(protocol="BrokenLogin", ready=1.0),
    "401 at a send": Case(targets.Expires(late=0.8), swarm={"rate": 60}),
    "401 at a read": Case(targets.Expires(which=targets.is_read, nth=1)),
    "401 at a handshake": Case(targets.Expires(which=is_handshake, nth=1), swarm={"dashboards": 1}),
    "401 at what was missed": Case(
        targets.Expires(which=targets.is_read, nth=1, closes_every=4, replay_limit=0), swarm={"dashboards": 1},
    ),
    "4401": Case(targets.ExpiresOverSockets(), swarm={"dashboards": 1}),
    "hanging login": Case(targets.HangsAtLogins(), ready=4.0, hurried=True, swarm={"rate": 20}),
    "many logins": Case(targets.SlowLogins(), swarm={"dashboards": 100, "duration": "1s"}),
    "cookies": Case(targets.WantsCookies()),
    "join refused": Case(targets.RefusesJoins(), swarm={"dashboards": 5}),
    "join never answered": Case(targets.IgnoresJoins(), **UNREADY),  # type: ignore[arg-type]
    "thrown out": Case(targets.ThrowsOut()),
    "replays": Case(Target(closes_every=4)),
    "closed before the first message": Case(targets.ClosesBeforeTheFirstMessage()),
    "closed before the first message, and missed": Case(targets.ClosesBeforeTheFirstMessage(replay_limit=0)),
    "replays without saying so": Case(targets.ReplaysWithoutSayingSo()),
    "missed": Case(Target(closes_every=4, replay_limit=0, page=1)),
    "missed, and the newest first": Case(targets.ShowsTheNewestFirst()),
    "batches": Case(Target(batches="array"), swarm={"rate": 30}),
    "garbage": Case(targets.SendsGarbage()),
    "pings": Case(targets.Pings(), "Pinged", swarm={"rate": 0.3, "duration": "5s"}),
    "a rig that stalls": Case(targets.Pings(), "Pinged", stall=5.0, swarm={"duration": "7s", "rate": 0.5}),
    "own pings": Case(protocol="Impatient", swarm={"rate": 0.3, "ping_interval": "0.5s", "duration": "5s"}),
    "silence": Case(Target(), "Pinged", swarm={"rate": 0.3, "duration": "5s"}),
    "flood": Case(targets.FloodsAndReadsNothing(), "Pinged", swarm={"dashboards": 1}),
    "unconfirmed": Case(targets.SaysLittle(), "Unconfirmed"),
    "unconfirmed membership": Case(targets.SaysLittle(), "Unconfirmed", rooms=CHANGES),
    "rejections": over_socket(targets.Answers(), swarm={"rate": 20}),
    "no acknowledgement": over_socket(Target(acks=False), hurried=True),
    "broken after writing": over_socket(targets.BreaksAtSends(), swarm={"rate": 4, "duration": "4s"}),
    "never connected": over_socket(targets.AdmitsNobody(), ready=1.0, hurried=True, swarm={"handshake": "0.5s"}),
    "echo": over_socket(Target(acks=False), "Echo"),
    "written": over_socket(Target(acks=False), "Written"),
    "reconnects": over_socket(targets.ClosesAfterSends(), swarm={"rate": 4, "duration": "4s"}),
    "errors in 200": Case(targets.SaysErrorIn200(), "ErrorsIn200"),
    "broken protocol": Case(protocol="Broken"),
    "broken protocol over sockets": over_socket(Target(), "BrokenSocket"),
    "membership": Case(Target(), rooms=CHANGES),
    "membership refused": Case(targets.RefusesMembershipChanges(), rooms=CHANGES),
    "members send": Case(Target(), rooms={"count": 2, "senders": "members"}),
    "members send over sockets": over_socket(Target(), rooms={"count": 2, "senders": "members"}),
    "pages": Case(Target(page=1)),
    "page that leads to itself": Case(targets.RepeatsPages()),
    "pages without an end": Case(targets.RepeatsPages(cursors=True)),
    "ever more pages": Case(targets.HasEverMore()),
    "hidden pages": Case(targets.HidesPages()),
    "replay": Case(Target(), "Replays"),
    "replay unconfirmed": Case(targets.SaysLittle(), "UnconfirmedReplays"),
    "replay in part": Case(Target(replay_limit=2), "Replays"),
    "replay refused": Case(targets.RefusesJoins(), "Replays"),
    "rooms with one id": Case(targets.GivesOneId(), rooms={"count": 3}),
    "no rooms": Case(Target(key="another"), rooms={"count": 40}),
    "passwords": Case(targets.RepeatsSecrets(which=targets.is_login), "Password", ready=1.0, passwords=True),
    "secrets in a login": Case(targets.RepeatsSecrets(which=targets.is_login), ready=1.0),
    "secrets in sends": Case(targets.RepeatsSecrets(which=targets.is_send)),
    "secrets in reads": Case(targets.RepeatsSecrets(which=targets.is_read)),
    "secrets in handshakes": Case(targets.RepeatsSecrets(which=is_handshake), ready=1.0),
    "secrets in memberships": Case(targets.RepeatsSecrets(which=is_membership), rooms=CHANGES),
    "secrets in rooms": Case(targets.RepeatsSecrets(which=lambda request: request.method == "PUT")),
} | {
    f"secrets in {how} {padding}": over_socket(
        targets.RepeatsSecretsOverSockets(how=how, padding=padding), ready=1.0
    )
    for how, padding in (
        ("error", 0), ("error", 160), ("refused", 0), ("nack", 0), ("nack", 160), ("close", 0), ("garbage", 0),
        ("garbage", 160),
    )
}  # fmt: skip


@dataclass
class Ran:
    outcomes: dict[str, Outcome]
    folder: Path
    said: str  # by the users' process


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("runs")
    secret_file = tmp_path_factory.mktemp("users") / "users.csv"
    secret_file.write_text("name,password\n" + "".join(f"user-{n},{MARK}-password-{n}\n" for n in range(3)))
    outcomes: dict[str, Outcome] = {}
    said = ""
    with ExitStack() as stack:
        processes = []
        for hurried, stalls in ((False, False), (True, False), (False, True)):
            cases = {
                name: case for name, case in CASES.items() if (case.hurried, bool(case.stall)) == (hurried, stalls)
            }
            asked = [
                {
                    "folder": str(folder / name), "protocol": case.protocol, "ready": case.ready, "table": case.table(),
                    "users_file": str(secret_file) if case.passwords else None, "stall": case.stall,
                    "url": stack.enter_context(serving(case.chat)).replace("localhost", "127.0.0.1"),
                }
                for name, case in cases.items()
            ]  # fmt: skip
            processes.append((cases, stack.enter_context(_users(json.dumps({"hurried": hurried, "cases": asked})))))
        for cases, process in processes:
            out, errors = process.communicate(timeout=200)
            assert process.returncode == 0, errors
            said += out + errors
            for (name, case), came in zip(cases.items(), json.loads(out), strict=True):
                failed = [(kind, error) for kind, error in came["failed"]]
                outcomes[name] = Outcome(case.chat, came["rows"], failed, came["problems"])
    return Ran(outcomes, folder, said)


def _users(asked: str) -> "subprocess.Popen[str]":
    """The process of users, which has begun."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "tests.loadtests.swarm.scripted_push"]
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdin is not None
    process.stdin.write(asked)
    process.stdin.close()
    process.stdin = None
    return process


@pytest.fixture
def outcome(request: pytest.FixtureRequest, ran: Ran) -> Outcome:
    return ran.outcomes[request.param]


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("outcome", [name], indirect=True, ids=[name])


def each_of(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("outcome", names, indirect=True, ids=names)


def test_nothing_escapes(ran: Ran) -> None:
    assert "Traceback" not in ran.said


@each_of(
    "as usual", "socket", "cookies", "members send", "members send over sockets", "pages", "replay", "echo", "batches"
)
def test_every_message_is_accepted_seen_live_and_read_at_the_end(outcome: Outcome) -> None:
    sends = outcome.rows["send"]
    assert {row["outcome"] for row in sends} == {ACCEPTED}
    assert len(sends) >= 8
    for dashboard in (0, 1):
        assert outcome.events(dashboard) == [OPENING, SUBSCRIBED]
        assert outcome.seen(dashboard, Sighting.LIVE) == outcome.accepted()
        assert set(outcome.events(dashboard, "membership")) == {JOINED}
    assert set(outcome.final()) == {200}
    assert sorted(row["n"] for row in outcome.rows["final_text"]) == outcome.accepted()
    assert outcome.rows["trouble"] == []
    assert outcome.failed == []


# Logins.


@of("login refused")
def test_a_refused_login_is_the_end_of_each_connection_and_send(outcome: Outcome) -> None:
    assert SUBSCRIBED not in outcome.events()
    ends = outcome.ends(FAILED)
    assert len(ends) > 1, "it must try again"
    assert {(row["code"], row["detail"]) for row in ends} == {(403, "login: the login was answered 403")}
    assert outcome.outcomes == {(REJECTED, 403)}
    assert all(math.isnan(row["sent"]) for row in outcome.rows["send"])
    assert outcome.final() == [403]
    assert {kind for kind, _ in outcome.failed} >= {"LOGIN", "CONNECT", "SEND"}


@of("login refused over sockets")
def test_a_sender_that_cannot_log_in_says_so_with_each_send(outcome: Outcome) -> None:
    assert outcome.outcomes == {(REJECTED, 403)}
    assert {row["connection"] for row in outcome.rows["send"]} == {-1}
    assert all(row["done"] - row["handed"] < 5 * SEND_TIMEOUT for row in outcome.rows["send"])
    # The sender is ready once its first try has failed, and not after the handshake's 20 s.
    assert all(row["handed"] - row["intended"] < 15 for row in outcome.rows["send"])


@pytest.mark.parametrize(
    ("outcome", "code", "detail"),
    [
        ("login without a response", 0, "the connection was closed without an answer"),
        ("login page", 0, "the response to a login: expected a token"),
        ("login of another shape", 0, "the response to a login: expected a token"),
        ("broken login", UNREADABLE_HERE, "the protocol failed: RuntimeError: a bug: ***"),
    ],
    indirect=["outcome"],
)
def test_a_login_without_a_token_fails_with_the_reason(outcome: Outcome, code: int, detail: str) -> None:
    ends = outcome.ends(FAILED)
    assert len(ends) > 1
    for row in ends:
        assert row["code"] == code
        assert row["detail"].startswith("login: ")
        assert detail in row["detail"]
    assert outcome.outcomes == {(REJECTED, code)}


@of("hanging login")
def test_messages_that_wait_for_a_login_share_its_failure(outcome: Outcome) -> None:
    assert outcome.outcomes == {(REJECTED, 0)}
    logins = [request for request in outcome.chat.seen if targets.is_login(request) and b"customer" in request.body]
    assert len(logins) < len(outcome.rows["send"]) / 3


@each_of("401 at a send", "401 at a read", "401 at a handshake", "401 at what was missed")
def test_a_401_means_one_login_more(outcome: Outcome) -> None:
    chat = outcome.chat
    assert isinstance(chat, targets.Expires)
    assert chat.expired_at >= 2
    assert chat.late == 0, "the late refusal must have come"
    # Who holds a socket goes on, and all others need a new token: the sender, and once the reader of the last page.
    users = [json.loads(request.body)["user"] for request in chat.seen if targets.is_login(request)]
    assert all(users.count(user) <= 2 for user in users), users
    assert len(users) > chat.expired_at
    assert {row["outcome"] for row in outcome.rows["send"]} == {ACCEPTED}
    assert outcome.final() == [200]
    assert sorted(row["n"] for row in outcome.rows["final_text"]) == outcome.accepted()


@of("401 at a handshake")
def test_a_401_to_a_handshake_is_a_failed_connection(outcome: Outcome) -> None:
    assert outcome.events() == [OPENING, FAILED, OPENING, SUBSCRIBED]
    assert outcome.ends(FAILED)[0]["code"] == 401
    (note,) = outcome.notes("turned_away")
    assert note.startswith("a handshake was answered 401: what its login gave or the --origin may be missing or wrong")


@of("4401")
def test_a_close_code_that_means_expired_leads_to_a_login(outcome: Outcome) -> None:
    assert outcome.events() == [OPENING, SUBSCRIBED, CLOSED, OPENING, SUBSCRIBED]
    assert outcome.ends(CLOSED)[0]["code"] == 4401
    assert outcome.chat.logins == 4, "both users again"
    assert outcome.chat.handshakes == 2


@of("many logins")
def test_at_most_20_users_log_in_at_once(outcome: Outcome) -> None:
    assert isinstance(outcome.chat, targets.SlowLogins)
    assert 1 < outcome.chat.most <= 20
    assert outcome.chat.logins == 101
    assert len({row["dashboard"] for row in outcome.rows["connection"] if row["event"] == SUBSCRIBED}) == 100


@of("cookies")
def test_cookies_of_a_login_go_with_everything_else(outcome: Outcome) -> None:
    assert isinstance(outcome.chat, targets.WantsCookies)
    assert outcome.chat.without == []
    assert outcome.chat.count(is_handshake) == 2


# Rooms.


@of("join refused")
def test_a_refused_room_leaves_the_connection_open(outcome: Outcome) -> None:
    assert outcome.events() == [OPENING, SUBSCRIBED]
    assert outcome.events(table="membership") == [REFUSED]
    assert outcome.seen() == []
    notes = outcome.notes("refused_room")
    assert len(notes) == 3, "a few of five are enough"
    assert all(note.startswith("a user was refused in a room: expected a room of agent-") for note in notes)


@of("join never answered")
def test_a_room_without_an_answer_is_a_failed_connection(outcome: Outcome) -> None:
    ends = outcome.ends(FAILED)
    assert {(row["code"], row["detail"]) for row in ends} == {(1006, "1006 no joined frame within 0.5 s")}
    assert SUBSCRIBED not in outcome.events()


@of("thrown out")
def test_a_subscription_that_the_target_ends_is_recorded(outcome: Outcome) -> None:
    assert outcome.events() == [OPENING, SUBSCRIBED]
    assert outcome.events(table="membership") == [JOINED, LEFT]
    assert len(outcome.seen()) == 2


@each_of("replays", "replays without saying so")
def test_what_comes_before_a_subscription_is_in_force_is_a_replay(outcome: Outcome) -> None:
    for dashboard in (0, 1):
        assert CLOSED in outcome.events(dashboard)
        live, replayed = (outcome.seen(dashboard, how) for how in (Sighting.LIVE, Sighting.REPLAYED))
        assert replayed
        assert sorted(live + replayed) == outcome.accepted()
    assert len([row for row in outcome.rows["announcement"] if row["how"] == Sighting.REPLAYED]) <= len(
        outcome.accepted()
    )


@pytest.mark.parametrize(("outcome", "detail"), [("replays", RECOVERED), ("missed", "")], indirect=["outcome"])
def test_a_later_subscription_says_whether_anything_is_missing(outcome: Outcome, detail: str) -> None:
    joins = {0: [], 1: []}  # type: dict[int, list[Row]]
    for row in outcome.rows["membership"]:
        joins[row["dashboard"]].append(row)
    for first, *later in joins.values():
        assert first["detail"] == "", "nothing can be missing from before"
        assert later
        # With a limit of 0, a chat that has nothing to replay may still say so.
        assert detail in {row["detail"] for row in later}
        assert {row["detail"] for row in later} <= {RECOVERED, detail}


@each_of("closed before the first message", "closed before the first message, and missed")
def test_what_comes_after_a_room_was_joined_is_asked_for_again_even_if_it_is_the_first(outcome: Outcome) -> None:
    for dashboard in (0, 1):
        assert CLOSED in outcome.events(dashboard)
        # A read may show again what came live.
        assert set(outcome.seen(dashboard)) == set(outcome.accepted())
        assert 0 in outcome.seen(dashboard, Sighting.REPLAYED, Sighting.READ)


@each_of("missed", "missed, and the newest first", "401 at what was missed")
def test_what_a_connection_missed_is_read_page_by_page(outcome: Outcome) -> None:
    assert outcome.seen(0, Sighting.READ)
    assert set(outcome.seen(0)) == set(outcome.accepted())
    assert outcome.notes("missed") == []


@of("membership")
def test_memberships_change_when_planned(outcome: Outcome) -> None:
    events = sorted((row["event"], row["connection"] == -1) for row in outcome.rows["membership"])
    assert events == sorted([(JOINED, False)] * 3 + [(LEFT, False), (ADDED, True), (REMOVED, True)])
    added, removed = (
        [row for row in outcome.rows["membership"] if row["event"] == event] for event in (ADDED, REMOVED)
    )
    joins = [row for row in outcome.rows["membership"] if row["event"] == JOINED and row["time"] >= added[0]["time"]]
    assert [row["chat"] for row in joins] == [added[0]["chat"]]
    assert [row["chat"] for row in outcome.rows["membership"] if row["event"] == LEFT] == [removed[0]["chat"]]


@of("membership refused")
def test_a_membership_that_the_target_does_not_change_is_recorded(outcome: Outcome) -> None:
    events = [(row["event"], row["detail"]) for row in outcome.rows["membership"] if row["connection"] == -1]
    assert events == [(REFUSED, "status 403")] * 2
    assert sorted(outcome.troubles("membership")) == [
        "a membership could not be added: status 403", "a membership could not be removed: status 403",
    ]  # fmt: skip


@of("unconfirmed")
def test_without_confirmations_a_room_is_joined_once_it_is_asked_for(outcome: Outcome) -> None:
    assert outcome.events() == [OPENING, SUBSCRIBED]
    (joined,) = [row for row in outcome.rows["membership"] if row["dashboard"] == 0]
    (subscribed,) = outcome.ends(SUBSCRIBED)
    (opening,) = outcome.ends(OPENING)
    assert opening["time"] < joined["time"] <= subscribed["time"]
    assert outcome.seen(0, Sighting.LIVE) == outcome.accepted()


@of("unconfirmed membership")
def test_the_same_holds_in_the_middle_of_a_run(outcome: Outcome) -> None:
    joined = [row["chat"] for row in outcome.rows["membership"] if row["event"] == JOINED]
    (added,) = [row["chat"] for row in outcome.rows["membership"] if row["event"] == ADDED]
    assert len(joined) == 3
    assert joined[-1] == added


# Frames.


@of("batches")
def test_messages_that_share_a_frame_each_count(outcome: Outcome) -> None:
    times = [row["time"] for row in outcome.rows["frame"]]
    assert len(set(times)) < len(times), "some must have come together"


@of("garbage")
def test_frames_that_cannot_be_read_are_counted_and_noted_and_nothing_else(outcome: Outcome) -> None:
    assert outcome.events() == [OPENING, SUBSCRIBED]
    assert outcome.seen(0, Sighting.LIVE) == outcome.accepted()
    assert {kind for kind, _ in outcome.failed} == {"FRAME"}
    assert outcome.rows["trouble"] == []
    assert len(outcome.notes("unreadable_frame")) == 1
    assert outcome.notes("unreadable_frame")[0].startswith("a frame could not be read: a frame: ")


@of("garbage")
def test_each_frame_that_could_not_be_read_is_recorded_on_its_connection(outcome: Outcome) -> None:
    rows, frames = outcome.rows["unreadable"], outcome.rows["frame"]
    assert {row["connection"] for row in rows} == {row["connection"] for row in frames}
    assert len(rows) == len(frames), "one after each message on each dashboard"
    assert all(row["detail"].startswith("a frame: ") for row in rows)


@of("pings")
def test_pings_are_answered_and_keep_a_connection_alive(outcome: Outcome) -> None:
    chat = outcome.chat
    assert isinstance(chat, targets.Pings)
    assert chat.pongs > 10
    assert chat.own_pongs > 10
    assert outcome.events() == [OPENING, SUBSCRIBED]


@of("a rig that stalls")
def test_a_rig_that_is_late_does_not_take_that_for_silence(outcome: Outcome) -> None:
    assert max(row["lag"] for row in outcome.rows["lag"]) > 4, "it must have stalled"
    assert outcome.events() == [OPENING, SUBSCRIBED]


@of("own pings")
def test_a_clients_own_pings_keep_a_connection_alive_that_the_protocol_would_give_up(outcome: Outcome) -> None:
    assert outcome.events() == [OPENING, SUBSCRIBED]


@of("silence")
def test_a_silence_that_the_protocol_does_not_allow_ends_a_connection(outcome: Outcome) -> None:
    ends = outcome.ends(CLOSED)
    assert ends
    said = "1006 nothing came for 3.5 s, after which this protocol gives up"
    assert {(row["code"], row["detail"]) for row in ends} == {(1006, said)}


@of("flood")
def test_answers_that_nobody_reads_end_the_connection_and_hold_up_nobody(outcome: Outcome) -> None:
    ends = outcome.ends(CLOSED)
    assert ends
    assert {row["detail"] for row in ends} == {"1006 the peer does not read"}


# Sends over sockets.


@of("socket")
def test_sends_over_a_socket_have_its_number_and_the_id_that_acknowledged_them(outcome: Outcome) -> None:
    (connection,) = {row["connection"] for row in outcome.rows["send"]}
    (subscribed,) = [row for row in outcome.rows["connection"] if row["widget"] == 0 and row["event"] == SUBSCRIBED]
    assert subscribed["connection"] == connection
    ids = {row["n"]: row["message_id"] for row in outcome.rows["send"]}
    assert ids == {row["n"]: row["message_id"] for row in outcome.rows["final_text"]}
    assert outcome.chat.count(targets.is_send) == 0


@of("rejections")
def test_a_rejection_means_what_its_status_means(outcome: Outcome) -> None:
    assert outcome.outcomes == {
        (REJECTED, 0), (REJECTED, 403), (UNKNOWN, 408), (REJECTED, 429), (UNKNOWN, 500), (REJECTED, 503),
    }  # fmt: skip
    assert outcome.notes("rejected") == ["a send over a socket was rejected: no"]
    assert len(outcome.notes("rate_limited")) == 1


@of("no acknowledgement")
def test_a_send_without_an_acknowledgement_may_be_stored(outcome: Outcome) -> None:
    assert outcome.outcomes == {(UNKNOWN, 0)}
    for row in outcome.rows["send"]:
        assert row["sent"] > 0
        assert row["done"] - row["sent"] >= 0.9 * SEND_TIMEOUT
    assert outcome.seen() == sorted(row["n"] for row in outcome.rows["send"])


@of("broken after writing")
def test_a_send_whose_connection_breaks_may_be_stored(outcome: Outcome) -> None:
    for row in outcome.rows["send"]:
        assert row["sent"] > 0
        if row["n"] % 2:
            assert row["outcome"] == UNKNOWN, row
    assert ("SEND", "the connection ended: 1006 lost before an acknowledgement") in outcome.failed, "it must not wait"
    # One that waited for a socket together with one that breaks it goes down with it.
    assert outcome.accepted()
    ends = [row for row in outcome.rows["connection"] if row["widget"] == 0 and row["event"] == CLOSED]
    assert len(ends) >= 2


@of("never connected")
def test_a_send_without_a_socket_is_rejected_in_time(outcome: Outcome) -> None:
    assert outcome.outcomes == {(REJECTED, 403)}
    for row in outcome.rows["send"]:
        assert math.isnan(row["sent"])
        assert row["connection"] == -1
        assert row["done"] - row["handed"] < 5 * SEND_TIMEOUT
    said = f"no open socket within {SEND_TIMEOUT:g} s: server rejected WebSocket connection: HTTP 403"
    assert ("SEND", said) in outcome.failed


@of("echo")
def test_a_message_that_comes_back_is_accepted_and_not_a_delivery(outcome: Outcome) -> None:
    assert all(row["message_id"] > 0 for row in outcome.rows["send"])
    mine = {row["connection"] for row in outcome.rows["connection"] if row["widget"] == 0}
    assert mine
    assert not mine & {row["connection"] for row in outcome.rows["frame"]}
    assert {row["dashboard"] for row in outcome.rows["membership"]} == {0, 1}


@of("written")
def test_where_nothing_confirms_a_send_it_is_accepted_once_written(outcome: Outcome) -> None:
    assert outcome.outcomes == {(ACCEPTED, 0)}
    assert outcome.seen() == outcome.accepted()


@of("reconnects")
def test_a_send_waits_for_a_socket_that_is_opened_again(outcome: Outcome) -> None:
    # What was on its way when the socket was closed may be stored.
    first = min(row["connection"] for row in outcome.rows["send"])
    assert {row["connection"] for row in outcome.rows["send"] if row["outcome"] != ACCEPTED} <= {first}
    assert {row["outcome"] for row in outcome.rows["send"]} <= {ACCEPTED, UNKNOWN}
    assert len({row["connection"] for row in outcome.rows["send"] if row["outcome"] == ACCEPTED}) == 2


@of("members send over sockets")
def test_members_send_over_the_socket_that_they_view_with(outcome: Outcome) -> None:
    used = {row["connection"] for row in outcome.rows["send"]}
    assert used <= {row["connection"] for row in outcome.rows["connection"] if row["dashboard"] == 0}
    assert {row["widget"] for row in outcome.rows["connection"]} == {-1}


@each_of("members send", "members send over sockets")
def test_members_send_into_all_their_rooms_in_turn(outcome: Outcome) -> None:
    chats = [row["chat"] for row in sorted(outcome.rows["send"], key=lambda row: row["n"])]
    assert set(chats[::2]) != set(chats[1::2])
    assert len(set(chats)) == 2


# Sends by HTTP.


@of("errors in 200")
def test_an_error_inside_a_200_is_a_rejection(outcome: Outcome) -> None:
    assert {(row["outcome"], row["status"]) for row in outcome.rows["send"]} == {(REJECTED, 200), (ACCEPTED, 201)}
    assert outcome.notes("rejected") == ["a send was answered 200, but with the error no room"]
    assert {row["n"] for row in outcome.rows["final_text"]} == set(outcome.accepted())


@each_of("broken protocol", "broken protocol over sockets")
def test_a_bug_of_the_protocol_is_the_rigs_and_nothing_was_sent(outcome: Outcome) -> None:
    assert outcome.outcomes == {(REJECTED, UNREADABLE_HERE)}
    assert any("a bug: ***" in error for kind, error in outcome.failed if kind == "SEND")


# The final read.


@of("broken protocol")
def test_a_final_read_that_the_protocol_fails_is_the_rigs(outcome: Outcome) -> None:
    (final,) = outcome.rows["final"]
    assert (final["status"], final["total"]) == (UNREADABLE_HERE, -1)
    assert final["detail"].startswith("the protocol failed: RuntimeError: a bug: ***")


@pytest.mark.parametrize(
    ("outcome", "status", "detail"),
    [
        ("page that leads to itself", 0, "expected another page of the chat, got the same again"),
        ("pages without an end", 0, "expected another page of the chat, got the same again"),
        ("hidden pages", 403, "status 403"),
        ("replay in part", 0, "the target does not send all of them again"),
        ("replay refused", 0, "refused: expected a room of agent-"),
    ],
    indirect=["outcome"],
)
def test_a_chat_that_cannot_be_read_whole_is_not_read_at_all(outcome: Outcome, status: int, detail: str) -> None:
    (final,) = outcome.rows["final"]
    assert (final["status"], final["total"]) == (status, -1)
    assert detail in final["detail"]
    assert outcome.rows["final_text"] == []


@of("pages without an end")
def test_pages_without_an_end_are_given_up_soon(outcome: Outcome) -> None:
    assert isinstance(outcome.chat, targets.RepeatsPages)
    assert outcome.chat.asked <= 6


@of("ever more pages")
def test_pages_that_always_have_more_are_given_up_in_time(outcome: Outcome) -> None:
    (final,) = outcome.rows["final"]
    assert final["detail"].startswith("expected the pages to end, got another after ")
    assert outcome.rows["final_text"] == []


@of("replay unconfirmed")
def test_a_replay_needs_no_confirmation(outcome: Outcome) -> None:
    assert outcome.final() == [200]
    assert sorted(row["n"] for row in outcome.rows["final_text"]) == outcome.accepted()


@each_of("pages", "replay")
def test_the_last_read_takes_as_many_requests_as_it_needs(outcome: Outcome) -> None:
    reads = outcome.chat.count(targets.is_read)
    assert reads == (len(outcome.accepted()) if outcome.chat.page == 1 else 0)


# Rooms that cannot be made, and secrets.


@of("no rooms")
def test_rooms_that_cannot_be_created_stop_the_run_soon(outcome: Outcome) -> None:
    assert len(outcome.problems) == 4
    assert all("expected the target to create it, got: status 403" in problem for problem in outcome.problems[:3])
    assert outcome.problems[3] == "37 more rooms were not created"
    assert len(outcome.chat.seen) <= 3 + 8


@of("rooms with one id")
def test_rooms_that_the_target_calls_the_same_are_no_rooms(outcome: Outcome) -> None:
    assert len(outcome.problems) == 2
    assert all("expected an id that no other room has, got 'one'" in problem for problem in outcome.problems)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("secrets") or name == "passwords"])
def test_a_target_that_repeats_secrets_does_so(name: str, ran: Ran) -> None:
    outcome = ran.outcomes[name]
    shown = json.dumps([outcome.rows, outcome.failed, outcome.problems])
    assert "***" in shown, "expected at least one place where a secret was blanked"


def test_no_secret_is_in_any_file_row_or_output(ran: Ran) -> None:
    assert MARK not in ran.said
    assert KEY not in ran.said
    for file in ran.folder.rglob("*"):
        if file.is_file():
            assert MARK.encode() not in file.read_bytes(), file
