"""Examples of findings and causes as HTML tables."""

from collections.abc import Sequence

from chatswarm.loadtests.judge.verdict import Example
from chatswarm.loadtests.system.units import human

from .charts import table
from .markup import Markup, Prose, element, joined

_COLUMNS = ("message", "dashboard", "intended", "sent", "accepted", "notified", "visible", "fault", "trace", "detail")
_WORST = 6  # examples that are always shown; the rest can be unfolded


def example_tables(examples: Sequence[Example], title: str) -> Markup:
    """The first few in a table, and the rest in one that can be unfolded. Columns without any value are left out."""
    rows = [_row(example) for example in _different_first(examples)]
    columns = [at for at in range(len(_COLUMNS)) if not at or any(row[at] != "–" for row in rows)]
    names = [_COLUMNS[at] for at in columns]
    shown = [[row[at] for at in columns] for row in rows]
    more = f"{len(rows) - _WORST} more examples"
    rest = element("details", element("summary", more), table(more, names, shown[_WORST:])) if rows[_WORST:] else None
    return joined(table(title, names, shown[:_WORST], shown=True), rest)


def _different_first(examples: Sequence[Example]) -> list[Example]:
    """One example per message first: the same message on other dashboards adds little."""
    seen: set[str] = set()
    first: list[Example] = []
    again: list[Example] = []
    for example in examples:
        (again if example.uid and example.uid in seen else first).append(example)
        seen.add(example.uid)
    return first + again


def _row(example: Example) -> tuple[str | Markup, ...]:
    """Times are relative to the intended time, if there is one."""
    start = example.intended

    def later(at: float | None) -> str:
        return "–" if at is None else f"{at:.3f} s" if start is None else f"+{human(at - start)}"

    name = example.uid or example.chat or "–"
    return (
        element("span", name, class_="mono"),
        "–" if example.dashboard is None else str(example.dashboard),
        "–" if start is None else f"{start:.3f} s",
        later(example.sent),
        later(example.accepted),
        later(example.notified),
        later(example.visible),
        example.fault or "–",
        element("span", example.trace, class_="mono") if example.trace else "–",
        Prose(element("p", example.detail)) if example.detail else "–",
    )
