"""Walks the guide's checklist against any target in under 5 seconds, and formats its steps for the terminal.

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

from .delivery import DashboardClient, DeliveryProbe, parsed, require_2xx
from .diagnosis import GuideProblem, after_send, brief, diagnose
from .http import HttpClient, ProbeError, excerpt
from .symptoms import Delivery, Failure, PageStep, StepName, Symptoms
from .websocket import DashboardSocket

_OVERHEAD = 2.4  # seconds for the checklist on top of the update target: with 2 s and start-up, under 5 s
_LATE_MARGIN = 0.2  # seconds of it, past the update target, in which a late message can still be seen
_LAST_READS = 0.3  # seconds of it for locating a message that was not shown
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
    """One step of the checklist. `ok` and `seconds` are None if the checklist did not get that far."""

    name: StepName | PageStep
    ok: bool | None
    seconds: float | None
    seen: str


class CheckReport(msgspec.Struct, frozen=True):
    """What `chatswarm check --json` prints. `update_latency`: seconds from the send until a refetch showed it.

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


def _ignore(_step: Step) -> None:
    pass


def run_checklist(
    protocol: ChatProtocol,
    base_url: str,
    *,
    update_target: float = 2.0,
    on_step: Callable[[Step], None] = _ignore,
    tls: ssl.SSLContext | None = None,
    origin: str | None = None,
) -> CheckReport:
    """Walks the checklist up to the first step that fails. Leaves one customer with a chat and a message behind.

    `update_target` is in seconds; the checklist takes at most 2.4 s longer, so 4.4 s by default.
    `on_step` gets every step as it ends, and finally those not reached. `tls` replaces the system's CAs.
    `origin` is sent with the handshake and every request, as a browser sends its page's origin.
    Raises ValueError for an invalid URL, update target or origin, and nothing else, whatever the chat does.
    """
    if not 0 < update_target < 3600:
        raise ValueError(f"update target: expected seconds above 0 and below 3600, got {update_target!r}")
    origin = None if origin is None else parse_origin(origin)
    dialer = Dialer(parse_address(base_url), tls)
    return _Checklist(protocol, base_url, dialer, update_target, on_step, origin).run()


class _StepFailed(Exception):
    def __init__(self, symptoms: Symptoms, seconds: float) -> None:
        self.symptoms = symptoms
        self.seconds = seconds


