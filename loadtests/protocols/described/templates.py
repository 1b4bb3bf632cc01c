"""Templates: texts with `${holes}`, and the filters that a hole's value may pass through.

Where a hole stands decides how its value is written: see docs/protocol-files.md.
"""

import base64
import hashlib
import hmac
import html
import json
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal
from urllib.parse import quote

from chatswarm.loadtests.protocols.outgoing import segment, whole
from chatswarm.loadtests.protocols.variables import OutOfScopeError, Variables

from .paths import MISSING, decoded

Writing = Literal["json", "path", "stomp", "plain"]
"""What a template is part of."""

_HOLE = re.compile(r"\$\{([^${}]*)\}")
_SPACES = re.compile(r"[\r\n\t]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)*")


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def written(value: object) -> str:
    """A value from JSON as the text that a variable holds: a text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    if type(value) is int:
        return str(value)
    try:
        return "" if value is MISSING else _to_json(value)
    except RecursionError:
        return "(nested too deeply)"


class Context:
    """What the holes of a template can be filled with: `values` of the moment, then variables."""

    def __init__(self, variables: Variables, values: Mapping[str, str | Callable[[], str]] | None = None) -> None:
        self.variables = variables
        self._values = values or {}
        self._computed: dict[str, str] = {}  # one request has one time

    def __getitem__(self, name: str) -> str:
        """The value of a name. Raises OutOfScopeError."""
        value = self._values.get(name)
        if value is not None:
            return value if isinstance(value, str) else value()
        if name in _COMPUTED and name not in self.variables:
            return self._computed.setdefault(name, _COMPUTED[name]())
        return self.variables[name]

    def and_(self, **values: str | Callable[[], str]) -> "Context":
        """The same with more values."""
        other = Context(self.variables, {**self._values, **values})
        other._computed = self._computed
        return other


_COMPUTED: Mapping[str, Callable[[], str]] = {
    "now": lambda: str(int(time.time())),
    "now_ms": lambda: str(int(time.time() * 1000)),
    "uuid": lambda: str(uuid.uuid4()),
}
COMPUTED = tuple(_COMPUTED)
"""The names that are worked out when they are used."""


# Filters.

_Filter = Callable[[str, str, Context], str]


def _plus(value: str, argument: str, context: Context) -> str:
    other = argument if _is_number(argument) else context[argument]
    if not _is_number(value) or not _is_number(other):
        # Not quoted: it may be a secret.
        raise ValueError(f"expected two numbers for the filter plus:{argument}, got something else")
    return format(Decimal(value) + Decimal(other), "f")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?", text) is not None


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _hmac(key: str, text: str) -> "hmac.HMAC":
    return hmac.new(_bytes(key), _bytes(text), hashlib.sha256)


_JWT_HEAD = b'{"alg":"HS256","typ":"JWT"}'


def _jwt(value: str, argument: str, context: Context) -> str:
    signed = f"{_url64(_JWT_HEAD)}.{_url64(_bytes(value))}"
    return f"{signed}.{_url64(_hmac(context[argument], signed).digest())}"


def _bytes(text: str) -> bytes:
    return whole(text).encode()


_FILTERS: Mapping[str, tuple[Literal["", "text", "number", "name"], _Filter]] = {
    "or": ("text", lambda value, _a, _c: value),
    "plus": ("number", _plus),
    "url": ("", lambda value, _a, _c: quote(_bytes(value), safe="")),
    "json": ("", lambda value, _a, _c: json.dumps(whole(value), ensure_ascii=False)),
    "html": ("", lambda value, _a, _c: html.escape(value)),
    "base64": ("", lambda value, _a, _c: base64.b64encode(_bytes(value)).decode()),
    "base64url": ("", lambda value, _a, _c: _url64(_bytes(value))),
    "md5": ("", lambda value, _a, _c: hashlib.md5(_bytes(value), usedforsecurity=False).hexdigest()),
    "sha256": ("", lambda value, _a, _c: hashlib.sha256(_bytes(value)).hexdigest()),
    "hmac_sha256": ("name", lambda value, argument, context: _hmac(context[argument], value).hexdigest()),
    "jwt_hs256": ("name", _jwt),
    "raw": ("", lambda value, _a, _c: value),
}
"""By name: what its argument is (empty: it has none), and what it does."""


# Templates.


class TemplateError(ValueError):
    """A template that cannot be. The text says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class _Hole:
    """One hole. `inner`: the named template that it stands for, if it is no variable."""

    name: str
    filters: Sequence[tuple[str, str]]
    inner: "Template | None"
    write: Callable[[str], str]

    def value(self, context: Context) -> str:
        """Raises OutOfScopeError if something that it needs is not known, or ValueError, unless an `or` follows."""
        unknown: OutOfScopeError | ValueError | None = None
        value = ""
        try:
            value = context[self.name] if self.inner is None else self.inner.fill(context)
        except (OutOfScopeError, ValueError) as error:
            unknown = error
        for name, argument in self.filters:
            if unknown is None:
                try:
                    value = _FILTERS[name][1](value, argument, context)
                except (OutOfScopeError, ValueError) as error:
                    unknown = error
            elif name == "or":
                value, unknown = argument, None
        if unknown is not None:
            raise unknown
        return value

    def names(self) -> set[str]:
        own = {self.name} if self.inner is None else self.inner.names
        return own.union(*(_names_in(*one) for one in self.filters))

    def needed(self) -> set[str]:
        """Names without which it cannot be filled."""
        needed = {self.name} if self.inner is None else self.inner.needed
        for name, argument in self.filters:
            needed = set() if name == "or" else needed | _names_in(name, argument)
        return needed


