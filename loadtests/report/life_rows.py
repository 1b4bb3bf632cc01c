"""What a message's waterfall shows: its rows in groups, with their words, and a time axis that may be broken.

All times here are seconds after the message was intended. The terminal and the page draw the same rows.
"""

import errno
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from chatswarm.loadtests.judge.message_life import (
    DashboardLife,
    DeliveryFate,
    LifeConnection,
    LifeFrame,
    LifeRefetch,
    LifeServer,
    MessageLife,
)
from chatswarm.loadtests.scenario.metric_names import Outcome
from chatswarm.loadtests.system.text import one_line
from chatswarm.loadtests.system.units import human

PieceKind = Literal[
    "rig", "answer", "opening", "subscribed", "silence", "shows", "lacks", "failed", "intended", "joined", "frame",
    "perhaps", "replayed", "read", "visible", "never", "fault", "stall",
]  # fmt: skip
"""What a piece of a row stands for: the first ones are spans, from `intended` to `never` it is a moment."""
MOMENTS: frozenset[PieceKind] = frozenset(
    ("intended", "joined", "frame", "perhaps", "replayed", "read", "visible", "never")
)
MEANING: dict[PieceKind, str] = {
    "rig": "the load generator",
    "answer": "waiting for the response",
    "opening": "connecting",
    "subscribed": "subscribed",
    "silence": "frames were due, and none came",
    "shows": "refetch that shows it",
    "lacks": "refetch without it",
    "failed": "refetch that failed",
    "joined": "room joined",
    "frame": "frame",
    "perhaps": "frame for its chat, perhaps for another message",
    "replayed": "replayed after a reconnection",
    "read": "read after connecting",
    "visible": "visible",
    "never": "never",
    "fault": "fault",
    "stall": "stall of the load generator",
}
"""The key to the picture."""
_WORDS: dict[DeliveryFate, str] = {
    "lost": "lost", "gap": "lost while away", "late": "late", "unproven": "unproven", "visible": "visible",
    "excused": "excused", "not expected": "not expected",
}  # fmt: skip
_OUTCOMES = {"unknown": "no clear response", "rig failed": "failed on the load generator's side"}
_TONES: dict[DeliveryFate, Outcome] = {
    "lost": "fail", "gap": "fail", "late": "fail", "unproven": "undecided", "visible": "pass",
}  # fmt: skip
_FRAMES: dict[str, PieceKind] = {"live": "frame", "replayed": "replayed", "read": "read"}
_AT_ONCE = 0.01
"""What happens within so many seconds needs no second moment in the words."""
_BREAKS = 3
"""At most this many waits are cut out of the axis."""
_DWARFS = 4.0
"""A wait is cut out of the axis if it is this many times as long as all the rest."""
_LONG = 1.0
"""A shorter wait is never cut out, in seconds: below that, proportions are worth more than detail."""
_SHARE = 0.12
"""The share of the axis that a cut-out wait keeps."""


@dataclass(frozen=True, slots=True)
class LifePiece:
    """A span, or a moment whose begin is its end. `end` infinite: at the right edge."""

    kind: PieceKind
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class LifeRow:
    """One line of the waterfall. `at` None: it stands for events that are left out."""

    at: float | None
    name: str
    detail: str
    pieces: tuple[LifePiece, ...]

    @property
    def text(self) -> str:
        """Its words, on one line."""
        return one_line(f"{self.name}: {self.detail}" if self.detail else self.name)


@dataclass(frozen=True, slots=True)
class LifeGroup:
    """Rows under a heading. `dashboard` None: they are not one dashboard's; `tone` None: it says nothing."""

    title: str
    dashboard: int | None
    tone: Outcome | None
    rows: tuple[LifeRow, ...]


@dataclass(frozen=True, slots=True)
class CutWait:
    """A wait that was cut out of the axis, in which nothing began or ended."""

    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class LifeAxis:
    """Maps seconds to positions from 0 to 1. Linear, but for waits that dwarf the rest."""

    low: float
    high: float
    cuts: tuple[CutWait, ...] = ()

    def at(self, time: float) -> float:
        """The position of a moment; those outside are clamped."""
        time = min(self.high, max(self.low, time))
        rest = self.high - self.low - sum(cut.end - cut.begin for cut in self.cuts)
        scale = (1 - _SHARE * len(self.cuts)) / rest if rest > 0 else 0.0
        position = (time - self.low) * scale
        for cut in self.cuts:
            inside = min(time, cut.end) - cut.begin
            if inside > 0:
                position += inside * (_SHARE / (cut.end - cut.begin) - scale)
        return min(1.0, max(0.0, position))

    def ticks(self, wanted: int) -> list[float]:
        """About `wanted` moments at round values, none of them in a wait that was cut out."""
        edges = [self.low, *(edge for cut in self.cuts for edge in (cut.begin, cut.end)), self.high]
        found: list[float] = []
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            share = self.at(end) - self.at(begin)
            if end <= begin or share < 0.5 / wanted:
                continue
            step = _round_step((end - begin) / max(1.0, wanted * share))
            found += [number * step for number in range(math.ceil(begin / step - 1e-9), math.floor(end / step) + 1)]
        return found


