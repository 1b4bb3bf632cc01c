"""Faults of the net, between the swarm and its target: Toxiproxy's toxics by their names, and `down`.

`on` says where: on the dashboards' connections (`dashboards`: both their `sockets` and their `refetches`), on the
`widgets`', on all of these (`everything`), or between the reference backend and its `broker`.
"""

from typing import ClassVar

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.scenario.fault_kinds import NET_PLACES, STREAMS, FaultPlan

from .error import FaultError
from .fault import Fault, FaultContext
from .toxiproxy import Toxiproxy

_DEEDS = ("bytes_delayed", "bytes_swallowed", "ends_delayed", "pieces_cut", "connections_cut", "connections_reset")
"""What a toxic's evidence must have some of: that bytes went through it proves nothing."""


class NetworkFault(Fault):
    """What they share: the proxies."""

    @classmethod
    def unfit(cls, plan: FaultPlan, world: FaultContext) -> str | None:
        if plan.on == "broker" and "broker" not in world.proxies:
            return "expected a reference backend with a broker (`[backend] broker = true`), got none"
        return None

    @property
    def proxies(self) -> list[str]:
        return [self.world.proxies[place] for place in NET_PLACES[self.plan.on]]

    @property
    def api(self) -> Toxiproxy:
        assert self.world.toxiproxy is not None, "there is one where a plan is about the net"
        return self.world.toxiproxy


class ToxicFault(NetworkFault):
    """A toxic, called like its kind, on every connection there, also those that are open already."""

    milliseconds: ClassVar[tuple[str, ...]] = ()
    """The toxic's attributes that are durations."""
    numbers: ClassVar[tuple[str, ...]] = ()
    """The others: whole numbers."""

    def __init__(self, plan: FaultPlan, number: int, world: FaultContext) -> None:
        super().__init__(plan, number, world)
        self.added: list[tuple[str, str]] = []  # proxy, toxic

    @property
    def streams(self) -> tuple[str, ...]:
        return STREAMS[self.plan.text("stream")]

    def name(self, stream: str) -> str:
        """Of the toxic: of this occurrence alone."""
        return f"{self.plan.name}-{self.plan.kind}-{self.plan.at:g}-{self.number}-{stream}"

    def attributes(self) -> dict[str, int]:
        """In the units of Toxiproxy."""
        durations = {key: self.plan.number(key) for key in self.milliseconds}
        # Less than a millisecond is not none: a timeout of 0 never comes.
        values = {key: max(1, round(duration * 1000)) if duration else 0 for key, duration in durations.items()}
        return values | {key: int(self.plan.number(key)) for key in self.numbers}

    def begin(self) -> None:
        toxicity, attributes = self.plan.number("toxicity"), self.attributes()
        for proxy in self.proxies:
            for stream in self.streams:
                name = self.name(stream)
                self.added.append((proxy, name))
                self.api.add(proxy, name, self.plan.kind, stream, toxicity, attributes)

    def heal(self) -> Evidence:
        evidence: dict[str, float | str] = {}
        problems = []
        for proxy, name in self.added:
            try:
                # Not there if it could not be added, or if somebody else has removed it.
                if name in self.api.toxics(proxy):
                    self.api.remove(proxy, name)
                    if not self.api.has_evidence:
                        # A real Toxiproxy counts nothing: that the toxic stood there is all that it can say.
                        evidence[f"toxic_at_{proxy}"] = name
                if self.api.has_evidence:
                    for toxic in self.api.evidence(proxy)["toxics"]:
                        if toxic["name"] == name:
                            evidence = {key: int(evidence.get(key, 0)) + toxic[key] for key in _DEEDS}
            except FaultError as error:
                problems.append(str(error))
        if problems:
            raise FaultError("; ".join(problems))
        return evidence


class LatencyFault(ToxicFault):
    """Everything arrives later."""

    milliseconds = ("latency", "jitter")


class BandwidthFault(ToxicFault):
    """So much and no more."""

    numbers = ("rate",)


class SlowCloseFault(ToxicFault):
    """The end of a connection arrives later than its last byte."""

    milliseconds = ("delay",)


class TimeoutFault(ToxicFault):
    """A black hole: bytes are taken and thrown away."""

    milliseconds = ("timeout",)


class ResetPeerFault(ToxicFault):
    """Connections are reset."""

    milliseconds = ("timeout",)


class SlicerFault(ToxicFault):
    """Data arrives in small pieces."""

    numbers = ("average_size", "size_variation", "delay")


class LimitDataFault(ToxicFault):
    """Each connection is closed after so many bytes, in the middle of a frame if need be."""

    numbers = ("bytes",)


class DownFault(NetworkFault):
    """Connections are cut and refused."""

    def __init__(self, plan: FaultPlan, number: int, world: FaultContext) -> None:
        super().__init__(plan, number, world)
        self.before = 0  # connections that were cut before
        self.taken_down: list[str] = []

    def begin(self) -> None:
        self.before = self._cut()
        for proxy in self.proxies:
            self.taken_down.append(proxy)
            self.api.enable(proxy, False)

    def heal(self) -> Evidence:
        # Whom the kernel refuses nobody counts, so they are seen to refuse.
        refusing = [proxy for proxy in self.taken_down if self.api.refuses(proxy)]
        problems = []
        for proxy in self.taken_down:
            try:
                self.api.enable(proxy, True)
            except FaultError as error:
                problems.append(str(error))
        if problems:
            raise FaultError("; ".join(problems))
        if not self.taken_down:
            return {}
        evidence: dict[str, float | str] = {"refusing": ", ".join(refusing)}
        return evidence | ({"connections_cut": self._cut() - self.before} if self.api.has_evidence else {})

    def _cut(self) -> int:
        if not self.api.has_evidence:
            return 0
        return sum(self.api.evidence(proxy)["connections_cut"] for proxy in self.proxies)


NETWORK_FAULTS: dict[str, type[Fault]] = {
    "latency": LatencyFault,
    "bandwidth": BandwidthFault,
    "slow_close": SlowCloseFault,
    "timeout": TimeoutFault,
    "reset_peer": ResetPeerFault,
    "slicer": SlicerFault,
    "limit_data": LimitDataFault,
    "down": DownFault,
}
