"""Network faults between the swarm and its target: Toxiproxy's toxics under their own names, and `down`.

`on` says where: on the dashboards' connections (`dashboards`: both their `sockets` and their `refetches`), on the
`widgets`', on all of these (`everything`), or between the reference backend and its `broker`.
"""

from typing import ClassVar

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.scenario.fault_kinds import NET_PLACES, STREAMS, FaultPlan

from .error import FaultError
from .fault import Fault, FaultContext
from .toxiproxy import Toxiproxy

_EFFECTS = ("bytes_delayed", "bytes_swallowed", "ends_delayed", "pieces_cut", "connections_cut", "connections_reset")
"""The counters that prove that a toxic did something. Bytes that merely passed through it prove nothing."""


class NetworkFault(Fault):
    """A fault that acts through the fault proxies."""

    @classmethod
    def unfit(cls, plan: FaultPlan, context: FaultContext) -> str | None:
        if plan.on == "broker" and "broker" not in context.proxies:
            return "expected a reference backend with a broker (`[backend] broker = true`), got none"
        return None

    @property
    def proxies(self) -> list[str]:
        return [self.context.proxies[place] for place in NET_PLACES[self.plan.on]]

    @property
    def api(self) -> Toxiproxy:
        assert self.context.toxiproxy is not None, "the testbed starts it for every plan with a network fault"
        return self.context.toxiproxy


class ToxicFault(NetworkFault):
    """Adds a toxic of the same name as the fault's kind to every connection, including those already open."""

    milliseconds: ClassVar[tuple[str, ...]] = ()
    """The toxic's attributes that are durations."""
    numbers: ClassVar[tuple[str, ...]] = ()
    """Its other attributes: whole numbers."""

    def __init__(self, plan: FaultPlan, number: int, context: FaultContext) -> None:
        super().__init__(plan, number, context)
        self.added: list[tuple[str, str]] = []  # (proxy, toxic)

    @property
    def streams(self) -> tuple[str, ...]:
        return STREAMS[self.plan.text("stream")]

    def toxic_name(self, stream: str) -> str:
        """The toxic's name, unique to this occurrence."""
        return f"{self.plan.name}-{self.plan.kind}-{self.plan.at:g}-{self.number}-{stream}"

    def attributes(self) -> dict[str, int]:
        """The toxic's attributes, in Toxiproxy's units."""
        durations = {key: self.plan.number(key) for key in self.milliseconds}
        # A duration below 1 ms must not become 0: a timeout of 0 never fires.
        values = {key: max(1, round(duration * 1000)) if duration else 0 for key, duration in durations.items()}
        return values | {key: int(self.plan.number(key)) for key in self.numbers}

    def begin(self) -> None:
        toxicity, attributes = self.plan.number("toxicity"), self.attributes()
        for proxy in self.proxies:
            for stream in self.streams:
                name = self.toxic_name(stream)
                self.added.append((proxy, name))
                self.api.add(proxy, name, self.plan.kind, stream=stream, toxicity=toxicity, attributes=attributes)

    def heal(self) -> Evidence:
        evidence: dict[str, float | str] = {}
        problems = []
        for proxy, name in self.added:
            try:
                # It is missing if adding it failed, or if somebody else removed it.
                if name in self.api.toxics(proxy):
                    self.api.remove(proxy, name)
                    if not self.api.has_evidence:
                        # A real Toxiproxy counts nothing: all it can prove is that the toxic was still there.
                        evidence[f"toxic_at_{proxy}"] = name
                if self.api.has_evidence:
                    for toxic in self.api.evidence(proxy)["toxics"]:
                        if toxic["name"] == name:
                            evidence = {key: int(evidence.get(key, 0)) + toxic[key] for key in _EFFECTS}
            except FaultError as error:
                problems.append(str(error))
        if problems:
            raise FaultError("; ".join(problems))
        return evidence


class LatencyFault(ToxicFault):
    """Delays all data."""

    milliseconds = ("latency", "jitter")


class BandwidthFault(ToxicFault):
    """Limits the throughput."""

    numbers = ("rate",)


class SlowCloseFault(ToxicFault):
    """Delays the end of a connection."""

    milliseconds = ("delay",)


class TimeoutFault(ToxicFault):
    """A black hole: swallows all data."""

    milliseconds = ("timeout",)


class ResetPeerFault(ToxicFault):
    """Resets connections."""

    milliseconds = ("timeout",)


class SlicerFault(ToxicFault):
    """Cuts data into small pieces."""

    numbers = ("average_size", "size_variation", "delay")


class LimitDataFault(ToxicFault):
    """Closes each connection after a number of bytes, even in the middle of a frame."""

    numbers = ("bytes",)


class DownFault(NetworkFault):
    """Cuts open connections and refuses new ones."""

    def __init__(self, plan: FaultPlan, number: int, context: FaultContext) -> None:
        super().__init__(plan, number, context)
        self.cut_before = 0  # connections that were cut before this occurrence
        self.taken_down: list[str] = []

    def begin(self) -> None:
        self.cut_before = self._connections_cut()
        for proxy in self.proxies:
            self.taken_down.append(proxy)
            self.api.enable(proxy, False)

    def heal(self) -> Evidence:
        # The kernel's refusals are not counted, so try a connection to each proxy.
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
        return evidence | (
            {"connections_cut": self._connections_cut() - self.cut_before} if self.api.has_evidence else {}
        )

    def _connections_cut(self) -> int:
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
