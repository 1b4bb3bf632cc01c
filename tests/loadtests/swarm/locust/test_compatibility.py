"""The checks that the processes of a swarm make of each other first."""

from dataclasses import make_dataclass
from typing import ClassVar

import pytest

from chatswarm.loadtests.history import tables
from chatswarm.loadtests.swarm.locust import compatibility
from chatswarm.loadtests.swarm.locust.compatibility import (
    SILENT,
    THIS_BUILD,
    Build,
    WorkerInfo,
    build_in,
    mismatch,
    worker_info,
)
from chatswarm.loadtests.swarm.locust.messages import TO_WORKERS, Hello, MessageError, SwarmMessage, encode


def test_the_same_build_is_accepted() -> None:
    assert mismatch("the worker w", Build(*THIS_BUILD)) is None


@pytest.mark.parametrize("theirs", [Build("9.9", THIS_BUILD.wire), Build(THIS_BUILD.version, "0123456789ab")])
def test_another_version_or_another_wire_is_refused_with_both_builds_named(theirs: Build) -> None:
    assert mismatch("the worker w", theirs) == f"the worker w: expected chatswarm {THIS_BUILD} as here, got {theirs}"


def test_a_process_that_sends_no_version_is_older() -> None:
    said = mismatch("the worker w", None)
    assert said is not None
    assert "it said no version, so it is older than 0.2" in said


@pytest.mark.parametrize(
    "data", [None, [], "hello", {}, {"process": "swarm-0", "boot_id": "x"}, {"version": 1, "wire": 2}]
)
def test_hellos_of_older_versions_name_no_build(data: object) -> None:
    assert build_in(data) is None
    assert worker_info(data).build is None


def test_a_hello_has_the_worker_info_for_the_master() -> None:
    hello = Hello(*THIS_BUILD, 1024, token=True, master_host="10.0.0.1")
    assert worker_info(encode(hello)) == WorkerInfo(THIS_BUILD, 1024, token=True, master_host="10.0.0.1")


def test_only_the_build_is_read_from_a_hello_of_another_build() -> None:
    data = {"version": "9.9", "wire": "x", "open_files": "many"}
    assert worker_info(data) == WorkerInfo(Build("9.9", "x"), 0, token=False)


def test_a_broken_hello_of_this_build_is_an_error() -> None:
    with pytest.raises(MessageError, match="open_files"):
        worker_info({**THIS_BUILD._asdict(), "open_files": "many", "token": True})


class Sing(SwarmMessage, frozen=True):
    kind: ClassVar[str] = "sing"


@pytest.mark.parametrize("changed", ["field", "type", "table", "column", "format", "message"])
def test_everything_sent_between_processes_is_in_the_fingerprint(monkeypatch: pytest.MonkeyPatch, changed: str) -> None:
    table = tables.TABLES["send"]
    if changed in ("field", "type"):
        fields = [("run", str), ("colour", str)] if changed == "field" else [("run", bytes)]
        monkeypatch.setattr(compatibility, "RunPlan", make_dataclass("RunPlan", fields))
    elif changed == "format":
        monkeypatch.setattr(compatibility, "FORMAT", tables.FORMAT + 1)
    elif changed == "message":
        monkeypatch.setattr(compatibility, "TO_WORKERS", (*TO_WORKERS, Sing))
    else:
        column: dict[str, tables.Code] = {"colour": "s"} if changed == "column" else {}
        name = "send" if changed == "column" else "colour"
        monkeypatch.setattr(
            compatibility, "TABLES", {**tables.TABLES, name: tables.Table(name, {**table.columns, **column})}
        )
    assert compatibility.fingerprint() != THIS_BUILD.wire


def test_the_fingerprint_is_the_same_each_time() -> None:
    assert compatibility.fingerprint() == THIS_BUILD.wire


@pytest.mark.parametrize(("has", "needed"), [(True, True), (True, False), (False, False)])
def test_a_worker_with_enough_open_files_and_the_token_is_accepted(has: bool, needed: bool) -> None:
    assert WorkerInfo(THIS_BUILD, 100, token=has).unfit_for("w", 100, token=needed) is None


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (SILENT, "older than 0.2"),
        (WorkerInfo(THIS_BUILD, 99, token=True), "the worker w: open files: expected a limit of at least 100"),
        (WorkerInfo(THIS_BUILD, 100, token=False), "the worker w: expected CHATSWARM_TOKEN in its environment"),
    ],
)
def test_why_a_worker_is_refused(info: WorkerInfo, said: str) -> None:
    problem = info.unfit_for("w", 100, token=True)
    assert problem is not None
    assert said in problem
