"""What the page makes of literal runs, and whether it shows those that were measured."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from chatswarm.loadtests.scenario import scenario
from tests.bench import chats
from tests.bench.chats.run import KINDS, ChatRun, round_of, run_of
from tests.bench.chats.section import cells, latency, recovery, spread, told, with_chats
from tests.bench.swarm_run import SCENARIOS
from tests.loadtests.judge.play import Play
from tests.protocols.catalogue import CHATS

PAGE = chats.PAGE.read_text(encoding="utf-8")
RUN = ChatRun("a", "a 1.0", "cut", "fail", (), 0.01, 0.04, 800, 800, 5, 5, 0, 1.5, None, 1.25)


@pytest.mark.parametrize("kind", KINDS)
def test_the_scenarios_can_be_run(kind: str) -> None:
    assert scenario.load(str(SCENARIOS / f"chats-{kind}.toml")).question


def test_each_server_has_one_turn_in_each_round() -> None:
    names = sorted(chat.name for chat in CHATS)
    assert all(sorted(chat.name for chat in round_of(CHATS, number)) == names for number in range(6))
    assert round_of(CHATS, 1) == round_of(CHATS, 0)[::-1]


def test_a_row() -> None:
    runs = [RUN, replace(RUN, p50=0.02, lost=7, gap=6, verdict="pass")]
    assert cells(runs, recovers=True) == [
        "a 1.0", "14.1 ms (0.173 ms to 1.16 s)", "40 ms (40 ms to 40 ms)", "5 to 7 of 800", "5 to 6", "0",
        "1.50 s (1.50 s to 1.50 s)", "2",
    ]  # fmt: skip


def test_an_undecided_run_does_not_count() -> None:
    undecided = replace(RUN, verdict="undecided", lost=900, reasons=["the rig was slow"])
    assert cells([RUN, undecided], recovers=True)[3] == "5 of 800"
    assert cells([RUN, undecided], recovers=True)[-1] == "1 of 2"
    assert cells([undecided], recovers=False) == ["a 1.0", *["not measured"] * 5, "0 of 1"]
    assert "Undecided, and left out: a, cut: the rig was slow." in told("2 CPUs", {}, [RUN, undecided])


def test_what_was_not_measured_is_no_number() -> None:
    assert latency([None, None], [800, 800]) == "lost"
    assert latency([None, 0.1], [0, 800]) == "100 ms"
    assert latency([None], [0]) == "not measured"
    assert spread([None, None]) == "–"
    assert recovery([RUN, replace(RUN, recovery=None, recovery_at_least=7.0)]) == "≥ 7.00 s"
    assert recovery([replace(RUN, recovery=None)]) == "not measured"
    assert recovery([RUN, replace(RUN, recovery=0.0)]) == "0 ms to 1.50 s"
    assert recovery([replace(RUN, recovery=0.0)]) == "at once"
    assert "b was not measured: no node." in told("2 CPUs", {"b": "no node"}, [])


def test_the_figures_of_a_verdict(tmp_path: Path) -> None:
    verdict = Play(tmp_path).perform().judge()
    built = run_of("a", "a 1.0", "push", msgspec.to_builtins(verdict), 1.0)
    assert (built.verdict, built.lost, built.recovery) == ("pass", 0, None)
    assert (built.p99, built.expected) == (verdict.latency.visible.p99, verdict.deliveries.expected)


def test_the_page_has_a_table_for_each_scenario() -> None:
    page = with_chats(PAGE, "2 CPUs", {}, [replace(RUN, kind=kind) for kind in KINDS])
    assert page.count("| a 1.0 |") == len(KINDS)
    assert page.count("| recovery |") == 2


def test_the_page_shows_the_runs_that_were_saved() -> None:
    assert with_chats(PAGE, *chats.saved()) == PAGE, "run make bench ROW=chats"
