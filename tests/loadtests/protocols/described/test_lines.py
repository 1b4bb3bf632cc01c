"""The line of each key of a TOML text, compared with how the text was written."""

import tomllib
from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chatswarm.loadtests.protocols.described.lines import Place, line_of, lines_of, shown

TEXT = '''\
# a comment with [brackets] and "quotes
top = 1
[users.each]
name = """
[not.a.table]
key = 'value'
""" # [[nor.this]]
"quoted.key" = 'x' # = ]
'literal key'.inner = [
  1, # ]
  "]",
]
[[frame]]
when = { "$.type" = "message", is = [1, 2] }
[frame.keep]
seq = "$.seq"
[[frame]]
  each = \'\'\'
\'\'\'
  [[frame.part]]
  a.b."c d" = """x\\"""""
  [[frame.part]]
[ spaced . "out" ]
"\\u00e9\\"" = 2000-01-01
'''


def test_each_table_and_key_has_its_line() -> None:
    assert lines_of(TEXT) == {
        ("top",): 2,
        ("users",): 3,
        ("users", "each"): 3,
        ("users", "each", "name"): 4,
        ("users", "each", "quoted.key"): 8,
        ("users", "each", "literal key"): 9,
        ("users", "each", "literal key", "inner"): 9,
        ("frame",): 13,
        ("frame", 0): 13,
        ("frame", 0, "when"): 14,
        ("frame", 0, "keep"): 15,
        ("frame", 0, "keep", "seq"): 16,
        ("frame", 1): 17,
        ("frame", 1, "each"): 18,
        ("frame", 1, "part"): 20,
        ("frame", 1, "part", 0): 20,
        ("frame", 1, "part", 0, "a"): 21,
        ("frame", 1, "part", 0, "a", "b"): 21,
        ("frame", 1, "part", 0, "a", "b", "c d"): 21,
        ("frame", 1, "part", 1): 22,
        ("spaced",): 23,
        ("spaced", "out"): 23,
        ("spaced", "out", 'é"'): 24,
    }


def test_what_has_no_line_of_its_own_has_that_around_it() -> None:
    lines = lines_of(TEXT)
    assert line_of(lines, ("frame", 0, "when", "$.type")) == 14
    assert line_of(lines, ("frame", 1, "missing")) == 17
    assert line_of(lines, ("frame", 7)) == 13
    assert line_of(lines, ("missing", "too")) == 1


def test_lines_end_as_on_any_system() -> None:
    assert lines_of(TEXT.replace("\n", "\r\n")) == lines_of(TEXT)
    assert lines_of("") == {}


def test_a_place_is_shown_to_people_with_numbers_from_1() -> None:
    assert shown(("socket", "open", 1, "expect")) == "socket.open 2.expect"
    assert shown(()) == ""


# Any text: the tables are written with a record of the line of each key.

KEYS = st.one_of(
    st.text("abcXYZ019_-", min_size=1, max_size=5),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6),
    st.sampled_from(["a.b", "[x]", '"', "#", "'", "=", "\n", " "]),
)
STRINGS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(["]", "}", '"""', "'''", "# x", "[[frame]]", "\n[a]\n", "\\", "x = 1\n", '\\"""']),
)
VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-9, 9), STRINGS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=2)),
    max_leaves=5,
)
TABLES = st.dictionaries(
    KEYS,
    st.one_of(
        VALUES,
        st.dictionaries(KEYS, st.one_of(VALUES, st.dictionaries(KEYS, VALUES, max_size=2)), max_size=3),
        st.lists(st.dictionaries(KEYS, VALUES, max_size=2), min_size=1, max_size=3).map(tuple),
    ),
    max_size=4,
)


