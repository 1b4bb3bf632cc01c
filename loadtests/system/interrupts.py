"""What asks a run to end, counted: the end is orderly, wherever in the run it is asked for."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self


class Interrupts:
    """Ctrl-C, SIGTERM, and SIGHUP (the terminal closes) unless that was ignored from the start, as under nohup.

    While this is entered, they are counted and do nothing else, so that no cleaning up is interrupted; within
    `raising`, the first one also raises KeyboardInterrupt. It may be entered again while it is.
    """

    def __init__(self) -> None:
        self.count = 0
        self._raises = False
        self._entered = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._entered += 1
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if self._entered == 1 else ():
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(self, *_: object) -> None:
        self._entered -= 1
        for number, handler in self._before.items() if not self._entered else ():
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
