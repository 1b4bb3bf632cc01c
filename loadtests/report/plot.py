"""Draws a chart as SVG without scripts: axes, bands, rules, bars and lines.

┌ readout: the values under the pointer (shown by CSS alone)
│ rail: where infinite values go ("never")
│ plot: bands at the back, then rules, then lines, with their names at their right ends
└ x axis
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .markup import Markup, element, escaped, joined

Point = tuple[float, float | None]
"""x and y. y None: a gap; infinite: on the rail."""
_LINE_HEIGHT = 15.0
_NAMED = ("fault", "worse", "better")
"""The styles of bands whose names are shown; those of others are tooltips."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps values to positions on an axis, and holds its ticks."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def at(self, value: float) -> float:
        """The position from 0 (low end) to 1 (high end); values outside are clamped."""
        if self.log:
            low, high, value = math.log10(self.low), math.log10(self.high), math.log10(max(value, self.low))
        else:
            low, high = self.low, self.high
        return min(1.0, max(0.0, (value - low) / (high - low)))


def linear(low: float, high: float, label: Callable[[float], str], wanted: int = 6) -> Axis:
    """An axis with about `wanted` ticks, at round values."""
    high = high if high > low else low + 1
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw - 1e-12)
    count = math.floor((high - low) / step + 1e-9)
    return Axis(low, high, tuple((low + step * n, label(low + step * n)) for n in range(count + 1)))


def logarithmic(lowest: float, highest: float, label: Callable[[float], str]) -> Axis:
    """An axis over these values, at least one power of ten long, with ticks at 1, 2 and 5."""
    lowest = max(lowest, 1e-6)
    steps = [factor * 10.0**power for power in range(-6, 7) for factor in (1, 2, 5)]
    low = max((step for step in steps if step <= lowest * 1.0001), default=steps[0])
    high = min((step for step in steps if step >= highest * 0.9999), default=steps[-1])
    if high / low < 9.99:
        low = max(step for step in steps if step <= high / 9.99)
    inside = [step for step in steps if low * 0.9999 <= step <= high * 1.0001]
    if len(inside) > 8:
        inside = [step for step in inside if abs(math.log10(step) - round(math.log10(step))) < 1e-9]
    return Axis(low, high, tuple((step, label(step)) for step in inside), log=True)


def duration_tick(seconds: float) -> str:
    """The label of a tick: `0`, `50 ms`, `2 s`."""
    if not seconds:
        return "0"
    return f"{seconds:g} s" if abs(seconds) >= 1 else f"{seconds * 1000:g} ms"


@dataclass(frozen=True, slots=True)
class Line:
    """A series. `style` is a class in the style sheet; `steps`: each value holds until the next x.

    `dots`: each point has a dot, and not only those without a neighbour.
    """

    name: str
    points: Sequence[Point]
    style: str
    steps: bool = False
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """A named interval of x, such as a fault."""

    begin: float
    end: float
    name: str
    style: str = "fault"


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal line, such as a target."""

    y: float
    name: str


@dataclass(frozen=True, slots=True)
class Slot:
    """An interval of x with a text that is shown while the pointer is over it."""

    begin: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A stacked bar over an interval of x: each part has a height, in units of y, and a style."""

    begin: float
    end: float
    parts: tuple[tuple[float, str], ...]


@dataclass
class Plot:
    """A chart to be drawn. `alternative` describes it in words."""

    key: str
    alternative: str
    x: Axis
    y: Axis
    x_label: str
    y_label: str
    lines: list[Line] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    rail: str = ""  # its label, if there are infinite values
    height: float = 250.0

    def draw(self, width: float) -> Markup:
        """The `svg` element, for a column that is `width` pixels wide."""
        return _Canvas(self, width).draw()


