"""What asks a run to end, counted: the end is orderly, wherever in the run it is asked for."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self


class Interrupts:
    """Ctrl-C, SIGTERM, and SIGHUP (the terminal closes) unless that was ignored from the start, as under nohup.

    While this is entered, they are counted and do nothing else, so that no cleaning up is interrupted; within
    `raising`, the first one also raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.count = 0
        self._raises = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Within it the first of them raises KeyboardInterrupt; what cleans up after that is not interrupted again."""
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._raises:
            self._raises = False
            raise KeyboardInterrupt