def axis_of(groups: Sequence[LifeGroup], life: MessageLife) -> LifeAxis:
    """An axis from the send to the last event, and to the update target if the life lasts that long."""
    pieces = [piece for group in groups for row in group.rows for piece in row.pieces]
    ends = life.ends - life.intended
    moments = {0.0, ends, *_since(life)}
    if ends >= life.update_target:
        moments.add(life.update_target)
    low = min(moments)
    moments |= {edge for piece in pieces for edge in (piece.begin, piece.end) if low <= edge <= ends}
    ordered = sorted(moments)
    if ordered[-1] - low < 1e-3:
        ordered.append(low + 1e-3)
    waits = sorted(pairwise(ordered), key=lambda wait: wait[0] - wait[1])
    whole, cuts = ordered[-1] - low, []
    for begin, end in waits[:_BREAKS]:
        length = end - begin
        if length < _LONG or length < _DWARFS * (whole - length):
            break
        # A little of it on both sides, so that what it lies between does not touch it.
        rest = whole - length
        cuts.append(CutWait(begin + 0.04 * rest, end - 0.04 * rest))
        whole = rest
    return LifeAxis(low, ordered[-1], tuple(sorted(cuts, key=lambda cut: cut.begin)))


def _since(life: MessageLife) -> Iterator[float]:
    """Since when dashboards were away that were not subscribed when it was intended."""
    for dashboard in life.dashboards:
        for connection in dashboard.connections:
            if connection.ended is not None and connection.ended < life.intended:
                yield connection.ended - life.intended
            elif connection.opening is not None and (connection.subscribed or math.inf) > life.intended:
                yield connection.opening - life.intended


def kinds_in(groups: Sequence[LifeGroup], axis: LifeAxis) -> list[PieceKind]:
    """The kinds of pieces that are on the axis, in the order of the key."""
    used = {piece.kind for group in groups for row in group.rows for piece in row.pieces if piece.end >= axis.low}
    return [kind for kind in MEANING if kind in used]


def groups_of(life: MessageLife) -> list[LifeGroup]:
    """The send, what was around it, and each dashboard that is shown."""
    groups = [LifeGroup("the send", None, None, tuple(_send(life)))]
    around = [*_faults(life), *_stalls(life)]
    if around:
        groups.append(LifeGroup("around it", None, None, tuple(around)))
    return groups + [_dashboard(life, dashboard) for dashboard in life.dashboards]


def headline(life: MessageLife) -> str:
    """What became of the message on how many dashboards."""
    whole = sum(life.fates.values())
    slowest = max((one.visible for one in life.dashboards if one.visible is not None), default=None)
    after = "" if slowest is None else f" after {human(slowest - life.intended)}"
    if not whole:
        return "no dashboard was to show it"
    if whole == 1:
        return f"{_WORDS[life.dashboards[0].fate]} on dashboard {life.dashboards[0].dashboard}{after}"
    parts = [f"{_WORDS[fate]} on {'all ' if count == whole else ''}{count:,}" for fate, count in life.fates.items()]
    of_all = f" of {whole:,}" if len(parts) > 1 else ""
    return f"{', '.join(parts)}{of_all} dashboards{f', the last{after}' if after else ''}"


def facts(life: MessageLife) -> list[str]:
    """What is known about the message itself, as sentences."""
    stored = life.stored
    place = {
        "stored": f"stored at position {stored.position} of {stored.chat if stored.chat != life.chat else 'its chat'}",
        "not stored": "not stored: the final read of its chat does not have it",
        "not known": "nobody knows whether it was stored",
    }[stored.state]
    place += f" ({stored.copies} copies)" if stored.copies > 1 else ""
    place += f": {stored.detail}" if stored.detail else ""
    watched = f", watched for {human(life.watched - life.intended)}" if {"lost", "gap"} & life.fates.keys() else ""
    return [
        f"chat {life.chat}, widget {life.widget}, intended {life.intended:.3f} s after the start{watched}",
        f"{_answer(life)}; {place}",
        *([f"trace {life.trace}"] if life.trace else []),
    ]