def _names_in(name: str, argument: str) -> set[str]:
    """The variable that a filter uses, if it does."""
    by_name = _FILTERS[name][0] == "name" or (name == "plus" and not _is_number(argument))
    return {argument} if by_name else set()


@dataclass(frozen=True, slots=True)
class Template:
    """A text with holes."""

    text: str
    _parts: Sequence[str | _Hole] = field(repr=False)

    @property
    def names(self) -> set[str]:
        """All variables that it may use."""
        return set[str]().union(*(part.names() for part in self._parts if isinstance(part, _Hole)))

    @property
    def needed(self) -> set[str]:
        """The variables without which it cannot be filled."""
        return set[str]().union(*(part.needed() for part in self._parts if isinstance(part, _Hole)))

    def fill(self, context: Context) -> str:
        """The text. Raises OutOfScopeError for a variable that is not known, and ValueError."""
        return "".join(part if isinstance(part, str) else part.write(part.value(context)) for part in self._parts)

    def sample(self) -> str:
        """The text as it might be, to see whether it makes sense."""
        return "".join(part if isinstance(part, str) else part.write("0") for part in self._parts)


class Templates:
    """Makes templates, with the named ones of `[let]`."""

    def __init__(self, named: Mapping[str, str]) -> None:
        self._named = named
        self._open: list[str] = []  # named templates that are being made

    def make(self, text: str, writing: Writing = "plain") -> Template:
        """Raises TemplateError."""
        parts: list[str | _Hole] = []
        at, quoted, in_head = 0, False, True
        for found in _HOLE.finditer(text):
            literal = text[at : found.start()]
            _check_literal(literal, text)
            quoted = _quoted_after(literal, quoted) if writing == "json" else False
            in_head = in_head and "\n\n" not in literal
            hole = self._hole(found[1], text)
            if writing == "stomp":
                writer = _stomp_writer(text, in_head=in_head)
            else:
                writer = _writer(writing, quoted=quoted, raw=any(name == "raw" for name, _ in hole[1]))
            parts += [literal, _Hole(*hole, writer)]
            at = found.end()
        _check_literal(text[at:], text)
        parts.append(text[at:])
        return Template(text, tuple(part for part in parts if part != ""))

    def _hole(self, inside: str, text: str) -> tuple[str, list[tuple[str, str]], Template | None]:
        name, *chain = inside.split("|")
        if not _NAME.fullmatch(name):
            raise TemplateError(f"expected a name in ${{{inside}}}, got {name!r} in {_short(text)}")
        filters = [_filter(one, inside) for one in chain]
        return name, filters, self._inner(name) if name in self._named else None

    def _inner(self, name: str) -> Template:
        if name in self._open:
            loop = " → ".join([*self._open[self._open.index(name) :], name])
            raise TemplateError(f"expected templates in [let] that do not contain themselves, got the loop {loop}")
        self._open.append(name)
        try:
            text = self._named[name]
            return self.make(text, "json" if text.lstrip()[:1] in ("{", "[") else "plain")
        finally:
            self._open.pop()


def _filter(text: str, hole: str) -> tuple[str, str]:
    name, colon, argument = text.partition(":")
    if name not in _FILTERS:
        raise TemplateError(f"expected one of the filters {', '.join(_FILTERS)}, got {name!r} in ${{{hole}}}")
    wants = _FILTERS[name][0]
    if wants == "" and colon:
        raise TemplateError(f"expected no argument for the filter {name}, got {argument!r} in ${{{hole}}}")
    if wants == "name" and not _NAME.fullmatch(argument):
        raise TemplateError(f"expected a variable after {name}:, got {argument!r} in ${{{hole}}}")
    if wants == "number" and not (_is_number(argument) or _NAME.fullmatch(argument)):
        raise TemplateError(f"expected a number or a variable after {name}:, got {argument!r} in ${{{hole}}}")
    return name, argument


def _check_literal(literal: str, text: str) -> None:
    if "${" in literal:
        raise TemplateError(
            f"expected a hole such as ${{name}}, got {literal[literal.index('${') :][:20]!r} in {_short(text)}"
        )


def _quoted_after(literal: str, quoted: bool) -> bool:
    """Whether one is inside quotes after this part of a JSON text."""
    escaped = False
    for character in literal:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = quoted
        elif character == '"':
            quoted = not quoted
    return quoted


def _writer(writing: Writing, *, quoted: bool, raw: bool) -> Callable[[str], str]:
    if writing == "json":
        return _within_json if quoted else _as_json
    return segment if writing == "path" and not raw else _as_it_is


def _stomp_writer(frame: str, *, in_head: bool) -> Callable[[str], str]:
    if not in_head:
        return _in_a_stomp_body
    return _in_connect if frame.startswith(("CONNECT\n", "STOMP\n")) else _in_a_stomp_header


def _as_it_is(value: str) -> str:
    return value


def _within_json(value: str) -> str:
    return json.dumps(whole(value), ensure_ascii=False)[1:-1]


def _as_json(value: str) -> str:
    try:
        decoded(value)
    except (ValueError, RecursionError):
        return json.dumps(whole(value), ensure_ascii=False)
    return _SPACES.sub(" ", value)  # a line end could separate documents


def _in_a_stomp_header(value: str) -> str:
    value = value.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n").replace(":", "\\c")
    return _in_a_stomp_body(value)


def _in_connect(value: str) -> str:
    """In a header of CONNECT, which STOMP does not escape."""
    return _in_a_stomp_body(_SPACES.sub("", value))


def _in_a_stomp_body(value: str) -> str:
    return value.replace("\0", "\ufffd")  # it would end the frame


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")
