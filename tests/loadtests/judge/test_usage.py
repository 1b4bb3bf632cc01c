"""What the machines and the target's processes used, and who served: it explains a verdict, and changes none."""

import math
from pathlib import Path

import pytest

from chatswarm.loadtests.history.files import Header, Writer
from chatswarm.loadtests.history.manifest import TARGET, Asked, Clock, history_file
from chatswarm.loadtests.history.tables import FORMAT
from chatswarm.loadtests.judge.judge import judge
from chatswarm.loadtests.judge.ledger import merge_histories
from chatswarm.loadtests.judge.ledger.observations import Observations, ServedBy
from chatswarm.loadtests.judge.verdict import RigMachine, TargetProcess

from .play import RUN, T0, Play

NAN = math.nan


def sampled(folder: Path) -> Play:
    """A run of 6 s with two processes of the target: the second one is replaced after 2 s."""
    play = Play(folder, processes=2).perform()
    play.manifest.processes.append(TARGET)
    play.rows[TARGET] = []
    for time, pid, name, cpu, memory in (
        (-1, 10, "chat", 0.9, 900),  # before the start
        (1, 10, "chat", 0.25, 100),
        (1, 11, "worker", 0.5, 50),
        (2, 10, "chat", 0.25, 300),
        (3, 10, "chat", 0.125, 200),
        (3, 12, "sh", NAN, 5),  # just found
        (4, 12, "worker", 0.75, 60),
        (9, 13, "late", 0.1, 1),  # after the last message was due
    ):
        play.row(TARGET, "process", T0 + time, pid, name, cpu, memory)
    return play


def merged(play: Play) -> Observations:
    return merge_histories(play.write(), play.manifest)


def test_the_processes_of_the_target(tmp_path: Path) -> None:
    verdict = sampled(tmp_path).judge()
    assert verdict.verdict == "pass"
    assert verdict.target_processes == [
        TargetProcess("chat", 10, 0.25, 300),
        TargetProcess("worker", 11, 0.5, 50),
        TargetProcess("worker", 12, 0.75, 60),
    ]


def test_one_that_was_seen_only_once_has_no_cpu(tmp_path: Path) -> None:
    play = sampled(tmp_path)
    del play.rows[TARGET][-2:]
    assert play.judge().target_processes[-1] == TargetProcess("sh", 12, None, 5)


@pytest.mark.parametrize("wrong", ["missing", "cut", "of a later format"])
def test_without_their_history_the_verdict_is_the_same_and_says_so(tmp_path: Path, wrong: str) -> None:
    folder = sampled(tmp_path).write()
    path = history_file(folder, TARGET)
    data = path.read_bytes()
    path.unlink()
    if wrong == "cut":
        path.write_bytes(data[:-5])
    elif wrong == "of a later format":
        Writer(path, Header(FORMAT + 1, RUN, TARGET, "host")).close()
    verdict = judge(folder)
    assert (verdict.verdict, verdict.reasons, verdict.rig.sound, verdict.rig.reasons) == ("pass", [], True, [])
    assert any("history/target.cs1" in note for note in verdict.notes)
    assert bool(verdict.target_processes) == (wrong == "cut")


def test_a_run_that_never_began_does_not_miss_it(tmp_path: Path) -> None:
    play = sampled(tmp_path)
    play.manifest.start = play.manifest.end = None
    folder = play.write()
    history_file(folder, TARGET).unlink()
    verdict = judge(folder)
    assert "target.cs1" not in "\n".join([*verdict.notes, *verdict.reasons])


def test_it_is_no_process_with_users(tmp_path: Path) -> None:
    play = sampled(tmp_path)
    play.manifest.asked = Asked(dashboards=2, widgets=2, seconds=6.0, processes=2)
    verdict = play.judge()
    assert (verdict.verdict, verdict.reasons) == ("pass", [])


def machine(play: Play, process: str, *seconds: tuple[float, float, float, float], cores: int = 4) -> None:
    for number, use in enumerate(seconds, 1):
        play.row(process, "machine", T0 + number, *use, cores)


