"""Histories that are not whole, however that came about: plain words, never a pass, never a traceback."""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.history.files import Chunk, Footer, Header, Writer, read
from chatswarm.loadtests.history.manifest import history_file, read_manifest
from chatswarm.loadtests.history.tables import FORMAT, TABLES
from chatswarm.loadtests.judge.judge import NoRunError, judge
from chatswarm.loadtests.judge.verdict import Verdict

from .play import RUN, Plant, Play
from .test_ledger_reference import EXAMPLES


def undecided(verdict: Verdict, *reasons: str) -> None:
    text = "\n".join(verdict.reasons)
    assert (verdict.verdict, verdict.exit_code, verdict.findings) == ("undecided", 3, []), text
    assert not verdict.rig.sound
    for reason in reasons:
        assert reason in text


# Killed, and a full disk


def test_killed_while_writing(tmp_path: Path) -> None:
    Play(tmp_path).perform().write()
    path = history_file(tmp_path, "worker0")
    path.unlink()
    code = """
import sys, pathlib
from chatswarm.loadtests.history.files import Header, Writer
writer = Writer(pathlib.Path(sys.argv[1]), Header(1, sys.argv[2], "worker0", "host"))
while True:
    for number in range(5000):
        writer.append("lag", number / 100, 0.0)
    writer.flush()
    print(flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", code, str(path), RUN], stdout=subprocess.PIPE)
    assert child.stdout is not None
    for _ in range(20):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    history = read(path)
    assert history.cut is not None
    assert len(history.tables["lag"]["time"]) >= 20 * 5000
    undecided(judge(tmp_path), "worker0.cs1 is not whole", "was the process killed, or the disk full?")


class FullDisk:
    """A file on a disk with room for so many bytes."""

    def __init__(self, path: Path, room: int) -> None:
        self._file, self._room = path.open("r+b", buffering=0), room
        self._file.seek(0, os.SEEK_END)

    def write(self, data: bytes) -> int:
        if not self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._file.write(data[: self._room])
        self._room -= written
        return written

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize("room", [0, 5, 1000, 20_000])
def test_a_disk_that_fills_up(tmp_path: Path, room: int) -> None:
    play = Play(tmp_path, plants={(0, 2): Plant(slow=0.2)}).perform()
    play.write()
    path = history_file(tmp_path, "worker0")
    path.unlink()
    writer = Writer(path, Header(FORMAT, RUN, "worker0", "host"))
    writer._file.close()
    writer._file = FullDisk(path, room)  # type: ignore[assignment]
    for number, (table, values) in enumerate(play.rows["worker0"]):
        writer.append(table, *values)  # type: ignore[arg-type]
        if number % 100 == 0:
            writer.flush()
    writer.close()
    assert writer.failure == "[Errno 28] No space left on device"
    undecided(judge(tmp_path), "worker0.cs1 is not whole")
    # What the process itself said of it is a reason, too.
    play.manifest.troubles = [f"worker0: its history could not be written: {writer.failure}"]
    play.manifest.write(tmp_path)
    undecided(judge(tmp_path), "No space left on device")


# Files that are missing, or of something else


def test_no_history_at_all(tmp_path: Path) -> None:
    Play(tmp_path, processes=2).perform().write()
    for path in (tmp_path / "history").iterdir():
        path.unlink()
    undecided(judge(tmp_path), "worker0.cs1 is missing", "worker1.cs1 is missing")
    (tmp_path / "history").rmdir()
    undecided(judge(tmp_path), "worker0.cs1 is missing", "worker1.cs1 is missing")


def test_a_history_that_is_a_folder(tmp_path: Path) -> None:
    Play(tmp_path).perform().write()
    path = history_file(tmp_path, "worker0")
    path.unlink()
    path.mkdir()
    undecided(judge(tmp_path), "history/worker0.cs1 cannot be read: [Errno 21] Is a directory")


def test_a_history_under_another_processes_name(tmp_path: Path) -> None:
    Play(tmp_path, processes=2).perform().write()
    history_file(tmp_path, "worker0").replace(history_file(tmp_path, "worker1"))
    undecided(judge(tmp_path), "worker1.cs1 is of another process: expected worker1, got worker0")


def test_a_manifest_that_is_newer_than_the_files(tmp_path: Path) -> None:
    play = Play(tmp_path, processes=2).perform()
    play.write()
    play.manifest.run = "laterrun22"
    play.manifest.write(tmp_path)
    undecided(
        judge(tmp_path),
        "history/worker0.cs1 is of another run: expected laterrun22, got testrun234",
        "history/worker1.cs1 is of another run: expected laterrun22, got testrun234",
    )


def test_a_manifest_that_names_one_process_more(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.write()
    play.manifest.processes.append("worker1")
    play.manifest.write(tmp_path)
    undecided(judge(tmp_path), "worker1.cs1 is missing: the process worker1 left no history (did it die?)")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"run": 5}', b'{"run": "a"}', b"{}" * 2],
)
def test_a_damaged_manifest_is_no_run(tmp_path: Path, content: bytes) -> None:
    Play(tmp_path).perform().write()
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(NoRunError, match=r"manifest\.json: expected a readable file, got"):
        judge(tmp_path)


def test_a_manifest_cut_anywhere_is_no_run_or_undecided(tmp_path: Path) -> None:
    Play(tmp_path).perform().write()
    path = tmp_path / "manifest.json"
    data = path.read_bytes()
    for length in range(0, len(data) - 2, 7):
        path.write_bytes(data[:length])
        with pytest.raises(NoRunError):
            judge(tmp_path)


def test_a_manifest_of_a_later_version_with_more_in_it(tmp_path: Path) -> None:
    Play(tmp_path).perform().write()
    path = tmp_path / "manifest.json"
    table: dict[str, Any] = json.loads(path.read_bytes())
    path.write_text(json.dumps({**table, "weather": "fine"}))
    assert read_manifest(tmp_path).run == RUN
    assert judge(tmp_path).verdict == "pass"


# Versions of the format


def test_a_file_of_another_format(tmp_path: Path) -> None:
    Play(tmp_path).perform().write()
    path = history_file(tmp_path, "worker0")
    path.unlink()
    Writer(path, Header(FORMAT + 1, RUN, "worker0", "host")).close()
    undecided(judge(tmp_path), f"cannot be read: expected history format {FORMAT}, got {FORMAT + 1}")


def test_a_file_with_an_unknown_table(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a.cs1", Header(FORMAT, RUN, "worker0", "host"))
    writer.append("lag", 1.0, 0.0)
    writer.flush()
    writer._put(Chunk("weather", 1, [memoryview(b"")]))
    writer.close()
    history = read(tmp_path / "a.cs1")
    assert history.cut == "it holds a table 'weather' that this version of chatswarm does not know"
    assert len(history.tables["lag"]["time"]) == 1


def test_a_file_of_before_faults_were_written_down_is_whole(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a.cs1", Header(FORMAT, RUN, "worker0", "host"))
    writer.append("lag", 1.0, 0.0)
    writer.flush()
    writer._put(Footer({name: int(name == "lag") for name in TABLES if name != "fault"}))
    writer._file.close()
    assert read(tmp_path / "a.cs1").cut is None


# Anything


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.sampled_from(["cut", "flip", "delete", "swap"]), st.integers(0, 10**6)),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 2),
)
def test_no_damage_ends_in_a_pass_or_an_internal_error(damage: list[tuple[str, int]], processes: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        play = Play(folder, processes=processes, widgets=1, rate=1, seconds=3).perform()
        play.fault("slow-net", 1, 2)
        play.write()
        names = play.manifest.processes
        whole = {process: history_file(folder, process).read_bytes() for process in names}
        for kind, number in damage:
            path = history_file(folder, names[number % len(names)])
            data = path.read_bytes() if path.exists() else b"x"
            at = number % max(1, len(data))
            if kind == "delete":
                path.unlink(missing_ok=True)
            elif kind == "swap":
                path.write_bytes(whole[names[(number + 1) % len(names)]])
            else:
                flipped = data[:at] + bytes([data[at] ^ (1 + number % 255)]) + data[at + 1 :] if data else b"y"
                path.write_bytes(data[:at] if kind == "cut" else flipped)
        after = {process: history_file(folder, process) for process in names}
        unharmed = all(path.exists() and path.read_bytes() == whole[process] for process, path in after.items())
        verdict = judge(folder, ["visible.p99 <= 2s", "lost == 0 outside slow-net"])
        assert verdict.exit_code in (1, 3), verdict.reasons
        assert unharmed or not verdict.rig.sound
        assert not [reason for reason in verdict.reasons if "internal error" in reason]


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chatswarm.loadtests.entry", "judge", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"{tmp_path}: expected the folder of a run, got no manifest.json in it\n"
    assert done.stdout == ""
