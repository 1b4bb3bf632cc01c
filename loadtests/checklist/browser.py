"""`chatswarm check --browser`: walks the guide on its two pages in a headless Chromium, and reads both consoles.

inbox opened → connected → subscribed → widget opened → contact form → sent → notified → shown → in time
"""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from chatswarm.loadtests.messages.identity import new_run
from chatswarm.loadtests.net.address import Address, parse_address
from chatswarm.loadtests.protocols.protocol import Answer, ChatProtocol, Creation, Unreadable, User, read
from chatswarm.loadtests.system.units import human

from .console import MESSAGE, SENDING, SUBSCRIBING, ExpectedLines, connecting, notified
from .http import excerpt
from .page_causes import PageSymptoms, explain
from .report import CheckReport, Step
from .symptoms import PageStep

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Response, ViewportSize

PAGES = "http://localhost:3000"
CHROMIUM = "CHATSWARM_CHROMIUM"

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-proxy-server"]
_STEP_TIMEOUT = 15.0  # seconds for each step before the send
_LATE_MARGIN = 3.0  # seconds past the update target in which a late message can still be seen
_POLL = 20  # milliseconds between two reads of the consoles
_VIEW: "ViewportSize" = {"width": 1280, "height": 800}

# Both pages run on this machine, so their clocks agree. Times are in milliseconds.
_NOW = "const now = () => performance.timeOrigin + performance.now();"
_NOTE_CLICK = f"""() => {{
  {_NOW}
  document.addEventListener("click", () => {{ window.chatswarmClicked = now(); }}, {{ capture: true, once: true }});
}}"""
_WATCH = f"""([id, text]) => {{
  {_NOW}
  const part = (name) => document.querySelector(`#list [data-id="${{CSS.escape(id)}}"] .${{name}}`)?.textContent ?? "";
  const before = Number(part("count"));
  const seen = (window.chatswarmSeen = {{ before, count: null, at: null }});
  new MutationObserver(() => {{
    seen.count = part("count") === "" ? null : Number(part("count"));
    if (seen.at === null && part("preview").includes(text) && seen.count === before + 1) seen.at = now();
  }}).observe(document.getElementById("list"), {{ subtree: true, childList: true, characterData: true }});
}}"""


class CannotBrowseError(Exception):
    """There is no browser, or the folder cannot be line to. The chat was not tested; the message says what to do."""


class BrowserReport(CheckReport, frozen=True):
    """What `chatswarm check --browser --json` prints. `update_latency`: seconds from the click to the inbox's DOM."""

    pages: str
    screenshots: list[str]


def find_chromium() -> str:
    """The browser's command: CHATSWARM_CHROMIUM, otherwise the first of the usual names on the path.

    Raises CannotBrowseError.
    """
    named = os.environ.get(CHROMIUM)
    if named:
        found = shutil.which(named)
        if found is None:
            raise CannotBrowseError(f"{CHROMIUM}: expected the command of a Chromium, got {named!r}")
        return found
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    raise CannotBrowseError(
        f"--browser: expected {', '.join(_NAMES)} on the path, or a command in {CHROMIUM}, got none: "
        "apt-get install chromium"
    )


def check_pages(
    protocol: ChatProtocol,
    base_url: str,
    pages: str,
    folder: Path,
    *,
    update_target: float = 2.0,
    on_step: Callable[[Step], None],
) -> BrowserReport:
    """Walks the guide up to the first step that fails. Leaves one customer with a chat and a message behind.

    Creates the folder, and leaves a screenshot and the console's lines of each opened page in it. Each step ends within
    15 s, those after the send within 3 s past the update target. `on_step` gets every step as it ends, and finally
    those not reached. Raises CannotBrowseError, and ValueError for an invalid URL.
    """
    _address("--target", base_url), _address("--pages", pages)
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise CannotBrowseError(
            f"--browser: expected Playwright, got: {error}: pip install 'chatswarm[browser]' and, for the browser "
            "itself, apt-get install chromium"
        ) from None
    command = find_chromium()
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=command, args=_FLAGS)
        except Error as error:
            raise CannotBrowseError(f"{command}: expected a Chromium that starts, got: {excerpt(str(error))}") from None
        try:
            return check_pages_in(
                browser, protocol, base_url, pages, folder, update_target=update_target, on_step=on_step
            )
        finally:
            browser.close()


