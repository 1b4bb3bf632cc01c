"""Reads what a connection missed and will not be sent again, page by page."""

from chatswarm.loadtests.history.tables import Sighting
from chatswarm.loadtests.protocols.protocol import Frame, Kind, Page, Request, Unreadable, read

from .account import Account
from .net.http import Response
from .node import Node

_MOST_PAGES = 1000  # of one read: nobody misses more


class MissedRead:
    """One read by one user of what it missed in a room, after `last`. What it shows are sightings, as frames are."""

    def __init__(self, node: Node, account: Account, room: str, last: Frame | None) -> None:
        self._node = node
        self._account = account
        self._room = room
        self._last = last

    def show(self, connection: int) -> Frame | None:
        """Reads and records it as shown on a connection. Returns the last message. Failures are noted."""
        try:
            return self._show(connection)
        except Unreadable as error:
            self._note(str(error))
        except Exception as error:  # noqa: BLE001 - protocols are third-party code
            detail = self._account.blanked(f"{type(error).__name__}: {error}")
            self._node.trouble("missed", f"the protocol failed to read what was missed: {detail}")
        return None

    def _show(self, connection: int) -> Frame | None:
        recorder, seen = self._node.recorder, None
        response, asked = self._first(), set[str]()
        at: str | None = None
        while response is not None:
            if response.problem:
                self._note(response.problem)
                break
            page: Page = read(lambda body: self._node.protocol.read_whole_chat(body, at), response.body)  # noqa: B023
            for text in page.texts:
                seen = Frame(Kind.MESSAGE, self._room, text.from_customer, text.message_id, text=text.text)
                recorder.frame(connection, recorder.announcement(seen, Sighting.READ), response.done)
            if page.next is None:
                break
            if page.next in asked or len(asked) >= _MOST_PAGES:
                raise Unreadable(f"expected another page or the last one, got {page.next} after {len(asked) + 1} pages")
            asked.add(page.next)
            at = page.next
            response = self._further(page.next)
        return seen

    def _first(self) -> Response | None:
        """The first page; None if this protocol has none."""
        protocol, room, last = self._node.protocol, self._room, self._last
        if protocol.read_missed(self._account.user, room, last) is None:
            return None
        # Built anew for each try: after another login the user has another token.
        return self._account.exchange(lambda user: _given(protocol.read_missed(user, room, last)))

    def _further(self, page: str) -> Response:
        return self._account.exchange(lambda user: self._node.protocol.whole_chat(user, self._room, page))

    def _note(self, problem: str) -> None:
        self._node.note_few("missed", f"what was missed could not be read: {self._account.blanked(problem)}")


def _given(request: Request | None) -> Request:
    if request is None:
        raise ValueError("expected the same request again, got none")
    return request
