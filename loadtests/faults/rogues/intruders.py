"""Users who exist, but are members of nothing, at the doors of the run's rooms."""

import asyncio
import contextlib
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.protocols.protocol import Frame, Kind, Outgoing, Request, Unreadable, User, read
from chatswarm.loadtests.protocols.variables import OutOfScopeError
from chatswarm.loadtests.scenario.fault_kinds import Value

from .attacked_chat import AttackedChat, NotLetInError
from .rogue import CannotBeginError, Rogue
from .websocket import Dashboard, EndedError

_RETRY_DELAY = 1.0  # seconds before an intruder who was cut off comes back
_GREETING = 10.0  # seconds until the chat must have greeted a user
_LOGIN_PAUSE = 5.0  # seconds between two logins of an intruder: a chat may answer 401 to who is no member
_LAST_ANSWERS = 1.0  # seconds at the end in which the last answers may still come


_TURN, _JOIN = "turn", "join "


class Intruders(Rogue):
    """Users who log in and connect properly, then try to join rooms, to read them and to send into them without being
    members. If they are let in they keep listening. Begins only if the chat lets them connect.
    """

    needs_members = True

    def __init__(self, chat: AttackedChat, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        super().__init__(chat, values, tasks)
        self.is_over = False
        """Whether they only wait for the last answers."""
        self._intruders: list[_Intruder] = []
        self._all_answered = asyncio.Event()
        self.joins = 0
        self.refused = 0
        self.let_in = 0
        self.reads = 0
        self.sends = 0
        self.accepted = 0
        self.shown: set[str] = set()
        """Texts of the run that were shown to them, by reads or frames."""

    async def begin(self) -> None:
        if not self.chat.rooms:
            raise CannotBeginError("expected the ids of the run's rooms, got none")
        numbers = range(self.count("intruders"))
        self._intruders = [_Intruder(self, await self._log_in(number), number) for number in numbers]
        try:
            await self._intruders[0].connect()
        except (NotLetInError, EndedError, TimeoutError) as error:
            got = str(error) or "no greeting in time"
            raise CannotBeginError(f"expected a user who is a member of nothing to connect, got {got}") from error
        for intruder in self._intruders:
            self.start(intruder.intrude())

    async def end(self) -> Evidence:
        self.is_over = True
        self.check()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_ANSWERS):
                await self._all_answered.wait()
        await self.stop()
        return {
            "joins": self.joins,
            "refused": self.refused,
            "let_in": self.let_in,
            "reads": self.reads,
            "shown": len(self.shown),
            "sends": self.sends,
            "accepted": self.accepted,
        }

    async def _log_in(self, number: int) -> User:
        try:
            return await self.chat.stranger("intruder", number)
        except NotLetInError as error:
            raise CannotBeginError(f"expected a user who is a member of nothing to log in, got {error}") from error

    def check(self) -> None:
        """An intruder has got an answer."""
        if self.is_over and not any(intruder.waiting for intruder in self._intruders):
            self._all_answered.set()

    def see(self, text: str) -> None:
        """Takes note of a text that an intruder was shown, if the run has sent it: each carries the run's name."""
        if self.chat.run in text:
            self.shown.add(text)

    def hear(self, frame: Frame) -> None:
        """Takes note of a message in a frame. Even one without the text tells too much."""
        if frame.text is not None:
            self.see(frame.text)
        elif frame.chat_id in self.chat.rooms:
            self.shown.add(f"{frame.message_id} in {frame.chat_id}")


