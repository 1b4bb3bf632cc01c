"""The fast ledger against a slow one that is obviously right, on generated histories, most of them quite broken."""

import math
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.history.manifest import read_manifest
from chatswarm.loadtests.history.tables import ConnectionEvent
from chatswarm.loadtests.judge.ledger import Ledger, build, merge_histories
from chatswarm.loadtests.messages.damage import Condition
from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.scenario.rooms import memberships_of

from .play import ACCEPTED, DAMAGED, FOREIGN, INTACT, REJECTED, T0, UNKNOWN, Plant, Play, Stored

EXAMPLES = int(os.environ.get("CHATSWARM_EXAMPLES", "80"))
"""How many histories to generate; a long night can do with more."""

Content = dict[int, tuple[int, list[Stored]]]
Identity = tuple[int, int]


@dataclass
class World:
    """What was generated, in plain words."""

    widgets: int
    dashboards: int
    processes: int
    sends: dict[Identity, tuple[int, float]] = field(default_factory=dict)  # outcome, intended
    ids: dict[Identity, int] = field(default_factory=dict)
    final: dict[int, list[Stored]] = field(default_factory=dict)
    totals: dict[int, int] = field(default_factory=dict)
    unread: set[int] = field(default_factory=set)
    reads: list[tuple[int, float, float, Content]] = field(default_factory=list)  # dashboard, started, done, what
    frames: list[tuple[int, float, int, int]] = field(default_factory=list)  # dashboard, time, chat, id
    members: int | None = None  # of each chat; None: everybody, and there are no rooms


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World(draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    world.members = draw(st.none() | st.integers(1, world.dashboards))
    identities = [(w, n) for w in range(world.widgets) for n in range(draw(st.integers(0, 4)))]
    for number, identity in enumerate(identities):
        at = draw(st.integers(0, 59)) / 10
        world.sends[identity] = (draw(st.sampled_from([ACCEPTED, ACCEPTED, ACCEPTED, REJECTED, UNKNOWN])), at)
        world.ids[identity] = 100 + number
    known = st.sampled_from(identities) if identities else st.nothing()
    names = known | st.just((0, 9)) | st.just((-1, -1))

    def texts(most: int) -> list[Stored]:
        made = []
        for widget, n in draw(st.lists(names, max_size=most)):
            condition = (
                FOREIGN if widget < 0 else draw(st.sampled_from([INTACT, INTACT, INTACT, DAMAGED, Condition.NFC]))
            )
            made.append(Stored(widget, n, condition))
        return made

    orderly = draw(st.booleans())
    for chat in range(world.widgets):
        own = [Stored(w, n) for w, n in identities if w == chat]
        stored = own if orderly else texts(5)
        world.final[chat] = stored
        world.totals[chat] = max(0, len(stored) - draw(st.sampled_from([0, 0, 0, 1])))
        if draw(st.integers(0, 9)) == 0:
            world.unread.add(chat)
    contents: list[Content] = [{}]
    for _ in range(draw(st.integers(0, 5))):
        content: Content = {}
        for chat in range(world.widgets):
            kind = draw(st.integers(0, 3))
            if kind == 0:
                content[chat] = (draw(st.integers(0, 6)), texts(4))
            elif kind > 1:
                # What an honest list, or one that keeps one text back, would show.
                upto = draw(st.integers(0, len(world.final[chat])))
                shown = world.final[chat][:upto]
                if kind == 3 and shown:
                    del shown[draw(st.integers(0, upto - 1))]
                content[chat] = (len(shown), shown[-2:])
        contents.append(content)
    for _ in range(draw(st.integers(0, 12))):
        started = draw(st.integers(0, 100)) / 10
        took = draw(st.integers(0, 20)) / 10
        content = draw(st.sampled_from(contents))
        world.reads.append((draw(st.integers(0, world.dashboards - 1)), started, started + took, content))
    numbers = [*world.ids.values(), 999]
    for _ in range(draw(st.integers(0, 12))):
        world.frames.append((
            draw(st.integers(0, world.dashboards - 1)), draw(st.integers(0, 100)) / 10,
            draw(st.integers(0, world.widgets - 1)), draw(st.sampled_from(numbers)),
        ))  # fmt: skip
    return world


def acted(world: World, folder: Path) -> Play:
    play = Play(folder, dashboards=world.dashboards, widgets=world.widgets, processes=world.processes)
    play.manifest.promises = Promises(has_rooms=world.members is not None)
    if world.members is not None:
        play.rooms = {"count": world.widgets, "members": world.members}
    first = play.manifest.processes[0]
    for process in play.manifest.processes:
        for chat in range(world.widgets):
            room = -1 if world.members is None else chat
            play.row(process, "chat", chat, chat if process == first else -1, f"chat-{chat}", room)
    for dashboard in range(world.dashboards):
        play.connect(dashboard, dashboard, T0 - 1)
        play.event(dashboard, dashboard, ConnectionEvent.STOPPED, T0 + 20)
    for (widget, n), (outcome, at) in world.sends.items():
        given = world.ids[widget, n] if outcome == ACCEPTED else -1
        play.row(first, "send", widget, n, widget, T0 + at, T0 + at, T0 + at, T0 + at + 0.01, outcome, 200, given)
    for dashboard, started, done, content in world.reads:
        play.refetch(dashboard, T0 + started, T0 + done, content=content)
    for dashboard, at, chat, number in world.frames:
        play.frame(dashboard, chat, number, T0 + at)
    for chat, stored in world.final.items():
        status = 500 if chat in world.unread else 200
        play.row(first, "final", chat, status, world.totals[chat], T0 + 21, T0 + 22, "")
        for position, text in enumerate(stored if status == 200 else [], 1):
            play.row(first, "final_text", chat, position, text.widget, text.n, text.condition, -1)
    return play


def ledger_of(play: Play) -> Ledger:
    folder = play.write()
    manifest = read_manifest(folder)
    return build(merge_histories(folder, manifest), manifest, play.scenario, T0, T0 + play.seconds)


# The slow one


def place(world: World, identity: Identity) -> tuple[int, int] | None:
    """Chat and position: an intact copy in its own chat before one elsewhere before a damaged one."""
    copies = [
        ((text.condition != INTACT) * 2 + (text.condition == INTACT and chat != identity[0]), chat, position)
        for chat, stored in world.final.items()
        for position, text in enumerate(stored, 1)
        if chat not in world.unread and (text.widget, text.n) == identity
    ]
    return min(copies)[1:] if copies else None


def audience(world: World, play: Play) -> dict[int, set[int]]:
    """Per chat, the dashboards that are to show its messages."""
    rooms = play.scenario.rooms
    if rooms is None:
        return {chat: set(range(world.dashboards)) for chat in range(world.widgets)}
    drawn = memberships_of(rooms, world.dashboards, play.manifest.seed, world.widgets)
    return {chat: set(drawn.at_start(chat)) for chat in range(world.widgets)}


def believed(world: World, content: Content, chat: int) -> int:
    total, texts = content.get(chat, (-1, []))
    if chat in world.unread:
        return total
    final: dict[tuple[int, int, int], int] = {}
    for position, text in enumerate(world.final[chat], 1):
        if text.widget >= 0:
            final.setdefault((text.widget, text.n, text.condition == INTACT), position)
    shown = [final.get((text.widget, text.n, text.condition == INTACT), 0) for text in texts]
    forgiven = len(world.final[chat]) - world.totals[chat]
    return 0 if max(shown, default=0) > total + forgiven else total


def slow_visible(world: World, identity: Identity, dashboard: int) -> tuple[float, bool]:
    """When, and whether a read of that moment held the text."""
    where = place(world, identity)
    best, text_seen = math.inf, False
    for reader, _, done, content in world.reads:
        if reader != dashboard or T0 + done < T0 + world.sends[identity][1]:
            continue
        as_text = any((text.widget, text.n) == identity for _, texts in content.values() for text in texts)
        as_count = where is not None and believed(world, content, where[0]) >= where[1]
        if (as_text or as_count) and done < best:
            best, text_seen = done, as_text
    return best, text_seen


def slow_notified(world: World, identity: Identity, dashboard: int) -> float:
    if world.sends[identity][0] != ACCEPTED:
        return math.inf
    return min(
        (at for to, at, _, number in world.frames if to == dashboard and number == world.ids[identity]),
        default=math.inf,
    )


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds())
def test_visible_notified_and_lost_are_what_the_slow_ledger_says(world: World) -> None:
    with tempfile.TemporaryDirectory() as folder:
        play = acted(world, Path(folder))
        ledger, members = ledger_of(play), audience(world, play)
        messages = ledger.messages
        assert len(messages) == len(world.sends)
        for row in range(len(messages)):
            identity = (int(messages.widget[row]), int(messages.n[row]))
            outcome, _ = world.sends[identity]
            for dashboard in range(world.dashboards):
                visible, as_text = slow_visible(world, identity, dashboard)
                delivery = ledger.deliveries.find_one(row, dashboard)
                assert (delivery >= 0) == (dashboard in members[identity[0]])
                if delivery < 0:
                    continue
                found = float(ledger.visible[delivery]) - T0
                assert found == visible or abs(found - visible) < 1e-6
                reads = {done for to, _, done, _ in world.reads if to == dashboard}
                if math.isfinite(visible) and sum(abs(done - visible) < 1e-9 for done in reads) == len(reads):
                    assert bool(ledger.visibility.as_text[delivery]) == as_text
                missing = outcome == ACCEPTED and not math.isfinite(visible)
                provable = identity[0] not in world.unread or place(world, identity) is not None
                assert bool(ledger.expected[delivery]) == (outcome == ACCEPTED)
                assert bool(ledger.lost[delivery]) == (missing and provable)
                assert bool(ledger.unproven[delivery]) == (missing and not provable)
                if world.frames:
                    heard = float(ledger.announcements.notified[delivery]) - T0
                    expected = slow_notified(world, identity, dashboard)
                    assert heard == expected or abs(heard - expected) < 1e-6


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds())
def test_rooms_that_everybody_is_in_are_no_different_from_no_rooms(world: World) -> None:
    # Without a send, only a widget's chat tells where a text belongs; and without ids, frames in rooms are not counted.
    assume(world.frames and all((text.widget, text.n) in world.sends for text in shown_by(world) if text.widget >= 0))
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        for name, rooms in ("none", {}), ("all", {"count": world.widgets}):
            world.members = None if name == "none" else world.dashboards
            play = acted(world, Path(folder) / name)
            play.rooms = dict(rooms)
            play.fault("net", 2.05, 3.05)
            verdict = play.judge(["visible.p99 <= 2s during net", "lost == 0 outside net", "notified == expected"])
            assert ledger_of(play).deliveries.rooms is None if name == "none" else ledger_of(play).deliveries.rooms
            verdict.folder, verdict.evidence, verdict.rooms, verdict.load = "", None, None, ""
            verdicts.append(verdict)
    assert verdicts[0] == verdicts[1]


