"""Paths into frames and answers: RFC 9535's syntax, compiled to Python where a path names one value.

`->` steps into a text that is itself JSON, and `$head` is what stands before the JSON.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import jsonpath_rfc9535 as jsonpath
import msgspec
from jsonpath_rfc9535.filter_expressions import Expression, LogicalExpression, PrefixExpression, RelativeFilterQuery
from jsonpath_rfc9535.segments import JSONPathChildSegment, JSONPathSegment
from jsonpath_rfc9535.selectors import FilterSelector, IndexSelector, NameSelector, WildcardSelector

from chatswarm.loadtests.protocols.protocol import UnreadableHere


class _Missing:
    """There is no such value."""

    def __repr__(self) -> str:
        return "nothing"

    def __bool__(self) -> bool:
        return False


MISSING = _Missing()

Root = Literal["document", "head"]
Key = str | int
_ARROW = re.compile(r"\s*->\s*")
_HEAD = re.compile(r"\$head(?![\w-])")
_decode = msgspec.json.Decoder().decode


class PathError(ValueError):
    """A path that is none. The text says what was expected and what came."""


class Path:
    """A path that names one value. `stages`: its keys, up to each step into a text that is JSON."""

    def __init__(self, text: str, root: Root, stages: Sequence[Sequence[Key]]) -> None:
        self.text = text
        self.root: Root = root
        self.stages = tuple(tuple(stage) for stage in stages)
        self._find = compiled(self)

    def find(self, document: object, head: object = None) -> Any:  # noqa: ANN401 - any JSON
        """The value, or MISSING."""
        return self._find(document, head)


def path_of(text: str, *, current: bool = False) -> Path:
    """Reads a path that names one value. `current`: it begins with `@`. Raises PathError."""
    first, *inner = _ARROW.split(text.strip())
    root: Root = "document"
    if _HEAD.match(first):
        root, first = "head", "$" + first[len("$head") :]
    if current:
        if not first.startswith("@"):
            raise PathError(f"expected a path that begins with @, got {text!r}")
        first = "$" + first[1:]
    return Path(text, root, [_keys(stage, text) for stage in (first, *inner)])


def _keys(stage: str, text: str) -> list[Key]:
    return _keys_of(_query(stage, text), text)


def _keys_of(query: jsonpath.JSONPathQuery, text: str) -> list[Key]:
    keys: list[Key] = []
    for segment in query.segments:
        match _selectors(segment):
            case [NameSelector(name=name)]:
                keys.append(name)
            case [IndexSelector(index=index)]:
                keys.append(index)
            case _:
                raise PathError(f"expected a path of names and indexes, which names one value, got {text!r}")
    return keys


def _selectors(segment: JSONPathSegment) -> Sequence[object]:
    return segment.selectors if isinstance(segment, JSONPathChildSegment) else ()


def _query(stage: str, text: str) -> jsonpath.JSONPathQuery:
    try:
        return jsonpath.compile(stage)
    except (jsonpath.JSONPathError, RecursionError) as error:
        why = str(error).partition(", line ")[0].partition("\n")[0]
        raise PathError(f"expected a path such as $.data.text, got {text!r}: {why}") from None


_Step = Callable[[list[Any]], list[Any]]
"""From some values to those under them."""


class Paths:
    """A path that may name several values, in any of RFC 9535's ways."""

    def __init__(self, text: str) -> None:
        """Raises PathError."""
        self.text = text
        first, *further = [_steps(_query(stage, text)) for stage in _ARROW.split(text.strip())]
        self._steps = first
        for stage in further:
            self._steps += [_insides, *stage]

    def find(self, document: object) -> list[Any]:
        """All values, in order. Raises UnreadableHere."""
        values = [] if document is MISSING else [document]
        try:
            for one in self._steps:
                values = one(values)
        except (jsonpath.JSONPathError, RecursionError) as error:
            raise UnreadableHere(f"expected something that {self.text} can be looked up in, got: {error}") from error
        return values


