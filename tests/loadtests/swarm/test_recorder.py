"""Whatever a target sends fits the columns: no row is half written, and no text stops the writer."""

from pathlib import Path
from typing import Any

import pytest

from chatswarm.loadtests.history.files import read
from chatswarm.loadtests.history.manifest import history_file
from chatswarm.loadtests.history.tables import (
    MOST_UNREADABLE,
    UNREADABLE_HERE,
    ConnectionEvent,
    SendOutcome,
    Sighting,
)
from chatswarm.loadtests.messages.identity import Condition, ParsedText, text_of
from chatswarm.loadtests.protocols.protocol import Frame, Kind, Page
from chatswarm.loadtests.protocols.reference import _Text
from chatswarm.loadtests.swarm.net.http import Response
from chatswarm.loadtests.swarm.recorder import Recorder
from chatswarm.loadtests.system.machine import MachineUse

RUN = "abcdefghij"
HUGE = 10**30
HALF = "a\ud800\0"


def test_numbers_and_texts_that_do_not_fit_are_made_to_fit(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "run", "swarm-0")
    odd = Response(100_000, b"", True, 1.0, 2.0, HALF)
    parsed = ParsedText(0, 0, Condition.INTACT)
    assert recorder.chat(HALF, 0) == 0
    for message_id in (HUGE, -5, 2**63, None, 7):
        recorder.send(0, 0, 0, 1.0, 1.0, odd, SendOutcome.UNKNOWN, message_id)
    recorder.announcement(Frame(Kind.MESSAGE, HALF, True, HUGE))
    recorder.connection(1, 0, ConnectionEvent.CLOSED, 1.0, 70_000, HALF)
    recorder.refetch(1, 0, 1.0, odd, 0)
    recorder.change(0, HALF, HUGE, 0, [parsed])
    recorder.final(HALF, 1.0, odd, Page([_Text("x", "user", HUGE)], HUGE), [parsed])
    recorder.unreadable(1, 1.0, HALF)
    recorder.trouble(1.0, "kind", HALF)
    recorder.note(1.0, "kind", HALF)
    assert recorder.close() is None
    history = read(history_file(tmp_path, "swarm-0"))
    assert history.cut is None
    tables = history.tables
    assert list(tables["send"]["message_id"]) == [-1, -1, -1, -1, 7]
    assert list(tables["send"]["status"]) == [32767] * 5
    assert list(tables["announcement"]["message_id"]) == [-1]
    assert list(tables["connection"]["code"]) == [32767]
    assert list(tables["version"]["total"]) == list(tables["final"]["total"]) == [2**31 - 1]
    assert list(tables["final_text"]["message_id"]) == [-1]
    details = [(table, "detail") for table in ("connection", "unreadable", "trouble", "note")]
    for table, column in (("chat", "chat_id"), *details):
        assert tables[table][column] == ["a\\ud800\0"]


def test_the_status_that_a_read_records(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "run", "swarm-0")
    whole = Response(200, b"x", True, 1.0, 2.0)
    for response in (
        whole,
        whole._replace(complete=False),
        whole._replace(undecoded=True),
        whole._replace(status=404, undecoded=True),
        whole._replace(status=-24, complete=False),
        whole._replace(status=UNREADABLE_HERE),
    ):
        recorder.refetch(1, 0, 1.0, response, -1)
    assert recorder.close() is None
    statuses = read(history_file(tmp_path, "swarm-0")).tables["refetch"]["status"]
    assert list(statuses) == [200, 0, UNREADABLE_HERE, 404, -24, UNREADABLE_HERE]


