"""`[[fault]]` tables: the parameters of each kind, and the errors for wrong ones, all at once."""

import tomllib

import pytest

from chatswarm.loadtests.faults.kinds import KINDS
from chatswarm.loadtests.faults.network_faults import NETWORK_FAULTS
from chatswarm.loadtests.faults.rogue_faults import ROGUES
from chatswarm.loadtests.scenario.fault_kinds import FAULT_KINDS, NET_PLACES, FaultPlan, Value
from chatswarm.loadtests.scenario.scenario import Scenario, ScenarioError, parse

NET: dict[str, Value] = {"stream": "downstream", "toxicity": 1.0}

READ: dict[str, tuple[str, dict[str, Value]]] = {
    "latency": ('latency = "250ms"', NET | {"latency": 0.25, "jitter": 0.0}),
    "bandwidth": ("rate = 0", NET | {"rate": 0}),
    "slow_close": ("delay = 2", NET | {"delay": 2.0}),
    "timeout": ("", NET | {"timeout": 0.0}),
    "reset_peer": ('timeout = "1s"\ntoxicity = 0.5\nstream = "both"', NET | {"timeout": 1.0, "toxicity": 0.5,
                                                                            "stream": "both"}),
    "slicer": ("average_size = 10\nsize_variation = 3", NET | {"average_size": 10, "size_variation": 3, "delay": 0}),
    "limit_data": ("bytes = 500", NET | {"bytes": 500}),
    "down": ("", {}),
    "kill": ("", {}),
    "terminate": ('grace = "3s"', {"grace": 3.0}),
    "pause": ("", {}),
    "restart": ("", {}),
    "lock_store": ("", {"database": ""}),
    "fill_store": ('database = "/chat.db"', {"database": "/chat.db"}),
    "command": ('start = "a"\nstop = "b"', {"start": "a", "stop": "b", "timeout": 30.0}),
}  # fmt: skip
"""A minimal table of each kind, and the parameters that are read from it."""
for _kind in ROGUES:  # their parameters are tested in test_rogues_reading.py
    READ[_kind] = "", {key: it.default for key, it in FAULT_KINDS[_kind].parameters.items() if it.default is not None}


def read(text: str) -> Scenario:
    return parse(tomllib.loads(text), "quick", "quick.toml")


def row(kind: str, text: str = "", at: str = "1s") -> str:
    return f'[[fault]]\nkind = "{kind}"\nat = "{at}"\n{text}\n'


def plan_of(text: str) -> FaultPlan:
    (plan,) = read(text).faults
    return plan


def problems_of(text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        read(text)
    return caught.value.problems


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_kind_is_read_with_its_defaults(kind: str) -> None:
    text, values = READ[kind]
    assert plan_of(row(kind, text)) == FaultPlan(kind, kind, 1.0, 0.0, None, FAULT_KINDS[kind].places[0], values)


def test_times_names_and_places() -> None:
    text = 'name = "slow.net-1"\nfor = "1500ms"\nevery = "0.1m"\non = "widgets"\nlatency = 0.1'
    plan = plan_of(row("latency", text))
    assert (plan.name, plan.length, plan.every, plan.on) == ("slow.net-1", 1.5, 6.0, "widgets")


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_kind_accepts_only_its_own_places(kind: str) -> None:
    for place in FAULT_KINDS[kind].places:
        assert plan_of(row(kind, f'{READ[kind][0]}\non = "{place}"')).on == place
    expected = f"quick.toml: fault 1.on: expected one of {', '.join(FAULT_KINDS[kind].places)}, got moon"
    assert problems_of(row(kind, f'{READ[kind][0]}\non = "moon"')) == [expected]


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        (kind, key)
        for kind, fault in FAULT_KINDS.items()
        for key, parameter in fault.parameters.items()
        if parameter.default is None
    ],
)
def test_a_missing_required_parameter_is_refused(kind: str, missing: str) -> None:
    kept = [line for line in READ[kind][0].splitlines() if not line.startswith(f"{missing} ")]
    assert problems_of(row(kind, "\n".join(kept))) == [f"quick.toml: fault 1.{missing}: expected a value, got none"]


