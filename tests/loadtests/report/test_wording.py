"""The words that all reports share."""

from pathlib import Path

from chatswarm.loadtests.history.manifest import TARGET
from chatswarm.loadtests.report.wording import used
from tests.loadtests.judge.play import Play

from .runs import HOSTILE, passing


def test_what_was_used_in_a_line(tmp_path: Path) -> None:
    verdict = passing(tmp_path).perform().judge()
    assert used(verdict) == (
        "the target's chat (pid 70, the busiest of 2) used up to 50% of a core; "
        "the machine of the load generator up to 1.5 of 2 cores"
    )
    verdict.rig.machine = None
    verdict.target_processes = verdict.target_processes[:1]
    assert used(verdict) == "the target's chat (pid 70) used up to 50% of a core"
    verdict.target_processes[0].name = HOSTILE + "\nX"
    assert len(used(verdict).splitlines()) == 1


def test_nothing_is_said_of_what_was_not_measured(tmp_path: Path) -> None:
    assert used(Play(tmp_path / "a").perform().judge()) == ""
    play = passing(tmp_path / "b").perform()
    play.rows[TARGET] = play.rows[TARGET][1:2]  # one look at one process
    verdict = play.judge()
    assert verdict.target_processes[0].cpu is None
    verdict.rig.machine = None
    assert used(verdict) == ""
