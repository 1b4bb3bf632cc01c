"""What is planted, in which scenario it shows, and what a verdict must say of it."""

from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from tests.plants import latency, losing, mangling, refusing, showing
from tests.plants.plant import Plant

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

UNICODE = EVEN + 'text = "unicode"\n'
"""The same messages, in texts with characters that chats are known to change."""

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


Variant = Literal["original", "reference"]
"""What the original's protocol has; and what the reference backend adds to it: message ids, and of each chat only the
last three messages in the list."""


class Shape(TypedDict):
    """What a chat of a variant is made with."""

    ids: bool
    tail: int | None


def variants() -> tuple[Variant, ...]:
    return get_args(Variant)


def shape(variant: Variant) -> Shape:
    return Shape(ids=True, tail=3) if variant == "reference" else Shape(ids=False, tail=None)


@dataclass(frozen=True)
class Planting:
    """A defect and the run that must show it."""

    plant: type[Plant]
    scenario: str = EVEN
    variants: tuple[Variant, ...] = ("original", "reference")
    slo: str = ""
    exit_code: int = 1

    @property
    def label(self) -> str:
        return self.plant.__name__


def _crowd(dashboards: int, rate: int = 10, widgets: int = 5) -> str:
    return (
        EVEN.replace("dashboards = 4", f"dashboards = {dashboards}")
        .replace("rate = 10", f"rate = {rate}")
        .replace("widgets = 5", f"widgets = {widgets}")
    )


PLANTINGS: tuple[Planting, ...] = (
    Planting(losing.LosesEveryTenth),
    # 30 does not divide 1,000, so that the turn comes to other dashboards: 180 messages × 30 dashboards lose 5.
    Planting(losing.LosesEveryThousandthDelivery, _crowd(30, rate=30)),
    Planting(losing.LosesOnOneDashboardInFifty, _crowd(50)),
    Planting(losing.LosesTheLastBeforeQuiet, QUIET),
    Planting(losing.ShowsTwentyCustomers, _crowd(4, rate=25, widgets=25)),
    Planting(losing.ListFails),
    Planting(losing.AnnouncesTooEarly),
    Planting(losing.CachesTheList),
    Planting(losing.ForgetsToStore),
    Planting(losing.SkipsOneDashboard),
    Planting(losing.SkipsAllDashboards),
    Planting(losing.ShowsLate),
    Planting(showing.StoresTwice),
    Planting(showing.ListsTwice),
    Planting(showing.AnnouncesTwice),
    Planting(showing.StoresBeforeThePrevious),
    Planting(showing.ListsTheWrongWayRound),
    Planting(showing.MakesUpMessages),
    # A rejected send is a finding of its own, unless the scenario allows for it.
    Planting(showing.KeepsWhatItRejects, slo="refused <= 10% * intended"),
    Planting(showing.AnnouncesNothing, variants=("reference",)),
    Planting(showing.Deletes),
    Planting(showing.HidesForASecond),
    Planting(showing.HidesCustomers),
    Planting(showing.Mangles),
    Planting(showing.ListsMangled),
    *(
        Planting(plant, UNICODE)
        for plant in (
            mangling.Normalises,
            mangling.CutsAtFourBytes,
            mangling.EscapesHtml,
            mangling.KeepsLatin1,
            mangling.JoinsLines,
            mangling.CutsInHalf,
        )
    ),
    Planting(showing.Misfiles),
    Planting(showing.ListsInAnotherChat),
    Planting(refusing.FallsSilent, LONGER),
    Planting(refusing.FallsSilentAltogether, LONGER),
    Planting(refusing.RefusesEveryThirdSend),
    Planting(refusing.FailsThreeSendsInTen),
    Planting(refusing.FailsAfterStoring),
    # The swarm waits 15 s for dashboards that do not come.
    Planting(refusing.AdmitsOneDashboardInTwo, variants=("original",)),
    Planting(refusing.IgnoresSubscriptions, variants=("original",)),
    Planting(refusing.NeverLetsBack),
    Planting(refusing.ClosesAfterTheLast),
    # No finding by its definition: all dashboards are there in the end. A time to connect counts the refused tries.
    Planting(refusing.RefusesEverySecondHandshake, slo="connect.max <= 2s", variants=("original",)),
    Planting(refusing.ClosesAllNowAndThen, exit_code=0),
)

CLEAN = """
[swarm]
dashboards = 6
widgets = 8
rate = 25
duration = "5s"
refetch = "{refetch}"
ramp = "0.5s"
drain = "4s"
"""

CLEAN_RUNS = 20
"""Of the clean chat, in each variant."""


@dataclass(frozen=True)
class CleanRun:
    """One of many runs of the clean chat, each with arrivals of its own, and all ways to refetch in turn."""

    variant: Variant
    number: int

    @property
    def scenario(self) -> str:
        return CLEAN.format(refetch=("300ms", "every", "coalesce")[self.number % 3])

    @property
    def seed(self) -> int:
        return self.number + 1


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
    note: str = ""

    @property
    def label(self) -> str:
        return f"{self.plant.__name__} {self.seconds * 1000:+g} ms{self.note}" if self.seconds else "not slow"


MEDIANS = ("accepted", "notified", "refetch", "visible", "last_dashboard")
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
    Delay(latency.SlowFrames, 1.5, {"notified": 1.5, "visible": 0.25, "last_dashboard": 0.25}, CROSSING, ", crossing"),
)

BASELINES: tuple[Delay, ...] = (
    *(Delay(latency.Slow, 0, {}) for _ in range(2)),
    *(Delay(latency.Slow, 0, {}, CROSSING) for _ in range(2)),
)
"""What the delays are measured against, each scenario twice."""

TOLERANCE = 0.005, 0.05
"""Seconds, and share of what was planted: whichever is larger."""