def check_pages_in(
    browser: "Browser",
    protocol: ChatProtocol,
    base_url: str,
    pages: str,
    folder: Path,
    *,
    update_target: float = 2.0,
    on_step: Callable[[Step], None],
) -> BrowserReport:
    """Like `check_pages`, in a browser that is already running, which is left as it was."""
    backend, pages_address = _address("--target", base_url), _address("--pages", pages)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotBrowseError(f"--out: {folder}: expected a folder to write to, got: {error}") from None
    return _PagesChecklist(protocol, base_url, backend, pages_address, folder, browser, update_target, on_step).run()


def _address(flag: str, url: str) -> Address:
    try:
        return parse_address(url)
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None


class _ConsoleLine(NamedTuple):
    at: float  # Unix time in seconds, as on the pages' clock
    text: str


@dataclass
class _Tab:
    """A page in its own profile, with its console's lines and uncaught errors."""

    name: str
    page: "Page"
    lines: list[_ConsoleLine] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.lines.append(_ConsoleLine(time.time(), message.text)))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.set_default_timeout(_STEP_TIMEOUT * 1000)

    @property
    def console(self) -> list[str]:
        return [line.text for line in self.lines]

    def wait(self, ready: Callable[[], bool], timeout: float) -> bool:
        """Polls `ready`. False if it is still not so after `timeout` seconds."""
        end = time.monotonic() + timeout
        while not ready():
            if time.monotonic() > end:
                return False
            self.page.wait_for_timeout(_POLL)
        return True

    def wait_for_lines(self, awaited: ExpectedLines, timeout: float, stop_at: str, since: int = 0) -> bool:
        """Waits for these lines, from line `since` on, but stops at a line that begins with `stop_at`."""

        def over() -> bool:
            lines = self.console[since:]
            return awaited.read(lines) or any(line.startswith(stop_at) for line in lines)

        self.wait(over, timeout)
        return awaited.missing is None


@dataclass(slots=True)
class _StepResult:
    """What a step saw, for its line; `seconds`, if set, replace the time that it took."""

    text: str = ""
    seconds: float | None = None


class _PageStepFailed(Exception):
    """A step failed. `brief` is for its line; `symptoms` are fields of PageSymptoms."""

    def __init__(self, brief: str, **symptoms: object) -> None:
        self.brief = brief
        self.symptoms = symptoms


