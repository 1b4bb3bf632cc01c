"""Scenarios: read and resolved, or refused with all problems at once."""

import tomllib
from pathlib import Path

import pytest

from chatswarm.loadtests.protocols.catalogue import find_protocol
from chatswarm.loadtests.protocols.reference import Reference
from chatswarm.loadtests.scenario.scenario import Refetch, Scenario, ScenarioError, load, parse, shipped
from tests.loadtests.nasty import NASTY, wrong_in


def read(text: str, overrides: dict[str, object] | None = None) -> Scenario:
    return parse(tomllib.loads(text), "spike", "scenarios/spike.toml", overrides)


def problems(text: str, overrides: dict[str, object] | None = None) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        read(text, overrides)
    return caught.value.problems


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_loads_and_fits_every_protocol_that_has_what_it_needs(name: str) -> None:
    scenario = load(name)
    assert scenario.slos
    assert scenario.unfit_for(find_protocol(scenario.own_protocol).make({})) == []
    for protocol in ("reference", "push"):
        made = find_protocol(protocol).make({})
        if scenario.rooms is None or made.promises.has_rooms:
            assert scenario.unfit_for(made) == []


def test_defaults() -> None:
    scenario = read("")
    assert (scenario.dashboards, scenario.widgets, scenario.duration) == (100, 50, 30)
    assert scenario.refetch == Refetch("interval", 0.3)
    assert scenario.update_target == 2
    assert scenario.drain == 5
    assert scenario.rates.messages == 600


def test_all_problems_come_at_once() -> None:
    found = problems(
        """
        [swarm]
        rate = -5
        widgets = "many"
        dashbords = 3
        drain = "1s"
        refetch = "often"
        arrivals = "odd"
        [[slo]]
        expect = "visble.p99 <= 2s"
        [[slo]]
        expects = "lost == 0"
        [extra]
        """
    )
    assert "scenarios/spike.toml: swarm.rate: expected a positive number, got -5" in found
    text = "\n".join(found)
    for part in (
        "swarm.widgets: expected a whole number above 0, got many",
        "swarm.dashbords: expected one of",
        "did you mean dashboards?",
        "swarm.drain: expected at least the update target + 2 s = 4s, got 1s",
        "swarm.refetch: expected every, coalesce or a duration such as 300ms, got often",
        "swarm.arrivals: expected one of poisson, even, got odd",
        "slo 1.expect: 'visble.p99 <= 2s': expected a known metric",
        "slo 2.expect: expected a value, got none",
        "extra: expected one of",
    ):
        assert part in text
    assert all(problem.startswith("scenarios/spike.toml: ") for problem in found)


def test_flags_override_the_file_and_are_named_in_errors() -> None:
    assert read("[swarm]\nrate = 5", {"rate": 7.0}).rates.messages == 210
    assert problems("", {"rate": -1}) == ["--rate: expected a positive number, got -1"]
    assert "--rate" in problems("[[stage]]\nfor = '1s'\nrate = 5", {"rate": 7})[0]


def test_the_resolved_scenario_reads_back_the_same() -> None:
    scenario = read("[swarm]\nrate = 5\n[[slo]]\nexpect = 'lost == 0'", {"widgets": 3})
    again = parse(tomllib.loads(scenario.toml()), "spike", "x")
    assert again == scenario


STAGES = """
    [[stage]]
    for = "10s"
    rate = 20
    dashboards = 5
    [[stage]]
    for = "5s"
    rate = 100
    dashboards = 2
    [[stage]]
    for = "5s"
    rate = 20
    dashboards = 5
"""


def test_stages() -> None:
    scenario = read(STAGES)
    assert scenario.duration == pytest.approx(20)
    assert scenario.dashboards == 5
    assert list(scenario.rates.edges) == [0, 10, 15, 20]
    assert scenario.planned(0) == [(0, 20)]
    assert scenario.planned(4) == [(0, 10), (15, 20)]
    assert scenario.planned(5) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[swarm]\nrate = 5\n" + STAGES, "swarm.rate: expected either [[stage]] or this, not both"),
        ("[[stage]]\nrate = 5", "stage 1.for: expected a value, got none"),
        ("[[stage]]\nfor = '1s'\nrate = 0", "at least one stage with a rate above 0"),
        ("stage = 5", "stage: expected [[stage]] tables, got 5"),
        ("swarm = 5", "swarm: expected a table, got 5"),
        (
            "[[slo]]\nexpect = 'lost == 0 during x'",
            "expected the name of a fault (known: there are none) after during, got 'x'",
        ),
        ("[swarm]\nduration = 0", "expected a duration above 0"),
        ("[swarm]\ndashboards = true", "expected a whole number above 0"),
        ("[swarm]\nrate = nan", "expected a number"),
    ],
)
def test_wrong_scenarios(text: str, problem: str) -> None:
    assert problem in "\n".join(problems(text))


def test_more_widgets_than_the_list_shows_are_refused_without_a_list_window() -> None:
    protocol = Reference()
    assert "swarm.widgets: expected at most 100" in read("[swarm]\nwidgets = 101").unfit_for(protocol)[0]
    assert read("[swarm]\nwidgets = 101\nlist_window = 100").unfit_for(protocol) == []


def test_an_unknown_name_and_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"did you mean steady\?"):
        load("stady")
    path = tmp_path / "x.toml"
    for text in ("[swarm", "x = " + "[" * 100_000, "x = " + "1" * 100_000):
        path.write_text(text)
        with pytest.raises(ScenarioError, match="expected a readable TOML file") as error:
            load(str(path))
        assert len(error.value.problems) == 1


def test_texts_are_ascii_unless_the_scenario_says_otherwise() -> None:
    assert read("").text == "ascii"
    assert read('[swarm]\ntext = "unicode"').text == "unicode"
    assert load("unicode").text == "unicode"


@pytest.mark.parametrize("value", ["latin-1", "", 8, True])
def test_an_unknown_alphabet_is_refused(value: object) -> None:
    with pytest.raises(ScenarioError, match="text"):
        parse({"swarm": {"text": value}}, "x", "x.toml")


@pytest.mark.parametrize("value", [[], {}, "", -1, "1e9s", None, "∞", float("inf"), float("nan"), True])
@pytest.mark.parametrize("key", ["dashboards", "widgets", "rate", "duration", "drain", "ramp", "refetch", "size"])
def test_nonsense_is_refused(key: str, value: object) -> None:
    with pytest.raises(ScenarioError, match=key):
        parse({"swarm": {key: value}}, "x", "x.toml")


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_problems_are_single_lines_for_any_text_in_the_file(text: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse({text: 1, "swarm": {text: text, "size": text}, "slo": [{"expect": text}]}, text, text)
    assert len(caught.value.problems) == 4
    assert all(wrong_in(problem, ours="") == [] for problem in caught.value.problems)
    str(caught.value).encode()


def test_a_file_name_that_is_not_utf_8_becomes_a_name_that_can_be_written(tmp_path: Path) -> None:
    path = Path(f"{tmp_path}/caf\udce9.toml")
    path.write_text("", encoding="utf-8")
    scenario = load(str(path))
    assert scenario.name == "caf\\xe9"
    scenario.toml().encode()