def shown_by(world: World) -> list[Stored]:
    """Every text in any list, and in the final read."""
    lists = [texts for _, _, _, content in world.reads for _, texts in content.values()]
    return [text for texts in [*lists, *world.final.values()] for text in texts]


@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds())
def test_no_history_however_broken_is_an_internal_error(world: World) -> None:
    with tempfile.TemporaryDirectory() as folder:
        verdict = acted(world, Path(folder)).judge(["notified == expected", "visible.p99 <= 2s"])
        assert verdict.exit_code in (1, 3), verdict.reasons
        assert not [reason for reason in verdict.reasons if "crashed" in reason]


@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    plants=st.dictionaries(
        st.tuples(st.integers(0, 1), st.integers(0, 5)),
        st.sampled_from(["stored twice", "no frame", "two frames", "not stored", "damaged", "unseen", "slow"]),
        max_size=4,
    ),
    ids=st.booleans(),
    processes=st.integers(1, 2),
    tail=st.sampled_from([3, 99]),
)
def test_what_was_planted_is_what_is_found(plants: dict[Identity, str], ids: bool, processes: int, tail: int) -> None:
    meaning = {
        "stored twice": Plant(stored=2), "no frame": Plant(no_frame_on={1}), "two frames": Plant(two_frames_on={0}),
        "not stored": Plant(stored=0), "damaged": Plant(condition=DAMAGED), "unseen": Plant(unseen_by={1}),
        "slow": Plant(slow=0.4),
    }  # fmt: skip
    # A list that lacks one text and has another twice counts right.
    assume(not {"unseen", "stored twice"} <= set(plants.values()))
    count = {kind: list(plants.values()).count(kind) for kind in meaning}
    with tempfile.TemporaryDirectory() as folder:
        play = Play(Path(folder), ids=ids, processes=processes, tail=tail)
        play.plants = {identity: meaning[kind] for identity, kind in plants.items()}
        verdict = play.perform().judge()
    assert verdict.counts.store_lost == count["not stored"]
    assert verdict.counts.corrupted == count["damaged"]
    assert verdict.deliveries.lost == 2 * count["not stored"] + count["unseen"]
    assert verdict.counts.vanished == 0
    assert verdict.counts.phantom == 0
    assert verdict.counts.reordered == 0
    found, extra = verdict.deliveries.unnotified or 0, (verdict.counts.duplicated or 0) - count["stored twice"]
    if ids:
        assert found == count["no frame"]
        assert extra == count["two frames"]
    else:
        # Lower bounds: a frame that is missing and one too many cancel.
        assert 0 <= found <= count["no frame"]
        assert 0 <= extra <= count["two frames"]
        if not count["two frames"]:
            assert found >= count["no frame"] - count["unseen"]
