"""HTML and SVG by construction: every text is escaped unless it was made here, so data can never become markup."""

import html
from collections.abc import Iterable

from chatswarm.loadtests.system.text import one_line


class Markup(str):
    """Text that is markup already. Only `element` and `joined` make it."""

    __slots__ = ()


class Prose(Markup):
    """Sentences, which may take several lines in a table's cell."""

    __slots__ = ()


Content = str | Iterable[str] | None
_VOID = frozenset({"meta", "br", "hr", "link"})


def escaped(text: str) -> Markup:
    """The text as data, on one line; what is markup already stays as it is. What no document may hold, and what would
    turn the writing round it, is shown as an escape.
    """
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(one_line(text), quote=True))


def element(name: str, /, *content: Content, **attributes: str | float | bool | None) -> Markup:
    """An element. Attributes: `class_` is class, `aria_label` is aria-label; None and False leave one out."""
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_value(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(*content)}</{name}>")


def joined(*content: Content) -> Markup:
    """Several, one after the other."""
    parts: list[str] = []
    for part in content:
        if isinstance(part, str):
            parts.append(escaped(part))
        elif part is not None:
            parts += [escaped(one) for one in part]
    return Markup("".join(parts))


def _value(value: str | float) -> str:
    # Coordinates: a tenth of a pixel is enough, and makes small files.
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return escaped(str(value))