def test_each_server_is_written_once_and_named_by_its_number(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "run", "swarm-0")
    whole = Response(200, b"x", True, 1.0, 2.0)
    first, second = recorder.server("127.0.0.1:80", "worker-1"), recorder.server("127.0.0.1:80", "worker-2")
    assert (first, second) == (0, 1)
    assert recorder.server("127.0.0.1:80", "worker-1") == first
    assert recorder.server("127.0.0.1:80", "") == 2
    recorder.send(0, 0, 0, 1.0, 1.0, whole, SendOutcome.ACCEPTED, 7, server=second)
    recorder.send(0, 1, 0, 1.0, 1.0, whole, SendOutcome.ACCEPTED, 8)
    recorder.refetch(1, 0, 1.0, whole, -1, first, 7)
    recorder.refetch(1, 0, 1.0, whole, -1)
    recorder.connection(1, 0, ConnectionEvent.SUBSCRIBED, 1.0, server=second)
    recorder.connection(1, 0, ConnectionEvent.CLOSED, 1.0)
    assert recorder.close() is None
    tables = read(history_file(tmp_path, "swarm-0")).tables
    assert list(tables["server"]["server"]) == [0, 1, 2]
    assert tables["server"]["address"] == ["127.0.0.1:80"] * 3
    assert tables["server"]["name"] == ["worker-1", "worker-2", ""]
    assert list(tables["send"]["server"]) == [1, -1]
    assert list(tables["refetch"]["server"]) == [0, -1]
    assert list(tables["refetch"]["n"]) == [7, -1]
    assert list(tables["connection"]["server"]) == [1, -1]
    assert list(tables["connection"]["widget"]) == list(tables["send"]["connection"]) == [-1, -1]


def test_a_target_that_gives_endless_names_is_unknown_in_the_end(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "run", "swarm-0")
    assert recorder.server("", "") == -1
    assert recorder.server("a", HALF + "x" * 1000) == recorder.server("a", HALF + "x" * 2000) == 0
    assert [recorder.server("a", str(number)) for number in range(32767)] == list(range(1, 32768))
    assert recorder.server("a", "one too many") == -1
    assert recorder.server("a", "5") == 6
    assert recorder.close() is None
    names = read(history_file(tmp_path, "swarm-0")).tables["server"]["name"]
    assert (len(names), len(names[0])) == (32768, len("a\\ud800\0") + 197)


@pytest.mark.parametrize(("frames", "notes"), [(MOST_UNREADABLE, 0), (MOST_UNREADABLE + 500, 1)])
def test_of_endless_unreadable_frames_only_the_first_are_recorded_and_a_note_says_so(
    frames: int, notes: int, tmp_path: Path
) -> None:
    recorder = Recorder(tmp_path, "run", "swarm-0")
    for number in range(frames):
        recorder.unreadable(1, float(number), f"expected a frame, got {number}")
    assert recorder.close() is None
    tables = read(history_file(tmp_path, "swarm-0")).tables
    assert list(tables["unreadable"]["time"]) == list(range(MOST_UNREADABLE))
    assert tables["unreadable"]["detail"][-1] == f"expected a frame, got {MOST_UNREADABLE - 1}"
    cut = "more than 1,000 frames could not be read in one process: the history has only the first of them"
    assert tables["note"]["detail"] == [cut] * notes


def test_the_machine(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "run", "swarm-0")
    recorder.machine(5.0, MachineUse(1.5, 0.25, 0.5, 0.125, 8))
    assert recorder.close() is None
    machine = read(history_file(tmp_path, "swarm-0")).tables["machine"]
    assert {column: list(values) for column, values in machine.items()} == {
        "time": [5.0], "cpu": [1.5], "cpu_pressure": [0.25], "io_pressure": [0.5], "memory_pressure": [0.125],
        "cores": [8],
    }  # fmt: skip


def table(folder: Path, recorder: Recorder, name: str) -> list[dict[str, Any]]:
    assert recorder.close() is None
    columns = read(history_file(folder, "swarm-0")).tables[name]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def shown(text: str, message_id: int | str | None = None, room: str = "r") -> Frame:
    return Frame(Kind.MESSAGE, room, message_id=message_id, text=text)


