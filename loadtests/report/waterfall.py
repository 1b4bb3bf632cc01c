"""A message's life as a waterfall in SVG: a figure, or a whole page without scripts, light and dark."""

import math

from chatswarm.loadtests.judge.message_life import MessageLife
from chatswarm.loadtests.system.units import human

from .charts import NARROW, WIDE, Chart
from .document import document
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
from .markup import Markup, Prose, element, escaped, joined
from .plot import duration_tick, text_at
from .style import STYLE

_READING = (
    "Each row is one event, by when it began after the moment for which the message was intended. Bars are spans, "
    "marks are moments. Point at a row to see its words in full."
)
_MARKS: dict[PieceKind, str] = {
    "intended": "M0-7V7", "joined": "M-4-5H4M0-5V5", "frame": "M-5-4H5L0 5Z", "perhaps": "M-5-4H5L0 5Z",
    "replayed": "M-5 4H5L0-5Z", "read": "M0-6L5 0L0 6L-5 0Z",
    "visible": "M-5.5 0A5.5 5.5 0 1 1 5.5 0A5.5 5.5 0 1 1-5.5 0Z", "never": "M-4.5-4.5L4.5 4.5M-4.5 4.5L4.5-4.5",
}  # fmt: skip
"""The outline of each mark, around the moment that it stands for."""
_ACROSS: frozenset[PieceKind] = frozenset(("fault", "stall"))
"""What is also drawn as a band across all rows."""
_ROW, _TITLE, _BAR = 21.0, 30.0, 11.0
_LETTER = 7.0  # pixels, on average


def waterfall_page(life: MessageLife) -> str:
    """The life as an HTML document that needs nothing else."""
    chart = waterfall(life)
    sentences = [element("p", _sentence(fact)) for fact in facts(life)]
    head = element(
        "header",
        element("h1", "Message ", element("span", life.uid, class_="mono")),
        element("p", _sentence(headline(life)), class_="why"),
        sentences,
    )
    return document(f"{headline(life)}: message {life.uid}", head, element("main", chart.figure(2)))


def waterfall_svg(life: MessageLife) -> str:
    """The wide picture alone, as an SVG file with its style in it."""
    style = element("style", Markup(STYLE))
    return f"{_Picture(life, WIDE).draw(style, xmlns='http://www.w3.org/2000/svg', class_='waterfall alone')}\n"


def waterfall(life: MessageLife) -> Chart:
    """The life as a chart: its picture for wide and for narrow columns, and the same figures as a table."""
    groups = groups_of(life)
    axis = axis_of(groups, life)
    rows = tuple(
        (group.title, offset(row.at), row.name, Prose(element("p", row.detail)))
        for group in groups
        for row in group.rows
    )
    return Chart(
        f"life-{life.uid.replace('.', '-')}",
        "One message's life",
        " ".join([_READING, *map(_sentence, notes(life, axis))]),
        tuple(_Picture(life, width).draw() for width in (WIDE, NARROW)),
        ("where", "after intended", "what", "detail"),
        rows,
    )


