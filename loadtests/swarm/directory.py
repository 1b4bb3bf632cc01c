"""The users of a run as a protocol sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chatswarm.loadtests.protocols.protocol import ChatProtocol, User
from chatswarm.loadtests.protocols.users_file import UsersFileError
from chatswarm.loadtests.protocols.variables import blanked


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
