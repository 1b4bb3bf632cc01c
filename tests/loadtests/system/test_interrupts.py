"""Signals that ask a run to end, sent to this process."""

import os
import signal
from collections.abc import Iterator

import pytest

from chatswarm.loadtests.system.interrupts import Interrupts

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in ALL}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    """Sends a signal to this process. Python's handler has run when this returns."""
    signal.raise_signal(number)


@pytest.mark.parametrize("number", ALL)
def test_each_signal_is_counted_and_does_nothing_else(number: signal.Signals) -> None:
    with Interrupts() as interrupts:
        send(number)
        send(number)
    assert interrupts.count == 2


@pytest.mark.parametrize("number", ALL)
def test_within_raising_the_first_signal_raises_and_cleanup_is_not_interrupted(number: signal.Signals) -> None:
    cleaned: list[int] = []
    with Interrupts() as interrupts:

        def interrupted() -> None:
            with interrupts.raising():
                try:
                    send(number)
                finally:
                    send(number)
                    cleaned.append(interrupts.count)

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        send(number)
    assert cleaned == [2]
    assert interrupts.count == 3


def test_a_hangup_that_was_ignored_at_start_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts() as interrupts, interrupts.raising():
        send(signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
    assert interrupts.count == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_only_the_outermost_context_restores_the_handlers() -> None:
    before = [signal.getsignal(number) for number in ALL]
    with Interrupts() as interrupts:
        with interrupts:
            send(signal.SIGTERM)
        send(signal.SIGTERM)
    assert interrupts.count == 2
    assert [signal.getsignal(number) for number in ALL] == before
