"""Runs the dashboards of an opponent, and takes its CPU and what it counted."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec

from tests.bench.row import NotMeasuredError
from tests.bench.swarm_run import TargetChat, cpu_of_tree

_SUBSCRIBED_WITHIN = 60.0  # seconds
_IDLE_WITHIN, _IDLE_FOR, _IDLE_SHARE = 30.0, 1.0, 0.1
"""An opponent that uses less than this share of a core for this many seconds has nothing left to do."""
_ENDS_WITHIN = 60.0  # seconds, once the chat has closed the sockets


class Counted(msgspec.Struct):
    """What an opponent's dashboards got from the chat, in sum."""

    frames: int = 0
    visible: int = 0
    refetches: int = 0


@contextmanager
def opponent_dashboards(
    command: Sequence[str], dashboards: int, chat: AbstractContextManager[TargetChat]
) -> Iterator["OpponentDashboards"]:
    """An opponent whose dashboards have subscribed to the chat; that ends with this context, and the opponent with it.

    The command gets TARGET and DASHBOARDS as variables, ends when the chat closes the sockets, and then prints its
    counts; each of its processes prints a line. Raises NotMeasuredError.
    """
    opponent: OpponentDashboards | None = None
    try:
        with chat as target:
            opponent = OpponentDashboards(command, dashboards, target)
            yield opponent
        opponent.take_counts()
    finally:
        if opponent is not None:
            opponent.kill()


class OpponentDashboards:
    """A running opponent."""

    counted = Counted()
    """Once the chat has ended."""
    _read = 0.0

    def __init__(self, command: Sequence[str], dashboards: int, target: TargetChat) -> None:
        given = {**os.environ, "TARGET": target.url, "DASHBOARDS": str(dashboards)}
        self.target = target
        self._process = subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _SUBSCRIBED_WITHIN
        while (there := target.subscribed()) < dashboards:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise NotMeasuredError(f"expected the opponent's {dashboards} dashboards to subscribe, got {there}")
            time.sleep(0.1)

    def cpu(self) -> float:
        """The CPU seconds of its processes so far."""
        self._read = cpu_of_tree(self._process.pid)
        return self._read

    def rest_of_cpu(self) -> float:
        """The CPU seconds since the last reading, as soon as it has worked off what it got and is idle."""
        read, deadline = self._read, time.monotonic() + _IDLE_WITHIN
        former = read
        while time.monotonic() < deadline:
            time.sleep(_IDLE_FOR)
            now = self.cpu()
            if now - former < _IDLE_SHARE * _IDLE_FOR:
                break
            former = now
        return now - read

    def take_counts(self) -> None:
        """Waits for its end, and takes its counts. Raises NotMeasuredError."""
        try:
            output, _ = self._process.communicate(timeout=_ENDS_WITHIN)
            parts = [msgspec.json.decode(line, type=Counted) for line in output.splitlines() if line]
        except (subprocess.TimeoutExpired, msgspec.MsgspecError) as error:
            raise NotMeasuredError(f"expected an opponent's counts, got: {error}") from None
        self.counted = Counted(*(sum(getattr(part, name) for part in parts) for name in Counted.__struct_fields__))

    def kill(self) -> None:
        """Ends it, if it still runs."""
        self._process.kill()
        self._process.communicate()