def notes(life: MessageLife, axis: LifeAxis) -> list[str]:
    """What is not shown, and how the axis lies."""
    found = [
        f"the time axis is cut: it hardly shows {human(cut.end - cut.begin)} in which nothing happened"
        for cut in axis.cuts
    ]
    for count, noun in (
        (life.left_out, "dashboard"), (life.faults_left_out, "fault"), (life.stalls_left_out, "shorter stall"),
    ):  # fmt: skip
        if count:
            found.append(f"{count:,} more {noun}{'s are' if count > 1 else ' is'} not shown")
    return found


def _answer(life: MessageLife) -> str:
    """What became of the send, who said so, and when."""
    server = life.served_by
    by = "" if server is None else f" by {' at '.join(filter(None, (server.name, server.address)))}"
    status = f" ({status_of(life.status)})" if life.status else ""
    took = "" if life.answered is None else f" after {human(life.answered - life.intended)}"
    return f"{_OUTCOMES.get(life.outcome, life.outcome)}{status}{by}{took}"


def _send(life: MessageLife) -> Iterator[LifeRow]:
    yield LifeRow(0.0, "intended", "", (LifePiece("intended", 0.0, 0.0),))
    stages: tuple[tuple[str, float | None, PieceKind, str], ...] = (
        ("handed to a connection", life.handed, "rig", ""),
        ("sent", life.sent, "rig", ""),
        (_OUTCOMES.get(life.outcome, life.outcome), life.answered, "answer", status_of(life.status)),
    )
    before = 0.0
    for name, moment, kind, detail in stages:
        if moment is not None:
            at = moment - life.intended
            yield LifeRow(at, name, detail, (LifePiece(kind, before, at),))
            before = at
    if life.answered is None:
        yield LifeRow(math.inf, "answered", "", (LifePiece("never", math.inf, math.inf),))


def _faults(life: MessageLife) -> Iterator[LifeRow]:
    for fault in life.faults:
        begin = fault.start - life.intended
        end = math.inf if fault.stop is None else fault.stop - life.intended
        until = "never healed" if fault.stop is None else f"{human(end - begin)} long"
        name = fault.name if fault.kind == fault.name else f"{fault.name} ({fault.kind})"
        yield LifeRow(begin, f"fault {name}", until, (LifePiece("fault", begin, end),))


def _stalls(life: MessageLife) -> Iterator[LifeRow]:
    for stall in life.stalls:
        begin, end = stall.begin - life.intended, stall.end - life.intended
        detail = f"{stall.process} did nothing for {human(end - begin)}"
        yield LifeRow(begin, "load generator stalled", detail, (LifePiece("stall", begin, end),))


def _dashboard(life: MessageLife, dashboard: DashboardLife) -> LifeGroup:
    start = life.intended
    told = [] if dashboard.fate == "visible" else [_WORDS[dashboard.fate]]
    told += [f"visible after {human(dashboard.visible - start)}"] if dashboard.visible is not None else []
    title = f"dashboard {dashboard.dashboard}: {', '.join(told)}"
    rows = [
        *_with_gap(
            [_connection(life, one) for one in dashboard.connections], dashboard.connections_left_out, "connection"
        ),
        *_with_gap([_frame(life, one) for one in dashboard.frames], dashboard.frames_left_out, "frame"),
        *_with_gap([_refetch(life, one) for one in dashboard.refetches], dashboard.refetches_left_out, "refetch"),
    ]
    for silence in dashboard.silences:
        begin, end = silence.begin - start, silence.end - start
        detail = f"{silence.due} frames were due and none came for {human(end - begin)}"
        rows.append((begin, LifeRow(begin, "silent", detail, (LifePiece("silence", begin, end),))))
    ordered = [row for _, row in sorted(rows, key=lambda pair: pair[0])]
    if dashboard.visible is not None:
        at = dashboard.visible - start
        ordered.append(LifeRow(at, "visible", "", (LifePiece("visible", at, at),)))
    elif dashboard.fate != "not expected":
        ordered.append(LifeRow(math.inf, "visible", "", (LifePiece("never", math.inf, math.inf),)))
    why = f" ({dashboard.why})" if dashboard.why else ""
    return LifeGroup(one_line(title + why), dashboard.dashboard, _TONES.get(dashboard.fate), tuple(ordered))


def _with_gap(rows: list[LifeRow], left_out: int, noun: str) -> list[tuple[float, LifeRow]]:
    """The rows, each with the moment by which it is ordered, and one for those that were left out before the last."""
    placed = [(row.at or 0.0, row) for row in rows]
    if left_out:
        more = f"{left_out:,} more {noun}{'' if left_out == 1 else 'es' if noun == 'refetch' else 's'}"
        detail = "none shows it" if noun == "refetch" else ""
        placed.insert(-1, (placed[-1][0], LifeRow(None, f"… {more} in between", detail, ())))
    return placed


