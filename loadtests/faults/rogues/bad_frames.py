"""Dashboards that send malformed frames, and check how the chat responds to each."""

import asyncio
import sys
from collections.abc import Iterable, Mapping

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.protocols.protocol import Kind
from chatswarm.loadtests.scenario.fault_kinds import Value

from .attacked_chat import AttackedChat, NotLetInError
from .malformed_frames import BAD_FRAMES, BadFrame, request_of
from .rogue import CannotBeginError, Rogue
from .websocket import Dashboard, EndedError

_SEND_TIMEOUT = 30.0  # seconds that writing one bad frame may take
_READ_PAUSE = 0.02  # seconds for reading a response after each piece


class BadFrames(Rogue):
    """Sends the bad frames one after the other, each on a fresh subscribed connection, round after round."""

    def __init__(self, chat: AttackedChat, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        super().__init__(chat, values, tasks)
        self.sent = 0
        self.answered_right = 0
        self.wrong = 0
        self._first_wrong: dict[str, str] = {}  # the first wrong response to each bad frame
        self._request = ""  # a request that is right, to be damaged

    async def begin(self) -> None:
        try:
            dashboard = await self._dashboard()
        except (NotLetInError, EndedError, TimeoutError) as error:
            got = str(error) or "no answer in time"
            raise CannotBeginError(f"expected a dashboard to be admitted and subscribed, got {got}") from error
        self._request = request_of(dashboard.session, self.chat.rooms)
        await dashboard.close()
        self.start(self._rounds())

    async def end(self) -> Evidence:
        await self.stop()
        return {
            "sent": self.sent,  # the last one may have had no time for a response
            "answered_right": self.answered_right,
            "wrong": self.wrong,
            **self._first_wrong,
        }

    async def _rounds(self) -> None:
        while True:
            for name, bad in BAD_FRAMES.items():
                try:
                    dashboard = await self._dashboard()
                except (NotLetInError, EndedError, TimeoutError) as error:
                    # Not a wrong response to a bad frame: none was sent.
                    print(f"{name}: no subscribed connection to send it on: {error}", file=sys.stderr, flush=True)
                    await asyncio.sleep(1)
                    continue
                try:
                    self.sent += 1
                    got = await self._try(dashboard, bad)
                finally:
                    await dashboard.close()
                if got is None:
                    self.answered_right += 1
                else:
                    self.wrong += 1
                    self._first_wrong.setdefault(f"wrong_{name}", f"expected {bad.expected}, got {got}")
            await asyncio.sleep(self.number("pause"))

    async def _dashboard(self) -> Dashboard:
        dashboard = await Dashboard.open(self.chat)
        try:
            await dashboard.subscribe()
        except BaseException:
            await dashboard.close()
            raise
        return dashboard

    async def _try(self, dashboard: Dashboard, bad: BadFrame) -> str | None:
        """Sends a bad frame. Returns the wrong response, or None if the response was right."""
        patience = self.number("patience")
        seen = ""
        sending: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(_SEND_TIMEOUT) as limit:
                sending = asyncio.create_task(
                    _send(dashboard, bad.pieces(self._request, self.count("size")), limit, patience)
                )
                while True:
                    kind = (await dashboard.receive()).kind
                    if kind is Kind.ERROR and not seen:
                        seen = "an error frame, then "
                        if bad.error:
                            if (ping := dashboard.session.ping()) is None:
                                return None  # nothing that a client sends would be answered
                            limit.reschedule(asyncio.get_running_loop().time() + patience)
                            await dashboard.send(ping)
                    elif seen and bad.error and kind is Kind.OTHER:
                        return None
        except EndedError as error:
            return None if error.code in bad.codes else f"{seen}close code {error.code}"
        except TimeoutError:
            if seen and bad.error:
                return f"{seen}no pong for {patience:g} s"
            return f"{seen}no response for {patience:g} s on an open connection"
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.wait([sending])


async def _send(dashboard: Dashboard, pieces: Iterable[bytes], limit: asyncio.Timeout, patience: float) -> None:
    try:
        for piece in pieces:
            await dashboard.connection.write(piece)
            # A server that has responded and closed answers further bytes with a reset, which may destroy its response
            # on the way. So read before writing more.
            await asyncio.sleep(_READ_PAUSE)
    except OSError:
        return  # the reader notices that the connection has ended
    limit.reschedule(asyncio.get_running_loop().time() + patience)