class _Picture:
    """The waterfall for a column that is `width` pixels wide. In a narrow one, words stand above their row's bars."""

    def __init__(self, life: MessageLife, width: float) -> None:
        self._life, self._width = life, width
        self._narrow = width < WIDE
        self._groups = groups_of(life)
        self._axis: LifeAxis = axis_of(self._groups, life)
        self._left = 10.0 if self._narrow else 396.0
        self._rail = any(piece.kind == "never" for row in self._rows() for piece in row.pieces)
        self._right = width - (34.0 if self._rail else 16.0)
        self._step = _ROW + (15.0 if self._narrow else 0.0)
        headed = self._rail or self._axis.cuts or life.ends >= life.deadline
        self._top = 58.0 if headed else 24.0
        self._bottom = self._top + sum(_TITLE + self._step * len(group.rows) for group in self._groups)

    def draw(self, *before: Markup, **attributes: str) -> Markup:
        """The `svg` element. `before`: what it starts with."""
        key, height = self._key()
        return element(
            "svg",
            *before,
            self._bands(),
            self._axis_lines(),
            self._all_rows(),
            key,
            viewBox=f"0 0 {self._width:g} {height:g}",
            role="img",
            aria_label=self._alternative(),
            **{"class_": f"waterfall {'narrow' if self._narrow else 'wide'}", **attributes},
        )

    def _rows(self) -> list[LifeRow]:
        return [row for group in self._groups for row in group.rows]

    def _alternative(self) -> str:
        life = self._life
        titles = "; ".join(group.title for group in self._groups if group.dashboard is not None)
        around = ", ".join(row.text for row in self._rows() if any(piece.kind in _ACROSS for piece in row.pieces))
        return (
            f"Message {life.uid}: {headline(life)}. {'. '.join(facts(life))}."
            f"{f' {titles}.' if titles else ''}{f' Around it: {around}.' if around else ''}"
        )

    def _x(self, time: float) -> float:
        if math.isinf(time):
            return self._width - 14.0
        return self._left + self._axis.at(time) * (self._right - self._left)

    def _bands(self) -> Markup:
        drawn = []
        for row in self._rows():
            for piece in row.pieces:
                if piece.kind in _ACROSS:
                    begin, end = self._x(piece.begin), self._x(min(piece.end, self._axis.high))
                    drawn.append(
                        element(
                            "rect", element("title", row.text), x=begin, y=self._top, width=max(1.5, end - begin),
                            height=self._bottom - self._top, class_=f"band {piece.kind}",
                        )
                    )  # fmt: skip
        return joined(drawn)

    def _axis_lines(self) -> Markup:
        drawn = []
        free = -math.inf
        for time in self._axis.ticks(max(3, int((self._right - self._left) / 80))):
            at, label = self._x(time), duration_tick(time)
            half = 3.6 * len(label)
            drawn.append(element("path", d=f"M{at:.1f} {self._top - 5:.1f}V{self._bottom:.1f}", class_="grid"))
            middle = min(max(at, half), self._width - half)
            if middle - half > free:
                free = middle + half + 6
                drawn += [
                    text_at(middle, y, label, "tick", anchor="middle") for y in (self._top - 10, self._bottom + 15)
                ]
        for cut in self._axis.cuts:
            begin, end = self._x(cut.begin), self._x(cut.end)
            title = element("title", f"{human(cut.end - cut.begin)} in which nothing happened")
            drawn.append(
                element(
                    "rect",
                    title,
                    x=begin,
                    y=self._top - 5,
                    width=end - begin,
                    height=self._bottom - self._top + 5,
                    class_="cut",
                )
            )
            drawn.append(
                text_at((begin + end) / 2, self._top - 24, f"≈ {human(cut.end - cut.begin)}", "tick", anchor="middle")
            )
        life = self._life
        if life.ends >= life.deadline:
            at = self._x(life.update_target)
            drawn.append(element("path", d=f"M{at:.1f} {self._top - 38:.1f}V{self._bottom:.1f}", class_="rule"))
            # Left of the heading of the rail.
            end = min(at - 5, self._width - 48) if self._rail else at - 5
            drawn.append(text_at(end, self._top - 42, f"target {human(life.update_target)}", "rule-name", anchor="end"))
        if self._rail:
            at = self._x(math.inf)
            drawn.append(element("path", d=f"M{at:.1f} {self._top - 36:.1f}V{self._bottom:.1f}", class_="rail"))
            drawn.append(text_at(self._width - 2, self._top - 42, "never", "tick bad", anchor="end"))
        return joined(drawn)

    def _all_rows(self) -> Markup:
        drawn, y = [], self._top
        for group in self._groups:
            drawn.append(self._title(group, y))
            y += _TITLE
            for row in group.rows:
                drawn.append(self._row(row, y))
                y += self._step
        return joined(drawn)

    def _title(self, group: LifeGroup, y: float) -> Markup:
        room = int(self._width / (_LETTER + 1))
        return joined(
            element("path", d=f"M0 {y + 6:.1f}H{self._width:.1f}", class_="axis-soft"),
            element(
                "text", element("title", group.title), escaped(_cut_off(group.title, room)), x=4.0, y=y + 23,
                class_=f"group {group.tone or ''}".strip(),
            ),
        )  # fmt: skip

    def _row(self, row: LifeRow, y: float) -> Markup:
        words = y + 14
        middle = y + self._step - _ROW / 2
        when = element("text", escaped(offset(row.at)), x=72.0, y=words, class_="tick", text_anchor="end")
        room = int(((self._width if self._narrow else self._left) - 84) / _LETTER)
        return element(
            "g",
            element("title", f"{offset(row.at)} {row.text}".strip()),
            element("rect", x=0.0, y=y, width=self._width, height=self._step, class_="hit"),
            when,
            element("text", escaped(_cut_off(row.text, room)), x=80.0, y=words),
            [self._piece(piece, middle) for piece in sorted(row.pieces, key=lambda piece: piece.kind in MOMENTS)],
            class_="event",
        )

    def _piece(self, piece: LifePiece, middle: float) -> Markup:
        begin = self._x(piece.begin)
        if piece.kind in MOMENTS:
            return element(
                "path",
                d=_MARKS[piece.kind],
                transform=f"translate({begin:.1f} {middle:.1f})",
                class_=f"at {piece.kind}",
            )
        end = self._x(min(piece.end, self._axis.high))
        if piece.end < self._axis.low:
            return Markup("")
        thin = piece.kind in ("opening", "subscribed")
        height = 3.0 if piece.kind == "opening" else 6.0 if thin else _BAR
        return element(
            "rect", x=begin, y=middle - height / 2, width=max(3.0, end - begin), height=height, rx=1.0,
            class_=f"span {piece.kind}",
        )  # fmt: skip

    def _key(self) -> tuple[Markup, float]:
        """The key, in as many lines as it needs, and the height of the whole picture."""
        drawn: list[Markup] = []
        x, y = 8.0, self._bottom + 40
        for kind in kinds_in(self._groups, self._axis):
            length = 34 + _LETTER * len(MEANING[kind])
            if x > 8 and x + length > self._width:
                x, y = 8.0, y + 20
            shape = LifePiece(kind, 0.0, 0.0)
            if kind in MOMENTS:
                drawn.append(
                    element(
                        "path", d=_MARKS[shape.kind], transform=f"translate({x + 6:.1f} {y:.1f})", class_=f"at {kind}"
                    )
                )
            else:
                drawn.append(element("rect", x=x, y=y - 5, width=14.0, height=10.0, rx=1.0, class_=f"span {kind}"))
            drawn.append(text_at(x + 20, y + 4, MEANING[kind], "tick"))
            x += length
        return joined(drawn), y + 14


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _cut_off(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(1, room - 1)]}…"
