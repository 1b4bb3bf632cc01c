"""`chatswarm check --browser`: the guide on its two pages, in a real headless Chromium, both consoles read.

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
from chatswarm.loadtests.protocols.protocol import ChatProtocol, Customer, Unreadable, read
from chatswarm.loadtests.system.units import human

from .console import MESSAGE, SENDING, SUBSCRIBING, ExpectedLine, connecting, notified
from .http import excerpt
from .page_causes import PageSymptoms, explain
from .steps import CheckReport, Step
from .symptoms import PageStep

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Response, ViewportSize

PAGES = "http://localhost:3000"
CHROMIUM = "CHATSWARM_CHROMIUM"

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-proxy-server"]
_PATIENCE = 15.0  # seconds for each step up to the send
_BEYOND = 3.0  # seconds beyond the update target, in which a late message can still be seen to be late
_POLL = 20  # milliseconds between two looks at the consoles
_VIEW: "ViewportSize" = {"width": 1280, "height": 800}

# Both pages tell the time on the clock of their one machine, in milliseconds.
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
    """No browser can be had, or its folder not written. Nothing was asked of the chat; the text says what to do."""


class BrowserReport(CheckReport, frozen=True):
    """What `chatswarm check --browser --json` prints. `update_latency`: seconds from the click to the inbox's DOM."""

    pages: str
    screenshots: list[str]


def find_chromium() -> str:
    """The browser's command: the one in CHATSWARM_CHROMIUM, else the first of the usual names on the path.

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
    target: ChatProtocol,
    base_url: str,
    pages: str,
    folder: Path,
    *,
    update_target: float = 2.0,
    on_step: Callable[[Step], None],
) -> BrowserReport:
    """Walks the guide up to the first step that fails. Leaves one customer with a chat and a message behind.

    The folder is made, and gets a screenshot and the console's lines of each page that was opened. Each step ends
    within 15 s, those after the send 3 s after the update target. `on_step` gets every step as it ends, and at last
    those not reached. Raises CannotBrowseError, and ValueError for a URL that makes no sense.
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
                browser, target, base_url, pages, folder, update_target=update_target, on_step=on_step
            )
        finally:
            browser.close()


def check_pages_in(
    browser: "Browser",
    target: ChatProtocol,
    base_url: str,
    pages: str,
    folder: Path,
    *,
    update_target: float = 2.0,
    on_step: Callable[[Step], None],
) -> BrowserReport:
    """The same in a browser that runs already, which is left as it was."""
    backend, place = _address("--target", base_url), _address("--pages", pages)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotBrowseError(f"--out: {folder}: expected a folder to write to, got: {error}") from None
    return _PagesChecklist(target, base_url, backend, place, folder, browser, update_target, on_step).run()


def _address(flag: str, url: str) -> Address:
    try:
        return parse_address(url)
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None


class _Written(NamedTuple):
    at: float  # seconds since 1970, as the pages tell the time
    line: str


@dataclass
class _Tab:
    """A page in a profile of its own, with all that it wrote to its console, and what it threw."""

    name: str
    page: "Page"
    written: list[_Written] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.written.append(_Written(time.time(), message.text)))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.set_default_timeout(_PATIENCE * 1000)

    @property
    def console(self) -> list[str]:
        return [written.line for written in self.written]

    def wait(self, ready: Callable[[], bool], patience: float) -> bool:
        """Looks again and again, until it is ready or the time is up."""
        end = time.monotonic() + patience
        while not ready():
            if time.monotonic() > end:
                return False
            self.page.wait_for_timeout(_POLL)
        return True

    def hear(self, awaited: ExpectedLine, patience: float, give_up: str, since: int = 0) -> bool:
        """Waits for these lines, from the `since`-th on, but not beyond a line that begins with `give_up`."""

        def over() -> bool:
            lines = self.console[since:]
            return awaited.read(lines) or any(line.startswith(give_up) for line in lines)

        self.wait(over, patience)
        return awaited.missing is None


@dataclass(slots=True)
class _Seen:
    """What a step saw, for its line; `seconds` in place of how long it was waited for."""

    text: str = ""
    seconds: float | None = None


class _PageStepFailed(Exception):
    """A step failed. `brief` is for its line."""

    def __init__(self, brief: str, **sight: object) -> None:
        self.brief = brief
        self.sight = sight


