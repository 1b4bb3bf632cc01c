"""The manifest of a run: its processes, when it started, and how it ended. The judge needs it."""

import platform
from pathlib import Path

import msgspec

from chatswarm.loadtests.protocols.promises import Promises
from chatswarm.loadtests.system.text import to_json

MANIFEST = "manifest.json"
PROTOCOL = "protocol.toml"
"""The text of the protocol's file, if it is described in one."""
NEMESIS = "nemesis"
"""The process that injects faults. It has no users: its history only holds the faults."""
PROXY = "proxy"
"""The fault proxy between the swarm and its target, if there is one. Its history holds its lag and CPU use."""
TARGET = "target"
"""The target's processes, if they are known. The testbed samples them into a separate history."""
WITHOUT_USERS = (NEMESIS, PROXY, TARGET)
"""The processes whose histories say nothing about users."""


class Clock(msgspec.Struct):
    """The monotonic clock of a process on another host than the one that started the run.

    It is ahead of that host's clock by `offset` seconds, with an error of up to `bound` seconds.
    """

    offset: float
    bound: float


class Asked(msgspec.Struct):
    """What `chatswarm run` was asked for. A run that differs, for whatever reason, is undecided."""

    dashboards: int
    widgets: int
    seconds: float  # of the measured part
    processes: int  # those with users


class Manifest(msgspec.Struct):
    """`manifest.json` in a run's folder. Times are monotonic seconds of the host that started the run."""

    run: str
    scenario: str
    target: str
    protocol: str  # as `--protocol` named it; its text, if it is a file, is in `protocol.toml`
    list_window: int | None
    seed: int
    started: str  # ISO 8601, UTC, for people
    boot_id: str
    processes: list[str]  # each has a `history/<process>.cs1`
    start: float | None = None  # T0: the measured part begins
    end: float | None = None  # the measured part ended
    ended: bool = False  # every process reported that its history is closed
    cut_short: str | None = None  # why the measured part ended before its time
    void: str | None = None  # why nothing that was recorded says anything about the target, such as a proxy that died
    wrong_protocol: str | None = None  # why the protocol's file does not fit the target: nothing was measured
    troubles: list[str] = []  # what went wrong with the rig, as sentences
    command: list[str] = []  # repeats the run; from `chatswarm run` only
    asked: Asked | None = None  # from `chatswarm run` only
    clocks: dict[str, Clock] = {}  # of the processes with another boot id
    promises: Promises = Promises()  # of the target's protocol
    processor: str = ""  # of the host that started the run, by name; empty: unknown
    version: str = ""  # of chatswarm; empty: not recorded
    traceparent: bool = False  # each send and refetch by HTTP had a W3C trace context: see messages/trace.py

    @property
    def with_users(self) -> list[str]:
        """The processes that had users."""
        return [name for name in self.processes if name not in WITHOUT_USERS]

    def write(self, folder: Path) -> None:
        """Replaces the manifest in `folder` atomically."""
        new = folder / (MANIFEST + ".new")
        new.write_bytes(msgspec.json.format(to_json(self), indent=2) + b"\n")
        new.replace(folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the run in `folder`. Raises FileNotFoundError, or msgspec.MsgspecError if it is damaged."""
    read = msgspec.json.decode((folder / MANIFEST).read_bytes())
    if isinstance(read, dict) and "adapter" in read:  # the name of `protocol` in 0.1
        read.setdefault("protocol", read.pop("adapter"))
    return msgspec.convert(read, Manifest)


def history_file(folder: Path, process: str) -> Path:
    """The file that `process` writes its history to."""
    return folder / "history" / f"{process}.cs1"


def boot_id() -> str:
    """Identifies the boot and its time namespace. Processes with the same id share a monotonic clock."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/time').readlink()}"
    except OSError:
        # Not Linux: assume one clock per machine.
        return platform.node()
