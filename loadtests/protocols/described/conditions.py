"""Conditions on a frame or an answer: values at paths, all of which have to fit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatswarm.loadtests.protocols.variables import OutOfScopeError

from .paths import MISSING, Path, path_of
from .patterns import pattern_of
from .templates import Context, Template, written

Test = Callable[[Any], bool]
"""Whether a value fits; MISSING is one."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One value at a path. `template`: what it must be, where that has holes; otherwise `test` decides."""

    path: Path
    test: Test
    expected: str  # for people
    code: Callable[[str], str] | None = None
    """Makes the Python expression for `test` on a variable; None: there is none."""
    template: Template | None = None

    def fits(self, document: object, head: object, context: Context | None) -> bool:
        """Whether the value fits. None fits a template that cannot be filled."""
        value = self.path.find(document, head)
        if self.template is None:
            return self.test(value)
        assert context is not None
        try:
            return value is not MISSING and written(value) == self.template.fill(context)
        except (OutOfScopeError, ValueError):
            return False


@dataclass(frozen=True, slots=True)
class Conditions:
    """All of them have to fit. None at all fits everything."""

    each: Sequence[Criterion] = ()

    def fit(self, document: object, head: object = None, context: Context | None = None) -> bool:
        return all(one.fits(document, head, context) for one in self.each)

    @property
    def templates(self) -> list[Template]:
        return [one.template for one in self.each if one.template is not None]

    def __str__(self) -> str:
        return " and ".join(f"{one.path.text} {one.expected}" for one in self.each) or "anything"


def conditions_of(table: object, template: Callable[[str], Template] | None) -> Conditions:
    """Reads a table of paths. `template` reads a value with holes; None: there may be none. Raises ValueError."""
    if not isinstance(table, Mapping) or not table:
        raise ValueError(f'expected a table of paths, such as {{ "$.type" = "message" }}, got {table!r}')
    return Conditions([_condition(path_of(path), wanted, template) for path, wanted in table.items()])


def _condition(path: Path, wanted: object, template: Callable[[str], Template] | None) -> Criterion:
    if isinstance(wanted, Mapping):
        return _tested(path, wanted)
    if isinstance(wanted, str) and "${" in wanted:
        if template is None:
            raise ValueError(f"expected a value without holes for {path.text}, got {wanted!r}")
        return Criterion(path, _never, f"= {wanted}", template=template(wanted))
    if _is_json(wanted):
        return Criterion(path, lambda value: _equal(value, wanted), f"= {written(wanted)}", _equality(wanted))
    raise ValueError(f"expected a value or a test for {path.text}, got {wanted!r}")


def _is_json(value: object) -> bool:
    """Whether it can be compared with a value from JSON: dates and tables cannot."""
    return all(map(_is_json, value)) if isinstance(value, list) else isinstance(value, (bool, int, float, str))


def _never(_: object) -> bool:
    return False


_WANTED = {
    "exists": "true or false",
    "is": "a list of values",
    "not": "a value or a list of values",
    "empty": "true or false",
    "matches": "a text",
}
"""What a test wants, by its name."""


def _tested(path: Path, wanted: Mapping[str, Any]) -> Criterion:
    kinds = [key for key in wanted if key in _WANTED]
    if len(kinds) != 1 or wanted.keys() - {*_WANTED, "or_absent"}:
        names = ", ".join(_WANTED)
        raise ValueError(f"expected one of the tests {names} for {path.text} (and or_absent), got {dict(wanted)!r}")
    kind, value = kinds[0], wanted[kinds[0]]
    test, expected, code = _test(path, kind, value)
    if wanted.get("or_absent"):
        either = None if code is None else lambda name: f"{name} is MISSING or {code(name)}"
        return Criterion(path, lambda found: found is MISSING or test(found), f"{expected} or is absent", either)
    return Criterion(path, test, expected, code)


_Code = Callable[[str], str] | None


def _test(path: Path, kind: str, value: Any) -> tuple[Test, str, _Code]:  # noqa: ANN401 - any TOML value
    match kind, value:
        case "exists", bool():
            expected, operator = ("exists", "is not") if value else ("is absent", "is")
            return (lambda found: (found is not MISSING) == value), expected, lambda name: f"{name} {operator} MISSING"
        case "empty", bool():
            expected = "is empty" if value else "is not empty"
            return (lambda found: _is_empty(found) == value), expected, None
        case "is", list() if _is_json(value):
            return (
                (lambda found: any(_equal(found, one) for one in value)),
                f"is one of {written(value)}",
                _among(value),
            )
        case "not", _ if _is_json(value):
            others = value if isinstance(value, list) else [value]
            return (
                (lambda found: found is not MISSING and not any(_equal(found, one) for one in others)),
                f"is not {written(value)}",
                None,
            )
        case "matches", str():
            pattern = pattern_of(value, f"a regular expression for {path.text}")
            return (
                (lambda found: isinstance(found, str) and pattern.search(found) is not None),
                f"matches {value}",
                None,
            )
        case _:
            raise ValueError(f"expected {_WANTED[kind]} for the test {kind} of {path.text}, got {value!r}")


def _is_empty(value: object) -> bool:
    return value in ({}, [], "", None)


def _equal(value: object, wanted: object) -> bool:
    # In JSON, true is not 1.
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)


def _equality(wanted: object) -> _Code:
    if isinstance(wanted, bool):
        return lambda name: f"{name} is {wanted!r}"
    return (lambda name: f"{name} == {wanted!r}") if isinstance(wanted, str) else None


def _among(wanted: Sequence[object]) -> _Code:
    if all(isinstance(one, str) for one in wanted):
        return lambda name: f"{name} in {tuple(wanted)!r}"
    return None
