"""Each plant of the push chat breaks what it says and nothing else, and the clean chat breaks nothing."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.plants.plant import most
from tests.plants.stalling import UPDATE_TARGET
from tests.plants.wire import serving

from . import leaking, losing, refusing, showing
from .chat import PushChat
from .client import Client
from .observer import MESSAGES, Observer, Run, Transport, found_in
from .plant import PushPlant


class Case(NamedTuple):
    """A plant, and the run that shows its defect."""

    plant: Callable[[], PushPlant]
    transport: Transport = "http"
    changes: bool = False


def observe(chat: PushChat, transport: Transport = "http", *, changes: bool = False) -> Run:
    with serving(chat) as url, Client(url, chat.key) as client:
        return Observer(client, chat, transport, changes=changes).observe()


CASES: dict[str, Case] = {
    plant.__name__: Case(plant)
    for module in (losing, showing, refusing, leaking)
    for _, plant in inspect.getmembers(module, inspect.isclass)
    if issubclass(plant, PushPlant) and plant is not PushPlant and plant.__module__ == module.__name__
} | {
    "LosesBeforeTheEcho": Case(refusing.LosesBeforeTheEcho, "echo"),
    "PushesToFormerMembers": Case(lambda: leaking.PushesToFormerMembers(grace=0), changes=True),
    # Rooms have two viewers here.
    "AwaitsEachDashboardInTurn": Case(lambda: losing.AwaitsEachDashboardInTurn(pause=UPDATE_TARGET)),
}
# Its clients cannot read what is stored: see below.
del CASES["AcceptsWhatIsWritten"]
OVER_SOCKETS = ["AcceptsWithoutStoring", "AcceptsBeforeStoring", "LimitsSends", "FailsAfterPushing"]


@pytest.mark.parametrize("name", CASES)
def test_a_plant_has_its_defect_and_no_other(name: str) -> None:
    case = CASES[name]
    plant = case.plant()
    found = found_in(observe(plant, case.transport, changes=case.changes))
    truth = plant.truth()
    assert found == {finding: count for finding, count in truth.items() if finding != "late"}
    assert most(truth[plant.finding]) > 0


@pytest.mark.parametrize("name", OVER_SOCKETS)
def test_a_defect_of_sends_is_the_same_over_a_socket(name: str) -> None:
    plant = CASES[name].plant()
    assert found_in(observe(plant, "ack")) == plant.truth()
    assert plant.broken


def test_what_is_only_written_is_dropped() -> None:
    plant = losing.AcceptsWhatIsWritten()
    assert found_in(observe(plant, "written")) == {**plant.truth(), "store_lost": len(plant.broken)}
    assert plant.unseen


def test_each_socket_is_sent_a_message_a_pause_after_the_one_before() -> None:
    plant = losing.AwaitsEachDashboardInTurn(pause=UPDATE_TARGET)
    run = observe(plant)
    late = {(sighting.id, sighting.user) for sighting in run.sightings if sighting.late}
    assert late
    assert late <= plant.unseen <= {(sighting.id, sighting.user) for sighting in run.sightings}


def test_a_plant_announces_late_what_it_says() -> None:
    plant = losing.StallsRooms()
    run = observe(plant)
    seen = {(sighting.id, sighting.user) for sighting in run.sightings}
    assert plant.unseen
    assert plant.unseen <= seen
    assert {number for number, _ in plant.unseen} <= plant.held
    late = {sighting.id for sighting in run.sightings if sighting.late}
    assert late
    assert late <= plant.held


@pytest.mark.parametrize(
    ("chat", "transport", "changes"),
    [
        (PushChat(), "http", False),
        (PushChat(key="service", page=7), "http", True),
        (PushChat(), "ack", True),
        (PushChat(acks=False, deflate=True), "echo", False),
        (PushChat(batches="array"), "http", True),
        (PushChat(batches="lines"), "ack", False),
        (PushChat(closes_every=20), "http", False),
        (PushChat(closes_every=20, batches="array"), "ack", True),
    ],
    ids=["plain", "changes, short pages", "acks", "echoes, deflate", "array", "lines", "closing", "closing, batches"],
)
def test_the_clean_chat_has_no_findings(chat: PushChat, transport: Transport, changes: bool) -> None:
    run = observe(chat, transport, changes=changes)
    assert found_in(run) == {}
    assert sum(send.accepted is True for send in run.sends.values()) == MESSAGES
    if chat.closes_every:
        assert any(viewer.gaps for viewer in run.viewers)


def test_a_named_user_is_the_victim() -> None:
    plant = losing.SkipsOneMember(victim="v4")
    run = observe(plant)
    missing = {(number, name) for number, names in run.audience.items() for name in names}
    missing -= {(sighting.number or 0, sighting.user) for sighting in run.sightings}
    assert {name for _, name in missing} == {"v4"}
    assert len(missing) == len(plant.broken)


def test_a_user_is_named_up_to_the_first_dot() -> None:
    plant = losing.SkipsOneMember(victim="agent-1")
    users = ["agent-1.x", "agent-1", "agent-11.x", "agent-2.x", ""]
    assert [plant.is_victim(user) for user in users] == [True, True, False, False, False]
    assert not losing.SkipsOneMember().is_victim("")
