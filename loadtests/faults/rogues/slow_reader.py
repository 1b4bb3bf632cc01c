"""Dashboards that subscribe and then stop reading."""

import array
import asyncio
import contextlib
import fcntl
import select
import termios
import time
from collections import Counter
from collections.abc import Mapping

from chatswarm.loadtests.history.faults import Evidence
from chatswarm.loadtests.scenario.fault_kinds import Value

from .attacked_chat import AttackedChat, NotLetInError
from .rogue import CannotBeginError, Rogue
from .websocket import Dashboard, EndedError

_INTERVAL = 0.1  # seconds between two rounds of reading and checking
_DRAIN_TIMEOUT = 2.0  # seconds to read at the end, to find out who was cut off
# POLLRDHUP reports an end behind unread bytes. Where it does not exist, POLLHUP or the final drain shows it.
_HUNG_UP = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class _SlowDashboard:
    """One dashboard that reads little or nothing."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard = dashboard
        self.cut_off_at: float | None = None
        self.allowance = 0.0  # bytes that it may read now
        self._poll = select.poll()
        self._poll.register(dashboard.connection.sock, _HUNG_UP)

    def hung_up(self) -> bool:
        return any(events & _HUNG_UP for _, events in self._poll.poll(0))

    def unread(self) -> int:
        """The number of received bytes that wait in the kernel."""
        count = array.array("i", [0])
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.dashboard.connection.sock, termios.FIONREAD, count)
        return count[0]

    async def read_some(self) -> bool:
        """Reads as much as `allowance` permits. False once the connection has ended."""
        connection = self.dashboard.connection
        alive = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_INTERVAL):
                while alive and self.allowance >= 1:
                    before = connection.received
                    alive = await self.dashboard.discard(int(self.allowance))
                    self.allowance -= connection.received - before
        return alive


class SlowReader(Rogue):
    """Dashboards that subscribe and then stop reading, or read very slowly. They do not reconnect when cut off.

    A close cannot get past the unread bytes to a peer that does not read; only a reset can. After a close without a
    reset, only the final drain shows that the dashboard was cut off, and nothing shows when.
    """

    def __init__(self, chat: AttackedChat, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        super().__init__(chat, values, tasks)
        self._opened = 0
        self._readers: list[_SlowDashboard] = []
        self._began = 0.0

    async def begin(self) -> None:
        for _ in range(self.count("readers")):
            try:
                dashboard = await Dashboard.open(self.chat, receive_buffer=self.count("receive_buffer"))
            except NotLetInError as error:
                raise CannotBeginError(f"expected a dashboard to be admitted, got {error}") from error
            self._opened += 1
            reader = _SlowDashboard(dashboard)
            try:
                await dashboard.subscribe()
            except (NotLetInError, EndedError, TimeoutError) as error:
                await dashboard.close()
                got = str(error) or "no answer in time"
                raise CannotBeginError(f"expected a dashboard to be subscribed, got {got}") from error
            self._readers.append(reader)
        self._began = time.monotonic()
        self.start(self._read_slowly())

    async def end(self) -> Evidence:
        await self.stop()
        readers = self._readers
        unread = sum(reader.unread() for reader in readers)
        codes = await asyncio.gather(*[reader.dashboard.drain(_DRAIN_TIMEOUT) for reader in readers])
        await asyncio.gather(*[reader.dashboard.close() for reader in readers])
        cut_off = [reader for reader, code in zip(readers, codes, strict=True) if reader.cut_off_at or code is not None]
        evidence: dict[str, float | str] = {
            "readers": self._opened,
            "subscribed": len(readers),
            "cut_off": len(cut_off),
            "bytes_unread": unread,
        }
        if times := sorted(reader.cut_off_at for reader in cut_off if reader.cut_off_at is not None):
            evidence["first_cut_off_after_s"] = round(times[0] - self._began, 3)
            evidence["last_cut_off_after_s"] = round(times[-1] - self._began, 3)
        if close_codes := Counter(code for code in codes if code is not None):
            evidence["close_codes"] = ", ".join(f"{code} ×{count}" for code, count in sorted(close_codes.items()))
        return evidence

    async def _read_slowly(self) -> None:
        rate = self.number("rate")
        last = time.monotonic()
        while True:
            await asyncio.sleep(_INTERVAL)
            now = time.monotonic()
            connected = [reader for reader in self._readers if reader.cut_off_at is None]
            for reader in connected:
                reader.allowance = min(reader.allowance + rate * (now - last), max(1.0, rate))
            alive = await asyncio.gather(*[reader.read_some() for reader in connected])
            for reader, is_alive in zip(connected, alive, strict=True):
                if not is_alive or reader.hung_up():
                    reader.cut_off_at = time.monotonic()
            last = now
