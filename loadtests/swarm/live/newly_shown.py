"""Which messages came up in which version of the list, and so which are new to a dashboard that refetches.

A list mostly grows: what came up since a dashboard's last version is new to it, which is a slice and costs nothing.
Only where texts went that nothing newer pushed out, it is looked at message by message. This is for
watching: the judge does all of it again from the history, and exactly.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chatswarm.loadtests.messages.identity import ParsedText

_NOBODYS = -1
_REMEMBERED = 256  # messages that one dashboard misses, though others were shown them; older ones are not looked for

Intended = Callable[[int, int], float | None]
"""When a widget's n-th message was meant to be sent, in monotonic seconds; None if nobody means it."""


@dataclass(slots=True)
class Viewer:
    """What one dashboard was shown so far."""

    version: int = -1
    missing: dict[int, None] = field(default_factory=dict)  # came up up to its version, but not for it


@dataclass(slots=True)
class _ChatTexts:
    front: int  # messages before the texts, which only the chat's count shows
    texts: list[int]


class ShownMessages:
    """Messages get numbers here in the order in which they came up in this process.

    By text, or by count: what a chat's tail no longer shows when its count has gone up by more than that. Those are
    taken to be the widget's messages in between; whether they were accepted is for others to know.
    """

    def __init__(self, intended: Intended) -> None:
        self.keys: list[tuple[int, int]] = []  # widget and n, by number
        self.intended = array("d")
        self._intended = intended
        self._numbers: dict[tuple[int, int], int] = {}
        self._latest: dict[int, int] = {}  # per widget: the highest n that came up
        self._chats: dict[str, _ChatTexts] = {}
        self._reached: dict[str, int] = {}  # per chat: its highest count
        self._until: list[int] = []  # per version: how many messages came up so far
        self._gone_until: list[int] = []  # per version: how often one went
        self._gone = 0
        self._turns: dict[int, list[int]] = {}  # the versions in which a message went, came back, went, …

    def change(self, chat_id: str, total: int, dropped: int, added: Sequence[ParsedText]) -> None:
        """One chat of the next version differs: its count (-1: it left the list), and its texts as a queue."""
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
        """All changes of the next version were told."""
        self._until.append(len(self.keys))
        self._gone_until.append(self._gone)

    def newly(self, viewer: Viewer, version: int) -> list[range]:
        """The numbers of the messages that are new to a dashboard now that it shows this version."""
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
        while len(missing) > _REMEMBERED:
            del missing[next(iter(missing))]
        return [range(number, number + 1) for number in found]

    def _shows(self, version: int, number: int) -> bool:
        return number < self._until[version] and bisect_right(self._turns.get(number, ()), version) % 2 == 0

    def _number(self, widget: int, n: int) -> int:
        number = self._numbers.get((widget, n))
        if number is not None or widget < 0:
            return _NOBODYS if number is None else number
        intended = self._intended(widget, n)
        if intended is None:
            return _NOBODYS
        number = self._numbers[widget, n] = len(self.keys)
        self.keys.append((widget, n))
        self.intended.append(intended)
        self._latest[widget] = max(n, self._latest.get(widget, -1))
        return number

    def _count(self, widget: int, before: int, newest: int, hidden: int) -> None:
        """The chat's count says that `hidden` more came up than its texts say: those in between, then those after."""
        if hidden <= 0:
            return
        for n in range(before + 1, newest):
            if (widget, n) not in self._numbers:
                hidden -= 1
                self._number(widget, n)
        # What was overtaken on the way stands behind them. A chat's first count may have a greeting in it.
        for n in range(newest + 1, newest + 1 + (hidden if before >= 0 else 0)):
            self._number(widget, n)

    def _go(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            if number == _NOBODYS:
                continue
            turns = self._turns.setdefault(number, [])
            if len(turns) % 2 == 0:
                turns.append(len(self._until))
                self._gone += 1