class _Intruder:
    """One user, with one connection at a time."""

    def __init__(self, all_of_them: Intruders, user: User, number: int) -> None:
        self._all = all_of_them
        self._chat = all_of_them.chat
        self._user = user
        self._number = number
        rooms = self._chat.rooms
        one = rooms[number % len(rooms)]
        self._rooms = [one] if self._chat.protocol.promises.one_room else rooms
        self._dashboard: Dashboard | None = None
        self._inside: set[str] = set()  # the rooms that let it in on this connection
        self.waiting: set[str] = set()
        """What it waits for: its turn at a door to end, answers to joins by room, and to sends by reference or text."""
        self._next_login = 0.0  # when it may log in again, in the loop's time

    async def connect(self) -> None:
        """Connects, and waits until the chat has greeted it. Raises NotLetInError, EndedError and TimeoutError."""
        dashboard = await Dashboard.open(self._chat, user=self._user, room=self._rooms[0])
        try:
            async with asyncio.timeout(_GREETING):
                await dashboard.begin()
        except BaseException:
            await dashboard.close()
            raise
        self._dashboard = dashboard

    async def intrude(self) -> None:
        """Tries one room after the other, until it is cancelled."""
        while True:
            try:
                if self._dashboard is None:
                    await self.connect()
                await self._try_all_rooms()
            except (NotLetInError, EndedError, TimeoutError) as error:
                print(f"intruder {self._number}: {str(error) or 'no greeting in time'}", file=sys.stderr, flush=True)
                if _has_expired(error, self._chat.protocol.expired_codes):
                    await self._log_in_again()
            finally:
                if self._dashboard is not None:
                    await self._dashboard.close()
                    self._dashboard = None
            self._inside.clear()
            self.waiting.clear()
            self._all.check()
            await asyncio.sleep(_RETRY_DELAY)

    async def _try_all_rooms(self) -> None:
        """Never returns; raises EndedError once the chat has cut it off."""
        assert self._dashboard is not None
        listening = asyncio.create_task(self._listen(self._dashboard))
        trying = asyncio.create_task(self._knock(self._dashboard))
        both = {listening, trying}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.wait(both)
        for task in both:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _knock(self, dashboard: Dashboard) -> None:
        rooms = self._rooms
        pause = self._all.count("intruders") / self._all.number("attempts")
        turn = self._number  # so that not all of them try the same room
        while not self._all.is_over:
            room = rooms[turn % len(rooms)]
            self.waiting.add(_TURN)
            if room not in self._inside:
                await self._join(dashboard, room)
            await self._read_room(dashboard.user, room)
            await self._send_into(dashboard, room, turn)
            turn += 1
            self._answered(_TURN)
            await asyncio.sleep(pause)
        await asyncio.Event().wait()

    async def _join(self, dashboard: Dashboard, room: str) -> None:
        self._all.joins += 1
        asked = dashboard.session.join(room, None)
        if any(frame.kind is Kind.JOINED for frame in asked.frames):
            # This chat does not say who may listen: what is shown will.
            self._inside.add(room)
        else:
            self.waiting.add(_JOIN + room)
        await dashboard.heed(asked._replace(frames=()))

    async def _listen(self, dashboard: Dashboard) -> None:
        while True:
            frame = await dashboard.receive()
            match frame.kind:
                case Kind.MESSAGE:
                    self._all.hear(frame)
                    if frame.text in self.waiting:
                        self._all.accepted += 1
                        self._answered(frame.text)
                case Kind.JOINED if frame.chat_id in self._chat.rooms and frame.chat_id not in self._inside:
                    self._inside.add(frame.chat_id)
                    self._all.let_in += 1
                    self._answered(_JOIN + frame.chat_id)
                case Kind.REFUSED:
                    self._all.refused += 1
                    self._answered(_JOIN + frame.chat_id)
                case Kind.LEFT:
                    self._inside.discard(frame.chat_id)
                case Kind.ACKNOWLEDGED if frame.reference in self.waiting:
                    self._all.accepted += 1
                    self._answered(frame.reference)
                case Kind.REJECTED:
                    self._answered(frame.reference)

    def _answered(self, what: str) -> None:
        self.waiting.discard(what)
        self._all.check()

    async def _read_room(self, user: User, room: str) -> None:
        protocol, page = self._chat.protocol, None
        if protocol.promises.history != "pages":
            return
        try:
            while True:
                self._all.reads += page is None
                answer = await self._chat.ask(protocol.whole_chat(user, room, page), user)
                if answer.status == 401:
                    await self._log_in_again()
                if not 200 <= answer.status < 300:
                    return
                shown = read(partial(protocol.read_whole_chat, page=page), answer.body)
                for text in shown.texts:
                    self._all.see(text.text)
                page = shown.next
                if page is None:
                    return
        except (OSError, Unreadable, OutOfScopeError):
            return  # no read, and nothing was shown

    async def _send_into(self, dashboard: Dashboard, room: str, turn: int) -> None:
        """Sends by request and over the socket in turn, where the chat takes both."""
        reference = f"{self._user.name}.{turn}"
        text = f"The intruder was here: {self._number}.{turn}."  # none of the run's texts
        ways = self._chat.protocol.promises.sends_over
        by_http = ways[turn // len(self._rooms) % len(ways)] == "http"
        try:
            if by_http:
                sending: Outgoing = self._chat.protocol.send(dashboard.user, room, text, reference)
            else:
                sending = dashboard.session.send(room, text, reference)
        except OutOfScopeError:
            return  # only who has joined knows enough to send
        self._all.sends += 1
        if isinstance(sending, Request):
            await self._send_by_http(sending, dashboard.user)
            return
        match self._chat.protocol.promises.accepted_by:
            case "ack":
                self.waiting.add(reference)
            case "echo":
                self.waiting.add(text)
        await dashboard.send(sending)

    async def _send_by_http(self, request: Request, user: User) -> None:
        with contextlib.suppress(OSError, Unreadable):
            answer = await self._chat.ask(request, user)
            if 200 <= answer.status < 300 and read(self._chat.protocol.read_sent, answer.body).accepted:
                self._all.accepted += 1

    async def _log_in_again(self) -> None:
        """Its token may have expired, and then its refusals prove nothing about rooms."""
        now = asyncio.get_running_loop().time()
        if now >= self._next_login:
            self._next_login = now + _LOGIN_PAUSE
            with contextlib.suppress(NotLetInError):  # it will try again
                await self._chat.log_in(self._user)


def _has_expired(error: Exception, codes: Sequence[int]) -> bool:
    """Whether a user was not let in, or cut off, for want of a valid token."""
    return (isinstance(error, NotLetInError) and error.status == 401) or (
        isinstance(error, EndedError) and error.code in codes
    )
