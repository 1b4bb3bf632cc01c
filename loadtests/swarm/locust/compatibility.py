"""The versions that a swarm's processes compare before anything else, and whether a worker can take part.

The fingerprint of the wire is computed from everything that crosses between processes, so nobody has to remember to
raise a number: two unreleased trees of one version differ in it as soon as they could misread each other.
"""

import dataclasses
import hashlib
from typing import Any, NamedTuple

import msgspec

from chatswarm.loadtests.history.files import Chunk, Footer, Header
from chatswarm.loadtests.history.tables import FORMAT, TABLES
from chatswarm.loadtests.protocols.secrets import TOKEN
from chatswarm.loadtests.swarm.live import buckets
from chatswarm.loadtests.swarm.live.increment import Increment, Send, Spread
from chatswarm.loadtests.swarm.plan import ProcessProgress, RunPlan
from chatswarm.loadtests.system.open_files import too_few_files
from chatswarm.loadtests.system.version import installed_version

from .messages import TO_CONDUCTOR, TO_WORKERS, Hello, decode


class Build(NamedTuple):
    """The chatswarm that a process runs."""

    version: str
    wire: str

    def __str__(self) -> str:
        return f"version {self.version} (wire {self.wire})"


def build_in(data: object) -> Build | None:
    """The build that a message's data names; None if it names none, as before 0.2."""
    if not isinstance(data, dict):
        return None
    version, wire = data.get("version"), data.get("wire")
    return Build(version, wire) if isinstance(version, str) and isinstance(wire, str) else None


def mismatch(who: str, theirs: Build | None) -> str | None:
    """Why this process and `who` cannot be part of one swarm, in one line with both builds; None if they can."""
    if theirs == THIS_BUILD:
        return None
    got = "none: it said no version, so it is older than 0.2" if theirs is None else str(theirs)
    return f"{who}: expected chatswarm {THIS_BUILD} as here, got {got}"


def fingerprint() -> str:
    """A hash of the fields and types of all messages, and of the histories that may be sent along."""
    parts: list[Any] = [FORMAT, buckets.LATENCY, buckets.LAG]
    for message in (*TO_WORKERS, *TO_CONDUCTOR):
        parts.append((message.kind, message.__name__))
        parts += [(message.kind, field.name, repr(field.type)) for field in msgspec.structs.fields(message)]
    for kind in (RunPlan, ProcessProgress, Increment):
        parts += [(kind.__name__, field.name, repr(field.type)) for field in dataclasses.fields(kind)]
    for row in (Send, Spread, buckets.DeliveryCounts, Header, Chunk, Footer):
        parts += [(row.__name__, name, repr(hint)) for name, hint in row.__annotations__.items()]
    parts += [(table.name, list(table.columns.items())) for table in TABLES.values()]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What the master knows of a worker before a run."""

    build: Build | None
    open_files: int
    token: bool  # it has one for its dashboards
    master_host: str = "127.0.0.1"  # by which it reaches the master

    def unfit_for(self, client: str, needed_files: int, *, token: bool) -> str | None:
        """Why this worker cannot take part in a run that needs this many open files and, perhaps, a token; None if it
        can.
        """
        if problem := mismatch(f"the worker {client}", self.build):
            return problem
        if self.open_files < needed_files:
            return f"the worker {client}: {too_few_files(needed_files, self.open_files)}"
        if token and not self.token:
            return f"the worker {client}: expected {TOKEN} in its environment as in the others', got none"
        return None


def worker_info(data: object) -> WorkerInfo:
    """What a hello says. Of a worker with another build only that build is read. Raises MessageError."""
    build = build_in(data)
    if build != THIS_BUILD:
        return WorkerInfo(build, 0, token=False)
    hello = decode(Hello, data)
    return WorkerInfo(build, hello.open_files, hello.token, hello.master_host)


SILENT = WorkerInfo(None, 0, token=False)
"""Stands for a worker that did not say hello in time."""

THIS_BUILD = Build(installed_version(), fingerprint())