def _steps(query: jsonpath.JSONPathQuery) -> list[_Step]:
    """Names, indexes and `[*]`, which most paths are made of, are looked up here: the library takes far longer."""
    steps: list[_Step] = []
    for number, segment in enumerate(query.segments):
        match _selectors(segment):
            case [NameSelector(name=name)]:
                steps.append(_named(name))
            case [IndexSelector(index=index)]:
                steps.append(_at(index))
            case [WildcardSelector()]:
                steps.append(_items)
            case [FilterSelector(expression=expression)] if (test := _existence(expression.expression)) is not None:
                steps.append(_filtered(test))
            case _:
                rest = query.segments[number:]
                if "$" in "".join(map(str, rest)):
                    return [_by_the_library(query)]  # a filter that looks at the whole document
                return [*steps, _by_the_library(jsonpath.JSONPathQuery(env=query.env, segments=rest))]
    return steps


def _named(name: str) -> _Step:
    return lambda values: [value[name] for value in values if type(value) is dict and name in value]


def _at(index: int) -> _Step:
    return lambda values: [
        value[index] for value in values if type(value) is list and -len(value) <= index < len(value)
    ]


def _items(values: list[Any]) -> list[Any]:
    return [item for value in values for item in _items_of(value)]


def _items_of(value: object) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


_Test = Callable[[Any], bool]


def _existence(expression: Expression) -> _Test | None:
    """A filter that only asks what is there, such as `@.a && !@.b`; None for another."""
    match expression:
        case LogicalExpression(left=left, right=right, operator=operator):
            one, other = _existence(left), _existence(right)
            if one is None or other is None:
                return None
            if operator == "&&":
                return lambda value: one(value) and other(value)
            return lambda value: one(value) or other(value)
        case PrefixExpression(right=right):
            negated = _existence(right)
            return None if negated is None else lambda value: not negated(value)
        case RelativeFilterQuery(query=query) if query.segments and query.singular_query():
            find = Path(str(query), "document", [_keys_of(query, str(query))]).find
            return lambda value: find(value) is not MISSING
        case _:
            return None


def _filtered(test: _Test) -> _Step:
    return lambda values: [item for value in values for item in _items_of(value) if test(item)]


def _by_the_library(query: jsonpath.JSONPathQuery) -> _Step:
    return lambda values: [found for value in values for found in query.find(value).values()]


def _insides(values: list[Any]) -> list[Any]:
    return [found for value in values if (found := inside(value)) is not MISSING]


def inside(value: object) -> Any:  # noqa: ANN401 - any JSON
    """What a text that is JSON says; MISSING if it is none. A value that is not a text stands for itself."""
    if not isinstance(value, str):
        return value
    try:
        return decoded(value)
    except (ValueError, RecursionError):
        return MISSING


def decoded(data: str | bytes) -> Any:  # noqa: ANN401 - any JSON
    """JSON as a browser reads it: half of a surrogate pair is allowed, and in bytes wrong UTF-8 and a byte order mark.
    Raises ValueError, RecursionError.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeError):
        text = data.decode("utf-8-sig", "replace") if isinstance(data, bytes) else data
        return json.loads(text, parse_constant=_no_constant)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


# Code.

NAMESPACE: dict[str, Any] = {"MISSING": MISSING, "inside": inside}
"""What the code that `step` returns needs."""


def step(value: str, key: Key) -> str:
    """An expression for what is under a key of the value in a variable."""
    if isinstance(key, str):
        return f"{value}.get({key!r}, MISSING) if type({value}) is dict else MISSING"
    inside_bounds = f"-len({value}) <= {key} < len({value})" if key < 0 else f"{key} < len({value})"
    return f"{value}[{key}] if type({value}) is list and {inside_bounds} else MISSING"


def compiled(path: Path) -> Callable[[object, object], Any]:
    """A function from a document and its head to the value."""
    lines = ["def find(document, head):", f"    v = {path.root}"]
    for number, stage in enumerate(path.stages):
        if number:
            lines.append("    v = inside(v)")
        lines += [f"    v = {step('v', key)}" for key in stage]
    lines.append("    return v")
    namespace = dict(NAMESPACE)
    exec("\n".join(lines), namespace)  # noqa: S102 - keys are literals by repr
    found: Callable[[object, object], Any] = namespace["find"]
    return found
