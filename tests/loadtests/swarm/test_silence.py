"""When a client pings, and when it gives its connection up."""

import pytest

from chatswarm.loadtests.protocols.protocol import Heartbeat
from chatswarm.loadtests.swarm.silence import SilenceClock

IN_SILENCE = Heartbeat(20.0, only_in_silence=True)
EVERY = Heartbeat(20.0, only_in_silence=False)
NEVER = 1e9


def clock(heartbeat: Heartbeat, dead_after: float | None = None) -> SilenceClock:
    """From second 100, with a time-out of 10 seconds after a ping."""
    return SilenceClock(heartbeat, 10.0, dead_after, 100.0)


def test_a_client_pings_once_per_silence() -> None:
    silence = clock(IN_SILENCE)
    assert silence.next == 120.0
    assert [silence.due(at) for at in (100.0, 119.9, 120.0)] == ["nothing", "nothing", "ping"]
    silence.pinged(121.0)
    assert silence.next == 131.0
    assert [silence.due(at) for at in (121.0, 130.9, 131.0)] == ["nothing", "nothing", "end"]


def test_what_comes_ends_the_silence() -> None:
    silence = clock(IN_SILENCE)
    silence.ended(115.0)
    assert (silence.since, silence.next, silence.due(134.9)) == (115.0, 135.0, "nothing")
    silence.pinged(135.0)
    silence.ended(136.0)
    assert (silence.next, silence.due(155.9), silence.due(156.0)) == (156.0, "nothing", "ping")


def test_a_client_may_ping_every_so_often_whatever_comes() -> None:
    silence = clock(EVERY)
    silence.ended(119.0)
    assert (silence.next, silence.due(120.0)) == (120.0, "ping")
    silence.pinged(120.0)
    silence.ended(121.0)
    assert (silence.next, silence.due(139.9), silence.due(140.0)) == (140.0, "nothing", "ping")


def test_the_time_out_counts_from_the_first_ping_that_nothing_has_answered() -> None:
    silence = SilenceClock(Heartbeat(3.0, only_in_silence=False), 10.0, None, 100.0)
    for at in (103.0, 106.0, 109.0):
        assert silence.due(at) == "ping"
        silence.pinged(at)
    assert silence.next == 112.0
    silence.pinged(112.0)
    assert (silence.next, silence.due(112.9), silence.due(113.0)) == (113.0, "nothing", "end")


@pytest.mark.parametrize("heartbeat", [IN_SILENCE, EVERY])
def test_a_protocol_may_name_the_silence_after_which_a_connection_is_dead(heartbeat: Heartbeat) -> None:
    silence = clock(heartbeat, dead_after=50.0)
    assert silence.due(120.0) == "ping"
    silence.pinged(120.0)
    assert silence.due(131.0) == "nothing"  # no time-out of the scenario's
    assert (silence.due(149.9) == "end", silence.due(150.0)) == (False, "end")
    silence.ended(149.0)
    assert silence.due(198.9) != "end"
    assert silence.due(199.0) == "end"


def test_the_end_comes_before_a_ping_that_is_due_at_the_same_time() -> None:
    silence = clock(IN_SILENCE, dead_after=15.0)
    assert (silence.next, silence.due(114.9), silence.due(200.0)) == (115.0, "nothing", "end")


@pytest.mark.parametrize(("dead_after", "due"), [(None, NEVER), (50.0, 150.0)])
def test_a_client_that_has_no_ping_only_waits(dead_after: float | None, due: float) -> None:
    silence = clock(EVERY, dead_after)
    silence.without_pings()
    assert (silence.next, silence.due(149.9)) == (due, "nothing")
    assert silence.due(150.0) == ("nothing" if dead_after is None else "end")
