"""Users who exist, but are members of nothing, at the doors of the run's rooms."""

import asyncio
import contextlib
import sys
from collections.abc import Mapping, Sequence

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.protocols.protocol import Frame, Kind, Unreadable, User, read
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
        self._intruders = [_Intruder(self, await self._log_in(number)) for number in range(self.count("intruders"))]
        try:
            await self._intruders[0].connect()
        except (NotLetInError, EndedError, TimeoutError) as error:
            got = str(error) or "no greeting in time"
            raise CannotBeginError(f"expected a user who is a member of nothing to connect, got {got}") from error
        for number, intruder in enumerate(self._intruders):
            self.start(intruder.intrude(number))

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

    def __init__(self, all_of_them: Intruders, user: User) -> None:
        self._all = all_of_them
        self._chat = all_of_them.chat
        self._user = user
        self._dashboard: Dashboard | None = None
        self._inside: set[str] = set()  # the rooms that let it in on this connection
        self.waiting: set[str] = set()
        """What it waits for: its turn at a door to end, answers to joins by room, and to sends by reference."""
        self._next_login = 0.0  # when it may log in again, in the loop's time

    async def connect(self) -> None:
        """Connects, and waits until the chat has greeted it. Raises NotLetInError, EndedError and TimeoutError."""
        dashboard = await Dashboard.open(self._chat, user=self._user)
        try:
            async with asyncio.timeout(_GREETING):
                for text in dashboard.session.open():
                    await dashboard.send(text)
                if self._chat.protocol.promises.confirms_subscriptions:
                    while (await dashboard.receive()).kind is not Kind.SUBSCRIBED:
                        pass
        except BaseException:
            await dashboard.close()
            raise
        self._dashboard = dashboard

    async def intrude(self, number: int) -> None:
        """Tries one room after the other, until it is cancelled."""
        while True:
            try:
                if self._dashboard is None:
                    await self.connect()
                await self._try_all_rooms(number)
            except (NotLetInError, EndedError, TimeoutError) as error:
                print(f"intruder {number}: {str(error) or 'no greeting in time'}", file=sys.stderr, flush=True)
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

    async def _try_all_rooms(self, number: int) -> None:
        """Never returns; raises EndedError once the chat has cut it off."""
        assert self._dashboard is not None
        listening = asyncio.create_task(self._listen(self._dashboard))
        trying = asyncio.create_task(self._knock(self._dashboard, number))
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

    async def _knock(self, dashboard: Dashboard, number: int) -> None:
        rooms = self._chat.rooms
        pause = self._all.count("intruders") / self._all.number("attempts")
        turn = number  # so that not all of them try the same room
        while not self._all.is_over:
            room = rooms[turn % len(rooms)]
            self.waiting.add(_TURN)
            if room not in self._inside:
                self._all.joins += 1
                self.waiting.add(_JOIN + room)
                for text in dashboard.session.join(room, None):
                    await dashboard.send(text)
            await self._read_room(room)
            await self._send_into(dashboard, room, turn)
            turn += 1
            self._answered(_TURN)
            await asyncio.sleep(pause)
        await asyncio.Event().wait()

    async def _listen(self, dashboard: Dashboard) -> None:
        while True:
            frame = await dashboard.receive()
            match frame.kind:
                case Kind.MESSAGE:
                    self._all.hear(frame)
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

    async def _read_room(self, room: str) -> None:
        protocol, page = self._chat.protocol, None
        try:
            while True:
                self._all.reads += page is None
                answer = await self._chat.ask(protocol.whole_chat(self._user, room, page))
                if answer.status == 401:
                    await self._log_in_again()
                if not 200 <= answer.status < 300:
                    return
                shown = read(protocol.read_whole_chat, answer.body)
                for text in shown.texts:
                    self._all.see(text.text)
                page = shown.next
                if page is None:
                    return
        except (OSError, Unreadable):
            return  # no read, and nothing was shown

    async def _send_into(self, dashboard: Dashboard, room: str, turn: int) -> None:
        """Sends by request and over the socket in turn, where the chat takes both."""
        protocol, reference = self._chat.protocol, f"{self._user.name}.{turn}"
        text = "The intruder was here."  # none of the run's texts
        self._all.sends += 1
        ways = protocol.promises.sends_over
        if ways[turn // len(self._chat.rooms) % len(ways)] == "http":
            try:
                answer = await self._chat.ask(protocol.send(self._user, room, text, reference))
                if 200 <= answer.status < 300 and read(protocol.read_sent, answer.body).accepted:
                    self._all.accepted += 1
            except (OSError, Unreadable):
                return
        else:
            self.waiting.add(reference)
            await dashboard.send(dashboard.session.send(room, text, reference))

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
