"""A short part of `make mutants`: planted defects and delays are found, and nothing else."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from chatswarm.loadtests.history.files import read
from chatswarm.loadtests.history.manifest import history_file
from chatswarm.loadtests.history.tables import MembershipEvent
from tests.mutants.catalogue import ALONE, PLANTINGS, CleanRun, Delay, Variant, variants
from tests.mutants.judged import problems_of, shifts
from tests.mutants.push_catalogue import CHANGING, PUSH_PLANTINGS, UNMEASURED
from tests.mutants.runs import run_clean, run_delayed, run_planted, run_planted_push
from tests.plants import latency, losing, mangling, push, refusing, showing
from tests.plants.plant import Plant
from tests.plants.wire import serving

from .command import chatswarm, scenario

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


@pytest.mark.parametrize(
    "plant",
    [
        push.leaking.PushesToFormerMembers,
        push.losing.ReplaysNothing,
        push.losing.AcceptsBeforeStoring,
    ],
)
def test_a_push_chats_planted_defect_is_counted_exactly(plant: type[push.PushPlant], tmp_path: Path) -> None:
    (row,) = (row for row in PUSH_PLANTINGS if row.plant is plant)
    assert run_planted_push(row, tmp_path).problems == []


def test_a_clean_push_chat_has_no_findings_while_members_change(tmp_path: Path) -> None:
    file = scenario(tmp_path, CHANGING.replace('"http"', '"socket"'))
    chat = push.PushChat()
    options = ["--protocol", "push", "--processes", "2", "--out", "out", "--json"]
    with serving(chat) as url:
        result = chatswarm("run", file, "--target", url, *options, folder=tmp_path, timeout=90)
    assert result.code == 0, result.err
    verdict = result.verdict
    assert problems_of("", {}, verdict, 0, UNMEASURED) == []
    assert verdict["messages"]["accepted"] == chat.accepted > 0
    assert verdict["evidence"]["accepted_by"] == "ack"
    assert {path.name for path in (tmp_path / "out" / "history").iterdir()} == {"swarm-0.cs1", "swarm-1.cs1"}
    changes = read(history_file(tmp_path / "out", "swarm-0")).tables["membership"]["event"]
    assert {MembershipEvent.ADDED, MembershipEvent.REMOVED} <= {int(event) for event in changes}


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
