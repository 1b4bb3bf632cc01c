"""What a check found: its steps, their labels, and how it is shown on the terminal and as JSON."""

import msgspec
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from chatswarm.loadtests.system.exit_code import ExitCode
from chatswarm.loadtests.system.text import one_line, to_json
from chatswarm.loadtests.system.units import human

from .diagnosis import GuideProblem
from .symptoms import PageStep, RoomStep, StepName
from .transcript import NO_RULE, Entry

LABELS = {
    StepName.REACHABLE: "backend reachable",
    StepName.CONNECTED: "dashboard WebSocket connected",
    StepName.SUBSCRIBED: "dashboard subscribed",
    StepName.LIST: "chat list readable",
    StepName.CHAT: "widget: contact form, chat created",
    StepName.SENT: "message sent",
    StepName.NOTIFIED: "dashboard notified",
    StepName.SHOWN: "refetch shows the message",
    StepName.IN_TIME: "on the dashboard in time",
}

PAGE_LABELS = {
    PageStep.INBOX: "inbox opened",
    PageStep.CONNECTED: "inbox: WebSocket connected",
    PageStep.SUBSCRIBED: "inbox: subscribed",
    PageStep.WIDGET: "widget opened",
    PageStep.CHAT: "widget: contact form, chat created",
    PageStep.SENT: "widget: message sent",
    PageStep.NOTIFIED: "inbox: notified",
    PageStep.SHOWN: "inbox: text and count shown",
    PageStep.IN_TIME: "inbox: shown in time",
}

ROOM_LABELS = {
    RoomStep.REACHABLE: "backend reachable",
    RoomStep.LOGGED_IN: "users logged in",
    RoomStep.ROOM: "room created",
    RoomStep.CONNECTED: "WebSockets connected",
    RoomStep.JOINED: "room joined by two viewers",
    RoomStep.SENT: "message sent",
    RoomStep.ACKNOWLEDGED: "message acknowledged",
    RoomStep.SHOWN: "message shown to both viewers",
    RoomStep.IN_TIME: "shown in time",
    RoomStep.SERIES: "eight more shown to both",
    RoomStep.STRANGER: "stranger refused",
    RoomStep.REPLAYED: "cut viewer gets what it missed",
    RoomStep.HISTORY: "history complete",
    RoomStep.HEARTBEAT: "heartbeat",
}


class Step(msgspec.Struct, frozen=True):
    """One step of the checklist. `ok` and `seconds` are None if the checklist did not get that far."""

    name: StepName | PageStep | RoomStep
    ok: bool | None
    seconds: float | None
    seen: str


class CheckReport(msgspec.Struct, frozen=True):
    """What `chatswarm check --json` prints. `update_latency`: seconds from the send until the dashboards showed it.

    `notes`: worth knowing, but no failures.
    """

    target: str
    ok: bool
    seconds: float
    update_latency: float | None
    steps: list[Step]
    problem: GuideProblem | None
    notes: list[str]

    @property
    def exit_code(self) -> ExitCode:
        """PASS or FAIL; an unreachable target is a FAIL. USAGE if nothing was learned about the chat."""
        if self.problem is not None and self.problem.here:
            return ExitCode.USAGE
        return ExitCode.PASS if self.ok else ExitCode.FAIL

    def json(self) -> bytes:
        """The report as JSON, for standard output."""
        return msgspec.json.format(to_json(self), indent=2) + b"\n"


class DescribedReport(CheckReport, frozen=True):
    """The same for a chat that a file describes. `not_seen`: the file's rules and steps that were not exercised, which
    says nothing about whether they are right.
    """

    transcript: list[Entry] = []
    not_seen: list[str] = []


def step_line(step: Step) -> RenderableType:
    """A step's line for the terminal: mark, step, time and what was seen, aligned with the other steps' lines."""
    mark, style = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("·", "dim")}[step.ok]
    time = "" if step.seconds is None else human(step.seconds)
    return Text.assemble(
        (mark, style),
        (f" {_label(step):{max(map(len, LABELS.values()))}}", {True: "", False: "bold", None: "dim"}[step.ok]),
        (f" {time:>9}", "cyan"),
        (f"  {one_line(step.seen)}", "red" if step.ok is False else "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )


def _label(step: Step) -> str:
    match step.name:
        case PageStep():
            return PAGE_LABELS[step.name]
        case RoomStep():
            return ROOM_LABELS[step.name]
        case _:
            return LABELS[step.name]


def closing(report: CheckReport) -> RenderableType:
    """What follows the steps' lines: the transcript, if there is one, and notes; then success in one sentence, or the
    problem, causes and remedies.
    """
    parts: list[RenderableType] = []
    if isinstance(report, DescribedReport):
        parts += [Text(""), _transcript(report.transcript), Text("")]
        if report.not_seen:
            parts.append(Text(f"not seen: {', '.join(report.not_seen)}", "dim"))
    parts += [Text(f"note: {note}", "dim") for note in report.notes]
    return Group(*parts, _ending(report)) if parts else _ending(report)


def _transcript(entries: list[Entry]) -> RenderableType:
    """What was said, a line or more for each part: who, the direction, the text, and what it met."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    table.add_column(no_wrap=True)
    for entry in entries:
        met = Text(entry.met, "bold red" if NO_RULE in entry.met else "cyan")
        table.add_row(Text(entry.who), Text("→" if entry.sent else "←", "dim"), Text(entry.text), met)
    return table


def _ending(report: CheckReport) -> RenderableType:
    problem = report.problem
    if problem is None:
        took, latency = human(report.seconds), human(report.update_latency)
        in_room = any(isinstance(step.name, RoomStep) for step in report.steps)
        where = "both viewers had the message" if in_room else "the message was on the dashboard"
        return Text.assemble(
            (f"All {len(report.steps)} steps passed", "bold green"),
            f" in {took}: {where} {latency} after it was sent.",
        )
    body = Group(
        Text(problem.seen),
        Text("\nLikely causes, most likely first", "bold"),
        _listing([f"{number}." for number in range(1, len(problem.causes) + 1)], problem.causes),
        Text("\nWhat to do", "bold"),
        _listing(["•"] * len(problem.remedies), problem.remedies),
    )
    return Panel(body, title=Text(problem.title, "bold red"), title_align="left", border_style="red", padding=(1, 2))


def _listing(marks: list[str], texts: list[str]) -> Table:
    listing = Table.grid(padding=(0, 1))
    for mark, text in zip(marks, texts, strict=True):
        listing.add_row(f" {mark}", Text(text))
    return listing


def report_text(report: CheckReport, width: int = 100) -> str:
    """The whole report as plain text, at most `width` columns wide."""
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(Group(*map(step_line, report.steps), closing(report)))
    return capture.get()
