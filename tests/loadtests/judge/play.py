"""A small chat acted out on paper: what a target would have done, written down as a real history and judged.

Message n of widget w is meant at (w + 0.5 + n * widgets) / rate seconds, as an even schedule has it. Everything goes
well, within 50 ms, except what a test plants.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import msgspec
import tomli_w

from chatswarm.loadtests.history.files import Header, Writer
from chatswarm.loadtests.history.manifest import NEMESIS, Manifest, history_file
from chatswarm.loadtests.history.tables import FORMAT, ConnectionEvent, FaultEvent, SendOutcome
from chatswarm.loadtests.judge.judge import judge
from chatswarm.loadtests.judge.verdict import Finding, Verdict
from chatswarm.loadtests.messages.identity import Condition
from chatswarm.loadtests.scenario.scenario import Scenario, parse
from chatswarm.loadtests.scenario.schedule import intended_times

T0 = 1000.0
RUN = "testrun234"

INTACT, DAMAGED, FOREIGN = Condition.INTACT, Condition.DAMAGED, Condition.FOREIGN
ACCEPTED, REJECTED, UNKNOWN = SendOutcome.ACCEPTED, SendOutcome.REJECTED, SendOutcome.UNKNOWN


@dataclass(frozen=True)
class Stored:
    """A text in a chat."""

    widget: int
    n: int
    condition: Condition = INTACT
    id: int = -1


@dataclass(frozen=True)
class Plant:
    """What goes otherwise with one message."""

    outcome: SendOutcome = ACCEPTED
    stored: int = 1  # how many copies
    condition: Condition = INTACT
    chat: int | None = None  # of which widget
    at: int | None = None  # inserted at this index of its chat instead of at the end
    unseen_by: frozenset[int] | set[int] = frozenset()  # dashboards whose lists never have it
    no_frame_on: frozenset[int] | set[int] = frozenset()
    two_frames_on: frozenset[int] | set[int] = frozenset()
    slow: float = 0.0  # frames and refetches come so much later
    handed_late: float = 0.0
    never_sent: bool = False


@dataclass
class Play:
    """The stage. Change its fields before `perform`; change `rows` before `judge`."""

    folder: Path
    dashboards: int = 2
    widgets: int = 2
    rate: float = 2.0
    seconds: float = 6.0
    ids: bool = True
    tail: int = 3
    processes: int = 1
    swarm: dict[str, object] = field(default_factory=dict)
    stages: list[dict[str, object]] = field(default_factory=list)
    rooms: dict[str, object] = field(default_factory=dict)
    slos: Iterable[str] = ()
    planned_faults: list[dict[str, object]] = field(default_factory=list)  # of the scenario; `fault` acts them out
    plants: dict[tuple[int, int], Plant] = field(default_factory=dict)
    never_connected: frozenset[int] | set[int] = frozenset()
    before_final: Callable[["Play"], None] | None = None
    final_status: dict[int, int] = field(default_factory=dict)
    lag: float = 0.0005
    manifest: Manifest = field(init=False)
    rows: dict[str, list[tuple[str, tuple[object, ...]]]] = field(init=False)

    def __post_init__(self) -> None:
        names = [f"worker{number}" for number in range(self.processes)]
        self.manifest = Manifest(
            run=RUN, scenario="play", target="http://chat", protocol="reference", list_window=None, seed=7,
            started="2026-01-01T00:00:00Z", boot_id="host", processes=names, start=T0, end=T0 + self.seconds,
            ended=True,
        )  # fmt: skip
        self.rows = {name: [] for name in names}
        self.store: dict[int, list[Stored]] = {widget: [] for widget in range(self.widgets)}
        self.hidden: dict[int, set[tuple[int, int]]] = {d: set() for d in range(self.dashboards)}
        self._lists: dict[str, dict[int, tuple[int, list[Stored]]]] = {name: {} for name in names}
        self._versions = dict.fromkeys(names, -1)
        self._announcements = dict.fromkeys(names, 0)
        self._ids = 100
        self._count = count()
        self._script: list[tuple[float, int, Callable[[], None]]] = []
        self.last = T0 + self.seconds + 5

    @property
    def scenario(self) -> Scenario:
        return parse(self.table, "play", "play.toml", recorded=True)

    @property
    def table(self) -> dict[str, object]:
        swarm: dict[str, object] = {
            "dashboards": self.dashboards,
            "widgets": self.widgets,
            "arrivals": "even",
            **self.swarm,
        }
        if not self.stages:
            swarm |= {"rate": self.rate, "duration": self.seconds}
        table: dict[str, object] = {"swarm": swarm, "slo": [{"expect": text} for text in self.slos]}
        table |= {"stage": self.stages} if self.stages else {}
        table |= {"fault": self.planned_faults} if self.planned_faults else {}
        return table | ({"rooms": self.rooms} if self.rooms else {})

    def home(self, dashboard: int) -> str:
        """The process that a dashboard lives in. Widgets live in the first."""
        return self.manifest.processes[dashboard % self.processes]

    def row(self, process: str, table: str, *values: object) -> None:
        self.rows[process].append((table, values))

    def naps(self, process: str, lag: float, begin: int, end: int) -> None:
        """From second `begin` to `end`, its loop stands still for `lag` at the end of each second."""
        self.rows[process] = [row for row in self.rows.get(process, []) if row[0] != "lag"]
        for step in range(int((self.seconds + 5) * 100)):
            at = step / 100
            wakes = begin < at <= end and step % 100 == 0
            if wakes or not (begin <= at < end and at % 1 > 1.005 - lag):
                self.row(process, "lag", T0 + at, lag if wakes else self.lag)

    def schedule(self) -> list[tuple[float, int, int]]:
        scenario = self.scenario
        return sorted(
            (at, widget, n)
            for widget in range(self.widgets)
            for n, at in enumerate(intended_times(7, widget, self.widgets, scenario.rates, scenario.arrivals))
        )

    def perform(self) -> "Play":
        first = self.manifest.processes[0]
        for process in self.manifest.processes[: self.processes]:
            for widget in range(self.widgets):
                self.row(process, "chat", widget, widget if process == first else -1, f"chat-{widget}")
            for step in range(int((self.seconds + 5) * 100)):
                self.row(process, "lag", T0 + step / 100, self.lag)
            self.row(process, "cpu", T0 + 1, 0.2, 1)
        for dashboard in range(self.dashboards):
            if dashboard in self.never_connected:
                self.event(dashboard, dashboard, ConnectionEvent.OPENING, T0 - 2)
                self.event(dashboard, dashboard, ConnectionEvent.FAILED, T0 - 1.9, 503)
                continue
            self.connect(dashboard, dashboard, T0 - 2)
            self.refetch(dashboard, T0 - 1.9, T0 - 1.8)
        for at, widget, n in self.schedule():
            self.message(T0 + at, widget, n, self.plants.get((widget, n), Plant()))
        self.act()
        for dashboard in range(self.dashboards):
            if dashboard not in self.never_connected:
                self.event(dashboard, dashboard, ConnectionEvent.STOPPED, self.last, 1000)
        if self.before_final is not None:
            self.before_final(self)
        self.final()
        return self

    def later(self, at: float, action: Callable[[], None]) -> None:
        """Puts something into the script, which is acted in the order of time."""
        heapq.heappush(self._script, (at, next(self._count), action))

    def act(self) -> None:
        while self._script:
            _, _, action = heapq.heappop(self._script)
            action()

    def connect(self, connection: int, dashboard: int, at: float) -> None:
        self.event(connection, dashboard, ConnectionEvent.OPENING, at)
        self.event(connection, dashboard, ConnectionEvent.SUBSCRIBED, at + 0.05)

    def event(self, connection: int, dashboard: int, event: ConnectionEvent, at: float, code: int = 0) -> None:
        self.row(self.home(dashboard), "connection", connection, dashboard, event, code, at, "")

    def fault(
        self, name: str, start: float, stop: float | None, kind: str = "latency",
        evidence: dict[str, float | str] | None = None,
    ) -> None:  # fmt: skip
        """The nemesis writes down a fault, in seconds after the start. `stop` None: it was never healed."""
        if NEMESIS not in self.rows:
            self.manifest.processes.append(NEMESIS)
            self.rows[NEMESIS] = []
        given = evidence if evidence is not None else {"bytes_delayed": 5}
        text = msgspec.json.encode(given).decode()
        self.row(NEMESIS, "fault", name, kind, FaultEvent.START, T0 + start, text if stop is None else "{}")
        if stop is not None:
            self.row(NEMESIS, "fault", name, kind, FaultEvent.STOP, T0 + stop, text)

    def message(self, at: float, widget: int, n: int, plant: Plant) -> None:
        if plant.never_sent:
            return
        sent = at + plant.handed_late
        self.later(sent, lambda: self.stored(at, sent, widget, n, plant))

    def stored(self, at: float, sent: float, widget: int, n: int, plant: Plant) -> None:
        copies = []
        for _ in range(plant.stored):
            self._ids += 1
            copies.append(Stored(widget, n, plant.condition, self._ids if self.ids else -1))
        home = widget if plant.chat is None else plant.chat
        chat = self.store[home]
        if plant.at is None:
            chat.extend(copies)
        else:
            chat[plant.at : plant.at] = copies
        for dashboard in plant.unseen_by:
            self.hidden[dashboard].add((widget, n))
        given = copies[0].id if copies and plant.outcome == ACCEPTED else -1
        self.row(self.manifest.processes[0], "send", widget, n, widget, at, sent, sent + 0.001, sent + 0.01,
                 plant.outcome, {ACCEPTED: 200, REJECTED: 400, UNKNOWN: 500}[plant.outcome], given)  # fmt: skip
        for dashboard in set(range(self.dashboards)) - self.never_connected:
            times = 1 + (dashboard in plant.two_frames_on) if dashboard not in plant.no_frame_on else 0
            for again in range(times if copies else 0):
                self.frame(dashboard, home, copies[0].id, sent + 0.02 + plant.slow + again / 1000)
            self.later_refetch(dashboard, sent + 0.03 + plant.slow)

    def later_refetch(self, dashboard: int, started: float) -> None:
        self.later(started, lambda: self.refetch(dashboard, started, started + 0.02))

    def frame(self, dashboard: int, chat: int, message_id: int, at: float, connection: int | None = None) -> None:
        process = self.home(dashboard)
        number = self._announcements[process]
        self._announcements[process] += 1
        self.row(process, "announcement", number, chat, 1, message_id)
        self.row(process, "frame", dashboard if connection is None else connection, number, at)

    def refetch(self, dashboard: int, started: float, done: float, status: int = 200,
                content: dict[int, tuple[int, list[Stored]]] | None = None) -> None:  # fmt: skip
        """A refetch that shows what is stored now, or `content`: per chat its total and the texts shown."""
        process = self.home(max(0, dashboard))
        version = (
            self.version(process, self.content(dashboard) if content is None else content) if status == 200 else -1
        )
        self.row(process, "refetch", max(0, dashboard), dashboard, started, done, status, version, 100)

    def content(self, dashboard: int) -> dict[int, tuple[int, list[Stored]]]:
        hidden = self.hidden.get(dashboard, set())
        shown = {
            chat: [text for text in texts if (text.widget, text.n) not in hidden] for chat, texts in self.store.items()
        }
        return {chat: (len(texts), texts[-self.tail :] if self.tail else []) for chat, texts in shown.items()}

    def version(self, process: str, now: dict[int, tuple[int, list[Stored]]]) -> int:
        """Writes the difference to the list before, dropping and adding as little as can be."""
        self._versions[process] += 1
        version = self._versions[process]
        before = self._lists[process]
        for chat in before.keys() | now.keys():
            old_total, old = before.get(chat, (-1, []))
            total, new = now.get(chat, (-1, []))
            if (old_total, old) == (total, new):
                continue
            kept = next(length for length in range(len(old), -1, -1) if old[len(old) - length :] == new[:length])
            added = new[kept:]
            self.row(process, "version", version, chat, total, len(old) - kept, len(added))
            for text in added:
                self.row(process, "text", version, chat, text.widget, text.n, text.condition)
        self._lists[process] = now
        return version

    def final(self) -> None:
        process = self.manifest.processes[0]
        for chat, texts in self.store.items():
            status = self.final_status.get(chat, 200)
            self.row(process, "final", chat, status, len(texts), self.last + 0.1, self.last + 0.2, "")
            for position, text in enumerate(texts if status == 200 else [], 1):
                self.row(process, "final_text", chat, position, text.widget, text.n, text.condition, text.id)
        self.refetch(-1, self.last + 0.3, self.last + 0.4)

    def write(self) -> Path:
        (self.folder / "history").mkdir(parents=True, exist_ok=True)
        self.manifest.write(self.folder)
        (self.folder / "scenario.toml").write_text(tomli_w.dumps(self.table), encoding="utf-8")
        for process, rows in self.rows.items():
            history_file(self.folder, process).unlink(missing_ok=True)
            writer = Writer(history_file(self.folder, process), Header(FORMAT, self.manifest.run, process, "host"))
            for table, values in rows:
                writer.append(table, *values)  # type: ignore[arg-type]
            writer.close()
        return self.folder

    def judge(self, slos: list[str] | None = None) -> Verdict:
        return judge(self.write(), slos)


def found(verdict: Verdict) -> dict[str, int]:
    """The findings by name."""
    return {finding.check: finding.count for finding in verdict.findings}


def finding(verdict: Verdict, name: str) -> Finding:
    return next(finding for finding in verdict.findings if finding.check == name)