def test_the_required_parameters() -> None:
    needed = {
        kind: {key for key, it in fault.parameters.items() if it.default is None} for kind, fault in FAULT_KINDS.items()
    }
    assert {kind: keys for kind, keys in needed.items() if keys} == {
        "latency": {"latency"}, "bandwidth": {"rate"}, "slow_close": {"delay"}, "slicer": {"average_size"},
        "limit_data": {"bytes"}, "command": {"start", "stop"},
    }  # fmt: skip


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_an_unknown_key_is_refused_with_a_suggestion(kind: str) -> None:
    (problem,) = problems_of(row(kind, f"{READ[kind][0]}\nevry = 1"))
    assert problem.startswith("quick.toml: fault 1.evry: expected one of at, ")
    assert problem.endswith("got this key (did you mean every?)")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (row("latncy"), f"fault 1.kind: expected one of {', '.join(FAULT_KINDS)}, got latncy"),
        ('[[fault]]\nat = "1s"', "fault 1.kind: expected a value, got none"),
        ('[[fault]]\nkind = "kill"', "fault 1.at: expected a value, got none"),
        (row("kill", at="soon"), "fault 1.at: expected a duration such as 30s or 300ms, got soon"),
        (row("kill", at="-1s"), "fault 1.at: expected a duration such as 30s or 300ms, got -1s"),
        (row("kill", "for = true"), "fault 1.for: expected a duration such as 30s or 300ms, got True"),
        (row("kill", "every = 0"), "fault 1.every: expected a duration above 0, such as 30s or 300ms, got 0"),
        (row("kill", 'name = "a b"'), "fault 1.name: expected letters, digits, dots and dashes, got a b"),
        (row("kill", "name = 5"), "fault 1.name: expected a text that is not empty, got 5"),
        (row("kill", "on = []"), "fault 1.on: expected one of target, worker, broker, got []"),
        (row("restart", 'on = "worker"'), "fault 1.on: expected one of target, broker, got worker"),
        (row("latency", 'latency = "fast"'), "fault 1.latency: expected a duration such as 30s or 300ms, got fast"),
        (row("latency", 'latency = 1\nstream = "up"'),
         "fault 1.stream: expected one of downstream, upstream, both, got up"),
        (row("down", "toxicity = 1"), "fault 1.toxicity: expected one of at, every, for, kind, name, on, got this key"),
        (row("timeout", "toxicity = 0"), "fault 1.toxicity: expected a number above 0, at most 1, got 0"),
        (row("timeout", "toxicity = 1.1"), "fault 1.toxicity: expected a number above 0, at most 1, got 1.1"),
        (row("bandwidth", "rate = 0.4"), "fault 1.rate: expected a whole number that is 0 or more, got 0.4"),
        (row("limit_data", "bytes = -1"), "fault 1.bytes: expected a whole number that is 0 or more, got -1"),
        (row("slicer", "average_size = 0"), "fault 1.average_size: expected a whole number above 0, got 0"),
        (row("slicer", "average_size = 5\nsize_variation = 5"),
         "fault 1.size_variation: expected fewer bytes than average_size, got 5"),
        (row("terminate", 'grace = "0s"'), "fault 1.grace: expected a duration above 0, such as 30s or 300ms, got 0s"),
        (row("command", 'start = "a"\nstop = " "'), "fault 1.stop: expected a text that is not empty, got  "),
        (row("lock_store", "database = 1"), "fault 1.database: expected a text that is not empty, got 1"),
        ("fault = 3", "fault: expected [[fault]] tables, got 3"),
        ("fault = [3]", "fault 1: expected a table, got 3"),
    ],
)  # fmt: skip
def test_wrong_faults(text: str, problem: str) -> None:
    assert f"quick.toml: {problem}" in problems_of(text)


def test_all_problems_at_once() -> None:
    text = row("latency", 'jitter = "x"\non = "moon"') + row("kill", "typo = 1", at="x")
    assert {problem.partition(": expected")[0] for problem in problems_of(text)} == {
        "quick.toml: fault 1.latency", "quick.toml: fault 1.on", "quick.toml: fault 1.jitter", "quick.toml: fault 2.at",
        "quick.toml: fault 2.typo",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("at", "length", "right"), [("29s", "1s", True), ("29s", "1001ms", False), ("31s", "0s", False)]
)
def test_a_fault_must_be_healed_before_the_end(at: str, length: str, right: bool) -> None:
    text = row("kill", f'for = "{length}"', at)
    if right:
        assert plan_of(text).at == 29
    else:
        (problem,) = problems_of(text)
        assert problem.startswith("quick.toml: fault 1.for: expected its end within the 30 s that are measured, got 3")


