"""`chatswarm check`: the guide's checklist against any target in under 5 seconds.

reachable → connected → subscribed → list → chat → sent → notified → shown → in time
                                                   └ one message, watched by one dashboard ┘
"""

import contextlib
import os
import ssl
import time
from collections.abc import Callable, Iterator

import msgspec
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from chatswarm.loadtests.messages.identity import new_run, text_of
from chatswarm.loadtests.net.address import parse_address
from chatswarm.loadtests.net.dialing import Dialer, proxy_note
from chatswarm.loadtests.net.origin import parse_origin
from chatswarm.loadtests.protocols.protocol import ChatProtocol, Customer, Kind, Request, Unreadable
from chatswarm.loadtests.system.exit_code import ExitCode
from chatswarm.loadtests.system.text import one_line, to_json
from chatswarm.loadtests.system.units import human

from .delivery import Page, Watch, accepted, reading
from .diagnosis import GuideProblem, after_send, brief, diagnose
from .http import Http, ProbeError, excerpt
from .symptoms import Delivery, Failure, PageStep, StepName, Symptoms
from .websocket import DashboardSocket

_BESIDE = 2.4  # seconds for the checklist beside the update target: with 2 s, and the start of the process, "under 5"
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
    """One step of the checklist. `ok` and `seconds` are None where the checklist did not get that far."""

    name: StepName | PageStep
    ok: bool | None
    seconds: float | None
    seen: str


