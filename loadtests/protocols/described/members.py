"""The members' file of a chat whose rooms exist already: a CSV with the columns `id` and `members`."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path


class MembersFileError(ValueError):
    """The file cannot be used. The text says where and why."""


def read_members(path: Path) -> Mapping[str, Sequence[str]]:
    """The names of the members of each room, in order. Raises MembersFileError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [value.strip() for value in values]) for values in reader if values]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no CSV in UTF-8"
        raise MembersFileError(f"{path}: expected a readable members' file, got: {why}") from None
    columns = lines[0][1] if lines else []
    if sorted(columns) != ["id", "members"] or len(lines) < 2:
        raise MembersFileError(f"{path}: expected a header with the columns id and members, and then a row per room")
    rooms: dict[str, Sequence[str]] = {}
    for line, values in lines[1:]:
        row = dict(zip(columns, values, strict=False))
        if len(values) != len(columns) or not row["id"]:
            raise MembersFileError(f"{path}: line {line}: expected an id and members, got {len(values)} values")
        if row["id"] in rooms:
            raise MembersFileError(f"{path}: line {line}: expected each room once, got {row['id']!r} again")
        rooms[row["id"]] = row["members"].split()
    return rooms
