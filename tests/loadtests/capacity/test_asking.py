"""What is refused before any load, and what a probe's scenario is."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chatswarm.loadtests import cli
from chatswarm.loadtests.capacity.asking import CapacityOptions, asked_of, on_this_machine, scenario_at
from chatswarm.loadtests.compare.capacity import LoadProbe
from chatswarm.loadtests.protocols.catalogue import shipped
from chatswarm.loadtests.scenario.scenario import load
from chatswarm.loadtests.system import children

OPTIONS = CapacityOptions(
    by="rate", start=20, to=1280, precision="10%", probe="15s", at_least=None, processes=1, seed=1,
    protocol="reference", target=None, rig=False, allowed=False, origin=None, users_file=None, pid=None,
)  # fmt: skip
RANGE = ["--from", "20", "--to", "1280"]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["steady", "--from", "90", "--to", "20"], "--from, --to, --precision: expected a load to start from, above 0"),
        (["steady", "--from", "0", "--to", "20"], "--from, --to, --precision: expected a load to start from, above 0"),
        (["steady", "--from", "nan", "--to", "20"], "--from, --to, --precision: expected a load to start from"),
        (["steady", "--from", "1.5", "--to", "20", "--by", "dashboards"], "expected whole loads, got 1.5 to 20"),
        (["steady", *RANGE, "--by", "widgets"], "--by: expected rate or dashboards, got 'widgets'"),
        (["steady", *RANGE, "--precision", "0"], "--precision: expected a share such as 10% or 0.1, got '0'"),
        (["steady", *RANGE, "--precision", "200%"], "--precision: expected a share such as 10% or 0.1, got '200%'"),
        (["steady", *RANGE, "--probe", "2s"], "--probe: expected 5s or more, to tell a growing backlog, got 2s"),
        (["steady", *RANGE, "--probe", "soon"], "--probe: expected a duration such as 30s or 300ms, got 'soon'"),
        (["steady", *RANGE, "--at-least", "2000"], "--at-least: expected a load from 20 to 1280, which are --from"),
        (["steady", *RANGE, "--rate", "5"], "--rate: expected none, because --by rate sets it"),
        (["steady", *RANGE, "--by", "dashboards", "--dashboards", "5"], "--dashboards: expected none"),
        (["steady", *RANGE, "--pid", "5"], "--pid: expected --target as well"),
        (["kill", *RANGE], "kill: expected a scenario without faults, got one with kill"),
        (["spike", *RANGE], "spike: expected a scenario without stages"),
        (["nowhere", *RANGE], "scenario: expected one of "),
        (["push", *RANGE, "--rig"], "--rig: expected the protocol reference, which the null chat speaks, got push"),
        (["steady", *RANGE, "--rig", "--target", "http://127.0.0.1:1"], "--rig: expected no --target"),
        (["steady", *RANGE, "--rig", "--at-least", "100"], "--at-least: expected no --rig"),
        (
            ["steady", *RANGE, "--target", "http://192.0.2.1"],
            "--target: expected a chat on this machine, or --yes-this-may-break-it: the load rises until something",
        ),
        (
            ["steady", "--from", "20", "--to", "99999999", "--by", "dashboards"],
            "--to: ",
        ),
    ],
)  # fmt: skip
def test_it_is_refused_in_plain_lines_and_leaves_nothing(
    args: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["capacity", *args])
    assert done.exit_code == 2, done.output
    assert any(expected in line for line in done.output.splitlines()), done.output
    assert "Traceback" not in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_does_not_answer_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    target = f"http://127.0.0.1:{children.free_port()}"
    done = CliRunner().invoke(cli.app, ["capacity", "steady", *RANGE, "--target", target])
    assert done.exit_code == 2, done.output
    assert f"expected an HTTP answer from {target}" in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_level_that_can_never_hold_is_refused(tmp_path: Path) -> None:
    """The protocol says how much a user may send: 50 widgets may send 100 messages/s."""
    limited = tmp_path / "ours.toml"
    shipped_text = shipped()["django-channels"].read_text(encoding="utf-8")
    limited.write_text(f"{shipped_text}\n[limits]\nsends_per_user = 2\n", encoding="utf-8")
    _, problems = asked_of(load("steady"), replace(OPTIONS, protocol=str(limited)))
    (problem,) = [problem for problem in problems if "swarm.rate" in problem]
    assert problem.startswith("--to: steady: swarm.rate: expected at most 100 for 50 senders, ")


def test_where_a_target_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_this_machine("localhost")
    assert on_this_machine("127.8.9.1")
    assert on_this_machine("::1")
    assert not on_this_machine("192.0.2.1")
    assert not on_this_machine("no-such-host.invalid")
    # A name that is this machine's on one of its addresses only may lead elsewhere.
    both = [(2, 1, 6, "", ("127.0.0.1", 0)), (2, 1, 6, "", ("192.0.2.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: both[:1])
    assert on_this_machine("chat.example.com")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: both)
    assert not on_this_machine("chat.example.com")
    monkeypatch.setattr(socket, "getaddrinfo", _fails)
    assert not on_this_machine("chat.example.com")


def _fails(*_: object) -> object:
    raise socket.gaierror(-2, "Name or service not known")


def test_a_probes_scenario_has_its_load_and_its_length() -> None:
    asked, problems = asked_of(load("steady"), OPTIONS)
    assert asked is not None
    assert problems == []
    planned = scenario_at(asked, LoadProbe(134.5, 30))
    assert (planned.stages[0].rate, planned.duration, planned.dashboards) == (134.5, 30, 100)
    assert planned.slos == load("steady").slos
    assert (asked.target_here, asked.target_cores, asked.null_chat) == (True, 1, True)
