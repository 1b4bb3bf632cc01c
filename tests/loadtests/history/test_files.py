"""History files: what is written comes back, and a file cut anywhere is read up to the cut."""

import contextlib
from array import array
from pathlib import Path

import numpy as np
import pytest

from chatswarm.loadtests.history.files import Header, HistoryError, Writer, read
from chatswarm.loadtests.history.manifest import Manifest, boot_id, history_file, read_manifest
from chatswarm.loadtests.history.tables import FORMAT, TABLES
from chatswarm.loadtests.judge.judge import judge
from tests.loadtests.judge.play import Play

HEADER = Header(FORMAT, "run", "worker0", "host")


def write(path: Path) -> list[int]:
    """A small history, flushed twice. Returns the sizes after which more rows are readable."""
    writer = Writer(path, HEADER)
    sizes = []
    for at in (1.0, 2.0):
        writer.append("chat", 0, 3, "café")
        writer.append("frame", 1, 2, at)
        writer.flush()
        sizes.append(path.stat().st_size)
    writer.close()
    return sizes


def test_everything_comes_back(tmp_path: Path) -> None:
    write(tmp_path / "a.cs1")
    history = read(tmp_path / "a.cs1")
    assert history.header == HEADER
    assert history.cut is None
    assert history.tables["chat"]["chat_id"] == ["café", "café"]
    assert np.array_equal(history.tables["frame"]["time"], [1.0, 2.0])
    assert set(history.tables) == set(TABLES)
    assert len(history.tables["send"]["widget"]) == 0


def test_half_a_character_ends_no_history(tmp_path: Path) -> None:
    """A protocol that reads JSON as Python does hands on what its target cut in half."""
    writer = Writer(tmp_path / "a.cs1", HEADER)
    writer.append("chat", 0, 0, "caf\u00e9")
    writer.append("chat", 1, 1, "a\ud83d")
    writer.flush()
    writer.append("trouble", 1.0, "kind", "a\udcff")
    writer.close()
    history = read(tmp_path / "a.cs1")
    assert history.tables["chat"]["chat_id"] == ["caf\u00e9", "a\\ud83d"]
    assert history.tables["trouble"]["detail"] == ["a\\xff"]


def test_every_table_takes_a_row(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a.cs1", HEADER)
    for table in TABLES.values():
        writer.append(table.name, *("text" if code == "s" else 7 for code in table.columns.values()))
    writer.close()
    for name, columns in read(tmp_path / "a.cs1").tables.items():
        for column, values in columns.items():
            assert list(values) == (["text"] if TABLES[name].columns[column] == "s" else [7]), (name, column)


def test_a_file_cut_at_any_byte_is_read_up_to_there(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.cs1", tmp_path / "part.cs1"
    sizes = write(whole)
    data = whole.read_bytes()
    first = len(data)
    for length in range(len(data)):
        part.write_bytes(data[:length])
        try:
            history = read(part)
        except HistoryError:
            assert length < sizes[0]
            continue
        first = min(first, length)
        assert history.cut is not None
        rows = list(np.asarray(history.tables["frame"]["time"]))
        assert rows == ([1.0, 2.0] if length >= sizes[1] else [1.0] if length >= sizes[0] else [])
    assert first < sizes[0]


def test_a_run_with_a_file_cut_anywhere_neither_passes_nor_has_a_false_finding(tmp_path: Path) -> None:
    play = Play(tmp_path, dashboards=2, widgets=1, rate=1, seconds=3, processes=1)
    play.perform()
    play.write()
    path = history_file(tmp_path, "worker0")
    data = path.read_bytes()
    for length in range(0, len(data), 41):
        path.write_bytes(data[:length])
        verdict = judge(tmp_path)
        assert (verdict.verdict, verdict.exit_code, verdict.findings) == ("undecided", 3, []), (
            length,
            verdict.reasons,
            verdict.findings,
        )


@pytest.mark.parametrize(
    ("flushes", "last", "ids"), [(1, "lag", True), (3, "lag", True), (1, "send", True), (1, "send", False)]
)
def test_a_run_that_was_flushed_often_and_cut_between_two_chunks(
    tmp_path: Path, flushes: int, last: str, ids: bool
) -> None:
    play = Play(tmp_path, dashboards=3, ids=ids).perform()
    rows = play.rows["worker0"]
    play.write()
    path = history_file(tmp_path, "worker0")
    path.unlink()
    writer = Writer(path, Header(FORMAT, play.manifest.run, "worker0", "host"))
    sizes = []
    for number, (table, values) in enumerate(sorted(rows, key=lambda row: row[0] == last)):
        writer.append(table, *values)  # type: ignore[arg-type]
        if number % (len(rows) // (40 * flushes)) == 0:
            writer.flush()
            sizes.append(path.stat().st_size)
    writer.close()
    assert judge(tmp_path).verdict == "pass"
    data = path.read_bytes()
    for size in sizes:
        for extra in (0, 100, 500):
            path.write_bytes(data[: min(size + extra, len(data) - 1)])
            verdict = judge(tmp_path)
            assert (verdict.verdict, verdict.exit_code, verdict.findings) == ("undecided", 3, []), size


def test_another_version_of_the_format(tmp_path: Path) -> None:
    Writer(tmp_path / "a.cs1", Header(FORMAT + 1, "run", "worker0", "host")).close()
    with pytest.raises(HistoryError, match=f"expected history format {FORMAT}, got {FORMAT + 1}"):
        read(tmp_path / "a.cs1")


def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.cs1"
    write(path)
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with contextlib.suppress(HistoryError):
            assert read(path).cut is not None


def test_a_full_disk_ends_the_file_and_says_so(tmp_path: Path) -> None:
    try:
        full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - the writer closes it
    except OSError:
        pytest.skip("this system has no /dev/full")
    writer = Writer(tmp_path / "a.cs1", HEADER)
    writer._file.close()
    writer._file = full
    writer.append("frame", 1, 2, 3.0)
    writer.flush()
    assert writer.failure is not None
    writer.append("frame", 1, 2, 3.0)
    writer.close()
    assert read(tmp_path / "a.cs1").cut is not None


def test_hot_paths_may_hold_on_to_the_columns(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a.cs1", HEADER)
    times = writer.columns["frame"][2]
    assert isinstance(times, array)
    for _ in range(2):
        for column in writer.columns["frame"]:
            column.append(1)  # type: ignore[arg-type]
        writer.flush()
        assert writer.columns["frame"][2] is times
    writer.close()
    assert len(read(tmp_path / "a.cs1").tables["frame"]["time"]) == 2


def test_a_history_is_not_overwritten(tmp_path: Path) -> None:
    Writer(tmp_path / "a.cs1", HEADER).close()
    with pytest.raises(FileExistsError):
        Writer(tmp_path / "a.cs1", HEADER)


def test_the_manifest_comes_back(tmp_path: Path) -> None:
    manifest = Manifest("r", "s", "t", "reference", 100, 1, "now", boot_id(), ["worker0"], start=1.5, troubles=["x"])
    manifest.write(tmp_path)
    assert read_manifest(tmp_path) == manifest
    assert history_file(tmp_path, "worker0") == tmp_path / "history" / "worker0.cs1"


def test_a_manifest_of_0_1_that_names_its_protocol_by_the_older_word(tmp_path: Path) -> None:
    manifest = Manifest("r", "steady", "http://chat", "reference", None, 1, "now", boot_id(), ["0"])
    manifest.write(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"protocol"', '"adapter"'), encoding="utf-8")
    assert read_manifest(tmp_path) == manifest
