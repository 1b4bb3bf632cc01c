"""A message's life as a waterfall in the terminal, to scale and readable without colour."""

import math

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chatswarm.loadtests.judge.message_life import MessageLife
from chatswarm.loadtests.system.text import one_line
from chatswarm.loadtests.system.units import human

from .life_rows import (
    MEANING,
    MOMENTS,
    LifeAxis,
    LifeGroup,
    LifePiece,
    LifeRow,
    PieceKind,
    axis_of,
    facts,
    groups_of,
    headline,
    kinds_in,
    notes,
    offset,
)
from .plot import duration_tick
from .terminal import STYLES

_GLYPHS: dict[PieceKind, tuple[str, str]] = {
    "rig": ("╌", "dim"), "answer": ("━", "cyan"), "opening": ("·", "dim"), "subscribed": ("─", "dim"),
    "silence": ("~", "yellow"), "shows": ("█", "green"), "lacks": ("▒", "red"), "failed": ("!", "red"),
    "intended": ("╿", "bold"), "joined": ("┬", ""), "frame": ("▼", "cyan"), "perhaps": ("▽", "cyan"),
    "replayed": ("↻", "cyan"), "read": ("◇", "cyan"), "visible": ("●", "green"), "never": ("✗", "bold red"),
    "fault": ("▓", "red"), "stall": ("░", "yellow"),
}  # fmt: skip
"""How each kind looks: its character, and its style where there are colours."""
_TARGET, _CUT = "┊", "≈"
_OFFSET = 9  # columns of the offset
_INDENT = 2
_LABELS = 0.44
"""The share of the width that words may take; longer ones go on in the next line."""


def print_life(console: Console, life: MessageLife) -> None:
    """Prints one message's life, as wide as the console."""
    groups = groups_of(life)
    axis = axis_of(groups, life)
    whole = max(60, console.width) - _INDENT
    longest = max(len(row.text) for group in groups for row in group.rows)
    label = max(24, min(longest, int(whole * _LABELS)))
    canvas = _Strip(axis, whole - _OFFSET - label - 4, life.update_target if life.ends >= life.deadline else None)
    console.print()
    console.print(Text.assemble((f"message {one_line(life.uid)}", "bold"), f"  {headline(life)}"))
    for fact in facts(life):
        _print(console, Text(one_line(fact)))
    console.print()
    _print_line(console, label, LifeRow(None, "", "", ()), canvas.labels())
    for group in groups:
        _print_title(console, group)
        for row in group.rows:
            _print_line(console, label, row, canvas.drawn(row))
    console.print()
    for line in [*_key(kinds_in(groups, axis), canvas, whole), *notes(life, axis)]:
        _print(console, Text(line, "dim"))


def _print_title(console: Console, group: LifeGroup) -> None:
    style = f"bold {STYLES[group.tone]}" if group.tone else "bold"
    _print(console, Text(group.title, style))


def _print_line(console: Console, label: int, row: LifeRow, strip: Text) -> None:
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(width=_OFFSET, justify="right", no_wrap=True)
    line.add_column(width=label, overflow="fold")
    line.add_column(no_wrap=True, overflow="crop")
    line.add_row(Text(offset(row.at), "dim" if row.at is None else ""), Text(row.text), strip)
    _print(console, line)


def _print(console: Console, content: Text | Table) -> None:
    console.print(Padding(content, (0, 0, 0, _INDENT), expand=False))


def _key(used: list[PieceKind], canvas: "_Strip", width: int) -> list[str]:
    """The key, in lines that part no character from its meaning."""
    parts = [f"{_GLYPHS[kind][0]} {MEANING[kind]}" for kind in used]
    parts += [f"{_TARGET} target {human(canvas.target)}"] if canvas.target is not None else []
    parts += [f"{_CUT} cut"] if canvas.axis.cuts else []
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + 3 + len(part) > width:
            lines.append("")
        lines[-1] += f"   {part}" if lines[-1] else part
    return lines


class _Strip:
    """One row's picture: a line of characters, each the same share of the axis, but for cut-out waits."""

    def __init__(self, axis: LifeAxis, width: int, target: float | None) -> None:
        self.axis, self.width, self.target = axis, width, target
        self._plain: list[tuple[str, str]] = [(" ", "")] * width
        for cut in axis.cuts:
            self._plain[self._column((axis.at(cut.begin) + axis.at(cut.end)) / 2)] = (_CUT, "dim")
        if target is not None:
            self._plain[self._column(axis.at(target))] = (_TARGET, "dim")

    def drawn(self, row: LifeRow) -> Text:
        """The row's pieces: spans first, moments over them."""
        line = list(self._plain)
        for piece in sorted(row.pieces, key=lambda piece: piece.kind in MOMENTS):
            begin, end = self._columns(piece)
            line[begin : end + 1] = [_GLYPHS[piece.kind]] * (end + 1 - begin)
        for cut in self.axis.cuts:
            # A span that goes on over a cut shows that it was cut.
            at = self._column((self.axis.at(cut.begin) + self.axis.at(cut.end)) / 2)
            line[at] = (_CUT, line[at][1])
        return Text.assemble(*line)

    def labels(self) -> Text:
        """The axis: round moments, each where it lies."""
        line = [" "] * self.width
        free = 0
        for time in self.axis.ticks(max(2, self.width // 9)):
            text = duration_tick(time)
            at = self._column(self.axis.at(time))
            begin = min(at, self.width - len(text) - 1)
            if begin >= free:
                line[begin : begin + len(text) + 1] = f"╷{text}" if begin == at else f"{text}╷"
                free = begin + len(text) + 2
        return Text("".join(line), "dim")

    def _columns(self, piece: LifePiece) -> tuple[int, int]:
        if math.isinf(piece.begin):
            return self.width - 1, self.width - 1
        begin = self._column(self.axis.at(piece.begin))
        return begin, begin if piece.kind in MOMENTS else max(begin, self._column(self.axis.at(piece.end) - 1e-9))

    def _column(self, position: float) -> int:
        return max(0, min(self.width - 1, int(position * self.width)))
