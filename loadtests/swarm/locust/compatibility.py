"""What the processes of a swarm compare before they read anything else of each other: version and wire.

The fingerprint is computed from all that crosses between them, so that nobody has to remember to raise a number. Two
trees of one version between releases differ in it as soon as they could misread each other.
"""

import dataclasses
import hashlib
from typing import Any, NamedTuple

from chatswarm.loadtests.history.files import Chunk, Footer, Header
from chatswarm.loadtests.history.tables import FORMAT, TABLES
from chatswarm.loadtests.protocols import TOKEN
from chatswarm.loadtests.swarm.live import buckets
from chatswarm.loadtests.swarm.live.increment import Increment, Send, Spread
from chatswarm.loadtests.swarm.plan import ProcessProgress, RunPlan
from chatswarm.loadtests.system.open_files import too_few_files
from chatswarm.loadtests.system.version import installed_version

TO_WORKERS = ("who", "welcome", "plan", "drop", "grant", "clock", "begin", "ids", "drain", "apart", "bye")
"""The kinds of messages from the conductor to a process with users in it."""
TO_CONDUCTOR = ("hello", "entered", "unfit", "ask", "progress", "clocked", "history", "leaving", "closed")
"""And the other way."""


class Build(NamedTuple):
    """Which chatswarm a process runs."""

    version: str
    wire: str

    def __str__(self) -> str:
        return f"version {self.version} (wire {self.wire})"

    def said(self) -> dict[str, str]:
        """As it stands in front of a message."""
        return {"version": self.version, "wire": self.wire}


def build_in(data: object) -> Build | None:
    """The build that a message's data names; None if it names none, as before 0.2."""
    if not isinstance(data, dict):
        return None
    version, wire = data.get("version"), data.get("wire")
    return Build(version, wire) if isinstance(version, str) and isinstance(wire, str) else None


def mismatch(who: str, theirs: Build | None) -> str | None:
    """Why this process and `who` cannot be part of one swarm, in one line with both builds; None if they can."""
    if theirs == MINE:
        return None
    got = "none: it said no version, so it is older than 0.2" if theirs is None else str(theirs)
    return f"{who}: expected chatswarm {MINE} as here, got {got}"


def fingerprint() -> str:
    """Of the fields and types of all messages, and of the histories that may be sent along."""
    parts: list[Any] = [TO_WORKERS, TO_CONDUCTOR, FORMAT, buckets.LATENCY, buckets.LAG]
    for kind in (RunPlan, ProcessProgress, Increment):
        parts += [(kind.__name__, field.name, repr(field.type)) for field in dataclasses.fields(kind)]
    for row in (Send, Spread, buckets.DeliveryCounts, Header, Chunk, Footer):
        parts += [(row.__name__, name, repr(hint)) for name, hint in row.__annotations__.items()]
    parts += [(table.name, list(table.columns.items())) for table in TABLES.values()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


@dataclasses.dataclass(frozen=True, slots=True)
class Hello:
    """What a worker says of itself as soon as it is connected."""

    build: Build | None
    open_files: int
    token: bool  # it has one for its dashboards

    def said(self) -> dict[str, Any]:
        """As the data of a message."""
        build = {} if self.build is None else self.build.said()
        return {**build, "open_files": self.open_files, "token": self.token}

    def unfit_for(self, client: str, needed: int, *, token: bool) -> str | None:
        """Why this worker cannot take part in a run that needs so many open files, and a token or none."""
        if problem := mismatch(f"the worker {client}", self.build):
            return problem
        if self.open_files < needed:
            return f"the worker {client}: {too_few_files(needed, self.open_files)}"
        if token and not self.token:
            return f"the worker {client}: expected {TOKEN} in its environment as in the others', got none"
        return None


def hello_in(data: object) -> Hello:
    """What a hello says, as far as this version can read it."""
    said = data if isinstance(data, dict) else {}
    files = said.get("open_files")
    return Hello(build_in(data), files if isinstance(files, int) else 0, bool(said.get("token")))


SILENT = Hello(None, 0, token=False)
"""In place of what a worker did not say."""

MINE = Build(installed_version(), fingerprint())
