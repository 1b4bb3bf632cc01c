"""The users of a run as a protocol sees them, and the users' file: a CSV with a row per user and its credentials.

Each process reads the file for itself; nothing of it is passed on.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chatswarm.loadtests.protocols.protocol import ChatProtocol, User
from chatswarm.loadtests.protocols.variables import blanked

ROOMS = "rooms"
"""The column with the rooms of a dashboard, apart by spaces. With it, the rooms exist at the target: none is drawn."""


class UsersFileError(ValueError):
    """The file cannot be used. The text says where and why, and repeats no value of it."""


@dataclass(frozen=True, slots=True)
class UserDirectory:
    """Makes each user of a run. `rows`: of the users' file, with their secrets; empty without one."""

    protocol: ChatProtocol
    run: str
    dashboards: int
    rows: Sequence[Mapping[str, str]] = field(default=(), repr=False)

    def user(self, role: str, index: int) -> User:
        """The `dashboard` or `widget` of that number."""
        at = index if role == "dashboard" else self.dashboards + index
        return self.protocol.user(role, index, self.run, self.rows[at] if at < len(self.rows) else {})

    def check(self, widgets: int) -> None:
        """Raises UsersFileError if the protocol cannot make one of the run's users, because its row lacks something."""
        for role, count in (("dashboard", self.dashboards), ("widget", widgets)):
            for index in range(count):
                try:
                    self.user(role, index)
                except Exception as error:  # noqa: BLE001 - protocols are third-party code
                    said = f"KeyError: {error}" if isinstance(error, KeyError) else str(error)
                    row = self.rows[index + (0 if role == "dashboard" else self.dashboards)] if self.rows else {}
                    secrets = [value for column, value in row.items() if column != "name"]
                    raise UsersFileError(f"the user of {role} {index}: {blanked(said, secrets)}") from None


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