def test_a_text_is_one_announcement_whatever_ids_it_has(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, RUN, "swarm-0")
    text = text_of(RUN, 3, 4, 80)
    numbers = [recorder.announcement(shown(text, message_id)) for message_id in (7, 8, "x", None, 7)]
    assert numbers == [0] * 5
    assert recorder.announcement(shown(text, 7, "another room")) == 1
    assert recorder.announcement(Frame(Kind.MESSAGE, "r", message_id=7)) == 2, "without a text, its id is all there is"
    assert recorder.announcement(shown(text_of("otherrunxx", 3, 4, 80))) == 3
    assert recorder.announcement(shown(text.replace("quick", "quack"))) == 4
    rows = [
        (row["widget"], row["n"], row["condition"], row["message_id"])
        for row in table(tmp_path, recorder, "announcement")
    ]
    assert rows == [
        (3, 4, Condition.INTACT, 7), (3, 4, Condition.INTACT, 7), (-1, -1, -1, 7), (-1, -1, Condition.FOREIGN, -1),
        (3, 4, Condition.DAMAGED, -1),
    ]  # fmt: skip


def test_live_replayed_and_read_texts_are_apart(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, RUN, "swarm-0")
    frame = shown(text_of(RUN, 0, 0, 80))
    assert [recorder.announcement(frame, how) for how in (*Sighting, *Sighting)] == [0, 1, 2, 0, 1, 2]
    assert recorder.announcement(frame) == Sighting.LIVE
    assert [row["how"] for row in table(tmp_path, recorder, "announcement")] == list(Sighting)


def test_an_id_that_is_a_text_is_the_same_number_in_every_process(tmp_path: Path) -> None:
    ids = []
    for process in ("a", "b"):
        recorder = Recorder(tmp_path / process, RUN, "swarm-0")
        recorder.announcement(Frame(Kind.MESSAGE, "r", message_id="m-\ud800"))
        recorder.announcement(Frame(Kind.MESSAGE, "r", message_id="n"))
        ids.append([int(row["message_id"]) for row in table(tmp_path / process, recorder, "announcement")])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2
    assert all(0 <= each < 2**63 for each in ids[0])


class Frames:
    """Takes frames as an intake does."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.known = recorder.known_in()
        self.taken = self.new = 0

    def take(self, data: bytes) -> None:
        announced = self.known.get(data)
        if announced is None:
            frame = shown("text")
            announced = ((self.recorder.announcement(frame), frame),)
            self.recorder.remember(data, announced, self.taken, self.known)
            self.new += 1
        self.taken += 1


def test_memory_stays_flat_where_no_bytes_ever_come_twice(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, RUN, "swarm-0")
    frames, most = Frames(recorder), 0
    for number in range(200_000):
        frames.take(b"%d" % number)
        most = max(most, len(frames.known))
    assert most <= 2_000
    assert frames.new == 200_000
    assert len(table(tmp_path, recorder, "announcement")) == 1


def test_bytes_that_come_to_several_dashboards_are_read_once(tmp_path: Path) -> None:
    frames = Frames(Recorder(tmp_path, RUN, "swarm-0"))
    for number in range(30_000):
        for _ in range(3):
            frames.take(b"%d" % number)
        assert len(frames.known) <= 10_000
    assert frames.recorder.close() is None
    assert frames.new == 30_000, "the same bytes come together, so forgetting older ones costs nothing"


def test_a_first_dashboard_that_is_alone_does_not_decide_for_the_whole_run(tmp_path: Path) -> None:
    frames = Frames(Recorder(tmp_path, RUN, "swarm-0"))
    for number in range(5_000):
        frames.take(b"%d" % number)
    before, number = frames.new, 5_000
    while frames.new - before < 100_000:
        frames.take(b"%d" % number)
        frames.take(b"%d" % number)
        number += 1
    before = frames.new
    for late in range(number, number + 1000):
        frames.take(b"%d" % late)
        frames.take(b"%d" % late)
    assert frames.recorder.close() is None
    assert frames.new - before == 1000
