"""Builds HTML and SVG. Every text that was not built here is escaped, so data never becomes markup."""

import html
from collections.abc import Iterable

from chatswarm.loadtests.system.text import one_line


class Markup(str):
    """Text that is already markup. Only this module creates it."""

    __slots__ = ()


class Prose(Markup):
    """Running text, which may wrap in a table cell."""

    __slots__ = ()


Content = str | Iterable[str] | None
_VOID = frozenset({"meta", "br", "hr", "link"})


def escaped(text: str) -> Markup:
    """The text escaped, on one line; Markup stays as it is. Characters that HTML forbids, and those that reverse the
    writing direction, are shown as escape sequences.
    """
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(one_line(text), quote=True))


def element(name: str, /, *content: Content, **attributes: str | float | bool | None) -> Markup:
    """An element. `class_` becomes class, `aria_label` becomes aria-label; None and False omit an attribute."""
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_value(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(*content)}</{name}>")


def joined(*content: Content) -> Markup:
    """Several pieces of content, one after the other."""
    parts: list[str] = []
    for part in content:
        if isinstance(part, str):
            parts.append(escaped(part))
        elif part is not None:
            parts += [escaped(one) for one in part]
    return Markup("".join(parts))


def _value(value: str | float) -> str:
    # Coordinates: a tenth of a pixel is enough, and keeps files small.
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return escaped(str(value))
