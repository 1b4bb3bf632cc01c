"""Which messages first appeared in which version of the list, and so are new to a dashboard that refetches.

A list mostly grows: whatever appeared since a dashboard's last version is new to it, and that is a cheap slice. Only if
texts disappeared that nothing newer pushed out does this check message by message. The results are for live figures
only: the judge computes them again, exactly, from the history.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chatswarm.loadtests.messages.identity import ParsedText

_UNKNOWN = -1  # a text that is no message of this run
_MAX_MISSING = 256  # per dashboard: messages that others were shown; older ones are no longer looked for

Intended = Callable[[int, int], float | None]
"""When the schedule intends a widget's n-th message, in monotonic seconds; None if the schedule has no such message."""


@dataclass(slots=True)
class Viewer:
    """What one dashboard has been shown so far."""

    version: int = -1
    missing: dict[int, None] = field(
        default_factory=dict
    )  # appeared up to its version, but this dashboard was not shown them


@dataclass(slots=True)
class _ChatTexts:
    front: int  # messages before the texts, known only from the chat's count
    texts: list[int]


class ShownMessages:
    """Numbers messages in the order in which they first appeared in this process.

    A message appears by its text, or by the chat's count alone if the count has grown by more than the texts account
    for. The latter are assumed to be the widget's messages in between; whether they were accepted is not known here.
    """

    def __init__(self, intended: Intended) -> None:
        self.keys: list[tuple[int, int]] = []  # widget and n, by number
        self.intended = array("d")
        self._intended = intended
        self._numbers: dict[tuple[int, int], int] = {}
        self._latest: dict[int, int] = {}  # per widget: the highest n that has appeared
        self._chats: dict[str, _ChatTexts] = {}
        self._reached: dict[str, int] = {}  # per chat: its highest count
        self._until: list[int] = []  # per version: how many messages have appeared so far
        self._gone_until: list[int] = []  # per version: how often one went
        self._gone = 0
        self._turns: dict[int, list[int]] = {}  # the versions in which a message disappeared, came back, disappeared, …

    def change(self, chat_id: str, total: int, dropped: int, added: Sequence[ParsedText]) -> None:
        """One chat differs in the next version: its count (-1: not listed), texts dropped in front, texts added."""
        before = self._chats.pop(chat_id, None)
        old = _ChatTexts(0, []) if before is None else before
        if total < 0:
            self._go(old.texts)
            return
        widget, newest = max(((seen.widget, seen.n) for seen in added if seen.widget >= 0), default=(-1, -1))
        seen_before = self._latest.get(widget, -1)
        numbers = [self._number(seen.widget, seen.n) for seen in added]
        kept = old.texts[dropped:]
        chat = self._chats[chat_id] = _ChatTexts(total - len(kept) - len(added), kept + numbers)
        if chat.front < old.front + dropped:
            self._go([number for number in old.texts[:dropped] if number not in numbers])
        if not kept and widget >= 0:
            self._count(widget, seen_before, newest, chat.front - self._reached.get(chat_id, 0))
        self._reached[chat_id] = max(total, self._reached.get(chat_id, 0))
        for number in numbers:
            turns = self._turns.get(number)
            if turns is not None and len(turns) % 2:
                turns.append(len(self._until))

    def end_version(self) -> None:
        """Ends the next version, after all its changes."""
        self._until.append(len(self.keys))
        self._gone_until.append(self._gone)

    def newly(self, viewer: Viewer, version: int) -> list[range]:
        """The numbers of the messages that are new to a dashboard that now shows this version."""
        after = viewer.version
        first = last = gone = 0
        if version > after:
            if after >= 0:
                first, gone = self._until[after], self._gone_until[after]
            last = self._until[version]
            viewer.version = version
            if self._gone_until[version] == gone and not viewer.missing:
                return [range(first, last)] if last > first else []
        elif not viewer.missing:
            return []
        missing = viewer.missing
        missing.update(dict.fromkeys(range(first, last)))
        found = [number for number in missing if self._shows(version, number)]
        for number in found:
            del missing[number]
        while len(missing) > _MAX_MISSING:
            del missing[next(iter(missing))]
        return [range(number, number + 1) for number in found]

    def _shows(self, version: int, number: int) -> bool:
        return number < self._until[version] and bisect_right(self._turns.get(number, ()), version) % 2 == 0

    def _number(self, widget: int, n: int) -> int:
        number = self._numbers.get((widget, n))
        if number is not None or widget < 0:
            return _UNKNOWN if number is None else number
        intended = self._intended(widget, n)
        if intended is None:
            return _UNKNOWN
        number = self._numbers[widget, n] = len(self.keys)
        self.keys.append((widget, n))
        self.intended.append(intended)
        self._latest[widget] = max(n, self._latest.get(widget, -1))
        return number

    def _count(self, widget: int, before: int, newest: int, hidden: int) -> None:
        """Numbers `hidden` messages that only the chat's count shows: first those in between, then those after."""
        if hidden <= 0:
            return
        for n in range(before + 1, newest):
            if (widget, n) not in self._numbers:
                hidden -= 1
                self._number(widget, n)
        # The rest were overtaken on the way. A chat's first count is not used here: it may include a greeting.
        for n in range(newest + 1, newest + 1 + (hidden if before >= 0 else 0)):
            self._number(widget, n)

    def _go(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            if number == _UNKNOWN:
                continue
            turns = self._turns.setdefault(number, [])
            if len(turns) % 2 == 0:
                turns.append(len(self._until))
                self._gone += 1
