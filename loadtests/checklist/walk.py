"""`chatswarm check`: the guide's checklist, walked against any target in under 5 seconds.

reachable → connected → subscribed → list → chat → sent → notified → shown → in time
                                                   └ one message, watched by one dashboard ┘
"""

import contextlib
import ssl
import time
from collections.abc import Callable, Iterator

import msgspec
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from chatswarm.loadtests.address import parse_address
from chatswarm.loadtests.identity import new_run, text_of
from chatswarm.loadtests.targets.target import Customer, Kind, Request, Target, Unreadable
from chatswarm.loadtests.units import human
from chatswarm.loadtests.verdict import ExitCode

from .diagnosis import Problem, after_send, brief, diagnose
from .probe import Dialer, Http, ProbeError, excerpt
from .symptoms import Delivery, Evidence, Failure, PageStep, StepName
from .watch import Page, Watch, accepted

_BESIDE = 2.4  # seconds for the walk beside the update target: with 2 s, and the start of the process, "under 5"
_WATCH = 0.2  # seconds of it, beyond the target, in which a late message can still be seen to be late
_LAST_LOOK = 0.3  # seconds of it in which to find out where a message is that was not shown
_SIZE = 100  # characters of the message

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


class Step(msgspec.Struct, frozen=True):
    """One step of the checklist. `ok` and `seconds` are None where the walk did not get that far."""

    name: StepName | PageStep
    ok: bool | None
    seconds: float | None
    seen: str


class Report(msgspec.Struct, frozen=True):
    """What `chatswarm check --json` prints. `update_latency`: seconds from the send until a refetch showed it."""

    target: str
    ok: bool
    seconds: float
    update_latency: float | None
    steps: list[Step]
    problem: Problem | None

    @property
    def exit_code(self) -> ExitCode:
        """PASS or FAIL; a target that cannot be reached fails, too."""
        return ExitCode.PASS if self.ok else ExitCode.FAIL

    def json(self) -> bytes:
        """The bytes for standard output."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def _ignore(_step: Step) -> None:
    pass


def walk(
    target: Target,
    base_url: str,
    *,
    update_target: float = 2.0,
    on_step: Callable[[Step], None] = _ignore,
    tls: ssl.SSLContext | None = None,
    origin: str | None = None,  # noqa: ARG001
) -> Report:
    """Walks the checklist up to the first step that fails. Leaves one customer with a chat and a message behind.

    `update_target` is in seconds; the walk takes at most 2.4 s more than that, so 4.4 s by default.
    `on_step` gets every step as it ends, and at last those not reached. `tls` replaces the system's authorities.
    Raises ValueError for a URL or update target that makes no sense, and nothing whatever the chat does.
    """
    if not 0 < update_target < 3600:
        raise ValueError(f"update target: expected seconds above 0 and below 3600, got {update_target!r}")
    dialer = Dialer(parse_address(base_url), tls)
    return _Walk(target, base_url, dialer, update_target, on_step).run()


class _Broken(Exception):
    def __init__(self, evidence: Evidence, seconds: float) -> None:
        self.evidence = evidence
        self.seconds = seconds


class _Walk:
    def __init__(
        self, target: Target, base_url: str, dialer: Dialer, update_target: float, on_step: Callable[[Step], None]
    ) -> None:
        self._target = target
        self._base_url = base_url
        self._address = dialer.address
        self._update_target = update_target
        self._on_step = on_step
        self._page = Page(target, dialer)
        self._widget = Http(dialer)
        self._steps: list[Step] = []
        self._delivery = Delivery()
        self._began = time.monotonic()
        self._end = self._began + update_target + _BESIDE
        # The steps before the send share the rest, so that a slow chat fails at the step that is slow.
        self._send_by = self._end - update_target - _WATCH - _LAST_LOOK

    def run(self) -> Report:
        problem = None
        try:
            self._prepare()
        except _Broken as broken:
            problem = diagnose(broken.evidence)
            self._note(Step(broken.evidence.broken, False, broken.seconds, brief(broken.evidence)))
            for name in list(StepName)[len(self._steps) :]:
                self._note(Step(name, None, None, "not reached"))
        finally:
            seconds = time.monotonic() - self._began
            self._page.close()
            self._widget.close()
        shown = self._delivery.shown if any(s.ok and s.name is StepName.SHOWN for s in self._steps) else None
        return Report(self._base_url, problem is None, seconds, shown, self._steps, problem)

    def _prepare(self) -> None:
        page, target, by = self._page, self._target, self._send_by
        socket_url = self._address.socket_url + target.socket_path

        with self._step(StepName.REACHABLE, self._address.authority) as seen:
            page.http.request(Request("GET", "/"), by)  # any status will do: "/" is no part of the protocol
            seen.append(f"{self._address.authority} answers HTTP")
        with self._step(StepName.CONNECTED, socket_url) as seen:
            page.socket.open(by)
            page.wait_for(Kind.CONNECTED, by)
            seen.append(socket_url)
        with self._step(StepName.SUBSCRIBED, socket_url) as seen:
            page.socket.send(target.subscribe(), by)
            page.wait_for(Kind.SUBSCRIBED, by)
            seen.append("`subscribed` frame")
        with self._step(StepName.LIST, _line(target.list_chats())) as seen:
            chats, _ = page.refetch(by)
            seen.append(f"{len(chats)} chats" if len(chats) != 1 else "1 chat")
        self._converse()

    def _converse(self) -> None:
        target, by, run = self._target, self._send_by, new_run()
        customer = Customer("chatswarm check", f"check-{run}@example.com")
        form, create = target.submit_contact(customer), target.create_chat(customer)
        with self._step(StepName.CHAT, _line(form), _line(create)) as seen:
            accepted(self._widget.request(form, by))
            seen.append("")
            chat_id = target.read_created(accepted(self._widget.request(create, by)).body)
            seen.append(f"chat {excerpt(chat_id, 40)}")
        self._deliver(chat_id, text_of(run, 0, 1, _SIZE))

    def _deliver(self, chat_id: str, text: str) -> None:
        watch = Watch(self._target, self._page, self._widget, chat_id, text, self._before(chat_id), self._delivery)
        until, first = self._end - _LAST_LOOK, len(self._steps)

        def on_progress() -> None:
            for name in after_send(self._delivery, self._update_target)[len(self._steps) - first :]:
                self._note(Step(name, True, *self._passed(name, watch)))

        watch.run(until, self._end, on_progress)
        on_progress()
        if len(self._steps) == len(StepName):
            return
        broken = list(StepName)[len(self._steps)]
        error = {StepName.SENT: watch.send_error, StepName.SHOWN: watch.refetch_error}.get(broken)
        what = _line(self._target.list_chats() if broken is StepName.SHOWN else self._target.send(chat_id, text))
        evidence = _evidence(broken, what, error, self._delivery.watched)
        evidence.delivery, evidence.update_target = self._delivery, self._update_target
        evidence.list_window = self._target.list_window
        late = self._delivery.shown if broken is StepName.IN_TIME else None
        raise _Broken(evidence, self._delivery.watched if late is None else late)

    def _before(self, chat_id: str) -> int | None:
        """The chat's count before the send. Its absence from the list is no fault: it may be empty."""
        try:
            chats, _ = self._page.refetch(self._send_by)
        except ProbeError:
            return None
        return next((chat.total for chat in chats if chat.chat_id == chat_id), 0)

    def _passed(self, name: StepName, watch: Watch) -> tuple[float | None, str]:
        delivery = self._delivery
        shown = human(delivery.shown)
        return {
            StepName.SENT: (delivery.accepted, f"HTTP {watch.status}"),
            StepName.NOTIFIED: (delivery.notified, "the frame for this chat"),
            StepName.SHOWN: (delivery.refetch, watch.sight),
            StepName.IN_TIME: (delivery.shown, f"{shown} after it was sent; the target is {self._update_target:g} s"),
        }[name]

    @contextlib.contextmanager
    def _step(self, name: StepName, *what: str) -> Iterator[list[str]]:
        """One step; the body says what was seen after each of the things (`what`) that it asks for."""
        began, seen = time.monotonic(), list[str]()
        try:
            yield seen
        except (ProbeError, Unreadable) as error:
            seconds = time.monotonic() - began
            raise _Broken(_evidence(name, what[len(seen)], error, seconds), seconds) from error
        self._note(Step(name, True, time.monotonic() - began, seen[-1]))

    def _note(self, step: Step) -> None:
        self._steps.append(step)
        self._on_step(step)


