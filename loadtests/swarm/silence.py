"""Decides when a client pings, and when it gives its connection up."""

from typing import Literal

from chatswarm.loadtests.protocols.protocol import Heartbeat

Due = Literal["nothing", "ping", "end"]

_NEVER = 1e9  # monotonic seconds that no run reaches


class SilenceClock:
    """The silence of one connection's target. All times are monotonic seconds."""

    def __init__(self, heartbeat: Heartbeat, timeout: float, dead_after: float | None, now: float) -> None:
        """`heartbeat`: with its seconds. `timeout`: seconds without anything since a ping after which the connection is
        dead, where the protocol does not name the silence `dead_after`.
        """
        assert heartbeat.seconds is not None
        self.since = now
        """When something came last."""
        self._interval, self._only_in_silence = heartbeat.seconds, heartbeat.only_in_silence
        self._timeout, self._dead_after = timeout, dead_after
        self._last_ping = now
        self._unanswered = _NEVER  # the first ping since anything came
        self._pings = True

    @property
    def next(self) -> float:
        """When something is due if nothing comes."""
        return min(self._ping_at, self._end_at)

    def due(self, now: float) -> Due:
        """What is due by now."""
        return "end" if now >= self._end_at else "ping" if now >= self._ping_at else "nothing"

    def ended(self, at: float) -> None:
        """Something came."""
        self.since, self._unanswered = at, _NEVER

    def pinged(self, at: float) -> None:
        self._last_ping, self._unanswered = at, min(self._unanswered, at)

    def without_pings(self) -> None:
        """This protocol's clients send none."""
        self._pings = False

    @property
    def _ping_at(self) -> float:
        if not self._pings:
            return _NEVER
        if not self._only_in_silence:
            return self._last_ping + self._interval
        # Once per silence.
        return self.since + self._interval if self._unanswered == _NEVER else _NEVER

    @property
    def _end_at(self) -> float:
        return self._unanswered + self._timeout if self._dead_after is None else self.since + self._dead_after