class _PagesChecklist:
    def __init__(
        self,
        target: ChatProtocol,
        base_url: str,
        backend: Address,
        pages: Address,
        folder: Path,
        browser: "Browser",
        update_target: float,
        on_step: Callable[[Step], None],
    ) -> None:
        self._target = target
        self._base_url = base_url
        self._backend = backend
        self._told = base_url.rstrip("/")  # the backend, as the pages write it
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
            shots = self._leave()
        finally:
            for tab in self._tabs:
                tab.page.context.close()
        return BrowserReport(
            self._base_url, problem is None, seconds, self._latency, self._steps, problem, [], self._pages, shots
        )

    def _follow_guide(self) -> None:
        with self._step(PageStep.INBOX) as seen:
            inbox = self._open("inbox", "#list", seen)
        with self._step(PageStep.CONNECTED, inbox) as seen:
            socket_url = re.sub("^http", "ws", self._told) + self._target.socket_path
            self._hear(inbox, ExpectedLine(connecting(socket_url)), "🔌 WebSocket closed", seen)
        with self._step(PageStep.SUBSCRIBED, inbox) as seen:
            self._hear(inbox, ExpectedLine(SUBSCRIBING), "🔌 WebSocket closed", seen)
        with self._step(PageStep.WIDGET) as seen:
            widget = self._open("widget", "#contact", seen)
        with self._step(PageStep.CHAT, widget) as seen:
            chat_id = self._begin_chat(widget)
            seen.text = f"chat {excerpt(chat_id, 40)}"
        self._deliver(inbox, widget, chat_id)

    def _deliver(self, inbox: _Tab, widget: _Tab, chat_id: str) -> None:
        before = len(inbox.written)
        with self._step(PageStep.SENT, widget) as seen:
            inbox.page.evaluate(_WATCH, [chat_id, MESSAGE])
            widget.page.evaluate(_NOTE_CLICK)
            widget.page.fill("#text", MESSAGE)
            widget.page.click("#compose button")
            clicked = time.monotonic()
            sent_at = self._hear(widget, ExpectedLine(SENDING), "❌ Message not sent", seen)
            clicked_at = widget.page.evaluate("chatswarmClicked") / 1000
            seen.seconds = sent_at - clicked_at
        end = clicked + self._update_target + _BEYOND
        with self._step(PageStep.NOTIFIED, inbox, clicked) as seen:
            left = max(0.0, end - time.monotonic())
            notified_at = self._hear(inbox, ExpectedLine(notified(chat_id)), "🔌 WebSocket closed", seen, left, before)
            seen.seconds = notified_at - clicked_at
        with self._step(PageStep.SHOWN, inbox, clicked) as seen:
            inbox.wait(lambda: bool(inbox.page.evaluate("chatswarmSeen.at !== null")), max(0.0, end - time.monotonic()))
            sight = inbox.page.evaluate("chatswarmSeen")
            if sight["at"] is None:
                raise _PageStepFailed("not in the inbox", counted=sight["count"])
            self._latency = seen.seconds = sight["at"] / 1000 - clicked_at
            seen.text = f'"{MESSAGE}", count {sight["before"]} → {sight["count"]}'
        told = f"{human(self._latency)} after the click; the target is {self._update_target:g} s"
        late = self._latency > self._update_target
        if late:
            self._broken = self._sight(PageStep.IN_TIME, inbox, latency=self._latency)
        self._note(Step(PageStep.IN_TIME, not late, self._latency, told))

    def _open(self, name: str, landmark: str, seen: _Seen) -> _Tab:
        """One of the pages, in a fresh profile, as in a private window."""
        from playwright.sync_api import Error

        tab = _Tab(name, self._browser.new_context(viewport=_VIEW).new_page())
        self._tabs.append(tab)
        url = f"{self._pages}/{name}"
        try:
            answer = tab.page.goto(url, wait_until="domcontentloaded")
        except Error as error:
            reason = re.search(r"net::(\w+)", str(error))
            said = reason[1] if reason else excerpt(str(error))
            raise _PageStepFailed(f"{url}: {said}", detail=f"{url}: {said}") from error
        if answer is not None and answer.status != 200:
            raise _PageStepFailed(
                f"{url}: HTTP {answer.status}", detail=f"{url}: expected HTTP 200, got {answer.status}"
            )
        if tab.page.locator(landmark).count() != 1:
            raise _PageStepFailed(
                f"{url}: another page", detail=f"{url}: expected the guide's {name}, got another page"
            )
        told = tab.page.evaluate("document.querySelector('meta[name=backend]')?.content ?? null")
        if told is not None:
            if not _same(self._backend, told):
                raise _PageStepFailed(f"talks to {excerpt(told, 60)}", elsewhere=excerpt(told))
            self._told = told.rstrip("/")
        seen.text = url
        return tab

    def _begin_chat(self, widget: _Tab) -> str:
        """Fills the contact form as a customer would; the new chat's id."""
        by = new_run()
        customer = Customer(f"Check {by}", f"check-{by}@example.com")
        path = self._target.create_chat(customer).path
        widget.page.fill("#name", customer.name)
        widget.page.fill("#email", customer.email)
        answers: list[Response] = []
        widget.page.on("response", lambda answer: answers.append(answer) if _path(answer).endswith(path) else None)
        widget.page.click("#contact button")
        problem, text = widget.page.locator("#contact-problem"), widget.page.locator("#text")
        widget.wait(lambda: text.is_visible() or bool(problem.text_content()), _PATIENCE)
        if not text.is_visible():
            said = excerpt(problem.text_content() or "")
            raise _PageStepFailed(said or "no chat", detail=said)
        return read(self._target.read_created, answers[-1].body() if answers else b"")

    def _hear(
        self,
        tab: _Tab,
        awaited: ExpectedLine,
        give_up: str,
        seen: _Seen,
        patience: float = _PATIENCE,
        since: int = 0,
    ) -> float:
        """When the last of these lines came; `seen` gets the time since the first of them."""
        if not tab.hear(awaited, patience, give_up, since):
            said = next((line for line in tab.console[since:] if line.startswith(give_up)), "")
            detail = excerpt(said or "; ".join(tab.errors))
            missing = awaited.missing
            brief = f"the console did not say: {excerpt(missing or '', 60)}"
            raise _PageStepFailed(brief, detail=detail, missing=missing)
        seen.text = f"{len(awaited)} lines of the guide"
        began, ended = (tab.written[since + at].at for at in (awaited.places[0], awaited.places[-1]))
        seen.seconds = ended - began
        return ended

    @contextlib.contextmanager
    def _step(self, name: PageStep, tab: _Tab | None = None, began: float | None = None) -> Iterator[_Seen]:
        """One step; the body says what was seen. What the page does not have or allow is a failed step, too."""
        from playwright.sync_api import Error

        began, seen = time.monotonic() if began is None else began, _Seen()
        try:
            try:
                yield seen
                # What a page has not got, or an answer that cannot be read, fails the step; a dead browser does not.
            except (Error, Unreadable) as error:
                if not self._browser.is_connected():
                    raise
                raise _PageStepFailed(excerpt(str(error), 60), detail=excerpt(str(error))) from error
        except _PageStepFailed as broken:
            seconds = time.monotonic() - began
            self._broken = self._sight(name, tab, waited=seconds, **broken.sight)
            self._note(Step(name, False, seconds, broken.brief))
            raise
        waited = time.monotonic() - began
        self._note(Step(name, True, waited if seen.seconds is None else max(0.0, seen.seconds), seen.text))

    def _sight(self, name: PageStep, tab: _Tab | None, **sight: object) -> PageSymptoms:
        console = [] if tab is None else tab.console
        wants_token = tab is not None and tab.page.locator("#token-dialog[open]").count() > 0
        known = {"backend": self._told, "console": console, "wants_token": wants_token}
        known["update_target"] = self._update_target
        return PageSymptoms(broken=name, **{**known, **sight})  # type: ignore[arg-type]

    def _leave(self) -> list[str]:
        """Writes what the pages look like and what they said; the paths of the screenshots."""
        from playwright.sync_api import Error

        shots = []
        try:
            for tab in self._tabs:
                (self._folder / f"{tab.name}-console.txt").write_text("\n".join([*tab.console, ""]), encoding="utf-8")
                shot = self._folder / f"{tab.name}.png"
                with contextlib.suppress(Error):  # a page that cannot be drawn takes no verdict away
                    tab.page.screenshot(path=shot)
                    shots.append(str(shot))
        except OSError as error:
            raise CannotBrowseError(f"--out: {self._folder}: expected a folder to write to, got: {error}") from None
        return shots

    def _note(self, step: Step) -> None:
        self._steps.append(step)
        self._on_step(step)


def _path(answer: "Response") -> str:
    return urlsplit(answer.url).path


def _same(backend: Address, told: str) -> bool:
    """Whether the pages' backend is the one under test. This machine has several names."""
    try:
        theirs = parse_address(told)
    except ValueError:
        return False
    loopback = ("localhost", "127.0.0.1", "::1")
    hosts = {"localhost" if address.host in loopback else address.host for address in (backend, theirs)}
    return len(hosts) == 1 and (theirs.secure, theirs.port, theirs.prefix) == (
        backend.secure,
        backend.port,
        backend.prefix,
    )
