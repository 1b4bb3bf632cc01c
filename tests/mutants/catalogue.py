"""The planted defects and delays, the scenarios that reveal them, and what the verdict must say."""

from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from chatswarm.loadtests.judge.verdict import FINDINGS
from tests.plants import latency, losing, mangling, refusing, showing, stalling
from tests.plants.plant import Plant
from tests.plants.push.latency import SlowChat as SlowPushChat

from .explained import expectations

COUNTED = (FINDINGS[0], "gap", *FINDINGS[1:])
"""What is counted: the findings, and after `lost` that part of it that was lost between two connections."""

COMPANIONS = {
    # It is no separate finding: what is in a gap is lost.
    "gap": {"lost"},
    "silent_socket": {"lost"},
    "store_lost": {"lost"},
    "vanished": {"store_lost"},
    "late": {"lost"},
    # An absent dashboard loses what it would have shown.
    "absent": {"lost"},
}
"""Findings that may accompany a planted one, because they follow from it."""

UNMEASURED = frozenset({"gap", "leaked"})
"""What cannot be counted where all dashboards show every chat, and refetch it."""

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
"""60 messages. Each customer sends one every 0.5 s, and each dashboard refetches every 0.3 s, over one connection."""

UNICODE = EVEN + 'text = "unicode"\n'
"""The same messages, with characters that chats are known to change."""

LONGER = EVEN.replace('"6s"', '"8s"')

COINCIDENT = """
[[fault]]
name = "coincident"
kind = "latency"
at = "1500ms"
for = "2500ms"
on = "dashboards"
latency = "20ms"
"""
"""Added to a scenario: it changes nothing that is found, so it must not be blamed. Something is delayed in each run."""

QUIET = """
[swarm]
dashboards = 4
widgets = 7
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
"""Two quiet periods: one in the middle, and the drain. The last messages before them are not from one customer."""


Variant = Literal["original", "reference"]
"""The original protocol; or with the reference backend's changes: message ids, and only the last three messages of each
chat in the list."""


class Shape(TypedDict):
    """The parameters of a variant's chat."""

    ids: bool
    tail: int | None


def variants() -> tuple[Variant, ...]:
    return get_args(Variant)


def shape(variant: Variant) -> Shape:
    return Shape(ids=True, tail=3) if variant == "reference" else Shape(ids=False, tail=None)


@dataclass(frozen=True)
class Planting:
    """A defect and the run that must reveal it."""

    plant: type[Plant]
    scenario: str = EVEN
    variants: tuple[Variant, ...] = ("original", "reference")
    slo: str = ""
    exit_code: int = 1

    @property
    def label(self) -> str:
        return self.plant.__name__

    @property
    def expected(self) -> dict[str, str]:
        """By finding: the cause that must come first."""
        return expectations(self.plant.finding, self.plant.cause, self.plant.cause_of_lost)


def _crowd(dashboards: int, rate: int = 10, widgets: int = 5) -> str:
    return (
        EVEN.replace("dashboards = 4", f"dashboards = {dashboards}")
        .replace("rate = 10", f"rate = {rate}")
        .replace("widgets = 5", f"widgets = {widgets}")
    )


