"""The plan of a run, as the conductor sends it to every process, and the progress that each reports back."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from chatswarm.loadtests.net.address import is_loopback, join_host_port, split_host_port
from chatswarm.loadtests.protocols.catalogue import find_protocol
from chatswarm.loadtests.protocols.protocol import ChatProtocol
from chatswarm.loadtests.protocols.users_file import read_users
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.scenario.scenario import Scenario

from .directory import UserDirectory
from .net.addresses import Endpoint


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything about a run that a process must know."""

    run: str
    seed: int
    folder: str
    base_url: str
    protocol: str
    name: str  # of the scenario
    table: dict[str, Any]  # the resolved scenario
    boot_id: str  # of the conductor's machine: on another one, clocks differ
    via: dict[str, str] = field(default_factory=dict)  # route → address of its fault proxy
    watched: bool = False  # somebody may scrape the live figures, so processes report increments
    processes: int = 1  # with users in them
    origin: str | None = None  # sent with every handshake and request; None: no Origin at all
    protocol_text: str = ""  # of the protocol's file, if it is described in one
    users_file: str | None = None  # the path of the users' file, which each process reads for itself
    traceparent: bool = False  # each send and refetch by HTTP has a W3C trace context

    def scenario(self) -> Scenario:
        return scenario.parse(self.table, self.name, self.name)

    def chat_protocol(self) -> ChatProtocol:
        """Raises ProtocolError."""
        return find_protocol(self.protocol, self.protocol_text).make(target=self.base_url)

    def directory(self, scenario: Scenario, protocol: ChatProtocol) -> UserDirectory:
        """The users of this run. Raises UsersFileError."""
        needed = scenario.dashboards + scenario.widget_users
        rows = () if self.users_file is None else read_users(Path(self.users_file), needed)
        directory = UserDirectory(protocol, self.run, scenario.dashboards, rows)
        directory.check(scenario.widget_users)
        return directory

    def via_of(self, route: str) -> Endpoint | None:
        """The address of the fault proxy on a route (`sockets`, `refetches`, `widgets`); None if there is none."""
        return split_host_port(self.via[route]) if route in self.via else None

    def reached_by(self, master_host: str) -> "RunPlan":
        """The same for a worker that reaches the master by this name: proxies on the master's loopback are there."""
        if is_loopback(master_host):
            return self
        via = {}
        for route, address in self.via.items():
            host, port = split_host_port(address)
            via[route] = join_host_port(master_host if is_loopback(host) else host, port)
        return replace(self, via=via)

    @property
    def path(self) -> Path:
        return Path(self.folder)


@dataclass(slots=True)
class ProcessProgress:
    """How far one process is, or all together: figures for watching, never for the verdict."""

    subscribed: int = 0  # dashboards that are notified of new messages now
    arrived: int = 0  # dashboards that were subscribed at least once
    widgets: int = 0  # widgets that have a chat or were refused one
    sent: int = 0
    accepted: int = 0
    refused: int = 0
    rig_failed: int = 0
    in_flight: int = 0
    frames: int = 0
    updates: int = 0
    latencies: dict[int, int] = field(default_factory=dict)  # bucket of the update latency in ms → updates

    def add(self, other: "ProcessProgress") -> None:
        """Adds the figures of another process."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for bucket, count in other.latencies.items():
            self.latencies[bucket] = self.latencies.get(bucket, 0) + count

    def p99(self) -> float | None:
        """The 99th percentile of the update latency in seconds, as exact as the buckets; None without updates."""
        left = self.updates * 0.01
        for bucket in sorted(self.latencies, reverse=True):
            left -= self.latencies[bucket]
            if left < 0:
                return bucket / 1000
        return None


_COUNTS = tuple(each.name for each in fields(ProcessProgress) if each.name != "latencies")