class Writer:
    """Writes TOML in whatever way `draw` chooses, and notes the line of each key."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._lines: list[str] = []
        self.places: dict[Place, int] = {}

    @property
    def text(self) -> str:
        return "\n".join(self._lines)

    def table(self, values: Mapping[str, Any], place: Place, header: str) -> None:
        """The table's values, and then the tables in it: an inline table may also be written with a header."""
        later = []
        for key, value in values.items():
            if isinstance(value, tuple) or (isinstance(value, dict) and self._draw(st.booleans())):
                later.append((key, value))
                continue
            self._gap()
            if isinstance(value, dict) and value and self._draw(st.booleans()):
                self._dotted(value, (*place, key), self._key(key))
                continue
            self.places.setdefault((*place, key), self._line)
            self._add(f"{self._key(key)} = {self._value(value)}{self._comment()}")
        for key, value in later:
            names = f"{header}.{self._key(key)}" if header else self._key(key)
            for number, row in enumerate(value if isinstance(value, tuple) else [value]):
                self._gap()
                inner: Place = (*place, key, number) if isinstance(value, tuple) else (*place, key)
                self.places.setdefault((*place, key), self._line)
                self.places[inner] = self._line
                self._add(f"[[{names}]]" if isinstance(value, tuple) else f"[ {names} ]{self._comment()}")
                self.table(row, inner, names)

    def _dotted(self, values: Mapping[str, Any], place: Place, names: str) -> None:
        for key, value in values.items():
            self.places.setdefault(place, self._line)
            self.places[*place, key] = self._line
            self._add(f"{names} . {self._key(key)}={self._value(value)}")

    @property
    def _line(self) -> int:
        return self.text.count("\n") + (2 if self._lines else 1)

    def _add(self, text: str) -> None:
        self._lines.append(text)

    def _gap(self) -> None:
        self._lines += self._draw(st.lists(st.sampled_from(["", "  ", "# [x]", '# a = """']), max_size=2))

    def _comment(self) -> str:
        return self._draw(st.sampled_from(["", " # ]", " # '''"]))

    def _key(self, key: str) -> str:
        if key and all(one in "abcXYZ019_-" for one in key):
            return key
        if "'" not in key and key.isprintable() and self._draw(st.booleans()):
            return f"'{key}'"
        return self._string(key)

    def _value(self, value: Any) -> str:
        match value:
            case bool():
                return str(value).lower()
            case int():
                return str(value)
            case str():
                return self._any_string(value)
            case list():
                comma, end = self._draw(st.sampled_from([(", ", ""), (",\n  ", " # ]\n"), (", # [\n", "\n")]))
                return "[" + comma.join(map(self._value, value)) + end + "]"
            case _:
                return "{" + ", ".join(f"{self._key(key)} = {self._value(one)}" for key, one in value.items()) + "}"

    def _any_string(self, text: str) -> str:
        if self._draw(st.booleans()):
            return self._string(text)
        # Over several lines, and with quotes up to the end.
        escaped = self._string(text)[1:-1].replace("\\n", "\n").replace('\\"\\"', '""')
        written = f'"""\n{escaped}"""'
        return written if _reads_as(written, text) else self._string(text)

    def _string(self, text: str) -> str:
        escaped = (f"\\u{ord(one):04x}" if ord(one) < 0x20 or one == "\x7f" else one for one in text)
        return (
            '"' + "".join({"\\": "\\\\", '"': '\\"'}.get(one, one) for one in escaped).replace("\\u000a", "\\n") + '"'
        )


def _reads_as(written: str, text: str) -> bool:
    try:
        return bool(tomllib.loads(f"x = {written}")["x"] == text)
    except tomllib.TOMLDecodeError:
        return False


@st.composite
def written(draw: st.DrawFn) -> tuple[Mapping[str, Any], Writer]:
    values, writer = draw(TABLES), Writer(draw)
    writer.table(values, (), "")
    return values, writer


def plain(value: Any) -> Any:
    """As tomllib gives it."""
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return {key: plain(one) for key, one in value.items()} if isinstance(value, dict) else value


@settings(deadline=None)
@given(written())
def test_every_key_that_is_read_has_the_line_where_it_was_written(case: tuple[Mapping[str, Any], Writer]) -> None:
    values, writer = case
    assert tomllib.loads(writer.text) == plain(values)
    assert lines_of(writer.text) == writer.places