def test_the_worst_second_of_the_machine(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.row("worker0", "machine", T0 - 1, 4.0, 1.0, 1.0, 1.0, 4)
    machine(play, "worker0", (1.5, 0.25, 0.0, 0.0), (2.5, 0.125, 0.5, 0.0), (NAN, NAN, NAN, NAN))
    assert play.judge().rig.machine == RigMachine(2.5, 4, 0.25, 0.5, 0.0)


def test_what_was_not_measured_is_none(tmp_path: Path) -> None:
    play = Play(tmp_path / "a").perform()
    machine(play, "worker0", (1.5, NAN, NAN, NAN))
    assert play.judge().rig.machine == RigMachine(1.5, 4, None, None, None)
    assert Play(tmp_path / "b").perform().judge().rig.machine is None


def test_a_busy_machine_alone_does_not_make_the_rig_unsound(tmp_path: Path) -> None:
    """The lag of its loops decides: others may have used the machine without disturbing them."""
    play = Play(tmp_path).perform()
    machine(play, "worker0", (4.0, 1.0, 1.0, 1.0))
    verdict = play.judge()
    assert (verdict.verdict, verdict.rig.sound) == ("pass", True)


@pytest.mark.parametrize("longer", ["worker0", "worker1"])
def test_several_processes_on_one_host_are_one_machine(tmp_path: Path, longer: str) -> None:
    """Of which the longest series is kept: the others left early."""
    play = Play(tmp_path, processes=2).perform()
    for process in ("worker0", "worker1"):
        seconds = [(1.25, 0.0, 0.0, 0.0), (1.5, 0.0, 0.0, 0.0)]
        machine(play, process, *seconds[: 2 if process == longer else 1])
    (only,) = merged(play).machines
    assert (only.process, only.cpu.tolist()) == (longer, [1.25, 1.5])


def test_the_busiest_of_several_machines_by_the_share_of_its_cores(tmp_path: Path) -> None:
    play = Play(tmp_path, processes=2).perform()
    machine(play, "worker0", (4.0, 0.5, 0.0, 0.0), cores=16)
    play.manifest.clocks = {"worker1": Clock(1000.0, 0.0)}
    folder = play.write()
    history_file(folder, "worker1").unlink()
    writer = Writer(history_file(folder, "worker1"), Header(FORMAT, RUN, "worker1", "another host"))
    writer.append("machine", T0 + 1001, 1.5, 0.25, 0.75, 0.0, 2)
    writer.close()
    observations = merge_histories(folder, play.manifest)
    assert [found.time.tolist() for found in observations.machines] == [[T0 + 1], [T0 + 1]]
    assert judge(folder).rig.machine == RigMachine(1.5, 2, 0.5, 0.75, 0.0)


def test_servers_are_numbered_across_processes(tmp_path: Path) -> None:
    """Each process has numbered those that it met; a cut history may lack the name of one."""
    play = Play(tmp_path, processes=2).perform()
    for process, names in (("worker0", "ab"), ("worker1", "ca")):
        for number, name in enumerate(names):
            play.row(process, "server", number, "127.0.0.1:1", name)
        for number in (0, 1, 5):
            play.row(process, "refetch", 0, 0, T0, T0 + 0.1, 200, -1, 10, number)
        play.row(process, "send", 0, 900, -1, T0, T0, T0, T0, 0, 200, -1, 1)
    play.row("worker1", "connection", 1, 1, 2, 1000, T0 + 20, "", -1, 0)
    play.row("worker1", "connection", 1, 1, 2, 1000, T0 + 21, "", -1)
    observations = merged(play)
    assert observations.servers == [ServedBy("127.0.0.1:1", name) for name in "abc"]
    assert [server for server in observations.refetches.server.tolist() if server >= 0] == [0, 1, 2, 0]
    assert observations.sends.server[observations.sends.n == 900].tolist() == [1, 0]
    connections = observations.connections
    assert sorted(connections.server[connections.dashboard == 1].tolist()) == [2]
    assert (connections.server[connections.dashboard != 1] == -1).all()