def _connection(life: MessageLife, connection: LifeConnection) -> LifeRow:
    start, ends = life.intended, life.ends - life.intended
    opening, subscribed, ended = (
        None if time is None else time - start for time in (connection.opening, connection.subscribed, connection.ended)
    )
    until = ends if ended is None else ended
    pieces: list[LifePiece] = []
    words: list[str] = []
    if opening is not None:
        pieces.append(LifePiece("opening", opening, until if subscribed is None else subscribed))
    if subscribed is not None:
        pieces.append(LifePiece("subscribed", subscribed, until))
        words.append("subscribed" if subscribed <= 0 else f"subscribed at {offset(subscribed)}")
    else:
        words.append("connection")
    for word, time in (
        ("room joined", connection.joined), ("joining refused", connection.join_refused),
        ("room left", connection.left),
    ):  # fmt: skip
        if time is None:
            continue
        if time > start:
            pieces.append(LifePiece("joined", time - start, time - start))
        at_once = connection.subscribed is not None and abs(time - connection.subscribed) < _AT_ONCE
        words += [] if at_once and time == connection.joined else [f"{word} at {offset(time - start)}"]
    if subscribed is not None and connection.joined is None and connection.join_refused is None and _joins(life):
        words.append("room not joined")
    words += [connection.join_detail] if connection.join_detail else []
    if ended is not None and (ended <= ends or subscribed is None):
        code = f" {connection.code}" if connection.code and connection.end == "closed" else ""
        failed = f" ({status_of(connection.code)})" if connection.code and connection.end == "failed" else ""
        words.append(f"{connection.end}{code}{failed} at {offset(ended)}")
        words += [connection.detail] if connection.detail else []
    elif subscribed is None:
        words.append("not subscribed yet")
    words += _by_another(life, connection.served_by)
    begun = subscribed if subscribed is not None and subscribed <= 0 else opening
    return LifeRow(begun if begun is not None else subscribed or 0.0, ", ".join(words), "", tuple(pieces))


def _joins(life: MessageLife) -> bool:
    """Whether dashboards join rooms on their connections, as far as this life shows."""
    return any(connection.joined is not None for one in life.dashboards for connection in one.connections)


def _frame(life: MessageLife, frame: LifeFrame) -> LifeRow:
    at = frame.time - life.intended
    carries = "carries its text" if life.visible_by == "frame" else "announces it"
    words = [carries if frame.certain else "announces its chat, perhaps for another message"]
    if frame.chat:
        words.append(f"in chat {frame.chat}")
    if frame.damage:
        words.append(frame.damage)
    kind = _FRAMES[frame.how] if frame.certain else "perhaps"
    name = {"live": "frame", "replayed": "replayed", "read": "read after connecting"}[frame.how]
    return LifeRow(at, name, ", ".join(words), (LifePiece(kind, at, at),))


def _refetch(life: MessageLife, refetch: LifeRefetch) -> LifeRow:
    begin = refetch.started - life.intended
    end = life.ends - life.intended if refetch.done is None else refetch.done - life.intended
    kind: PieceKind = "failed" if refetch.shows is None else "shows" if refetch.shows else "lacks"
    words = {"failed": "no list", "shows": "shows it", "lacks": "does not show it"}[kind]
    parts = [
        f"{words} ({status_of(refetch.status)})",
        human(end - begin) if refetch.done is not None else "never ended",
    ]
    parts += _by_another(life, refetch.served_by)
    parts += [f"trace {refetch.trace}"] if refetch.trace else []
    return LifeRow(begin, "refetch", ", ".join(parts), (LifePiece(kind, begin, end),))


def _by_another(life: MessageLife, server: LifeServer | None) -> list[str]:
    """Who served it, if that was another one than took the message. Addresses differ behind a fault proxy anyway."""
    if server is None or not server.name or (life.served_by is not None and server.name == life.served_by.name):
        return []
    return [f"by {server.name}"]


def status_of(status: int) -> str:
    """A status as the history has it: negative ones are limits of the rig."""
    if status == 0:
        return "no response"
    return str(status) if status > 0 else f"the load generator's own {errno.errorcode.get(-status, 'failure')}"


def offset(time: float | None) -> str:
    """A moment relative to the intended one: `+12 ms`; empty for None."""
    if not time:
        return "" if time is None else "0"
    return "never" if math.isinf(time) else f"{'+' if time >= 0 else '-'}{human(abs(time))}"


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least - 1e-12)
