"""What is planted, in which scenario it shows, and what a verdict must say of it."""

from dataclasses import dataclass

from chatswarm.loadtests.verdict import LATENCIES
from tests.plants import defects, latency

COMPANIONS = {
    "silent_socket": {"lost"},
    "store_lost": {"lost"},
    "vanished": {"store_lost"},
    "late": {"lost"},
    # A dashboard that is not there loses what it would have shown.
    "absent": {"lost"},
}
"""Which other findings may come along with a planted one, because the one cannot be without the other."""

EVEN = """
[swarm]
dashboards = 4
widgets = 5
arrivals = "even"
rate = 10
duration = "6s"
ramp = "0.5s"
drain = "4s"
"""
"""60 messages. Each customer writes every 0.5 s; each dashboard refetches every 0.3 s, over one connection."""

LONGER = EVEN.replace('"6s"', '"8s"')

QUIET = """
[swarm]
dashboards = 4
widgets = 5
arrivals = "even"
ramp = "0.5s"
drain = "4s"
[[stage]]
for = "2s"
rate = 10
[[stage]]
for = "2s"
rate = 0
[[stage]]
for = "2s"
rate = 10
"""
"""Two quiet spells: one in the middle, and the drain."""


@dataclass(frozen=True)
class Planting:
    """A defect and the run that must show it."""

    plant: type[defects.Plant]
    scenario: str = EVEN
    variants: tuple[bool, ...] = (False, True)  # without and with message ids
    slo: str = ""

    @property
    def label(self) -> str:
        return self.plant.__name__


BARE, WITH_IDS = (False,), (True,)


def _crowd(dashboards: int, rate: int = 10, widgets: int = 5) -> str:
    return (
        EVEN.replace("dashboards = 4", f"dashboards = {dashboards}")
        .replace("rate = 10", f"rate = {rate}")
        .replace("widgets = 5", f"widgets = {widgets}")
    )


PLANTINGS: tuple[Planting, ...] = (
    Planting(defects.LosesEveryTenth),
    # 30 does not divide 1,000, so that the turn comes to other dashboards: 180 messages × 30 dashboards lose 5.
    Planting(defects.LosesEveryThousandthDelivery, _crowd(30, rate=30)),
    Planting(defects.LosesOnOneDashboardInFifty, _crowd(50)),
    Planting(defects.LosesTheLastBeforeQuiet, QUIET),
    Planting(defects.ShowsTwentyCustomers, _crowd(4, rate=25, widgets=25)),
    Planting(defects.ListFails),
    Planting(defects.ForgetsToStore),
    Planting(defects.SkipsOneDashboard),
    Planting(defects.SkipsAllDashboards),
    Planting(defects.ShowsLate),
    Planting(defects.StoresTwice),
    Planting(defects.ListsTwice),
    Planting(defects.AnnouncesTwice),
    Planting(defects.StoresBeforeThePrevious),
    Planting(defects.ListsTheWrongWayRound),
    Planting(defects.MakesUpMessages),
    # A rejected send is a finding of its own, unless the scenario allows for it.
    Planting(defects.KeepsWhatItRejects, slo="refused <= 10% * intended"),
    Planting(defects.AnnouncesNothing, variants=WITH_IDS),
    Planting(defects.Deletes),
    Planting(defects.HidesForASecond),
    Planting(defects.Mangles),
    Planting(defects.Misfiles),
    Planting(defects.FallsSilent, LONGER),
    Planting(defects.FallsSilentAltogether, LONGER),
    Planting(defects.RefusesEveryThirdSend),
    Planting(defects.FailsThreeSendsInTen),
    Planting(defects.FailsAfterStoring),
    # The swarm waits 15 s for dashboards that do not come.
    Planting(defects.AdmitsOneDashboardInTwo, variants=BARE),
    Planting(defects.NeverLetsBack),
    Planting(defects.ClosesAfterTheLast),
    # No finding by its definition: all dashboards are there in the end. A time to connect counts the refused tries.
    Planting(defects.RefusesEverySecondHandshake, slo="connect.max <= 2s", variants=BARE),
)

CLEAN_RUNS = 20
"""Of the clean chat, in each variant."""


ALONE = """
[swarm]
dashboards = 8
widgets = 2
arrivals = "even"
rate = 0.6
duration = "20s"
refetch = "every"
ramp = "0.5s"
drain = "4s"
"""
"""One message at a time: the next one comes after 1.67 s, when all is over that the slowest plant does with this one.

Otherwise another message's frame would have dashboards refetch, and hide that this one's is late. And each frame is
refetched for at once, so that no interval adds to it.
"""

CROSSING = ALONE.replace("rate = 0.6", "rate = 1.6")
"""A message each 0.625 s: of frames that are 1.5 s late, the one of the message before the last comes in 0.25 s."""


@dataclass(frozen=True)
class Delay:
    """A planted delay, and by how much it must move each latency's median. Those that are not named: not at all."""

    plant: type[latency.Slow]
    seconds: float
    moves: dict[str, float]
    scenario: str = ALONE

    @property
    def label(self) -> str:
        return f"{self.plant.__name__} {self.seconds * 1000:+g} ms"


MEDIANS = tuple(name for name in LATENCIES if name not in ("connect", "recovery"))
"""The latencies of a message's way."""

_STAGES: dict[type[latency.Slow], tuple[str, ...]] = {
    latency.SlowFrames: ("notified", "visible", "last_dashboard"),
    latency.SlowList: ("refetch", "visible", "last_dashboard"),
    latency.SlowAnswer: ("accepted",),
    latency.SlowStore: ("accepted", "notified", "visible", "last_dashboard"),
}

DELAYS: tuple[Delay, ...] = (
    *(
        Delay(plant, seconds, dict.fromkeys(stages, seconds))
        for plant, stages in _STAGES.items()
        for seconds in (0.05, 0.25, 1.5)
    ),
    # Where messages follow each other faster than frames come, another one's frame makes them visible.
    Delay(latency.SlowFrames, 1.5, {"notified": 1.5, "visible": 0.25, "last_dashboard": 0.25}, CROSSING),
)

TOLERANCE = 0.005, 0.05
"""Seconds, and share of what was planted: whichever is larger."""