class _PagesChecklist:
    def __init__(
        self,
        protocol: ChatProtocol,
        base_url: str,
        backend: Address,
        pages: Address,
        folder: Path,
        browser: "Browser",
        update_target: float,
        on_step: Callable[[Step], None],
    ) -> None:
        self._protocol = protocol
        self._base_url = base_url
        self._backend = backend
        self._backend_url = base_url.rstrip("/")  # the backend's URL as the pages write it
        self._pages = re.sub("^ws", "http", pages.socket_url)
        self._folder = folder
        self._browser = browser
        self._update_target = update_target
        self._on_step = on_step
        self._steps: list[Step] = []
        self._tabs: list[_Tab] = []
        self._broken: PageSymptoms | None = None
        self._latency: float | None = None

    def run(self) -> BrowserReport:
        began = time.monotonic()
        with contextlib.suppress(_PageStepFailed):
            self._follow_guide()
        seconds = time.monotonic() - began
        for name in list(PageStep)[len(self._steps) :]:
            self._note(Step(name, None, None, "not reached"))
        problem = None if self._broken is None else explain(self._broken)
        try:
            screenshots = self._save_artifacts()
        finally:
            for tab in self._tabs:
                tab.page.context.close()
        return BrowserReport(
            self._base_url, problem is None, seconds, self._latency, self._steps, problem, [], self._pages, screenshots
        )

    def _follow_guide(self) -> None:
        with self._step(PageStep.INBOX) as seen:
            inbox = self._open("inbox", "#list", seen)
        with self._step(PageStep.CONNECTED, inbox) as seen:
            socket_url = re.sub("^http", "ws", self._backend_url) + self._protocol.handshake(User("", "")).path
            self._expect_lines(inbox, ExpectedLines(connecting(socket_url)), "🔌 WebSocket closed", seen)
        with self._step(PageStep.SUBSCRIBED, inbox) as seen:
            self._expect_lines(inbox, ExpectedLines(SUBSCRIBING), "🔌 WebSocket closed", seen)
        with self._step(PageStep.WIDGET) as seen:
            widget = self._open("widget", "#contact", seen)
        with self._step(PageStep.CHAT, widget) as seen:
            chat_id = self._begin_chat(widget)
            seen.text = f"chat {excerpt(chat_id, 40)}"
        self._deliver(inbox, widget, chat_id)

    def _deliver(self, inbox: _Tab, widget: _Tab, chat_id: str) -> None:
        before = len(inbox.lines)
        with self._step(PageStep.SENT, widget) as seen:
            inbox.page.evaluate(_WATCH, [chat_id, MESSAGE])
            widget.page.evaluate(_NOTE_CLICK)
            widget.page.fill("#text", MESSAGE)
            widget.page.click("#compose button")
            clicked = time.monotonic()
            sent_at = self._expect_lines(widget, ExpectedLines(SENDING), "❌ Message not sent", seen)
            clicked_at = widget.page.evaluate("chatswarmClicked") / 1000
            seen.seconds = sent_at - clicked_at
        end = clicked + self._update_target + _LATE_MARGIN
        with self._step(PageStep.NOTIFIED, inbox, clicked) as seen:
            left = max(0.0, end - time.monotonic())
            notified_at = self._expect_lines(
                inbox, ExpectedLines(notified(chat_id)), "🔌 WebSocket closed", seen, left, before
            )
            seen.seconds = notified_at - clicked_at
        with self._step(PageStep.SHOWN, inbox, clicked) as seen:
            inbox.wait(lambda: bool(inbox.page.evaluate("chatswarmSeen.at !== null")), max(0.0, end - time.monotonic()))
            shown = inbox.page.evaluate("chatswarmSeen")
            if shown["at"] is None:
                raise _PageStepFailed("not in the inbox", counted=shown["count"])
            self._latency = seen.seconds = shown["at"] / 1000 - clicked_at
            seen.text = f'"{MESSAGE}", count {shown["before"]} → {shown["count"]}'
        text = f"{human(self._latency)} after the click; the target is {self._update_target:g} s"
        late = self._latency > self._update_target
        if late:
            self._broken = self._symptoms(PageStep.IN_TIME, inbox, latency=self._latency)
        self._note(Step(PageStep.IN_TIME, not late, self._latency, text))

    def _open(self, name: str, landmark: str, seen: _StepResult) -> _Tab:
        """Opens one of the pages in a fresh profile, as in a private window."""
        from playwright.sync_api import Error

        tab = _Tab(name, self._browser.new_context(viewport=_VIEW).new_page())
        self._tabs.append(tab)
        url = f"{self._pages}/{name}"
        try:
            response = tab.page.goto(url, wait_until="domcontentloaded")
        except Error as error:
            reason = re.search(r"net::(\w+)", str(error))
            said = reason[1] if reason else excerpt(str(error))
            raise _PageStepFailed(f"{url}: {said}", detail=f"{url}: {said}") from error
        if response is not None and response.status != 200:
            raise _PageStepFailed(
                f"{url}: HTTP {response.status}", detail=f"{url}: expected HTTP 200, got {response.status}"
            )
        if tab.page.locator(landmark).count() != 1:
            raise _PageStepFailed(
                f"{url}: another page", detail=f"{url}: expected the guide's {name}, got another page"
            )
        backend_url = tab.page.evaluate("document.querySelector('meta[name=backend]')?.content ?? null")
        if backend_url is not None:
            if not _same_backend(self._backend, backend_url):
                raise _PageStepFailed(f"talks to {excerpt(backend_url, 60)}", elsewhere=excerpt(backend_url))
            self._backend_url = backend_url.rstrip("/")
        seen.text = url
        return tab

    def _begin_chat(self, widget: _Tab) -> str:
        """Fills in and submits the contact form as a customer would. Returns the new chat's id."""
        run = new_run()
        customer = User(f"Check {run}", f"check-{run}@example.com")
        creation = self._protocol.create_chat(customer)
        path = next(creation).path
        widget.page.fill("#name", customer.name)
        widget.page.fill("#email", customer.email)
        responses: list[Response] = []
        widget.page.on(
            "response", lambda response: responses.append(response) if _path(response).endswith(path) else None
        )
        widget.page.click("#contact button")
        problem, text = widget.page.locator("#contact-problem"), widget.page.locator("#text")
        widget.wait(lambda: text.is_visible() or bool(problem.text_content()), _STEP_TIMEOUT)
        if not text.is_visible():
            said = excerpt(problem.text_content() or "")
            raise _PageStepFailed(said or "no chat", detail=said)
        answer = Answer(200, {}, responses[-1].body() if responses else b"")
        return read(lambda _: _created(creation, answer), answer.body)

    def _expect_lines(
        self,
        tab: _Tab,
        awaited: ExpectedLines,
        stop_at: str,
        seen: _StepResult,
        timeout: float = _STEP_TIMEOUT,
        since: int = 0,
    ) -> float:
        """Waits for lines of the guide. Returns when the last one came; `seen` gets the time since the first."""
        if not tab.wait_for_lines(awaited, timeout, stop_at, since):
            said = next((line for line in tab.console[since:] if line.startswith(stop_at)), "")
            detail = excerpt(said or "; ".join(tab.errors))
            missing = awaited.missing
            brief = f"the console lacks: {excerpt(missing or '', 60)}"
            raise _PageStepFailed(brief, detail=detail, missing=missing)
        seen.text = f"{len(awaited)} lines of the guide"
        began, ended = (tab.lines[since + at].at for at in (awaited.positions[0], awaited.positions[-1]))
        seen.seconds = ended - began
        return ended

    @contextlib.contextmanager
    def _step(self, name: PageStep, tab: _Tab | None = None, began: float | None = None) -> Iterator[_StepResult]:
        """One step; its body records what it saw."""
        from playwright.sync_api import Error

        began, seen = time.monotonic() if began is None else began, _StepResult()
        try:
            try:
                yield seen
                # A missing element or an unreadable response fails the step; a dead browser does not.
            except (Error, Unreadable) as error:
                if not self._browser.is_connected():
                    raise
                raise _PageStepFailed(excerpt(str(error), 60), detail=excerpt(str(error))) from error
        except _PageStepFailed as failed:
            seconds = time.monotonic() - began
            self._broken = self._symptoms(name, tab, waited=seconds, **failed.symptoms)
            self._note(Step(name, False, seconds, failed.brief))
            raise
        waited = time.monotonic() - began
        self._note(Step(name, True, waited if seen.seconds is None else max(0.0, seen.seconds), seen.text))

    def _symptoms(self, name: PageStep, tab: _Tab | None, **symptoms: object) -> PageSymptoms:
        console = [] if tab is None else tab.console
        wants_token = tab is not None and tab.page.locator("#token-dialog[open]").count() > 0
        known = {"backend": self._backend_url, "console": console, "wants_token": wants_token}
        known["update_target"] = self._update_target
        return PageSymptoms(broken=name, **{**known, **symptoms})  # type: ignore[arg-type]

    def _save_artifacts(self) -> list[str]:
        """Writes a screenshot and the console of each page. Returns the paths of the screenshots."""
        from playwright.sync_api import Error

        screenshots = []
        try:
            for tab in self._tabs:
                (self._folder / f"{tab.name}-console.txt").write_text("\n".join([*tab.console, ""]), encoding="utf-8")
                screenshot = self._folder / f"{tab.name}.png"
                with contextlib.suppress(Error):  # a page that cannot be drawn changes no result
                    tab.page.screenshot(path=screenshot)
                    screenshots.append(str(screenshot))
        except OSError as error:
            raise CannotBrowseError(f"--out: {self._folder}: expected a folder to write to, got: {error}") from None
        return screenshots

    def _note(self, step: Step) -> None:
        self._steps.append(step)
        self._on_step(step)


def _path(response: "Response") -> str:
    return urlsplit(response.url).path


def _created(creation: Creation, answer: Answer) -> str:
    """The id in the answer to a page's only request. Raises Unreadable."""
    try:
        creation.send(answer)
    except StopIteration as done:
        return str(done.value)
    raise Unreadable("expected one request that creates a chat, as the page makes, got more")


def _same_backend(backend: Address, url: str) -> bool:
    """Whether the pages' backend is the one under test. All names of the loopback interface are equal."""
    try:
        theirs = parse_address(url)
    except ValueError:
        return False
    loopback = ("localhost", "127.0.0.1", "::1")
    hosts = {"localhost" if address.host in loopback else address.host for address in (backend, theirs)}
    return len(hosts) == 1 and (theirs.secure, theirs.port, theirs.prefix) == (
        backend.secure,
        backend.port,
        backend.prefix,
    )
