"""The manifest of a run: which processes took part, when it started, and how it ended. Without it nothing is judged."""

import platform
from pathlib import Path

import msgspec

from chatswarm.loadtests.system.text import to_json

MANIFEST = "manifest.json"
NEMESIS = "nemesis"
"""What makes the faults happen. It has no users, so its history says nothing but what it did."""
PROXY = "proxy"
"""The fault proxy, where there is one between the swarm and its target. Its history says how well it kept up."""


class Clock(msgspec.Struct):
    """A process's monotonic clock, where it is not that of the host that started the run: that one + `offset` seconds,
    give or take `bound` seconds.
    """

    offset: float
    bound: float


class Asked(msgspec.Struct):
    """What `chatswarm run` was asked for: a run that differs, whatever caused it, is undecided."""

    dashboards: int
    widgets: int
    seconds: float  # of the measured part
    processes: int  # with users in them


class Manifest(msgspec.Struct):
    """`manifest.json` in a run's folder. Times are monotonic seconds of the host that started the run."""

    run: str
    scenario: str
    target: str
    protocol: str
    list_window: int | None
    seed: int
    started: str  # ISO 8601, UTC, for people
    boot_id: str
    processes: list[str]  # each left `history/<process>.cs1`
    start: float | None = None  # T0: the measured part begins
    end: float | None = None  # the measured part ended
    ended: bool = False  # every process said that its history is closed
    cut_short: str | None = None  # why the measured part ended before its time
    troubles: list[str] = []  # what went wrong with the rig, for people
    command: list[str] = []  # repeats the run, where `chatswarm run` performed it
    asked: Asked | None = None  # where `chatswarm run` performed it
    clocks: dict[str, Clock] = {}  # of the processes whose boot id is another one

    def write(self, folder: Path) -> None:
        """Replaces the manifest in `folder` in one step."""
        new = folder / (MANIFEST + ".new")
        new.write_bytes(msgspec.json.format(to_json(self), indent=2) + b"\n")
        new.replace(folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the run in `folder`. Raises FileNotFoundError, or msgspec.MsgspecError if it is damaged."""
    read = msgspec.json.decode((folder / MANIFEST).read_bytes())
    if isinstance(read, dict) and "adapter" in read:  # 0.1's word for the protocol
        read.setdefault("protocol", read.pop("adapter"))
    return msgspec.convert(read, Manifest)


def history_file(folder: Path, process: str) -> Path:
    """Where `process` writes its history."""
    return folder / "history" / f"{process}.cs1"


def boot_id() -> str:
    """Processes that say the same share a monotonic clock: the boot, and the time namespace in it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/time').readlink()}"
    except OSError:
        # Not Linux: one machine is one clock.
        return platform.node()
