"""Faults of the net, between the swarm and its target: Toxiproxy's toxics by their names, and `down`.

`on` says where: on the dashboards' connections (`dashboards`: both their `sockets` and their `refetches`), on the
`widgets`', on all of these (`everything`), or between the reference backend and its `broker`.
"""

from typing import ClassVar

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.reading import fraction, not_negative, one_of, whole
from chatswarm.loadtests.units import seconds

from .fault import Fault, Parameter, Plan, World
from .toxiproxy import Toxiproxy

PLACES = {
    "dashboards": ("sockets", "refetches"),
    "sockets": ("sockets",),
    "refetches": ("refetches",),
    "widgets": ("widgets",),
    "everything": ("sockets", "refetches", "widgets"),
    "broker": ("broker",),
}
"""Where a fault may strike → the proxies there, by the place in which each stands."""
_STREAMS = {"downstream": ("downstream",), "upstream": ("upstream",), "both": ("downstream", "upstream")}
_COMMON = {
    "stream": Parameter(
        one_of(*_STREAMS), "downstream", "to the swarm (downstream), to the target (upstream), or both"
    ),
    "toxicity": Parameter(fraction, 1.0, "the share of the connections that it strikes"),
}
_DEEDS = ("bytes_delayed", "bytes_swallowed", "connections_cut", "connections_reset")
"""What a toxic's evidence must have some of: that bytes went through it proves nothing."""


class NetworkFault(Fault):
    """What they share: the proxies."""

    places: ClassVar[tuple[str, ...]] = tuple(PLACES)

    @classmethod
    def unfit(cls, plan: Plan, world: World) -> str | None:
        if plan.on == "broker" and "broker" not in world.proxies:
            return "expected a reference backend with a broker (`[backend] broker = true`), got none"
        return None

    @property
    def proxies(self) -> list[str]:
        return [self.world.proxies[place] for place in PLACES[self.plan.on]]

    @property
    def api(self) -> Toxiproxy:
        assert self.world.toxiproxy is not None, "there is one where a plan is about the net"
        return self.world.toxiproxy


class ToxicFault(NetworkFault):
    """A toxic on every connection there, also those that are open already."""

    toxic: ClassVar[str]
    milliseconds: ClassVar[tuple[str, ...]] = ()
    """The toxic's attributes that are durations."""
    numbers: ClassVar[tuple[str, ...]] = ()
    """The others: whole numbers."""

    @property
    def streams(self) -> tuple[str, ...]:
        return _STREAMS[self.plan.text("stream")]

    def name(self, stream: str) -> str:
        """Of the toxic: of this occurrence alone."""
        return f"{self.plan.name}-{self.plan.kind}-{self.plan.at:g}-{self.number}-{stream}"

    def attributes(self) -> dict[str, int]:
        """In the units of Toxiproxy."""
        values = {key: round(self.plan.number(key) * 1000) for key in self.milliseconds}
        return values | {key: round(self.plan.number(key)) for key in self.numbers}

    def begin(self) -> None:
        self.added: list[tuple[str, str]] = []  # proxy, toxic
        for proxy in self.proxies:
            for stream in self.streams:
                name = self.name(stream)
                self.added.append((proxy, name))
                self.api.add(
                    proxy, name, self.toxic, stream, self.plan.number("toxicity"), self.attributes()
                )  # fmt: skip

    def heal(self) -> Evidence:
        evidence: dict[str, float | str] = {}
        for proxy, name in getattr(self, "added", []):
            # A real Toxiproxy counts nothing: that the toxic stands there is all that it can say.
            if not self.api.has_evidence and name in self.api.toxics(proxy):
                evidence[f"toxic_at_{proxy}"] = name
            self.api.remove(proxy, name)
            if self.api.has_evidence:
                for toxic in self.api.evidence(proxy)["toxics"]:
                    if toxic["name"] == name:
                        evidence = {key: int(evidence.get(key, 0)) + toxic[key] for key in _DEEDS}
        return evidence


class Latency(ToxicFault):
    """Everything arrives later."""

    toxic = "latency"
    milliseconds = ("latency", "jitter")
    parameters: ClassVar = _COMMON | {
        "latency": Parameter(seconds, None, "how much later"),
        "jitter": Parameter(seconds, 0.0, "give or take so much"),
    }


class Bandwidth(ToxicFault):
    """So much and no more."""

    toxic = "bandwidth"
    numbers = ("rate",)
    parameters: ClassVar = _COMMON | {"rate": Parameter(not_negative, None, "KB per second, on each connection")}


class SlowClose(ToxicFault):
    """The end of a connection arrives later than its last byte."""

    toxic = "slow_close"
    milliseconds = ("delay",)
    parameters: ClassVar = _COMMON | {"delay": Parameter(seconds, None, "how much later")}


class Timeout(ToxicFault):
    """A black hole: bytes are taken and thrown away."""

    toxic = "timeout"
    milliseconds = ("timeout",)
    parameters: ClassVar = _COMMON | {
        "timeout": Parameter(seconds, 0.0, "when the connection is closed; 0: when it is healed")
    }


class ResetPeer(ToxicFault):
    """Connections are reset."""

    toxic = "reset_peer"
    milliseconds = ("timeout",)
    parameters: ClassVar = _COMMON | {"timeout": Parameter(seconds, 0.0, "how long after it began")}


class Slicer(ToxicFault):
    """Data arrives in small pieces."""

    toxic = "slicer"
    numbers = ("average_size", "size_variation", "delay")
    parameters: ClassVar = _COMMON | {
        "average_size": Parameter(whole, None, "bytes in a piece"),
        "size_variation": Parameter(not_negative, 0, "bytes, more or less"),
        "delay": Parameter(not_negative, 0, "microseconds between two pieces"),
    }

    @classmethod
    def problems(cls, plan: Plan) -> list[str]:
        if plan.number("size_variation") < plan.number("average_size"):
            return []
        return [f"size_variation: expected fewer bytes than average_size, got {plan.values['size_variation']:g}"]


class LimitData(ToxicFault):
    """Each connection is closed after so many bytes, in the middle of a frame if need be."""

    toxic = "limit_data"
    numbers = ("bytes",)
    parameters: ClassVar = _COMMON | {"bytes": Parameter(not_negative, None, "bytes that pass")}


class Down(NetworkFault):
    """Connections are cut and refused."""

    def begin(self) -> None:
        self.before = self._cut()
        self.taken_down: list[str] = []
        for proxy in self.proxies:
            self.taken_down.append(proxy)
            self.api.enable(proxy, False)

    def heal(self) -> Evidence:
        refusing = [proxy for proxy in getattr(self, "taken_down", []) if self.api.refuses(proxy)]
        for proxy in getattr(self, "taken_down", []):
            self.api.enable(proxy, True)
        # Whom the kernel refuses nobody counts, so they are seen to refuse.
        evidence: dict[str, float | str] = {"refusing": ", ".join(refusing)}
        return evidence | ({"connections_cut": self._cut() - self.before} if self.api.has_evidence else {})

    def _cut(self) -> int:
        if not self.api.has_evidence:
            return 0
        return sum(self.api.evidence(proxy)["connections_cut"] for proxy in self.proxies)


NETWORK_FAULTS: dict[str, type[Fault]] = {
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slow_close": SlowClose,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "limit_data": LimitData,
    "down": Down,
}