class _Checklist:
    def __init__(
        self,
        protocol: ChatProtocol,
        base_url: str,
        dialer: Dialer,
        update_target: float,
        on_step: Callable[[Step], None],
        origin: str | None,
    ) -> None:
        self._protocol = protocol
        self._base_url = base_url
        self._address = dialer.address
        self._update_target = update_target
        self._on_step = on_step
        self._dialer = dialer
        self._origin = origin
        self._accepted_origin: str | None = None
        self._dashboard = DashboardClient(protocol, dialer, origin)
        # If the name has two addresses, the dashboard's socket uses one and the widget the other.
        self._widget = HttpClient(dialer, origin, turn=2)
        self._steps: list[Step] = []
        self._delivery = Delivery()
        self._began = time.monotonic()
        self._end = self._began + update_target + _OVERHEAD
        # The steps before the send share the rest of the time, so that a slow chat fails at its slow step.
        self._send_deadline = self._end - update_target - _LATE_MARGIN - _LAST_READS

    def run(self) -> CheckReport:
        problem = None
        try:
            self._walk()
        except _StepFailed as failed:
            problem = diagnose(failed.symptoms)
            self._note(Step(failed.symptoms.broken, False, failed.seconds, brief(failed.symptoms)))
            for name in list(StepName)[len(self._steps) :]:
                self._note(Step(name, None, None, "not reached"))
        finally:
            seconds = time.monotonic() - self._began
            self._dashboard.close()
            self._widget.close()
        shown = self._delivery.shown if any(s.ok and s.name is StepName.SHOWN for s in self._steps) else None
        return CheckReport(self._base_url, problem is None, seconds, shown, self._steps, problem, self._notes())

    def _walk(self) -> None:
        dashboard, protocol, deadline = self._dashboard, self._protocol, self._send_deadline
        socket_url = self._address.socket_url + protocol.socket_path

        with self._step(StepName.REACHABLE, self._address.authority) as seen:
            dashboard.http.reach(deadline)  # any status will do: "/" is not part of the protocol
            seen.append(f"{self._address.authority} responds")
        with self._step(StepName.CONNECTED, socket_url) as seen:
            self._connect(deadline)
            dashboard.wait_for(Kind.CONNECTED, deadline)
            seen.append(socket_url)
        with self._step(StepName.SUBSCRIBED, socket_url) as seen:
            dashboard.socket.send(protocol.subscribe(), deadline)
            dashboard.wait_for(Kind.SUBSCRIBED, deadline)
            seen.append("`subscribed` frame")
        with self._step(StepName.LIST, _request_line(protocol.list_chats())) as seen:
            chats, response = dashboard.refetch(deadline)
            seen.append((f"{len(chats)} chats" if len(chats) != 1 else "1 chat") + _redirect_note(response.redirected))
        self._open_chat()

    def _connect(self, deadline: float) -> None:
        """The dashboard's handshake. If it is refused, retries with the chat's own origin to see if that is why."""
        try:
            self._dashboard.socket.open(deadline)
        except ProbeError as error:
            own = self._address.origin
            if error.status in (401, 403) and self._origin != own:
                protocol = self._protocol
                retry = DashboardSocket(self._dialer, protocol.socket_path, protocol.socket_headers, own, turn=1)
                with contextlib.suppress(ProbeError):
                    retry.open(deadline)
                    self._accepted_origin = own
                retry.close()
            raise

    def _open_chat(self) -> None:
        protocol, deadline, run = self._protocol, self._send_deadline, new_run()
        customer = Customer("chatswarm check", f"check-{run}@example.com")
        form, create = protocol.submit_contact(customer), protocol.create_chat(customer)
        with self._step(StepName.CHAT, _request_line(form), _request_line(create)) as seen:
            require_2xx(self._widget.request(form, deadline))
            seen.append("")
            response = require_2xx(self._widget.request(create, deadline))
            chat_id = parsed(protocol.read_created, response.body)
            seen.append(f"chat {_short(chat_id)}{_redirect_note(response.redirected)}")
        self._deliver(chat_id, text_of(run, 0, 1, _SIZE))

    def _deliver(self, chat_id: str, text: str) -> None:
        probe = DeliveryProbe(
            self._protocol, self._dashboard, self._widget, chat_id, text, self._count_before(chat_id), self._delivery
        )
        until, first = self._end - _LAST_READS, len(self._steps)

        def on_progress() -> None:
            for name in after_send(self._delivery, self._update_target)[len(self._steps) - first :]:
                self._note(Step(name, True, *self._passed_step(name, probe)))

        probe.run(until, self._end, on_progress)
        on_progress()
        if len(self._steps) < len(StepName):
            raise self._delivery_failure(list(StepName)[len(self._steps)], probe)

    def _delivery_failure(self, broken: StepName, probe: DeliveryProbe) -> _StepFailed:
        protocol, delivery = self._protocol, self._delivery
        error = {StepName.SENT: probe.send_error, StepName.SHOWN: probe.refetch_error}.get(broken)
        request = protocol.list_chats() if broken is StepName.SHOWN else protocol.send(probe.chat_id, probe.text)
        symptoms = self._symptoms(broken, _request_line(request), error, delivery.watched)
        symptoms.delivery, symptoms.update_target = delivery, self._update_target
        symptoms.list_window = protocol.list_window
        late = delivery.shown if broken is StepName.IN_TIME else None
        return _StepFailed(symptoms, delivery.watched if late is None else late)

    def _count_before(self, chat_id: str) -> int | None:
        """The chat's message count before the send; 0 if the list lacks the chat, as it may while it is empty."""
        try:
            chats, _ = self._dashboard.refetch(self._send_deadline)
        except ProbeError:
            return None
        return next((chat.total for chat in chats if chat.chat_id == chat_id), 0)

    def _passed_step(self, name: StepName, probe: DeliveryProbe) -> tuple[float | None, str]:
        delivery = self._delivery
        shown = human(delivery.shown)
        return {
            StepName.SENT: (delivery.accepted, f"HTTP {probe.status}{_redirect_note(probe.redirected)}"),
            StepName.NOTIFIED: (delivery.notified, "the frame for this chat"),
            StepName.SHOWN: (delivery.refetch, probe.shown_as),
            StepName.IN_TIME: (delivery.shown, f"{shown} after it was sent; the target is {self._update_target:g} s"),
        }[name]

    @contextlib.contextmanager
    def _step(self, name: StepName, *what: str) -> Iterator[list[str]]:
        """One step. Its body tests each of `what` in turn and appends what it saw to the list."""
        began, seen = time.monotonic(), list[str]()
        try:
            yield seen
        except (ProbeError, Unreadable) as error:
            seconds = time.monotonic() - began
            raise _StepFailed(self._symptoms(name, what[len(seen)], error, seconds), seconds) from error
        self._note(Step(name, True, time.monotonic() - began, seen[-1]))

    def _symptoms(self, broken: StepName, what: str, error: ProbeError | Unreadable | None, waited: float) -> Symptoms:
        symptoms = Symptoms(broken, what=what, waited=waited)
        match error:
            case ProbeError():
                symptoms.failure, symptoms.status, symptoms.detail = error.failure, error.status, error.detail
                symptoms.retry_after, symptoms.limit = error.retry_after, error.limit
            case Unreadable():
                symptoms.failure, symptoms.detail = Failure.UNREADABLE, excerpt(str(error))
        symptoms.with_token = bool(self._protocol.socket_headers)
        symptoms.origin, symptoms.accepted_origin = self._origin, self._accepted_origin
        symptoms.proxy_note = proxy_note(self._address.secure, os.environ)
        return symptoms

    def _notes(self) -> list[str]:
        """Which of several addresses were used or skipped."""
        host = self._address.host
        notes = [f"{address} of {host} was skipped: {why}" for address, why in self._dialer.skipped.items()]
        users = {
            "the dashboard's WebSocket": {self._dashboard.socket.peer} - {""},
            "its HTTP requests": self._dashboard.http.peers,
            "the widget": self._widget.peers,
        }
        if len(set[str]().union(*users.values())) > 1:
            where = ", ".join(f"{user} to {' and '.join(sorted(peers))}" for user, peers in users.items() if peers)
            notes.append(f"{host} has several addresses: {where}")
        return notes

    def _note(self, step: Step) -> None:
        self._steps.append(step)
        self._on_step(step)


def _request_line(request: Request) -> str:
    return f"{request.method} {excerpt(request.path, 100)}"


def _short(chat_id: str) -> str:
    shown = one_line(chat_id)
    return shown if len(shown) <= 40 else shown[:39] + "…"


def _redirect_note(redirected: str) -> str:
    return f", {redirected}" if redirected else ""


def step_line(step: Step) -> RenderableType:
    """A step's line for the terminal: mark, step, time and what was seen, aligned with the other steps' lines."""
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
    """What follows the steps' lines: notes, then success in one sentence or the problem, causes and remedies."""
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
