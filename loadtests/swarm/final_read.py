"""The final read: everything that the target has stored, read after the drain by users who may.

No fault proxy is in between, and nothing is conditional: a response of `304 Not Modified` would prove nothing.
"""

import logging
import time
from collections.abc import Callable, Mapping

import gevent
from gevent.pool import Pool

from chatswarm.loadtests.history.tables import UNREADABLE_HERE
from chatswarm.loadtests.messages.identity import parse_text, quotes_a_text
from chatswarm.loadtests.net.cookies import CookieJar
from chatswarm.loadtests.protocols.protocol import (
    ChatProtocol,
    LoginError,
    Page,
    Request,
    Text,
    Unreadable,
    UnreadableHere,
    User,
    read,
)

from .account import Account
from .list_versions import ListVersions
from .net.http import Client, Response
from .net.websocket import Closed, ConnectError
from .plan import RunPlan
from .recorder import Recorder
from .replay import replayed

logger = logging.getLogger(__name__)

_TRIES = 3
_AT_ONCE = 8
_PAUSE = 0.5  # seconds before the second try, and twice as much before the third
_STALE = 3
_EXCERPT = 200  # bytes to show
_LONGEST = 45.0  # seconds for all chats: the conductor waits for a minute


class FinalRead:
    """Reads chats and the list, and records them."""

    def __init__(
        self, plan: RunPlan, protocol: ChatProtocol, recorder: Recorder,
        client: Callable[[int, str | None, CookieJar | None], Client],
        note_rate_limit: Callable[[str, int, str | None], object], *, deflate: bool = True,
    ) -> None:  # fmt: skip
        """`client` makes HTTP connections to the target, for a number of requests at once, on a route, with cookies;
        `deflate`: whether sockets offer compression.
        """
        self._plan = plan
        self._protocol = protocol
        self._recorder = recorder
        self._client = client
        self._note_rate_limit = note_rate_limit
        self._deflate = deflate
        self._until = float("inf")  # in monotonic seconds, for chats

    def read_chats(self, chats: Mapping[str, Account]) -> None:
        """Reads these chats, each as the user of that account, in the way that the protocol allows."""
        way = self._protocol.promises.history
        if way == "none":
            return
        self._until = time.monotonic() + _LONGEST
        pool = Pool(_AT_ONCE)
        for chat_id, account in chats.items():
            pool.spawn(self._read_chat, account, chat_id, self._all_pages if way == "pages" else self._replay)
        pool.join()

    def read_list(self, account: Account, listing: ListVersions) -> None:
        """Reads the list that dashboards refetch, as this user."""
        client, started = self._client(1, None, account.cookies), time.monotonic()
        reader, version = account.through(client), -1
        response = self._until_read(lambda: reader.exchange(self._protocol.list_chats))
        try:
            if not response.problem:
                version = listing.version_of(response.body)
        except Unreadable as error:
            logger.warning("final read: %s", account.blanked(str(error)))
            response = as_unread(response, error)
        self._recorder.refetch(-1, -1, started, response, version)
        client.close()

    def _read_chat(
        self, account: Account, chat_id: str, reading: Callable[[Account, str], tuple[Response, Page | None]]
    ) -> None:
        """Reads one chat and records it, whatever happens."""
        started = time.monotonic()
        try:
            response, whole = reading(account, chat_id)
        except Exception as error:  # noqa: BLE001 - protocols are third-party code, and every chat has a row
            detail = account.blanked(f"the final read failed: {type(error).__name__}: {error}")
            self._recorder.trouble(time.monotonic(), "final", detail)
            response, whole = Response(UNREADABLE_HERE, b"", False, started, time.monotonic(), detail), None
        texts = () if whole is None else whole.texts
        parsed = [parse_text(text.text, self._plan.run, from_customer=text.from_customer) for text in texts]
        self._recorder.final(chat_id, started, response, whole, parsed)

    def _all_pages(self, account: Account, chat_id: str) -> tuple[Response, Page | None]:
        """The last response, and the whole chat if every page could be read."""
        client = self._client(1, None, account.cookies)
        reader = account.through(client)
        pages = _Pages()
        try:
            while True:
                request = self._request(chat_id, pages.next)
                response = self._until_read(lambda: reader.exchange(request))  # noqa: B023 - called at once
                if response.problem:
                    return response, None
                page = read(lambda body: self._protocol.read_whole_chat(body, pages.next), response.body)
                self._check(page, response.body)
                if pages.add(page):
                    return response, Page(pages.texts, pages.total)
                if time.monotonic() > self._until:
                    raise Unreadable(f"expected the pages to end, got another after {len(pages.texts)} messages")
        except Unreadable as error:
            status = UNREADABLE_HERE if isinstance(error, UnreadableHere) else 0
            return response._replace(status=status, error=account.blanked(str(error))), None
        finally:
            client.close()

    def _check(self, page: Page, body: bytes) -> None:
        """Raises Unreadable if texts of this run were read that the protocol does not show."""
        run = self._plan.run
        if not any(run in text.text for text in page.texts) and quotes_a_text(body, run):
            raise Unreadable(
                f"expected the protocol to show the texts of this run, got {len(page.texts)} other messages from "
                f"{body[:_EXCERPT]!r}"
            )

    def _request(self, chat_id: str, page: str | None) -> Callable[[User], Request]:
        return lambda user: self._protocol.whole_chat(user, chat_id, page)

    def _replay(self, account: Account, chat_id: str) -> tuple[Response, Page | None]:
        """A chat as what a new connection is sent of it."""
        started = time.monotonic()
        for number in range(_TRIES):
            if number:
                if time.monotonic() > self._until:
                    break
                gevent.sleep(_PAUSE * number)
            try:
                texts = replayed(self._plan, self._protocol, account, chat_id, deflate=self._deflate, until=self._until)
                return Response(200, b"", True, started, time.monotonic()), Page(texts)
            except (ConnectError, Closed, LoginError, Unreadable) as error:
                if isinstance(error, ConnectError):
                    self._note_rate_limit("final read", error.status, error.retry_after)
                status = error.status if isinstance(error, (ConnectError, LoginError)) else 0
                status = UNREADABLE_HERE if isinstance(error, UnreadableHere) else status
                detail = account.blanked(str(error))
                response = Response(status, b"", False, started, time.monotonic(), detail)
        return response, None

    def _until_read(self, attempt: Callable[[], Response]) -> Response:
        for number in range(_TRIES):
            if number:
                gevent.sleep(_PAUSE * number)
            response = attempt()
            self._note_rate_limit("final read", response.status, response.retry_after)
            if not response.problem:
                break
        return response


