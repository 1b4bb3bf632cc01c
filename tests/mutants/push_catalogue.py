"""The push chat's planted defects and delays and its clean variants, and the scenarios that reveal them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.plants.push import PushChat, PushPlant, latency, leaking, losing, refusing, showing

from .catalogue import Delay, Lateness
from .explained import expectations
from .push_protocols import ECHO, FORGETFUL, LINES, WRITTEN

UNMEASURED = frozenset({"unnotified"})
"""What cannot be counted where frames carry the text: what is not announced is lost."""

ROOMS = """
[swarm]
dashboards = 8
widgets = 6
arrivals = "even"
rate = 10
duration = "6s"
ramp = "0.5s"
drain = "4s"
send_over = "http"
[rooms]
count = 6
members = 4
"""
"""60 messages to 6 rooms. On average, each dashboard is a member of 3 rooms, and is shown 30 messages."""

OVER_SOCKETS = ROOMS.replace('"http"', '"socket"')

LONGER = ROOMS.replace('"6s"', '"9s"')
"""90 messages. A member that is left out from the thirtieth on misses about 30, in 6 s."""

CROWDED = ROOMS.replace("rate = 10", "rate = 50")
"""300 messages, so that several reach a member within the 0.2 s in which a batch is collected."""

CHANGING = (
    ROOMS.replace('"6s"', '"7s"')
    + """
[[rooms.change]]
at = "2050ms"
join = 4
leave = 4
"""
)
"""What is sent within 2 s after a change counts for nobody. No message is sent near the end of these 2 s."""

BIG_ROOM = (
    ROOMS.replace("dashboards = 8", "dashboards = 22").replace("count = 6", "count = 1")
    .replace("members = 4", "members = 20").replace('drain = "4s"', 'drain = "6s"')
)  # fmt: skip
"""60 messages to one room with 20 members. With 0.15 s for each, the last six are late, and nobody waits for 3 s."""

INTRUDED = (
    ROOMS
    + """
[[fault]]
name = "intruders"
kind = "intruders"
at = "1s"
for = "4s"
"""
)
"""With users who are members of no room, and try to join and to read all of them. Messages are sent at each x.x5 s, so
none at the end."""

VICTIM = "agent-1"
"""The second dashboard's user, without the name of the run. So nothing depends on the order in which users come."""


@dataclass(frozen=True)
class PushPlanting:
    """A defect of the push chat, and the run that must reveal it."""

    plant: type[PushPlant]
    scenario: str = ROOMS
    protocol: str = "push"
    slo: str = ""
    exit_code: int = 1

    @property
    def label(self) -> str:
        return self.plant.__name__

    def chat(self) -> PushPlant:
        return self.plant(victim=VICTIM)

    @property
    def expected(self) -> dict[str, str]:
        """By finding: the cause that must come first."""
        return expectations(self.plant.finding, self.plant.cause, self.plant.cause_of_lost)

    @property
    def unmeasured(self) -> frozenset[str]:
        """What cannot be counted: where nothing can be read at the end, what is stored."""
        return UNMEASURED | ({"store_lost", "vanished", "recovered"} if self.protocol == WRITTEN else set())

    @property
    def findings(self) -> tuple[str, ...]:
        """The names of all findings that the defect must lead to: its own, and those that follow from it."""
        return tuple(self.chat().truth())


