"""Dashboards that send frames which break a rule, and look at how each is answered."""

import asyncio
import sys
from collections.abc import Iterable, Mapping

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.protocols.protocol import Kind
from chatswarm.loadtests.scenario.fault_kinds import Value

from .attacked_chat import AttackedChat
from .malformed_frames import BAD_FRAMES, BadFrame
from .rogue import CannotBeginError, Rogue
from .websocket import Dashboard, EndedError, NotLetInError

_SENDING = 30.0  # seconds that writing one case may take
_BREATH = 0.02  # seconds after each piece in which an answer is read


class BadFrames(Rogue):
    """Sends each kind of bad frame on a fresh subscribed connection, one after the other, round after round."""

    def __init__(self, site: AttackedChat, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        super().__init__(site, values, tasks)
        self.sent = 0
        self.answered_right = 0
        self.wrong = 0
        self._told: dict[str, str] = {}  # of each case that was answered wrongly, how it was the first time

    async def begin(self) -> None:
        try:
            dashboard = await self._dashboard()
        except (NotLetInError, EndedError, TimeoutError) as error:
            got = str(error) or "no answer in time"
            raise CannotBeginError(f"expected a dashboard to be let in and subscribed, got {got}") from error
        await dashboard.close()
        self.start(self._rounds())

    async def end(self) -> Evidence:
        await self.stop()
        return {
            "sent": self.sent,  # the last one may have been given no time to be answered
            "answered_right": self.answered_right,
            "wrong": self.wrong,
            **self._told,
        }

    async def _rounds(self) -> None:
        while True:
            for name, bad in BAD_FRAMES.items():
                try:
                    dashboard = await self._dashboard()
                except (NotLetInError, EndedError, TimeoutError) as error:
                    # No wrong answer to a bad frame: none was sent.
                    print(f"{name}: no subscribed connection to send it on: {error}", file=sys.stderr, flush=True)
                    await asyncio.sleep(1)
                    continue
                try:
                    self.sent += 1
                    got = await self._answer(dashboard, bad)
                finally:
                    await dashboard.close()
                if got is None:
                    self.answered_right += 1
                else:
                    self.wrong += 1
                    self._told.setdefault(f"wrong_{name}", f"expected {bad.expected}, got {got}")
            await asyncio.sleep(self.number("pause"))

    async def _dashboard(self) -> Dashboard:
        dashboard = await Dashboard.open(self.site)
        try:
            await dashboard.subscribe()
        except BaseException:
            await dashboard.close()
            raise
        return dashboard

    async def _answer(self, dashboard: Dashboard, bad: BadFrame) -> str | None:
        """Sends it; what came instead of a right answer, or None."""
        patience = self.number("patience")
        seen = ""
        sending: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(_SENDING) as limit:
                sending = asyncio.create_task(
                    _send(dashboard, bad.pieces(self.site.target, self.count("size")), limit, patience)
                )
                while True:
                    kind = (await dashboard.hear()).kind
                    if kind is Kind.ERROR and not seen:
                        seen = "an error frame, then "
                        if bad.error:
                            limit.reschedule(asyncio.get_running_loop().time() + patience)
                            await dashboard.say(self.site.target.ping())
                    elif seen and bad.error and kind is Kind.OTHER:
                        return None
        except EndedError as error:
            return None if error.code in bad.codes else f"{seen}close code {error.code}"
        except TimeoutError:
            if seen and bad.error:
                return f"{seen}no answer to a ping in {patience:g} s"
            return f"{seen}an open connection without an answer for {patience:g} s"
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.wait([sending])


async def _send(dashboard: Dashboard, pieces: Iterable[bytes], limit: asyncio.Timeout, patience: float) -> None:
    try:
        for piece in pieces:
            await dashboard.pipe.write(piece)
            # A server that has answered and closed resets the connection at bytes that come later, and a reset may
            # destroy its answer on the way: so that is read before more is written.
            await asyncio.sleep(_BREATH)
    except OSError:
        return  # that it has ended shows in reading
    limit.reschedule(asyncio.get_running_loop().time() + patience)
