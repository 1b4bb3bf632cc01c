"""The fast ledger of chats whose frames carry texts against slow loops that are obviously right, on generated runs."""

import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from chatswarm.loadtests.history.tables import ConnectionEvent, MembershipEvent, Sighting
from chatswarm.loadtests.judge.judge import judge
from chatswarm.loadtests.judge.ledger import Ledger
from chatswarm.loadtests.messages.identity import Condition

from .play import ACCEPTED, DAMAGED, FOREIGN, INTACT, REJECTED, T0, UNKNOWN, Stored
from .push_play import LIVE, PUSH, READ, REPLAYED, PushPlay
from .test_ledger_reference import EXAMPLES

Identity = tuple[int, int]
TARGET = 2.0  # seconds: the update target
UNTIL = 20.0  # seconds after the start: when the last connections end


@dataclass(frozen=True)
class Seen:
    """A text that came to a dashboard. Times are seconds after the start."""

    connection: int
    at: float
    widget: int
    n: int
    room: int
    condition: Condition
    how: Sighting


@dataclass(frozen=True)
class Line:
    """A connection of a dashboard: from when until when, whether a close frame ended it, and when it joined rooms."""

    number: int
    dashboard: int
    start: float
    end: float
    told: bool
    last: bool
    joins: tuple[tuple[int, float], ...]


@dataclass
class PushWorld:
    """What was generated, in plain words."""

    rooms: int
    dashboards: int
    members: int | None
    changes: list[dict[str, object]]
    widgets: int
    processes: int
    replays_once: bool
    history: str
    sends: dict[Identity, tuple[int, float, float]] = field(default_factory=dict)  # outcome, intended, accepted
    lines: list[Line] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    final: dict[int, list[Stored]] = field(default_factory=dict)  # of the rooms that were asked
    unread: set[int] = field(default_factory=set)


@st.composite
def push_worlds(draw: st.DrawFn) -> PushWorld:
    dashboards = draw(st.integers(2, 4))
    members = draw(st.none() | st.integers(1, dashboards - 1))
    changes: list[dict[str, object]] = []
    if members is not None and draw(st.booleans()):
        changes = [{"at": "3250ms", "leave": 1, "join": 1}]
    world = PushWorld(
        draw(st.integers(1, 3)), dashboards, members, changes, draw(st.integers(1, 4)), draw(st.integers(1, 2)),
        draw(st.booleans()), draw(st.sampled_from(["pages", "pages", "none"])),
    )  # fmt: skip
    for widget in range(world.widgets):
        for n in range(draw(st.integers(0, 5))):
            at = draw(st.integers(0, 79)) / 10
            outcome = draw(st.sampled_from([ACCEPTED, ACCEPTED, ACCEPTED, ACCEPTED, REJECTED, UNKNOWN]))
            world.sends[widget, n] = outcome, at, at + draw(st.sampled_from([0.013, 0.513]))
    for dashboard in range(dashboards):
        start = draw(st.integers(-10, 20)) / 10 + 0.031
        for number in range(draw(st.integers(0, 3))):
            last = bool(draw(st.integers(0, 1)))
            end = UNTIL if last else start + draw(st.integers(2, 40)) / 10 + 0.007
            joins = tuple(
                (room, start + draw(st.integers(0, 3)) / 100 + 0.003)
                for room in range(world.rooms) if draw(st.integers(0, 7))
            )  # fmt: skip
            world.lines.append(Line(10 * dashboard + number, dashboard, start, end, draw(st.booleans()), last, joins))
            start = end + draw(st.integers(1, 20)) / 10
            if last:
                break
    names = [*world.sends, (0, 9), (-1, -1)]
    for line in world.lines:
        for _ in range(draw(st.integers(0, 9))):
            at = draw(st.floats(line.start, min(line.end, 12.0)).map(lambda at: round(at, 4)))
            widget, n = draw(st.sampled_from(names))
            home = draw(st.integers(0, world.rooms - 1)) if widget < 0 else widget % world.rooms
            room = draw(st.sampled_from([home, home, home, draw(st.integers(0, world.rooms - 1))]))
            condition = FOREIGN if widget < 0 else draw(st.sampled_from([INTACT, INTACT, INTACT, INTACT, DAMAGED]))
            how = draw(st.sampled_from([LIVE, LIVE, LIVE, REPLAYED, READ]))
            world.seen.append(Seen(line.number, max(line.start, min(line.end, at)), widget, n, room, condition, how))
    for room in range(world.rooms):
        if draw(st.integers(0, 4)):
            keys = [key for key in world.sends if key[0] % world.rooms == room]
            own = [Stored(*key) for key in sorted(keys, key=lambda key: world.sends[key][1])]
            world.final[room] = [text for text in own if draw(st.integers(0, 3))]
            if not draw(st.integers(0, 5)):
                world.unread.add(room)
    return world


