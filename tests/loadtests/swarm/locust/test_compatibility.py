"""What processes of a swarm know of each other before they read anything else."""

from dataclasses import make_dataclass

import pytest

from chatswarm.loadtests.history import tables
from chatswarm.loadtests.swarm.locust import compatibility
from chatswarm.loadtests.swarm.locust.compatibility import MINE, SILENT, Build, Hello, build_in, hello_in, mismatch


def test_the_same_build_fits() -> None:
    assert mismatch("the worker w", Build(*MINE)) is None


@pytest.mark.parametrize("theirs", [Build("9.9", MINE.wire), Build(MINE.version, "0123456789ab")])
def test_another_version_or_another_wire_is_said_with_both(theirs: Build) -> None:
    assert mismatch("the worker w", theirs) == f"the worker w: expected chatswarm {MINE} as here, got {theirs}"


def test_a_process_that_says_no_version_is_older() -> None:
    said = mismatch("the worker w", None)
    assert said is not None
    assert "it said no version, so it is older than 0.2" in said


@pytest.mark.parametrize(
    "data", [None, [], "hello", {}, {"process": "swarm-0", "boot_id": "x"}, {"version": 1, "wire": 2}]
)
def test_what_older_versions_say_names_no_build(data: object) -> None:
    assert build_in(data) is None
    assert hello_in(data).build is None


def test_a_hello_arrives_as_it_was_said() -> None:
    hello = Hello(MINE, 1024, token=True)
    assert hello_in(hello.said()) == hello


@pytest.mark.parametrize("changed", ["field", "type", "table", "column", "format", "message"])
def test_whatever_crosses_between_processes_is_in_the_fingerprint(
    monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    table = tables.TABLES["send"]
    if changed in ("field", "type"):
        fields = [("run", str), ("colour", str)] if changed == "field" else [("run", bytes)]
        monkeypatch.setattr(compatibility, "RunPlan", make_dataclass("RunPlan", fields))
    elif changed == "format":
        monkeypatch.setattr(compatibility, "FORMAT", 2)
    elif changed == "message":
        monkeypatch.setattr(compatibility, "TO_WORKERS", (*compatibility.TO_WORKERS, "sing"))
    else:
        column: dict[str, tables.Code] = {"colour": "s"} if changed == "column" else {}
        name = "send" if changed == "column" else "colour"
        monkeypatch.setattr(
            compatibility, "TABLES", {**tables.TABLES, name: tables.Table(name, {**table.columns, **column})}
        )
    assert compatibility.fingerprint() != MINE.wire


def test_the_fingerprint_is_the_same_each_time() -> None:
    assert compatibility.fingerprint() == MINE.wire


@pytest.mark.parametrize(("has", "needed"), [(True, True), (True, False), (False, False)])
def test_a_worker_with_enough_files_and_the_token_that_is_needed_fits(has: bool, needed: bool) -> None:
    assert Hello(MINE, 100, token=has).unfit_for("w", 100, token=needed) is None


@pytest.mark.parametrize(
    ("hello", "said"),
    [
        (SILENT, "older than 0.2"),
        (Hello(MINE, 99, token=True), "the worker w: open files: expected a limit of at least 100"),
        (Hello(MINE, 100, token=False), "the worker w: expected CHATSWARM_TOKEN in its environment"),
    ],
)
def test_why_a_worker_cannot_take_part(hello: Hello, said: str) -> None:
    problem = hello.unfit_for("w", 100, token=True)
    assert problem is not None
    assert said in problem
