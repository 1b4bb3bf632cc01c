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

from .attacked_chat import AttackedChat
from .rogue import CannotBeginError, Rogue
from .websocket import Dashboard, EndedError, NotLetInError

_LOOK = 0.1  # seconds between two looks at all of them
_DRAIN = 2.0  # seconds in which, at the end, the ones that were cut off show that they were
# An end that came shows here though nobody reads. Not on every system: elsewhere it shows in POLLHUP, or at the end.
_HUNG_UP = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class _Reader:
    """One dashboard that reads little or nothing."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard = dashboard
        self.cut_off_at: float | None = None
        self.allowance = 0.0
        self._poll = select.poll()
        self._poll.register(dashboard.pipe.sock, _HUNG_UP)

    def hung_up(self) -> bool:
        return any(events & _HUNG_UP for _, events in self._poll.poll(0))

    def unread(self) -> int:
        """Bytes that have come and wait in the kernel."""
        count = array.array("i", [0])
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.dashboard.pipe.sock, termios.FIONREAD, count)
        return count[0]

    async def read_some(self) -> bool:
        """Reads what it is allowed to. False: the connection is over."""
        pipe = self.dashboard.pipe
        alive = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK):
                while alive and self.allowance >= 1:
                    before = pipe.received
                    alive = await self.dashboard.skip(int(self.allowance))
                    self.allowance -= pipe.received - before
        return alive


class SlowReader(Rogue):
    """Dashboards that subscribe and then stop reading, or read very slowly. Those that are cut off stay away.

    A server that closes a connection whose peer reads nothing cannot tell it so, unless it resets it: then only the
    end, when what is left is read, shows that it was cut off, and not when.
    """

    def __init__(self, site: AttackedChat, values: Mapping[str, Value], tasks: asyncio.TaskGroup) -> None:
        super().__init__(site, values, tasks)
        self._opened = 0
        self._readers: list[_Reader] = []
        self._began = 0.0

    async def begin(self) -> None:
        for _ in range(self.count("readers")):
            try:
                dashboard = await Dashboard.open(self.site, receive_buffer=self.count("receive_buffer"))
            except NotLetInError as error:
                raise CannotBeginError(f"expected a dashboard to be let in, got {error}") from error
            self._opened += 1
            reader = _Reader(dashboard)
            try:
                await dashboard.subscribe()
            except (EndedError, TimeoutError) as error:
                await dashboard.close()
                got = str(error) or "no answer in time"
                raise CannotBeginError(f"expected a dashboard to be subscribed, got {got}") from error
            self._readers.append(reader)
        self._began = time.monotonic()
        self.start(self._watch())

    async def end(self) -> Evidence:
        await self.stop()
        readers = self._readers
        unread = sum(reader.unread() for reader in readers)
        codes = await asyncio.gather(*[reader.dashboard.drain(_DRAIN) for reader in readers])
        await asyncio.gather(*[reader.dashboard.close() for reader in readers])
        cut_off = [reader for reader, code in zip(readers, codes, strict=True) if reader.cut_off_at or code is not None]
        evidence: dict[str, float | str] = {
            "readers": self._opened,
            "subscribed": len(readers),
            "cut_off": len(cut_off),
            "bytes_unread": unread,
        }
        if seen := sorted(reader.cut_off_at for reader in cut_off if reader.cut_off_at is not None):
            evidence["first_cut_off_after_s"] = round(seen[0] - self._began, 3)
            evidence["last_cut_off_after_s"] = round(seen[-1] - self._began, 3)
        if heard := Counter(code for code in codes if code is not None):
            evidence["close_codes"] = ", ".join(f"{code} ×{count}" for code, count in sorted(heard.items()))
        return evidence

    async def _watch(self) -> None:
        rate = self.number("rate")
        last = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK)
            now = time.monotonic()
            open_ = [reader for reader in self._readers if reader.cut_off_at is None]
            for reader in open_:
                reader.allowance = min(reader.allowance + rate * (now - last), max(1.0, rate))
            alive = await asyncio.gather(*[reader.read_some() for reader in open_])
            for reader, is_alive in zip(open_, alive, strict=True):
                if not is_alive or reader.hung_up():
                    reader.cut_off_at = time.monotonic()
            last = now
