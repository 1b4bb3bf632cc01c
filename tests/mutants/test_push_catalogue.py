"""Every finding has a push chat that shows it, and every such chat has a run."""

import inspect
import tomllib

import pytest

from chatswarm.loadtests.judge.verdict import FINDINGS
from tests.plants.push import PushPlant, leaking, losing, refusing, showing

from .push_catalogue import CLEAN_PUSH, CLEAN_PUSH_RUNS, PUSH_PLANTINGS, PushPlanting


def test_every_finding_has_a_push_plant_and_every_push_plant_a_run() -> None:
    # Where frames carry the text, `unnotified` is not measured.
    assert {row.plant.finding for row in PUSH_PLANTINGS} == {*FINDINGS, "gap"} - {"unnotified"}
    written = {
        plant
        for module in (losing, showing, refusing, leaking)
        for _, plant in inspect.getmembers(module, inspect.isclass)
        if issubclass(plant, PushPlant) and plant is not PushPlant
    }
    assert {row.plant for row in PUSH_PLANTINGS} == written
    assert len(PUSH_PLANTINGS) == len(written)


@pytest.mark.parametrize("row", PUSH_PLANTINGS, ids=lambda row: row.label)
def test_a_rows_scenario_has_rooms_and_its_findings_include_the_plants(row: PushPlanting) -> None:
    assert row.plant.finding in row.findings
    assert tomllib.loads(row.scenario)["rooms"]["members"] < tomllib.loads(row.scenario)["swarm"]["dashboards"]


def test_clean_variants_are_run_twenty_times_in_all() -> None:
    assert len(CLEAN_PUSH) * CLEAN_PUSH_RUNS >= 20
    assert len({clean.label for clean in CLEAN_PUSH}) == len(CLEAN_PUSH)
    assert all(clean.chat().rooms == {} for clean in CLEAN_PUSH)
