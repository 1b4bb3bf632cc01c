"""The users' file: a CSV with a row per user and its credentials.

Each process reads the file for itself; nothing of it is passed on.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOMS = "rooms"
"""The column with the rooms of a dashboard, apart by spaces. With it, the rooms exist at the target: none is drawn."""


class UsersFileError(ValueError):
    """The file cannot be used. The text says where and why, and repeats no value of it."""


def read_users(path: Path, needed: int) -> Sequence[Mapping[str, str]]:
    """The rows by column, dashboards' first and then widgets'. Raises UsersFileError: also if there are too few."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, values) for values in reader if values]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no CSV in UTF-8"
        raise UsersFileError(f"{path}: expected a readable users' file, got: {why}") from None
    columns = [column.strip() for column in lines[0][1]] if lines else []
    if "name" not in columns or "" in columns or len(set(columns)) < len(columns):
        raise UsersFileError(
            f"{path}: expected a header that names each column, one of them name, and then a row per user"
        )
    first: dict[str, int] = {}  # by name: the line
    rows = []
    for line, values in lines[1:]:
        if len(values) != len(columns):
            raise UsersFileError(f"{path}: line {line}: expected {len(columns)} values, got {len(values)}")
        row = dict(zip(columns, values, strict=True))
        if not row["name"].strip():
            raise UsersFileError(f"{path}: line {line}: expected a name, got none")
        if first.setdefault(row["name"], line) != line:
            earlier = first[row["name"]]
            raise UsersFileError(f"{path}: line {line}: expected another name than in line {earlier}, got the same")
        rows.append(row)
    if len(rows) < needed:
        raise UsersFileError(f"{path}: expected at least {needed} users, one per dashboard and widget, got {len(rows)}")
    return rows