PUSH_PLANTINGS: tuple[PushPlanting, ...] = (
    PushPlanting(losing.SkipsOneMember),
    PushPlanting(losing.DropsOneOfABatch, CROWDED),
    PushPlanting(losing.OneWorkerMissesMessages),
    PushPlanting(losing.ForgetsAMember),
    PushPlanting(losing.AcceptsWhatIsWritten, OVER_SOCKETS, protocol=WRITTEN),
    PushPlanting(losing.GarblesFrames),
    PushPlanting(losing.ReplaysNothing, protocol=FORGETFUL),
    PushPlanting(losing.SaysRecovered),
    PushPlanting(losing.AcceptsWithoutStoring),
    PushPlanting(losing.AcceptsBeforeStoring, OVER_SOCKETS),
    PushPlanting(losing.StallsRooms),
    PushPlanting(losing.KeepsThemAway),
    PushPlanting(losing.AwaitsEachDashboardInTurn, BIG_ROOM),
    PushPlanting(showing.PushesTwice),
    PushPlanting(showing.ReplaysAndPushes),
    PushPlanting(showing.KeepsTwice),
    PushPlanting(showing.PushesOutOfOrder),
    PushPlanting(showing.KeepsOutOfOrder),
    PushPlanting(showing.PushesInventions),
    # A rejected send is a finding by itself, unless the scenario allows it.
    PushPlanting(showing.PushesRejectedSends, slo="refused <= 10% * intended"),
    PushPlanting(showing.DeletesWhatItShowed),
    PushPlanting(showing.WrapsInHtml),
    PushPlanting(showing.ChangesACharacter),
    PushPlanting(showing.PushesIntoAnotherRoom),
    PushPlanting(refusing.StopsPushing, LONGER),
    PushPlanting(refusing.LimitsSends, OVER_SOCKETS),
    PushPlanting(refusing.FailsAfterPushing),
    PushPlanting(refusing.ReportsErrorsWith200),
    PushPlanting(refusing.LosesBeforeTheEcho, OVER_SOCKETS, protocol=ECHO),
    PushPlanting(refusing.RefusesOneSocket),
    PushPlanting(refusing.RefusesOneLogin),
    PushPlanting(leaking.PushesToAStranger),
    PushPlanting(leaking.LetsStrangersRead, INTRUDED),
    PushPlanting(leaking.LetsStrangersJoin, INTRUDED),
    PushPlanting(leaking.PushesToFormerMembers, CHANGING),
)


@dataclass(frozen=True)
class CleanPush:
    """A variant of the clean push chat: nothing may be found in any run of it."""

    label: str
    chat: Callable[[], PushChat]
    scenario: str = ROOMS
    protocol: str = "push"


CLEAN_PUSH: tuple[CleanPush, ...] = (
    CleanPush("plain", PushChat),
    CleanPush("short pages, compressed", partial(PushChat, page=7, deflate=True)),
    CleanPush("over sockets", PushChat, OVER_SOCKETS),
    CleanPush("over sockets, closing and replaying", partial(PushChat, closes_every=20), OVER_SOCKETS),
    CleanPush("closing and replaying", partial(PushChat, closes_every=20)),
    CleanPush("batches", partial(PushChat, batches="array"), CROWDED),
    CleanPush("lines", partial(PushChat, batches="lines"), CROWDED, protocol=LINES),
    CleanPush("echoes", partial(PushChat, acks=False), OVER_SOCKETS, protocol=ECHO),
    CleanPush("changing members", PushChat, CHANGING),
)

CLEAN_PUSH_RUNS = 3
"""Number of runs of each variant."""


@dataclass(frozen=True)
class CleanPushRun:
    """One of several runs of a clean variant, each with other members. All but the first have random arrivals."""

    clean: CleanPush
    number: int

    @property
    def label(self) -> str:
        return f"push: {self.clean.label}"

    @property
    def scenario(self) -> str:
        return self.clean.scenario if not self.number else self.clean.scenario.replace('arrivals = "even"\n', "")

    @property
    def seed(self) -> int:
        return self.number + 1


UNHURRIED = ROOMS.replace("rate = 10", "rate = 3").replace('"6s"', '"10s"')
"""Each sender's message is answered before it sends the next one, even by the slowest plant."""
UNHURRIED_OVER_SOCKETS = UNHURRIED.replace('"http"', '"socket"')

PUSH_MEDIANS = ("accepted", "notified", "visible", "last_dashboard")

_SHOWN = PUSH_MEDIANS[1:]


def _slow(
    plant: type[latency.SlowChat], seconds: float, moves: tuple[str, ...], scenario: str = UNHURRIED, note: str = ""
) -> Delay:
    return Delay(plant, seconds, dict.fromkeys(moves, seconds), scenario, note, "push", PUSH_MEDIANS)


PUSH_DELAYS: tuple[Delay, ...] = (
    *(_slow(latency.SlowPush, seconds, _SHOWN) for seconds in (0.05, 0.25, 1.5)),
    *(
        _slow(latency.SlowAnswer, seconds, ("accepted",), UNHURRIED_OVER_SOCKETS, ", over sockets")
        for seconds in (0.05, 1.5)
    ),
    _slow(latency.SlowStore, 0.25, PUSH_MEDIANS),
)

PUSH_LATENESSES: tuple[Lateness, ...] = (
    Lateness(latency.SlowPush, "slow_notify", UNHURRIED, "push"),
    Lateness(latency.SlowStore, "slow_accept", UNHURRIED, "push"),
)

PUSH_BASELINES: tuple[Delay, ...] = tuple(
    _slow(latency.SlowChat, 0, (), scenario) for scenario in (UNHURRIED, UNHURRIED_OVER_SOCKETS) for _ in range(2)
)