def test_the_measured_part_is_all_stages_together() -> None:
    stages = '[[stage]]\nfor = "20s"\nrate = 1\n' * 2
    assert plan_of(stages + row("kill", 'for = "1s"', "39s")).at == 39
    assert "the 40 s that are measured" in problems_of(stages + row("kill", 'for = "2s"', "39s"))[0]


def test_a_run_that_is_too_short_for_its_faults_is_refused() -> None:
    with pytest.raises(ScenarioError) as caught:
        parse(tomllib.loads(row("kill", at="20s")), "quick", "quick.toml", {"duration": "10s"})
    assert "the 10 s that are measured" in caught.value.problems[0]


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("", [1]),
        ("every = 10", [1, 11, 21]),
        ("for = 5\nevery = 12", [1, 13, 25]),
        ("for = 6\nevery = 12", [1, 13]),  # the third would be healed at 31 s
        ("for = 5\nevery = 40", [1]),
    ],
)
def test_a_fault_recurs_as_long_as_it_is_healed_before_the_end(text: str, times: list[float]) -> None:
    assert plan_of(row("kill", text)).occurrences(30.0) == times


@pytest.mark.parametrize("every", ["2s", "1s"])
def test_a_fault_must_end_before_it_recurs(every: str) -> None:
    (problem,) = problems_of(row("kill", f'for = "2s"\nevery = "{every}"'))
    assert problem == f"quick.toml: fault 1.every: expected more than for = 2 s, got {every.removesuffix('s')} s"


def test_a_window_names_a_fault_by_its_name_or_by_its_kind() -> None:
    text = row("kill") + row("pause", 'name = "nap"')
    scenario = read(text + '[[slo]]\nexpect = "lost == 0 during kill"\n[[slo]]\nexpect = "lost == 0 after nap"')
    assert scenario.fault_names == {"kill", "nap"}
    (problem,) = problems_of(text + '[[slo]]\nexpect = "lost == 0 during pause"')
    assert "expected the name of a fault (known: kill, nap) after during, got 'pause'" in problem


def test_the_places_on_the_network() -> None:
    assert {place for places in NET_PLACES.values() for place in places} == {
        "sockets",
        "refetches",
        "widgets",
        "broker",
    }
    assert all(fault.places == tuple(NET_PLACES) for fault in map(FAULT_KINDS.__getitem__, NETWORK_FAULTS))


def test_a_scenario_with_faults_reads_back_the_same() -> None:
    text = "".join(row(kind, values[0]) for kind, values in READ.items())
    scenario = read(text)
    assert parse(tomllib.loads(scenario.toml()), "quick", "quick.toml") == scenario
    assert [plan.kind for plan in scenario.faults] == list(READ)


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_parameter_has_a_description(kind: str) -> None:
    assert FAULT_KINDS[kind].__doc__
    assert all(parameter.about for parameter in FAULT_KINDS[kind].parameters.values())


def test_a_plan_in_words() -> None:
    plan = plan_of(row("latency", 'name = "slow-net"\nfor = "1500ms"\nevery = "4s"\nlatency = 0.1'))
    assert plan.shown == "slow-net: latency on dashboards, 1 s after the start, for 1.5 s, again every 4 s"
    assert plan_of(row("restart")).shown == "restart: restart on target, 1 s after the start"


def test_overlapping_faults_that_would_heal_each_other_are_refused() -> None:
    pause = 'for = "3s"\nname = "{}"'
    two = row("pause", pause.format("one"), "2s") + row("pause", pause.format("two") + '\nevery = "8s"', "4s")
    assert problems_of(two) == ["quick.toml: fault: expected one pause on target at a time, got one and two at 4 s"]
    later = row("pause", pause.format("one"), "2s") + row("pause", pause.format("two") + '\nevery = "8s"', "6s")
    assert len(read(later).faults) == 2
    elsewhere = row("pause", pause.format("one"), "2s") + row("pause", pause.format("two") + '\non = "worker"', "4s")
    assert len(read(elsewhere).faults) == 2
    toxics = row("latency", 'for = "3s"\nlatency = 1', "2s") + row("latency", 'for = "3s"\nlatency = 1', "3s")
    assert len(read(toxics).faults) == 2


def test_every_kind_in_a_scenario_is_implemented() -> None:
    assert set(FAULT_KINDS) == set(KINDS)
