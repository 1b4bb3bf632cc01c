"""A short part of `make mutants`: planted defects and delays are found, and nothing else."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants.catalogue import ALONE, PLANTINGS, CleanRun, Delay, Variant, variants
from tests.mutants.judged import shifts
from tests.mutants.runs import run_clean, run_delayed, run_planted
from tests.plants import latency, losing, mangling, refusing, showing
from tests.plants.plant import Plant

SOME: list[tuple[type[Plant], Variant]] = [
    (losing.LosesEveryThousandthDelivery, "original"),
    (losing.LosesTheLastBeforeQuiet, "reference"),
    (losing.ForgetsToStore, "original"),
    (losing.SkipsOneDashboard, "original"),
    (showing.ListsReordered, "reference"),
    (showing.HidesCustomers, "reference"),
    (refusing.FallsSilent, "original"),
    (refusing.FailsAfterStoring, "reference"),
]

BRIEF = ALONE.replace('"20s"', '"8s"')
ROUGHLY = 0.075
"""Tolerance in seconds, for tests on a busy machine. `make mutants` is strict."""


@pytest.mark.parametrize(("plant", "variant"), SOME, ids=lambda value: getattr(value, "__name__", value))
def test_a_planted_defect_is_counted_exactly(plant: type[Plant], variant: Variant, tmp_path: Path) -> None:
    (planting,) = (planting for planting in PLANTINGS if planting.plant is plant)
    assert run_planted(planting, variant, tmp_path).problems == []


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (mangling.Normalises, "stored damaged: Unicode normalisation (NFC) changed it"),
        (mangling.CutsInHalf, "stored damaged: cut short"),
    ],
)
def test_the_change_to_a_text_is_named(plant: type[Plant], words: str, tmp_path: Path) -> None:
    (planting,) = (planting for planting in PLANTINGS if planting.plant is plant)
    outcome = run_planted(planting, "reference", tmp_path)
    assert outcome.problems == []
    (corrupted,) = outcome.verdict["findings"]
    assert {example["detail"] for example in corrupted["examples"]} == {words}


@pytest.mark.parametrize("variant", variants())
def test_the_clean_chat_has_no_findings(variant: Variant, tmp_path: Path) -> None:
    assert run_clean(CleanRun(variant, 0), tmp_path).problems == []


@pytest.mark.parametrize(
    ("plant", "moves"),
    [
        (latency.SlowFrames, {"notified", "visible", "last_dashboard"}),
        (latency.SlowResponse, {"accepted"}),
    ],
)
def test_a_planted_delay_is_measured_in_the_right_latencies(
    plant: type[latency.Slow], moves: set[str], tmp_path: Path
) -> None:
    slow = Delay(plant, 1.5, dict.fromkeys(moves, 1.5), BRIEF)
    without = replace(slow, plant=latency.Slow, seconds=0)
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(run_delayed, (slow, without), (tmp_path / "slow", tmp_path / "without")))
    assert [run.problems for run in runs] == [[], []]
    for name, shift in shifts(runs[0].medians, runs[1].medians).items():
        assert abs(shift - slow.moves.get(name, 0)) < ROUGHLY, name
