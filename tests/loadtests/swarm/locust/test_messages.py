"""The messages between processes, encoded for Locust's bus and decoded."""

from typing import Any

import msgspec
import pytest

from chatswarm.loadtests.swarm.live.buckets import LAG, DeliveryCounts
from chatswarm.loadtests.swarm.live.increment import Increment, Send, Spread
from chatswarm.loadtests.swarm.locust.messages import (
    TO_CONDUCTOR,
    TO_WORKERS,
    CannotJoin,
    ClockReading,
    ClosedHistory,
    GrantedNumber,
    Hello,
    HistoryPart,
    JoinedRun,
    LeavingRun,
    MessageError,
    MessageIds,
    PlannedRun,
    ProgressReport,
    RunEnd,
    RunStart,
    SwarmMessage,
    Welcome,
    bus_name,
    decode,
    encode,
    run_of,
)
from chatswarm.loadtests.swarm.plan import ProcessProgress, RunPlan

COUNTS = DeliveryCounts(0, 1, [1, 2], 0.5, 0.4, 0)
PLAN = RunPlan("r", 1, "/runs/r", "http://chat", "reference", "steady", {"swarm": {"rate": 1.5}}, "boot")
MESSAGES: list[SwarmMessage] = [
    Hello("0.2", "abc", 1024, token=True, master_host="10.0.0.1"),
    Welcome("0.2", "abc"),
    PlannedRun("0.2", "abc", "swarm-0", PLAN),
    GrantedNumber("r", "widget", 7),
    RunStart("r", 1.0),
    RunEnd("r", float("inf")),
    MessageIds("r", [(71, 0, 1)]),
    JoinedRun("r", "swarm-0", "boot", shared=False),
    CannotJoin("r", "swarm-0", "no space left"),
    ProgressReport("r", "swarm-0", ProcessProgress(sent=3, latencies={100: 2, 20: 1}), None),
    ProgressReport(
        "r",
        "swarm-0",
        ProcessProgress(),
        Increment([Send(0, 1, 0, 0.2, 71)], [COUNTS], [COUNTS], lag=Spread([1] * len(LAG), 0.1), lost={"1006": 1}),
    ),
    ClockReading("r", "swarm-0", 1.0, 2.0),
    HistoryPart("r", "swarm-0", bytes(range(256))),
    LeavingRun("r", "swarm-0"),
    ClosedHistory("r", "swarm-0", None),
]


def over_the_bus(message: SwarmMessage) -> Any:
    """The data as msgpack leaves it: tuples are lists."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(encode(message)))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.kind)
def test_a_message_arrives_as_it_was_sent(message: SwarmMessage) -> None:
    assert decode(type(message), over_the_bus(message)) == message
    assert decode(type(message), encode(message)) == message, "as in a single process"


def test_the_receiver_shares_nothing_with_the_sender_in_a_single_process() -> None:
    progress = ProcessProgress(sent=1, latencies={10: 1})
    data = encode(ProgressReport("r", "swarm-0", progress, None))
    progress.sent, progress.latencies[10] = 2, 2
    received = decode(ProgressReport, data).progress
    assert (received.sent, received.latencies) == (1, {10: 1})


def test_numbers_as_keys_may_arrive_as_text() -> None:
    data = encode(ProgressReport("r", "swarm-0", ProcessProgress(), None))
    data["progress"]["latencies"] = {"100": 2}
    assert decode(ProgressReport, data).progress.latencies == {100: 2}


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        (RunStart, None, r"the message start \(RunStart\): Expected `object`, got `null`"),
        (RunStart, {"run": "r"}, "missing required field `start`"),
        (RunStart, {"run": "r", "start": "soon"}, r"Expected `float`, got `str` - at `\$.start`"),
        (HistoryPart, {"run": "r", "process": "swarm-0", "data": 7}, "Expected `bytes`, got `int`"),
    ],
)
def test_a_broken_message_is_an_error_that_says_what_was_expected(
    kind: type[SwarmMessage], data: object, text: str
) -> None:
    with pytest.raises(MessageError, match=text):
        decode(kind, data)


@pytest.mark.parametrize(("data", "run"), [({"run": "r"}, "r"), ({"run": 7}, None), ({}, None), (None, None)])
def test_the_run_is_read_without_the_rest(data: object, run: str | None) -> None:
    assert run_of(data) == run


def test_every_kind_has_its_own_name_on_the_bus() -> None:
    """A single process sends both directions to itself."""
    names = [bus_name(kind) for kind in (*TO_WORKERS, *TO_CONDUCTOR)]
    assert len(set(names)) == len(names)
    assert all(name.startswith("chatswarm-") for name in names)


def test_names_and_fields_compared_between_versions_stay_the_same() -> None:
    """Other versions read these before they know that this version differs."""
    for kind in (Hello, Welcome, PlannedRun):
        assert {"version", "wire"} <= {field.name for field in msgspec.structs.fields(kind)}
    names = {bus_name(kind) for kind in (*TO_WORKERS, *TO_CONDUCTOR)}
    assert {"chatswarm-who", "chatswarm-hello", "chatswarm-welcome", "chatswarm-plan"} <= names
