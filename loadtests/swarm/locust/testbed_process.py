"""The testbed, in a process beside the master: Locust's is patched by gevent, and load must not delay faults.

If the master dies, even by SIGKILL, the testbed's input ends, and it heals every fault and takes everything down.
"""

import logging
import os
import select
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import gevent
import msgspec
from gevent.event import Event

from chatswarm.loadtests.net.address import is_loopback
from chatswarm.loadtests.system.children import Child, python
from chatswarm.loadtests.system.lines import LineBuffer
from chatswarm.loadtests.testbed.messages import (
    EndTestbed,
    FromTestbed,
    HealFaults,
    MeasuringBegins,
    SetUpTestbed,
    TestbedEnded,
    TestbedReady,
    TestbedRefused,
    TestbedSays,
    ToTestbed,
)

from .launch_environment import REMOVED
from .options import RefusedOptionsError

logger = logging.getLogger(__name__)

_SET_UP_TIMEOUT = 120.0  # seconds: a broker, a backend and a proxy may each take 30
_END_TIMEOUT = 110.0  # seconds in which the faults must be healed and everything be taken down
_GRACE = 5.0  # seconds to exit after the last message


class TestbedProcess:
    """A testbed that is being set up, then is up, then ended."""

    def __init__(self, order: SetUpTestbed) -> None:
        """Starts to set it up. Raises RefusedOptionsError."""
        self.order = order
        self._reply: TestbedReady | TestbedRefused | None = None
        self._replied = Event()  # or ended
        self._ended: TestbedEnded | None = None
        self._closed = Event()  # nothing more will come
        self._ending = False
        try:
            line = msgspec.json.encode(order)
        except UnicodeEncodeError as error:
            raise RefusedOptionsError([f"expected folders and options that are UTF-8, got {error.object!r}"]) from None
        log = Path(order.folder) / "testbed.log"
        # What was removed for Locust's sake is meant for the commands that faults run.
        self._child: Child | None = Child(python("chatswarm.loadtests.testbed"), log, env=REMOVED, piped=True)
        self._write(line)

    def ready(self, say: Callable[[str], None], on_death: Callable[[str], None]) -> TestbedReady:
        """Returns once everything is up. Raises RefusedOptionsError, and then nothing is.

        `say` shows people what happens; `on_death` is called if the process ends although nobody ended it.
        """
        assert self._child is not None
        child = self._child
        gevent.spawn(self._read, child, say, on_death)
        try:
            in_time = self._replied.wait(_SET_UP_TIMEOUT)
        except BaseException:
            self.kill()
            raise
        if isinstance(self._reply, TestbedReady):
            return self._reply
        tail = child.log_tail()
        self.kill()
        if self._reply is None:
            why = "ended before it was set up" if in_time else f"was not set up within {_SET_UP_TIMEOUT:g} s"
            raise RefusedOptionsError([f"the testbed {why}:\n{tail}"])
        raise RefusedOptionsError(self._reply.problems)

    @property
    def watches(self) -> bool:
        """Whether it will write down what the target's processes do."""
        return isinstance(self._reply, TestbedReady) and self._reply.watches

    def begin(self, run: str, start: float, rooms: Sequence[str] = ()) -> None:
        """The measured part begins at `start`, in monotonic seconds. `rooms`: the ids of the run's rooms."""
        self._send(MeasuringBegins(run, start, list(rooms)))

    def heal(self) -> None:
        """Heals what is not healed; no more faults begin. Returns at once."""
        self._send(HealFaults())

    def end(self) -> str | None:
        """Heals and takes everything down. Returns why nothing that was measured can be trusted, if so."""
        if self._child is None or self._ending:
            return None
        self._ending = True
        self._send(EndTestbed())
        self._closed.wait(_END_TIMEOUT)
        tail = self._child.log_tail()
        # After its last message, nothing is left for it to do.
        self._stop(_GRACE if self._ended is None else 0.0)
        if self._ended is None:
            return f"the testbed did not say that everything was healed; the end of its log:\n{tail}"
        return self._ended.trouble

    def kill(self) -> None:
        """Ends it without waiting for its last message: it heals its faults, or the healer does. Safe to call again."""
        self._ending = True
        self._stop(_GRACE)

    def disown(self) -> None:
        """In a process forked from the one that started it: leaves it to that one."""
        child, self._child = self._child, None
        if child is not None:
            child.disown()

    def _stop(self, grace: float) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop(grace)

    def _send(self, message: ToTestbed) -> None:
        self._write(msgspec.json.encode(message))

    def _write(self, line: bytes) -> None:
        if self._child is None:
            return  # it has been ended
        assert self._child.process.stdin is not None
        try:
            self._child.process.stdin.write(line + b"\n")
        except (OSError, ValueError):
            return  # it is gone, which shows at its output

    def _read(self, child: Child, say: Callable[[str], None], on_death: Callable[[str], None]) -> None:
        assert child.process.stdout is not None
        descriptor, buffer = child.process.stdout.fileno(), LineBuffer()
        try:
            while self._ended is None:
                select.select([descriptor], [], [])
                data = os.read(descriptor, 1 << 16)
                if not data:
                    break
                for line in buffer.add(data):
                    self._on_message(msgspec.json.decode(line, type=FromTestbed), say)
        except (OSError, ValueError, msgspec.MsgspecError):
            logger.exception("chatswarm: the testbed cannot be understood")
        finally:
            self._closed.set()
            self._replied.set()
            if isinstance(self._reply, TestbedReady) and not self._ending:
                code = child.process.wait()
                on_death(f"the testbed of the run ended by itself, with exit code {code}:\n{child.log_tail()}")

    def _on_message(self, message: FromTestbed, say: Callable[[str], None]) -> None:
        match message:
            case TestbedSays(text):
                say(text)
            case TestbedReady() | TestbedRefused():
                self._reply = message
                self._replied.set()
            case TestbedEnded():
                self._ended = message


def proxy_address(master_hosts: Collection[str], bound: str, proxy_host: str) -> str:
    """The address on which fault proxies listen; empty: on loopback only.

    `master_hosts`: the names by which workers reach this host. Proxies can be reached wherever the master can, so they
    listen on the address that it is `bound` to (`*`: all), and only if a worker needs that. `proxy_host` names this
    host for workers that could not know it otherwise.
    """
    remote = [host for host in (*master_hosts, proxy_host) if host and not is_loopback(host)]
    if not remote:
        return ""
    if bound != "*":
        return bound
    return "::" if any(":" in host for host in remote) else "0.0.0.0"


def problems_with_testbed(order: SetUpTestbed) -> list[str]:
    """Why no testbed could be set up like this; empty if one could. Leaves nothing behind."""
    with tempfile.TemporaryDirectory(prefix="chatswarm-", ignore_cleanup_errors=True) as folder:
        try:
            testbed = TestbedProcess(msgspec.structs.replace(order, folder=folder, only_check=True))
            testbed.ready(lambda _: None, lambda _: None)
        except RefusedOptionsError as error:
            return error.problems
        testbed.end()
    return []