class _Canvas:
    def __init__(self, plot: Plot, width: float) -> None:
        self.plot, self.width = plot, width
        self.narrow = width < 600
        named = max((len(line.name) for line in plot.lines), default=0)
        self.left = max(58.0, 12.0 + 7.2 * max((len(label) for _, label in plot.y.ticks), default=0))
        self.right = width - (14.0 if not named else 24.0 + 7.2 * named)
        self.top = 30.0 + (18.0 if plot.rail else 0.0)
        self.bottom = self.top + plot.height
        self.key = f"{plot.key}-{'narrow' if self.narrow else 'wide'}"

    def x(self, value: float) -> float:
        return self.left + self.plot.x.at(value) * (self.right - self.left)

    def y(self, value: float) -> float:
        if math.isinf(value):
            return self.top - 14.0
        return self.bottom - self.plot.y.at(value) * (self.bottom - self.top)

    def draw(self) -> Markup:
        plot = self.plot
        return element(
            "svg",
            self._bands(),
            self._axes(),
            [self._bar(bar) for bar in plot.bars],
            [self._rule(rule) for rule in plot.rules],
            [element("path", d=self._path(line), class_=f"line {line.style}") for line in plot.lines],
            [self._dots(line) for line in plot.lines],
            self._band_names(),
            self._names(),
            [] if self.narrow else [self._slot(slot) for slot in plot.slots],
            class_="narrow" if self.narrow else "wide",
            viewBox=f"0 0 {self.width:g} {self.bottom + 42:g}",
            role="img",
            aria_label=plot.alternative,
        )

    def _bands(self) -> Markup:
        drawn: list[Markup] = []
        for band in self.plot.bands:
            begin, end = self.x(band.begin), self.x(band.end)
            shape = {"x": begin, "y": self.top, "width": max(1.5, end - begin), "height": self.bottom - self.top}
            drawn.append(element("rect", element("title", band.name), class_=f"band {band.style}", **shape))
        return joined(drawn)

    def _band_names(self) -> Markup:
        """The names of bands: as many as fit into two rows."""
        drawn: list[Markup] = []
        taken = [-math.inf, -math.inf]  # the right end of each row
        for band in self.plot.bands:
            length = 8.0 * len(band.name)
            at = max(self.left, min(self.x(band.begin) + 3, self.right - length))
            row = next((row for row, until in enumerate(taken) if at > until + 8), None)
            if band.style in _NAMED and row is not None:
                taken[row] = at + length
                drawn.append(text_at(at, self.bottom - 7 - 14 * row, band.name, f"band-name {band.style}"))
        return joined(drawn)

    def _axes(self) -> Markup:
        plot, drawn = self.plot, []
        for value, label in plot.y.ticks:
            at = self.y(value)
            drawn.append(element("path", d=f"M{self.left:.1f} {at:.1f}H{self.right:.1f}", class_="grid"))
            drawn.append(text_at(self.left - 8, at + 4, label, "tick", anchor="end"))
        taken = -math.inf
        for value, label in plot.x.ticks:
            at, half = self.x(value), 3.6 * len(label)
            drawn.append(element("path", d=f"M{at:.1f} {self.bottom:.1f}v5", class_="axis"))
            if at - half > taken and at + half <= self.width:
                taken = at + half + 6
                drawn.append(text_at(at, self.bottom + 19, label, "tick", anchor="middle"))
        drawn.append(element("path", d=f"M{self.left:.1f} {self.bottom:.1f}H{self.right:.1f}", class_="axis"))
        drawn.append(text_at((self.left + self.right) / 2, self.bottom + 36, plot.x_label, "label", anchor="middle"))
        drawn.append(text_at(4, 14, plot.y_label, "label"))
        if plot.rail:
            at = self.y(math.inf)
            drawn.append(element("path", d=f"M{self.left:.1f} {at:.1f}H{self.right:.1f}", class_="rail"))
            drawn.append(text_at(self.left - 8, at + 4, plot.rail, "tick bad", anchor="end"))
        return joined(drawn)

    def _bar(self, bar: Bar) -> Markup:
        begin, end = self.x(bar.begin), self.x(bar.end)
        gap = 1.0 if end - begin > 4 else 0.0
        drawn, below = [], 0.0
        for height, style in bar.parts:
            if height > 0:
                upper, lower = self.y(below + height), self.y(below)
                shape = {"x": begin, "y": upper, "width": max(0.5, end - begin - gap), "height": lower - upper}
                drawn.append(element("rect", class_=style, **shape))
                below += height
        return joined(drawn)

    def _rule(self, rule: Rule) -> Markup:
        at = self.y(rule.y)
        return joined(
            element("path", d=f"M{self.left:.1f} {at:.1f}H{self.right:.1f}", class_="rule"),
            text_at(self.left + 5, at - 5, rule.name, "rule-name"),
        )

    def _path(self, line: Line) -> str:
        parts: list[str] = []
        drawing, last = False, 0.0
        for x, y in line.points:
            if y is None:
                drawing = False
                continue
            across, up = self.x(x), self.y(y)
            if not drawing:
                parts.append(f"M{across:.1f} {up:.1f}")
            elif line.steps:
                parts.append(f"H{across:.1f}V{up:.1f}" if up != last else f"H{across:.1f}")
            else:
                parts.append(f"L{across:.1f} {up:.1f}")
            drawing, last = True, up
        return "".join(parts)

    def _dots(self, line: Line) -> Markup:
        """Dots for points without a neighbour to draw a line to, for points on the rail, or for all points."""
        dots = []
        for number, (x, y) in enumerate(line.points):
            near = [line.points[other][1] for other in (number - 1, number + 1) if 0 <= other < len(line.points)]
            if y is not None and (line.dots or math.isinf(y) or all(other is None for other in near)):
                dots.append(element("circle", cx=self.x(x), cy=self.y(y), r=2.5, class_=f"dot {line.style}"))
        return joined(dots)

    def _names(self) -> Markup:
        """The names of the lines at their right ends, moved apart if they would overlap."""
        ends: list[tuple[float, Line]] = []
        for line in self.plot.lines:
            last = next((y for _, y in reversed(line.points) if y is not None), None)
            if last is not None and line.name:
                ends.append((self.y(last), line))
        ends.sort(key=lambda end: end[0])
        heights: list[float] = []
        for at, _ in ends:
            heights.append(max(at, heights[-1] + _LINE_HEIGHT) if heights else at)
        lowest = self.bottom
        for number in reversed(range(len(heights))):
            heights[number] = min(heights[number], lowest)
            lowest = heights[number] - _LINE_HEIGHT
        return joined(
            text_at(self.right + 7, at + 4, line.name, f"name {line.style}")
            for at, (_, line) in zip(heights, ends, strict=True)
        )

    def _slot(self, slot: Slot) -> Markup:
        begin, end = self.x(slot.begin), self.x(slot.end)
        middle = (begin + end) / 2
        return element(
            "g",
            element("rect", x=begin, y=self.top, width=max(1.0, end - begin), height=self.bottom - self.top),
            element("path", d=f"M{middle:.1f} {self.top:.1f}V{self.bottom:.1f}"),
            text_at(self.right, 14, slot.text, "", anchor="end"),
            class_="slot",
        )


def text_at(x: float, y: float, text: str, style: str, anchor: str | None = None) -> Markup:
    """A text in an SVG, by the left end of its base line, or by what `anchor` says."""
    return element("text", escaped(text), x=x, y=y, class_=style or None, text_anchor=anchor)
