"""What the swarm and the testbed's process say to each other: a JSON object per line."""

from typing import Any

import msgspec


class TestbedOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says about the target, by the flags of `chatswarm run`."""

    base_url: str | None = None  # None: the reference chat, started for this run
    protocol: str = "reference"
    pid: int | None = None
    restart_command: str | None = None
    toxiproxy: str | None = None  # the API of one that is already running
    origin: str | None = None  # the Origin of every request and handshake
    users_file: str | None = None  # the path of the users' file
    traceparent: bool = False  # each send and refetch has a W3C trace context

    @property
    def flags(self) -> list[str]:
        """The same, as flags of `chatswarm run`."""
        values = {
            "--target": self.base_url,
            "--protocol": self.protocol,
            "--pid": self.pid,
            "--restart-command": self.restart_command,
            "--toxiproxy": self.toxiproxy,
            "--origin": self.origin,
            "--users-file": self.users_file,
        }
        words = [word for flag, value in values.items() if value is not None for word in (flag, str(value))]
        return [*words, *(["--traceparent"] if self.traceparent else [])]


class SetUpTestbed(msgspec.Struct, frozen=True, tag=True):
    """The first line to the testbed. It answers with TestbedReady or TestbedRefused."""

    folder: str  # of the run
    scenario: str  # its name
    table: dict[str, Any]  # the resolved scenario
    seed: int
    options: TestbedOptions
    listen: str = ""  # where proxies listen, for workers on other hosts; empty: on loopback only
    only_check: bool = False  # set nothing up: TestbedReady means that all could be


class MeasuringBegins(msgspec.Struct, frozen=True, tag=True):
    """The measured part begins at `start`, in monotonic seconds of this host: time for faults and samples.

    `rooms`: the ids of the run's rooms.
    """

    run: str
    start: float
    rooms: list[str] = []


class HealFaults(msgspec.Struct, frozen=True, tag=True):
    """Heal now what is not healed, and begin nothing more."""


class EndTestbed(msgspec.Struct, frozen=True, tag=True):
    """Heal, take everything down, answer with TestbedEnded, and end. The end of the input means the same."""


class TestbedSays(msgspec.Struct, frozen=True, tag=True):
    """A line for people."""

    text: str


class TestbedRefused(msgspec.Struct, frozen=True, tag=True):
    """Nothing is set up. `problems`: a line each."""

    problems: list[str]


class TestbedReady(msgspec.Struct, frozen=True, tag=True):
    """Everything is up."""

    base_url: str
    via: dict[str, str]  # place on the net → address of the fault proxy there
    watches: bool = False  # there will be a `history/target.cs1`: the target's processes are known


class TestbedEnded(msgspec.Struct, frozen=True, tag=True):
    """Everything is healed and down. `trouble`: why nothing that was measured can be trusted."""

    trouble: str | None = None


ToTestbed = SetUpTestbed | MeasuringBegins | HealFaults | EndTestbed
FromTestbed = TestbedSays | TestbedRefused | TestbedReady | TestbedEnded