class _Pages:
    """Collects the pages of one chat, and finds out if they go round in circles."""

    def __init__(self) -> None:
        self.texts: list[Text] = []
        self.total: int | None = None
        self.next: str | None = None
        """What to ask for to get the next page."""
        self._asked: set[str] = set()
        self._known: set[tuple[int | str | None, str]] = set()
        self._stale = 0  # pages in a row that had only what was known

    def add(self, page: Page) -> bool:
        """Takes the next page. Returns whether it was the last. Raises Unreadable if the pages do not end.

        A message that is shown twice is the judge's business: only a few pages in a row without anything new are not.
        """
        fresh = {(text.message_id, text.text) for text in page.texts} - self._known
        self._known |= fresh
        self._stale = 0 if fresh else self._stale + 1
        self.texts = [*page.texts, *self.texts] if page.newest_first else [*self.texts, *page.texts]
        self.total, self.next = page.total, page.next
        if page.next is None:
            return True
        if page.next in self._asked or self._stale >= _STALE:
            raise Unreadable(f"expected another page of the chat, got the same again ({len(self._asked) + 1} so far)")
        self._asked.add(page.next)
        return False


def as_unread(response: Response, error: Unreadable) -> Response:
    """The response to record for a failed read: with UNREADABLE_HERE if the rig could not read it, else unchanged."""
    return response._replace(status=UNREADABLE_HERE) if isinstance(error, UnreadableHere) else response
