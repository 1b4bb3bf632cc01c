"""Three small synthetic runs: one that passes, one that fails during a fault, and one with a truncated history."""

from pathlib import Path

from chatswarm.loadtests.history.manifest import TARGET, history_file
from chatswarm.loadtests.history.tables import ConnectionEvent
from chatswarm.loadtests.judge.judge import write_verdict
from tests.loadtests.judge.play import REJECTED, T0, UNKNOWN, Plant, Play

SLOS = ("visible.p99 <= 2s", "last_dashboard.p95 <= 2s", "notified == expected", "late <= 1% * expected")
NAN = float("nan")
HOSTILE = '<script>alert("1")</script> & `*|* \x07\ud800'


def passing(folder: Path) -> Play:
    """With samples of the machine, and of two processes of the target."""
    play = Play(folder, dashboards=4, rate=10, seconds=6, slos=SLOS)
    play.manifest.processes.append(TARGET)
    play.rows[TARGET] = []
    for second in range(1, 7):
        if second != 4:  # the rig was late
            play.row("worker0", "machine", T0 + second - 0.5, second / 4, second / 10, 0.05, 0.0, 2)
        play.row(TARGET, "process", T0 + second - 0.25, 70, "chat", 0.5 if second == 3 else 0.25, second * 10_000_000)
        play.row(TARGET, "process", T0 + second - 0.25, 71, "worker", NAN if second == 1 else 0.125, 5_000_000)
    return play


def failing(folder: Path) -> Play:
    """One message is lost on two of four dashboards, one is rejected, one is unknown, one is 2.5 s late."""
    play = Play(folder, dashboards=4, rate=10, seconds=12, slos=[*SLOS, "recovery.max <= 4s after net-cut"])
    play.plants = {
        (0, 11): Plant(unseen_by={1, 2}),
        (1, 10): Plant(outcome=REJECTED, stored=0),
        (1, 11): Plant(outcome=UNKNOWN),
        (0, 12): Plant(slow=2.5),
    }
    play.fault("net-cut", 2.0, 3.0, "down", {"connections_cut": 3, "signal": "none <b>"})
    play.event(3, 3, ConnectionEvent.CLOSED, T0 + 11.9, 1006)
    return play


def undecided(folder: Path) -> Path:
    file = history_file(write(passing(folder)), "worker0")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    return folder


def write(play: Play) -> Path:
    """Writes the run and its verdict. Returns its folder."""
    write_verdict(play.folder, play.perform().judge())
    return play.folder
