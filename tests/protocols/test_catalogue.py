"""The catalogue is complete, its files can be read, and the manual says of each protocol how it was proven."""

import re
from pathlib import Path

import pytest

from chatswarm.loadtests.protocols.catalogue import find_protocol, shipped
from chatswarm.loadtests.protocols.described import read_description
from chatswarm.loadtests.scenario.scenario import load, parse
from chatswarm.loadtests.scenario.scenario import shipped as shipped_scenarios
from tests.servers.server import UnavailableError

from .__main__ import rows_of
from .catalogue import CHATS, HERE, OWN, ROWS, SHIPPED, Chat, Row
from .runs import scenario_of, with_short_heartbeats

MANUAL = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
EVERY = pytest.mark.parametrize("chat", CHATS, ids=lambda chat: chat.name)


@EVERY
def test_rows_are_complete(chat: Chat) -> None:
    """Each server is run without a fault, killed, cut, and with a planted defect that must be found."""
    rows = [row for row in ROWS if row.chat is chat]
    assert {row.name for row in rows} >= set(OWN)
    assert all(row.expected in ("pass", "only gap") for row in rows if row.name == "clean")
    assert any(row.defect and row.expected == "fail" and row.findings for row in rows)
    assert {row.defect for row in rows} - {""} <= set(chat.server.defects)
    assert all(row.why for row in rows if row.expected != "pass" and not row.defect)


def test_every_server_has_its_rows() -> None:
    servers = {path.parent.name for path in (HERE.parent / "servers").glob("*/__init__.py")}
    assert {chat.name for chat in CHATS} == servers
    assert {row.chat.name for row in ROWS} == servers


def test_socket_io_also_runs_shipped_scenarios() -> None:
    assert set(SHIPPED) <= set(shipped_scenarios())
    assert {row.scenario for row in ROWS if row.shipped} == set(SHIPPED)


@pytest.mark.parametrize("row", [row for row in ROWS if not row.shipped], ids=lambda row: f"{row.chat.name}-{row.name}")
def test_a_row_is_a_scenario_that_its_protocol_can_be_judged_by(row: Row) -> None:
    protocol = find_protocol(_named(row)).make(row.chat.server.environment(), "http://127.0.0.1:1")
    assert parse(scenario_of(row), row.name, f"{row.name}.toml").unfit_for(protocol) == []


def test_a_shipped_scenario_is_one_that_socket_io_can_be_judged_by() -> None:
    for row in ROWS:
        if row.shipped:
            assert load(row.scenario).unfit_for(find_protocol(row.chat.protocol).make({}, "http://127.0.0.1:1")) == []


@EVERY
def test_only_heartbeats_of_a_shipped_file_are_changed(chat: Chat) -> None:
    if chat.protocol not in shipped():
        assert not chat.slower
        return
    before = shipped()[chat.protocol].read_text(encoding="utf-8").splitlines()
    after = with_short_heartbeats(chat)
    assert read_description(after, "copy.toml").name == chat.protocol
    changed = [line for line, was in zip(after.splitlines(), before, strict=True) if line != was]
    assert len(changed) == len(chat.slower)
    assert all(re.match("(every|dead_after) = |heart-beat:", line) for line in changed)


def test_rows_can_be_asked_for_by_server_and_by_name() -> None:
    assert {row.name for row in rows_of({"lines", "kill", "cut"})} == {"kill", "cut"}
    assert {row.chat.name for row in rows_of({"stomp"})} == {"rabbitmq"}
    assert len(rows_of({"clean"}) + rows_of({"kill"}) + rows_of({"cut"})) == len(ROWS) - len(SHIPPED) + 2
    assert rows_of(set()) == list(ROWS)


def test_the_manual_says_what_each_shipped_protocol_promises() -> None:
    known, proven = _table("| protocol | the chat "), _table("| protocol | proven ")
    assert known.keys() == proven.keys() == set(shipped())
    for name, line in known.items():
        promises = find_protocol(name).promises
        assert f"`{promises.visible}`" in line
        assert f"`{promises.accepted_by}`" in line
        assert f"`{promises.history}`" in line
    real = {chat.protocol for chat in CHATS}
    for name, line in proven.items():
        assert ("against a real server: " in line) is (name in real), name


@EVERY
def test_the_manual_names_the_version_that_was_run(chat: Chat) -> None:
    if chat.protocol not in shipped():
        return
    try:
        version = chat.server.version().split(",")[0].replace(" v", " ")
    except UnavailableError as error:
        pytest.skip(f"NO {chat.name}: {error}")
    assert version in _table("| protocol | proven ")[chat.protocol]


def _named(row: Row) -> str:
    """The protocol that a row is about."""
    name = row.protocol or row.chat.protocol
    return str(HERE / name) if name not in shipped() else name


def _table(head: str) -> dict[str, str]:
    """The lines of the manual's table with this head, by protocol."""
    lines = MANUAL[MANUAL.index(head) :].partition("\n\n")[0].splitlines()[2:]
    return {line.split("`")[1]: line for line in lines}