def _evidence(broken: StepName, what: str, error: ProbeError | Unreadable | None, waited: float) -> Evidence:
    match error:
        case ProbeError():
            return Evidence(broken, error.failure, what, error.status, error.detail, waited)
        case Unreadable():
            return Evidence(broken, Failure.UNREADABLE, what, None, excerpt(str(error)), waited)
        case None:
            return Evidence(broken, None, what, None, "", waited)


def _line(request: Request) -> str:
    return f"{request.method} {excerpt(request.path, 100)}"


def step_line(step: Step) -> RenderableType:
    """One line for the terminal: mark, step, time, what was seen; aligned with the other steps' lines."""
    mark, style = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("·", "dim")}[step.ok]
    time = "" if step.seconds is None else human(step.seconds)
    label = PAGE_LABELS[step.name] if isinstance(step.name, PageStep) else LABELS[step.name]
    return Text.assemble(
        (mark, style),
        (f" {label:{max(map(len, LABELS.values()))}}", {True: "", False: "bold", None: "dim"}[step.ok]),
        (f" {time:>8}", "cyan"),
        (f"  {step.seen}", "red" if step.ok is False else "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )


def closing(report: Report) -> RenderableType:
    """What follows the steps' lines: the one good sentence, or the problem with its causes and remedies."""
    problem = report.problem
    if problem is None:
        took, latency = human(report.seconds), human(report.update_latency)
        return Text.assemble(
            (f"All {len(report.steps)} steps passed", "bold green"),
            f" in {took}: the message was on the dashboard {latency} after it was sent.",
        )
    body = Group(
        Text(problem.seen),
        Text("\nLikely causes, the likeliest first", "bold"),
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


def report_text(report: Report, width: int = 100) -> str:
    """The whole report as plain text, `width` columns wide."""
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(Group(*map(step_line, report.steps), closing(report)))
    return capture.get()
