"""Histories of older versions of chatswarm are judged as before; those of later ones are refused in one line."""

import struct
import zlib
from pathlib import Path

import msgspec
import pytest

from chatswarm.loadtests.history.files import Chunk, Footer, Header, read
from chatswarm.loadtests.history.manifest import history_file
from chatswarm.loadtests.history.tables import FORMAT
from chatswarm.loadtests.judge.judge import judge
from tests.loadtests.judge.play import Plant, Play

FORMAT_1 = {
    "send": "iiiddddbhq",
    "chat": "iis",
    "connection": "iibhds",
    "announcement": "iibq",
    "frame": "iid",
    "refetch": "iiddhii",
    "version": "iiiii",
    "text": "iiiib",
    "final": "ihidds",
    "final_text": "iiiibq",
    "lag": "dd",
    "cpu": "ddi",
    "trouble": "dss",
    "user": "bibd",
    "note": "dss",
    "fault": "ssbds",
}
"""The columns of format 1, to the letter: int8, int16, int32, int64, float64 and text."""


def framed(part: Header | Chunk | Footer) -> bytes:
    payload = msgspec.msgpack.encode(part)
    return struct.pack("<2sII", b"CS", len(payload), zlib.crc32(payload)) + payload


def column(code: str, values: list[object]) -> memoryview:
    packed = msgspec.msgpack.encode(values) if code == "s" else struct.pack(f"={len(values)}{code}", *values)
    return memoryview(packed)


def rewritten(play: Play, number: int) -> None:
    """The run with all its histories written as in format 1, under this number of a format."""
    folder = play.write()
    for process, written in play.rows.items():
        data = framed(Header(number, play.manifest.run, process, "host"))
        counts = {}
        for table, codes in FORMAT_1.items():
            rows = [values for name, values in written if name == table]
            counts[table] = len(rows)
            if rows:
                columns = [
                    column(code, list(values)) for code, values in zip(codes, zip(*rows, strict=True), strict=True)
                ]
                data += framed(Chunk(table, len(rows), columns))
        history_file(folder, process).write_bytes(data + framed(Footer(counts)))


def run(folder: Path) -> Play:
    """With a loss, a rejected connection and a fault."""
    play = Play(folder, dashboards=4, processes=2, plants={(0, 2): Plant(unseen_by={1})}, never_connected={3})
    play.perform()
    play.fault("slow-net", 1, 2)
    return play


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_older_format_is_judged_as_before(tmp_path: Path, number: int) -> None:
    play = run(tmp_path)
    new = play.judge()
    rewritten(play, number)
    assert read(history_file(tmp_path, "worker0")).header.format == number
    assert judge(tmp_path) == new
    assert (new.verdict, new.deliveries.lost > 0, new.reasons) == ("fail", True, [])


def test_what_format_1_lacks_is_none(tmp_path: Path) -> None:
    rewritten(run(tmp_path), 1)
    tables = read(history_file(tmp_path, "worker0")).tables
    assert set(tables["send"]["server"]) == set(tables["refetch"]["server"]) == {-1}
    assert set(tables["connection"]["deflate"]) == {-1}
    assert set(tables["refetch"]["n"]) == {-1}
    assert len(tables["machine"]["cpu"]) == len(tables["server"]["name"]) == len(tables["unreadable"]["time"]) == 0


@pytest.mark.parametrize("number", [0, FORMAT + 1])
def test_any_other_format_is_refused_in_one_line(tmp_path: Path, number: int) -> None:
    play = Play(tmp_path).perform()
    rewritten(play, number)
    verdict = judge(tmp_path)
    assert verdict.verdict == "undecided"
    assert verdict.reasons[0] == (f"history/worker0.cs1 cannot be read: expected history format {FORMAT}, got {number}")