PLANTINGS: tuple[Planting, ...] = (
    # 7 customers, who take turns: the lost messages are not all from one.
    Planting(losing.LosesEveryTenth, _crowd(4, widgets=7)),
    # 30 does not divide 1,000, so different dashboards are affected: 180 messages × 30 dashboards lose 5.
    Planting(losing.LosesEveryThousandthDelivery, _crowd(30, rate=30)),
    Planting(losing.LosesOnOneDashboardInFifty, _crowd(50)),
    Planting(losing.LosesTheLastBeforeQuiet, QUIET),
    Planting(losing.ShowsTwentyCustomers, _crowd(4, rate=25, widgets=25)),
    # At random, because a customer who takes turns with others sends every twelfth message.
    Planting(losing.LosesOneChat, _crowd(4, rate=20, widgets=12).replace('arrivals = "even"\n', "")),
    Planting(losing.ClosesAndStaysQuiet, EVEN + 'reconnect = "origin"\n'),
    Planting(losing.ListFails),
    Planting(losing.AnnouncesTooEarly),
    Planting(losing.CachesTheList),
    Planting(losing.ForgetsToStore),
    Planting(losing.SkipsOneDashboard),
    Planting(losing.SkipsAllDashboards),
    Planting(losing.ShowsLate),
    Planting(stalling.StopsEvery5s, EVEN.replace('"6s"', '"9s"')),
    # 120 messages at 12.5 per second: the last is shown 3.6 s after it was sent.
    Planting(stalling.FixedRateWorker, EVEN.replace("rate = 10", "rate = 20").replace('drain = "4s"', 'drain = "6s"')),
    # Only where the list holds all texts does it grow.
    Planting(
        stalling.UnboundedList,
        LONGER.replace('drain = "4s"', 'drain = "7s"'),
        variants=("original",),
    ),
    Planting(showing.StoresTwice),
    Planting(showing.ListsTwice),
    Planting(showing.AnnouncesTwice),
    Planting(showing.StoresBeforeThePrevious),
    Planting(showing.ListsReordered),
    Planting(showing.InventsMessages),
    # A rejected send is a finding by itself, unless the scenario allows it.
    Planting(showing.StoresRejectedSends, slo="refused <= 10% * intended"),
    Planting(showing.AnnouncesUnknownIds, variants=("reference",)),
    Planting(showing.Deletes),
    Planting(showing.HidesForASecond),
    Planting(showing.HidesCustomers),
    Planting(showing.StoresDamaged),
    Planting(showing.ListsDamaged),
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
    Planting(showing.StoresInAnotherChat),
    Planting(showing.ListsInAnotherChat),
    Planting(refusing.FallsSilent, LONGER),
    Planting(refusing.FallsSilentForAll, LONGER),
    Planting(refusing.RefusesEveryThirdSend),
    Planting(refusing.FailsThreeSendsInTen),
    Planting(refusing.FailsAfterStoring),
    # The swarm waits 15 s for dashboards that do not connect.
    Planting(refusing.AdmitsOneDashboardInTwo, variants=("original",)),
    Planting(refusing.IgnoresSubscriptions, variants=("original",)),
    Planting(refusing.RefusesReconnects),
    Planting(refusing.ClosesAfterTheLastMessage),
    # By definition no finding: all dashboards connect in the end. The time to connect includes refused attempts.
    Planting(refusing.RefusesEverySecondHandshake, slo="connect.max <= 2s", variants=("original",)),
    Planting(refusing.ClosesAllPeriodically, exit_code=0),
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
"""Number of runs of the clean chat, in each variant."""


@dataclass(frozen=True)
class CleanRun:
    """One of many runs of the clean chat, each with different arrivals, and with the refetch policies in turn."""

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
"""One message at a time: the next is sent after 1.67 s, when even the slowest plant has finished with this one.

Otherwise another message's frame would trigger a refetch, and hide that this one's frame is late. Each frame triggers a
refetch at once, so no interval is added.
"""

CROSSING = ALONE.replace("rate = 0.6", "rate = 1.6")
"""A message every 0.625 s: if frames are 1.5 s late, that of two messages earlier arrives after 0.25 s."""


MEDIANS = ("accepted", "notified", "refetch", "visible", "last_dashboard")
"""The latencies that are compared."""


@dataclass(frozen=True)
class Delay:
    """A planted delay, and how much it must move each latency's median. Latencies without a name must not move."""

    plant: type[latency.Slow] | type[SlowPushChat]
    seconds: float
    moves: dict[str, float]
    scenario: str = ALONE
    note: str = ""
    protocol: str = "reference"
    medians: tuple[str, ...] = MEDIANS

    @property
    def label(self) -> str:
        chat = "" if self.protocol == "reference" else f"{self.protocol}: "
        return f"{chat}{self.plant.__name__} {self.seconds * 1000:+g} ms{self.note}" if self.seconds else "not slow"


_STAGES: dict[type[latency.Slow], tuple[str, ...]] = {
    latency.SlowFrames: ("notified", "visible", "last_dashboard"),
    latency.SlowList: ("refetch", "visible", "last_dashboard"),
    latency.SlowResponse: ("accepted",),
    latency.SlowStore: ("accepted", "notified", "visible", "last_dashboard"),
}

DELAYS: tuple[Delay, ...] = (
    *(
        Delay(plant, seconds, dict.fromkeys(stages, seconds))
        for plant, stages in _STAGES.items()
        for seconds in (0.05, 0.25, 1.5)
    ),
    # If messages follow each other faster than frames arrive, another message's frame makes them visible.
    Delay(latency.SlowFrames, 1.5, {"notified": 1.5, "visible": 0.25, "last_dashboard": 0.25}, CROSSING, ", crossing"),
)

BASELINES: tuple[Delay, ...] = (
    *(Delay(latency.Slow, 0, {}) for _ in range(2)),
    *(Delay(latency.Slow, 0, {}, CROSSING) for _ in range(2)),
)
"""Runs without a delay to compare with, two per scenario."""

OFTEN = (
    EVEN.replace("rate = 10", "rate = 3")
    .replace('"6s"', '"8s"')
    .replace('drain = "4s"', 'refetch = "every"\ndrain = "7s"')
)
"""Several messages are on their way at a time, and a refetch for each: fewer than a dashboard makes at a time."""

SELDOM = ALONE.replace("rate = 0.6", "rate = 0.35").replace('drain = "4s"', 'drain = "6s"')
"""A message every 2.86 s: even one that comes 2.5 s late comes before the next is sent."""


@dataclass(frozen=True)
class Lateness:
    """A planted delay above the update target: all deliveries are late, and the slow stage must be named."""

    plant: type[latency.Slow] | type[SlowPushChat]
    cause: str
    scenario: str = SELDOM
    protocol: str = "reference"
    seconds: float = 2.5
    note: str = ""

    @property
    def label(self) -> str:
        chat = "" if self.protocol == "reference" else f"{self.protocol}: "
        return f"{chat}{self.plant.__name__} {self.seconds:g} s{self.note}"


LATENESSES: tuple[Lateness, ...] = (
    Lateness(latency.SlowFrames, "slow_notify"),
    Lateness(latency.SlowList, "slow_list"),
    Lateness(latency.SlowStore, "slow_accept"),
    # With frequent messages, the frame of another would show one before its own came.
    Lateness(latency.SlowList, "slow_list", OFTEN, note=", often"),
    Lateness(latency.SlowStore, "slow_accept", OFTEN, note=", often"),
)

TOLERANCE = 0.005, 0.05
"""Seconds, and share of the planted delay; the larger one counts."""