class CheckReport(msgspec.Struct, frozen=True):
    """What `chatswarm check --json` prints. `update_latency`: seconds from the send until a refetch showed it.

    `notes`: what is worth knowing, and failed nothing.
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
        """PASS or FAIL; a target that cannot be reached fails, too. USAGE where nothing was learned of the chat."""
        if self.problem is not None and self.problem.here:
            return ExitCode.USAGE
        return ExitCode.PASS if self.ok else ExitCode.FAIL

    def json(self) -> bytes:
        """The bytes for standard output."""
        return msgspec.json.format(to_json(self), indent=2) + b"\n"


def _ignore(_step: Step) -> None:
    pass


def run_checklist(
    target: ChatProtocol,
    base_url: str,
    *,
    update_target: float = 2.0,
    on_step: Callable[[Step], None] = _ignore,
    tls: ssl.SSLContext | None = None,
    origin: str | None = None,
) -> CheckReport:
    """Walks the checklist up to the first step that fails. Leaves one customer with a chat and a message behind.

    `update_target` is in seconds; the checklist takes at most 2.4 s more than that, so 4.4 s by default.
    `on_step` gets every step as it ends, and at last those not reached. `tls` replaces the system's authorities.
    `origin` is sent with the handshake and every request, as a browser sends that of the page it shows.
    Raises ValueError for a URL, update target or origin that makes no sense, and nothing whatever the chat does.
    """
    if not 0 < update_target < 3600:
        raise ValueError(f"update target: expected seconds above 0 and below 3600, got {update_target!r}")
    origin = None if origin is None else parse_origin(origin)
    dialer = Dialer(parse_address(base_url), tls)
    return _Checklist(target, base_url, dialer, update_target, on_step, origin).run()


class _StepFailed(Exception):
    def __init__(self, evidence: Symptoms, seconds: float) -> None:
        self.evidence = evidence
        self.seconds = seconds


class _Checklist:
    def __init__(
        self,
        target: ChatProtocol,
        base_url: str,
        dialer: Dialer,
        update_target: float,
        on_step: Callable[[Step], None],
        origin: str | None,
    ) -> None:
        self._target = target
        self._base_url = base_url
        self._address = dialer.address
        self._update_target = update_target
        self._on_step = on_step
        self._dialer = dialer
        self._origin = origin
        self._let_in_as: str | None = None
        self._page = Page(target, dialer, origin)
        # With two addresses, the dashboard's socket is at one, and the widget sends to the other.
        self._widget = Http(dialer, origin, turn=2)
        self._steps: list[Step] = []
        self._delivery = Delivery()
        self._began = time.monotonic()
        self._end = self._began + update_target + _BESIDE
        # The steps before the send share the rest, so that a slow chat fails at the step that is slow.
        self._send_by = self._end - update_target - _WATCH - _LAST_LOOK

    def run(self) -> CheckReport:
        problem = None
        try:
            self._prepare()
        except _StepFailed as broken:
            problem = diagnose(broken.evidence)
            self._note(Step(broken.evidence.broken, False, broken.seconds, brief(broken.evidence)))
            for name in list(StepName)[len(self._steps) :]:
                self._note(Step(name, None, None, "not reached"))
        finally:
            seconds = time.monotonic() - self._began
            self._page.close()
            self._widget.close()
        shown = self._delivery.shown if any(s.ok and s.name is StepName.SHOWN for s in self._steps) else None
        return CheckReport(self._base_url, problem is None, seconds, shown, self._steps, problem, self._notes())

    def _prepare(self) -> None:
        page, target, by = self._page, self._target, self._send_by
        socket_url = self._address.socket_url + target.socket_path

        with self._step(StepName.REACHABLE, self._address.authority) as seen:
            page.http.reach(by)  # any status will do: "/" is no part of the protocol
            seen.append(f"{self._address.authority} answers HTTP")
        with self._step(StepName.CONNECTED, socket_url) as seen:
            self._connect(by)
            page.wait_for(Kind.CONNECTED, by)
            seen.append(socket_url)
        with self._step(StepName.SUBSCRIBED, socket_url) as seen:
            page.socket.send(target.subscribe(), by)
            page.wait_for(Kind.SUBSCRIBED, by)
            seen.append("`subscribed` frame")
        with self._step(StepName.LIST, _line(target.list_chats())) as seen:
            chats, answer = page.refetch(by)
            seen.append((f"{len(chats)} chats" if len(chats) != 1 else "1 chat") + _by_way_of(answer.redirected))
        self._converse()

    def _connect(self, by: float) -> None:
        """The dashboard's handshake. Where it is refused, one with the chat's own origin tells whether that is why."""
        try:
            self._page.socket.open(by)
        except ProbeError as error:
            own = self._address.origin
            if error.status in (401, 403) and self._origin != own:
                target = self._target
                again = DashboardSocket(self._dialer, target.socket_path, target.socket_headers, own, turn=1)
                with contextlib.suppress(ProbeError):
                    again.open(by)
                    self._let_in_as = own
                again.close()
            raise

    def _converse(self) -> None:
        target, by, run = self._target, self._send_by, new_run()
        customer = Customer("chatswarm check", f"check-{run}@example.com")
        form, create = target.submit_contact(customer), target.create_chat(customer)
        with self._step(StepName.CHAT, _line(form), _line(create)) as seen:
            accepted(self._widget.request(form, by))
            seen.append("")
            answer = accepted(self._widget.request(create, by))
            chat_id = reading(target.read_created, answer.body)
            seen.append(f"chat {_short(chat_id)}{_by_way_of(answer.redirected)}")
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
        evidence = self._evidence(broken, what, error, self._delivery.watched)
        evidence.delivery, evidence.update_target = self._delivery, self._update_target
        evidence.list_window = self._target.list_window
        late = self._delivery.shown if broken is StepName.IN_TIME else None
        raise _StepFailed(evidence, self._delivery.watched if late is None else late)

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
            StepName.SENT: (delivery.accepted, f"HTTP {watch.status}{_by_way_of(watch.redirected)}"),
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
            raise _StepFailed(self._evidence(name, what[len(seen)], error, seconds), seconds) from error
        self._note(Step(name, True, time.monotonic() - began, seen[-1]))

    def _evidence(self, broken: StepName, what: str, error: ProbeError | Unreadable | None, waited: float) -> Symptoms:
        evidence = Symptoms(broken, what=what, waited=waited)
        match error:
            case ProbeError():
                evidence.failure, evidence.status, evidence.detail = error.failure, error.status, error.detail
                evidence.retry_after, evidence.own = error.retry_after, error.own
            case Unreadable():
                evidence.failure, evidence.detail = Failure.UNREADABLE, excerpt(str(error))
        evidence.with_token = bool(self._target.socket_headers)
        evidence.origin, evidence.let_in_as = self._origin, self._let_in_as
        evidence.proxy_note = proxy_note(self._address.secure, os.environ)
        return evidence

    def _notes(self) -> list[str]:
        """Which of several addresses were met."""
        host = self._address.host
        notes = [f"{place} of {host} was passed over: {why}" for place, why in self._dialer.passed_over.items()]
        users = {
            "the dashboard's socket": {self._page.socket.peer} - {""},
            "its HTTP": self._page.http.peers,
            "the widget": self._widget.peers,
        }
        if len(set[str]().union(*users.values())) > 1:
            where = ", ".join(f"{user} to {' and '.join(sorted(peers))}" for user, peers in users.items() if peers)
            notes.append(f"{host} has several addresses: {where}")
        return notes

    def _note(self, step: Step) -> None:
        self._steps.append(step)
        self._on_step(step)


def _line(request: Request) -> str:
    return f"{request.method} {excerpt(request.path, 100)}"


def _short(chat_id: str) -> str:
    shown = one_line(chat_id)
    return shown if len(shown) <= 40 else shown[:39] + "…"


def _by_way_of(redirected: str) -> str:
    return f", {redirected}" if redirected else ""


def step_line(step: Step) -> RenderableType:
    """One line for the terminal: mark, step, time, what was seen; aligned with the other steps' lines."""
    mark, style = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("·", "dim")}[step.ok]
    time = "" if step.seconds is None else human(step.seconds)
    label = PAGE_LABELS[step.name] if isinstance(step.name, PageStep) else LABELS[step.name]
    return Text.assemble(
        (mark, style),
        (f" {label:{max(map(len, LABELS.values()))}}", {True: "", False: "bold", None: "dim"}[step.ok]),
        (f" {time:>9}", "cyan"),
        (f"  {one_line(step.seen)}", "red" if step.ok is False else "dim"),
        no_wrap=True,
        overflow="ellipsis",
    )


def closing(report: CheckReport) -> RenderableType:
    """What follows the steps' lines: the one good sentence, or the problem with its causes and remedies; the notes."""
    notes = [Text(f"note: {note}", "dim") for note in report.notes]
    return Group(*notes, _ending(report)) if notes else _ending(report)


def _ending(report: CheckReport) -> RenderableType:
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


def report_text(report: CheckReport, width: int = 100) -> str:
    """The whole report as plain text, `width` columns wide."""
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(Group(*map(step_line, report.steps), closing(report)))
    return capture.get()