def acted(world: PushWorld, folder: Path) -> PushPlay:
    play = PushPlay(
        folder, dashboards=world.dashboards, room_count=world.rooms, members=world.members, widgets=world.widgets,
        processes=world.processes, seconds=8.0, changes=world.changes,
        promises=structs.replace(PUSH, replays_once=world.replays_once, history=world.history),
    )  # fmt: skip
    first = play.manifest.processes[0]
    for process in play.manifest.processes:
        for room in range(world.rooms):
            play.row(process, "chat", room, -1, f"room-{room}", room)
    play.change_memberships()
    for (widget, n), (outcome, at, done) in world.sends.items():
        row = (widget, n, widget % world.rooms, T0 + at, T0 + at, T0 + at, T0 + done, outcome, 200, -1)
        play.row(first, "send", *row)
    for line in world.lines:
        play.event(line.number, line.dashboard, ConnectionEvent.OPENING, T0 + line.start - 0.1)
        play.event(line.number, line.dashboard, ConnectionEvent.SUBSCRIBED, T0 + line.start + 0.05)
        for room, at in line.joins:
            play.membership(line.number, line.dashboard, room, MembershipEvent.JOINED, T0 + at)
        event, code = (ConnectionEvent.STOPPED, 1000) if line.last else (ConnectionEvent.CLOSED, 1001)
        play.event(line.number, line.dashboard, event, T0 + line.end, code if line.last or line.told else 1006)
    for seen in sorted(world.seen, key=lambda each: each.at):
        play.show(
            seen.connection // 10, seen.widget, seen.n, T0 + seen.at, how=seen.how, room=seen.room,
            condition=seen.condition, connection=seen.connection,
        )  # fmt: skip
    for room, texts in world.final.items():
        status = 500 if room in world.unread else 200
        play.row(first, "final", room, status, len(texts), T0 + 21, T0 + 22, "")
        for position, text in enumerate(texts if status == 200 else [], 1):
            play.row(first, "final_text", room, position, text.widget, text.n, text.condition, -1)
    return play


# The slow one


def must_show(play: PushPlay, room: int, dashboard: int, at: float) -> bool:
    start, stop = play.spans(room).get(dashboard, (math.inf, -math.inf))
    return start + 2 <= at <= stop - 2 - TARGET


def slow_gap(world: PushWorld, identity: Identity, dashboard: int) -> bool:
    """Whether the message was on its way at a moment when the dashboard had no subscription to the room any more."""
    (_, sent, done), room = world.sends[identity], identity[0] % world.rooms
    without_rooms = not any(line.joins for line in world.lines)
    before, earlier = None, 0
    for line in world.lines:
        if line.dashboard != dashboard:
            continue
        for joined, at in line.joins if not without_rooms else ((room, line.start + 0.05),):
            earlier += joined == room and at <= done
            if joined == room and at <= done and (before is None or at > before[1]):
                before = line, at
    if before is None:
        return False
    line = before[0]
    heard = [seen.at for seen in world.seen if seen.connection == line.number and seen.how != READ]
    last = (
        line.end if line.last or line.told else max([*heard, min([line.start + 0.05, *(at for _, at in line.joins)])])
    )
    return last <= done or (earlier > 1 and before[1] > sent)


