"""SLO expressions such as `visible.p99 <= 2s` or `late <= 1% * expected`: parsing and evaluation.

The form is `<expression> <op> <expression> [before|during|after|outside <fault>]`, with the metrics of the verdict, the
units `ms`, `s` and `m`, `%` as × 0.01, and `+ - * /` with parentheses.
"""

import difflib
import math
import operator
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal, get_args

from chatswarm.loadtests.system.toml_reader import ExplainedValueError

from .metric_names import CLOSED, EVIDENCE, LATENCIES, METRICS, Outcome

_TOKEN = re.compile(
    r"\s*(?:(\d+(?:\.\d+)?)\s*(ms|s|m|%)?(?![\w.])|([a-z_]+(?:\.[a-z0-9_]+)?)|(<=|>=|==|!=|[<>+\-*/()]))"
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "%": 0.01, "": 1.0, None: 1.0}
Kind = Literal["before", "during", "after", "outside"]
"""The windows relative to a fault."""
_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
_WINDOW = re.compile(r"\s+(before|during|after|outside)\s+(\S+)\s*$")
_CLOSED = re.compile(CLOSED + r"\.\d{4}")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_COMBINE: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip

Lookup = Callable[[str], float | None]


class SloError(ExplainedValueError):
    """An expression that cannot be parsed. The text says where and why."""


@dataclass(frozen=True, slots=True)
class Term:
    """A node of an expression: a number, the name of a metric, or an operator with two operands."""

    value: float | str
    left: "Term | None" = None
    right: "Term | None" = None

    def metrics(self) -> set[str]:
        if self.left is not None and self.right is not None:
            return self.left.metrics() | self.right.metrics()
        return {self.value} if isinstance(self.value, str) else set()

    def evaluate(self, lookup: Lookup) -> float | None:
        """The value; None if a metric in it was not measured, or for 0 / 0."""
        if self.left is None or self.right is None:
            return lookup(self.value) if isinstance(self.value, str) else self.value
        left, right = self.left.evaluate(lookup), self.right.evaluate(lookup)
        if left is None or right is None:
            return None
        try:
            value = _COMBINE[str(self.value)](left, right)
        except ZeroDivisionError:
            return None
        return None if math.isnan(value) else value


@dataclass(frozen=True, slots=True)
class Slo:
    """One SLO. `window` is where it applies: (`during`, name of a fault), or None for the whole measured part."""

    expect: str
    left: Term
    op: str
    right: Term
    window: tuple[Kind, str] | None = None

    def unknown_fault(self, known: Collection[str]) -> str | None:
        """What is wrong with the window's fault; None if it is known, or there is no window."""
        if self.window is None or self.window[1] in known:
            return None
        kind, name = self.window
        near = difflib.get_close_matches(name, known, 3, 0.4)
        hint = f"nearest: {', '.join(near)}" if near else f"known: {', '.join(sorted(known)) or 'there are none'}"
        return f"{self.expect!r}: expected the name of a fault ({hint}) after {kind}, got {name!r}"

    @property
    def metrics(self) -> set[str]:
        return self.left.metrics() | self.right.metrics()

    def judge(self, lookup: Lookup) -> tuple[Outcome, float | None]:
        """Whether it holds, and the value of its left side (None if not finite)."""
        left, right = self.left.evaluate(lookup), self.right.evaluate(lookup)
        if left is None or right is None:
            return "undecided", left
        outcome: Outcome = "pass" if _COMPARE[self.op](left, right) and math.isfinite(right) else "fail"
        return outcome, left if math.isfinite(left) else None

    def crosses(self, low: Lookup, high: Lookup) -> bool:
        """Whether both sides could be equal, for metrics that are only known to lie between two bounds."""
        if self.op not in ("==", "!="):
            return False
        ends = [(self.left.evaluate(lookup), self.right.evaluate(lookup)) for lookup in (low, high)]
        below, above = (
            [left < right for left, right in ends if left is not None and right is not None],
            [left > right for left, right in ends if left is not None and right is not None],
        )
        return ends[0] != ends[1] and not (all(below) or all(above))

    def limit(self) -> float | None:
        """The limit in seconds, if this is a plain upper limit on a latency such as `visible.p99 <= 2s`; else None."""
        metric = self.left.value
        if self.left.left is not None or not isinstance(metric, str) or self.op not in ("<=", "<"):
            return None
        if not is_latency(metric):
            return None
        return None if self.right.metrics() else self.right.evaluate(lambda _: None)


def is_latency(metric: str) -> bool:
    """Whether the metric is a latency in seconds."""
    name, _, key = metric.partition(".")
    # `notified` alone is a count, and so is `visible.count`.
    return name in LATENCIES and key not in ("", "count")


def parse(text: object) -> Slo:
    """Parses an SLO. Raises SloError."""
    if not isinstance(text, str):
        raise SloError(f"expected an expression such as visible.p99 <= 2s, got {text!r}")
    suffix = _WINDOW.search(text)
    parser = _SloParser(text, _tokens(text[: suffix.start()] if suffix else text))
    left = parser.sum()
    op = parser.next()
    if op not in _COMPARE:
        raise SloError(
            f"{text!r}: expected one of {' '.join(_COMPARE)} after the first expression, got {op or 'the end'}"
        )
    right = parser.sum()
    if rest := parser.next():
        raise SloError(f"{text!r}: expected the end after the second expression, got {rest}")
    window = (_KINDS[suffix[1]], suffix[2]) if suffix else None
    slo = Slo(text.strip(), left, op, right, window)
    if not slo.metrics:
        raise SloError(f"{text!r}: expected at least one metric, such as visible.p99 or lost, got only numbers")
    for metric in sorted(slo.metrics - set(METRICS)):
        if metric == CLOSED or _CLOSED.fullmatch(metric):
            continue
        if metric.startswith(f"{EVIDENCE}."):
            if window is None or window[0] != "during":
                raise SloError(f"{text!r}: expected `during` and the name of a fault after {metric}, got none")
            continue
        near = difflib.get_close_matches(metric, METRICS, 3, 0.4)
        raise SloError(f"{text!r}: expected a known metric (nearest: {', '.join(near) or 'none'}), got {metric!r}")
    return slo


def _tokens(text: str) -> list[str | float]:
    tokens: list[str | float] = []
    at = 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise SloError(f"{text!r}: expected a metric, a number with ms, s, m or %, or an operator at {text[at:]!r}")
        number, unit, name, symbol = match.groups()
        tokens.append(float(number) * _UNITS[unit] if number else name or symbol)
        at = match.end()
    return tokens


class _SloParser:
    """A recursive-descent parser over the tokens of one SLO."""

    def __init__(self, text: str, tokens: list[str | float]) -> None:
        self.text = text
        self.tokens = tokens

    def next(self) -> str | float:
        return self.tokens.pop(0) if self.tokens else ""

    def sum(self) -> Term:
        return self._chain(self._product, "+-")

    def _product(self) -> Term:
        return self._chain(self._atom, "*/")

    def _chain(self, part: Callable[[], Term], operators: str) -> Term:
        node = part()
        while self.tokens and isinstance(self.tokens[0], str) and self.tokens[0] in operators:
            node = Term(str(self.next()), node, part())
        return node

    def _atom(self) -> Term:
        token = self.next()
        if token == "(":
            node = self.sum()
            if self.next() != ")":
                raise SloError(f"{self.text!r}: expected a closing parenthesis")
            return node
        if token == "" or (isinstance(token, str) and not token[0].isalpha()):
            raise SloError(f"{self.text!r}: expected a metric or a number, got {token or 'the end'}")
        return Term(token)
