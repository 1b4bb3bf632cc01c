"""`python -m chatswarm.loadtests.testbed`: the process of the testbed. Talks to the swarm on its standard streams.

    stdin:   SetUpTestbed, then MeasuringBegins, HealFaults and EndTestbed; its end means EndTestbed, too
    stdout:  TestbedReady or TestbedRefused, TestbedSays at any moment, and last TestbedEnded

Whoever started it may be killed at any moment: then its input ends, and everything is healed and taken down.
"""

import contextlib
import os
import queue
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn

import msgspec

from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.system.children import LIFELINE, PROGRESS
from chatswarm.loadtests.system.lines import LineBuffer

from .messages import (
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
from .testbed import CannotSetUpError, Testbed


class _Conversation:
    """Lines to and from the swarm. Several threads may say something."""

    def __init__(self) -> None:
        self.heard: queue.SimpleQueue[ToTestbed | None] = queue.SimpleQueue()
        """What the swarm said; None: nothing more will come."""
        self.setting_up = False
        """Nothing is heard meanwhile: the end of the input ends this process by a signal then."""
        self._lock = threading.Lock()
        # The lines have a descriptor to themselves, so that nothing else can write between them.
        self._output = os.dup(1)
        os.dup2(2, 1)
        threading.Thread(target=self._hear, daemon=True).start()

    def say(self, message: FromTestbed) -> None:
        """Where nobody hears it any more, the end of the input says so."""
        with self._lock, contextlib.suppress(OSError):
            os.write(self._output, msgspec.json.encode(message) + b"\n")

    def _hear(self) -> None:
        buffer = LineBuffer()
        try:
            # Not by sys.stdin, whose lock this thread would hold when the process exits.
            while data := os.read(0, 1 << 16):
                for line in buffer.add(data):
                    self.heard.put(msgspec.json.decode(line, type=ToTestbed))
        finally:
            self.heard.put(None)
            if self.setting_up:
                os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Runs until it is told to end, or nobody is there to tell it."""
    # Neither is for what this process starts; the end of its input replaces the lifeline.
    os.environ.pop(LIFELINE, None)
    os.environ.pop(PROGRESS, None)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _ignore)
    signal.signal(signal.SIGTERM, _leave)
    conversation = _Conversation()
    first = conversation.heard.get()
    if isinstance(first, SetUpTestbed):
        _serve(first, conversation)


def _serve(order: SetUpTestbed, conversation: _Conversation) -> None:
    testbed = Testbed(
        scenario.parse(order.table, order.scenario, order.scenario),
        Path(order.folder),
        order.options,
        order.seed,
        order.listen,
        lambda text: conversation.say(TestbedSays(text)),
    )
    trouble = None
    try:
        conversation.setting_up = True
        if order.only_check:
            testbed.check()
        else:
            testbed.set_up()
        conversation.setting_up = False
        conversation.say(TestbedReady(testbed.base_url, dict(testbed.via), testbed.watchable))
        _attend(testbed, conversation)
        trouble = testbed.broken()
    except CannotSetUpError as error:
        conversation.say(TestbedRefused(error.problems))
    finally:
        signal.signal(signal.SIGTERM, _ignore)
        testbed.close()
        conversation.say(TestbedEnded(trouble))


def _attend(testbed: Testbed, conversation: _Conversation) -> None:
    """Makes the faults and samples the target's processes. Returns when every fault is healed, and nobody wants more
    of either.
    """
    # Only now, because everybody waits for what is set up before.
    from chatswarm.loadtests.faults.nemesis import Nemesis

    from .target_watch import TargetWatch

    plan = testbed.scenario
    nemesis = Nemesis(plan.faults, plan.duration, testbed.context, testbed.folder, testbed.say)
    watch = TargetWatch(testbed.context.processes, testbed.folder)
    try:
        while True:
            match conversation.heard.get():
                case MeasuringBegins(run, start, rooms):
                    watch.begin(run)
                    if plan.faults:
                        nemesis.begin(run, start, rooms)
                case HealFaults():
                    nemesis.give_up()
                case _:
                    return
    finally:
        nemesis.end()
        watch.end()


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Unlike SIG_IGN, this is not inherited by the processes that faults start."""


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, _ignore)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