def slow_leaks(world: PushWorld, play: PushPlay) -> int:
    leaks = set()
    for number, seen in enumerate(world.seen):
        send = world.sends.get((seen.widget, seen.n))
        room = seen.room if send is None else seen.widget % world.rooms
        start, stop = play.spans(room).get(seen.connection // 10, (math.inf, -math.inf))
        stranger = seen.connection // 10 not in play.spans(room)
        former = send is not None and send[1] >= stop + 2
        if stranger or former or seen.at <= start - 2:
            # Each show is a separate announcement.
            text = (seen.widget, seen.n) if send is not None else number
            leaks.add((text, seen.room, seen.connection // 10))
    return len(leaks)


def right(world: PushWorld, seen: Seen) -> bool:
    known = (seen.widget, seen.n) in world.sends
    return known and seen.condition == INTACT and seen.room == seen.widget % world.rooms


def slow_reordered(world: PushWorld) -> set[Identity]:
    first: dict[tuple[int, Identity], int] = {}
    # What came at the same time was recorded in this order.
    for place, seen in enumerate(sorted(world.seen, key=lambda each: each.at)):
        if right(world, seen) and seen.how == LIVE:
            first.setdefault((seen.connection, (seen.widget, seen.n)), place)
    return {
        one
        for (connection, one), at in first.items()
        for (other_connection, other), earlier in first.items()
        if connection == other_connection and one[0] == other[0] and earlier < at
        and world.sends[one][0] == ACCEPTED and world.sends[one][2] < world.sends[other][1]
    }  # fmt: skip


def slow_repeated(world: PushWorld) -> int:
    counted = (LIVE, REPLAYED) if world.replays_once else (LIVE,)
    came = [
        (seen.connection // 10 if world.replays_once else seen.connection, seen.widget, seen.n)
        for seen in world.seen
        if right(world, seen) and seen.how in counted
    ]
    return len(came) - len(set(came))


def slow_due(world: PushWorld, play: PushPlay) -> tuple[int, int]:
    """How many frames were missed, and how many pairs of a connection and a message came."""
    came = {
        (seen.connection, (seen.widget, seen.n))
        for seen in world.seen
        if seen.how != READ and (seen.widget, seen.n) in world.sends
    }
    without_rooms = not any(line.joins for line in world.lines)
    missed = 0
    for line in world.lines:
        joins = [(room, line.start + 0.05) for room in range(world.rooms)] if without_rooms else line.joins
        for room, at in joins:
            for identity, (outcome, sent, done) in world.sends.items():
                due = outcome == ACCEPTED and identity[0] % world.rooms == room and at < sent and done + 2 <= line.end
                if due and must_show(play, room, line.dashboard, sent):
                    missed += (line.number, identity) not in came
    return missed, len(came)


def checked(world: PushWorld, ledger: Ledger, play: PushPlay) -> None:
    """The deliveries one by one."""
    messages, deliveries = ledger.messages, ledger.deliveries
    for row in range(len(messages)):
        identity = (int(messages.widget[row]), int(messages.n[row]))
        outcome, intended, _ = world.sends[identity]
        room = identity[0] % world.rooms
        for dashboard in range(world.dashboards):
            delivery = deliveries.find_one(row, dashboard)
            assert (delivery >= 0) == (dashboard in play.spans(room))
            if delivery < 0:
                continue
            mine = [seen for seen in world.seen if seen.connection // 10 == dashboard]
            shown = [seen for seen in mine if (seen.widget, seen.n) == identity]
            visible = min((seen.at for seen in shown), default=math.inf)
            notified = min((seen.at for seen in shown if seen.how == LIVE), default=math.inf)
            for fast, slow in (
                (ledger.visible[delivery] - T0, visible), (ledger.announcements.notified[delivery] - T0, notified),
            ):  # fmt: skip
                assert math.isnan(fast) or fast == slow or abs(fast - slow) < 1e-6
            expected = outcome == ACCEPTED and must_show(play, room, dashboard, intended)
            lost = expected and visible == math.inf
            tried = any(line.dashboard == dashboard for line in world.lines)
            assert bool(ledger.expected[delivery]) == expected
            assert bool(ledger.lost[delivery]) == (lost and tried)
            assert ledger.gap is not None
            assert bool(ledger.gap[delivery]) == (lost and tried and slow_gap(world, identity, dashboard))


@settings(max_examples=2 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(push_worlds())
def test_what_became_of_each_delivery(world: PushWorld) -> None:
    with tempfile.TemporaryDirectory() as folder:
        play = acted(world, Path(folder))
        checked(world, play.ledger(), play)


@settings(max_examples=2 * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(push_worlds())
def test_what_is_found(world: PushWorld) -> None:
    with tempfile.TemporaryDirectory() as folder:
        play = acted(world, Path(folder))
        verdict = judge(play.write())
    assert verdict.exit_code in (1, 3), verdict.reasons
    assert not [reason for reason in verdict.reasons if "crashed" in reason]
    counts, keys = verdict.counts, [(seen.widget, seen.n) for seen in world.seen]
    assert counts.leaked == (None if world.members is None else slow_leaks(world, play))
    assert counts.reordered == len(slow_reordered(world))
    assert counts.duplicated == slow_repeated(world)
    missed, came = slow_due(world, play)
    frames = [seen for seen in world.seen if seen.how != READ]
    assert (verdict.frames.missed, verdict.frames.matched) == (missed, came)
    assert (verdict.frames.due, verdict.frames.received) == (missed + came, len(frames))
    damaged = {key for key, seen in zip(keys, world.seen, strict=True) if seen.condition == DAMAGED}
    assert counts.corrupted == len(damaged)
    assert counts.misplaced == len({
        (key, seen.room) for key, seen in zip(keys, world.seen, strict=True)
        if key in world.sends and seen.condition == INTACT and seen.room != key[0] % world.rooms
    })  # fmt: skip
    read = set() if world.history == "none" else set(world.final) - world.unread
    stored = {(text.widget, text.n) for room in set(world.final) - world.unread for text in world.final[room]}
    asked = world.history != "none" and bool(world.final) and all(
        key[0] % world.rooms in world.final for key, (outcome, _, _) in world.sends.items() if outcome == ACCEPTED
    )  # fmt: skip
    shown = {(seen.widget, seen.n) for seen in world.seen if right(world, seen)}
    if world.history != "none":
        for count, gone in (
            (counts.store_lost, {key for key, (outcome, _, _) in world.sends.items() if outcome == ACCEPTED} - stored),
            (counts.vanished, shown - stored),
        ):
            found = {key for key in gone if key[0] % world.rooms in read}
            assert count == (len(found) if found or asked else None)
    assert (counts.recovered is None) == (not asked)
