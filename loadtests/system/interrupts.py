"""Counts the signals that ask a run to end, so that it ends in an orderly way at any point."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self


class Interrupts:
    """Handles SIGINT, SIGTERM, and SIGHUP unless that was ignored from the start, as under nohup.

    Inside the context, signals are only counted, so that no clean-up is interrupted; inside `raising`, the first one
    also raises KeyboardInterrupt. The context is re-entrant.
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
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        self._entered -= 1
        for number, handler in self._before.items() if not self._entered else ():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Inside, the first signal raises KeyboardInterrupt; the clean-up after it is not interrupted again."""
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._raises:
            self._raises = False
            raise KeyboardInterrupt
