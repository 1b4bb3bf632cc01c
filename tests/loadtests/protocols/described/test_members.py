"""The members' file of rooms that exist: a row per room."""

from pathlib import Path

import pytest

from chatswarm.loadtests.protocols.described import MembersFileError, read_members


def read(tmp_path: Path, text: str | bytes) -> dict[str, list[str]]:
    path = tmp_path / "rooms.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {room: list(names) for room, names in read_members(path).items()}


def test_members_are_names_apart_by_spaces(tmp_path: Path) -> None:
    text = '\ufeffmembers , id\r\nann  bob,r1\r\n\r\n"ann,\ncarl", r 2 \r\n,r3\r\n'
    assert read(tmp_path, text) == {"r1": ["ann", "bob"], "r 2": ["ann,", "carl"], "r3": []}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected a header with the columns id and members, and then a row per room"),
        ("id,members\n", "expected a header with the columns id and members, and then a row per room"),
        ("id,names\nr1,ann\n", "expected a header with the columns id and members, and then a row per room"),
        ("id,members\nr1,ann,bob\n", "line 2: expected an id and members, got 3 values"),
        ("id,members\nr1\n", "line 2: expected an id and members, got 1 values"),
        ("id,members\nr1,ann\n,bob\n", "line 3: expected an id and members, got 2 values"),
        ("id,members\nr1,ann\n\nr1,bob\n", "line 4: expected each room once, got 'r1' again"),
        (b"\xff\xfe", "expected a readable members' file, got: it is no CSV in UTF-8"),
        ('id,members\nr1,"ann\n', "expected a readable members' file, got: it is no CSV in UTF-8"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str | bytes, problem: str) -> None:
    with pytest.raises(MembersFileError) as refused:
        read(tmp_path, text)
    assert str(refused.value) == f"{tmp_path / 'rooms.csv'}: {problem}"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MembersFileError, match=r"got: No such file or directory$"):
        read_members(tmp_path / "none.csv")
