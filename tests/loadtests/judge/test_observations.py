"""The merged tables of a history."""

from pathlib import Path

import numpy as np
import pytest

from chatswarm.loadtests.judge.ledger import merge_histories
from chatswarm.loadtests.judge.ledger.observations import RefetchTable

from .play import T0, Play
from .test_judge import far_away


def test_a_304_shows_the_last_list_and_no_other_answer_without_one_does() -> None:
    statuses = np.array([200, 203, 304, 304, 404, 0])
    versions = np.array([0, 0, 0, -1, 0, 0])
    none = np.zeros(6)
    table = RefetchTable(
        dashboard=versions,
        process=versions,
        started=none,
        done=none,
        status=statuses,
        version=versions,
        size=versions,
        server=versions,
        n=versions,
    )
    assert table.showed.tolist() == [True, True, True, False, False, False]


def test_unreadable_frames_of_all_processes_are_on_their_dashboards_by_one_clock(tmp_path: Path) -> None:
    play = Play(tmp_path, dashboards=4, processes=2).perform()
    play.row("worker0", "unreadable", 2, T0 + 1.0, "expected a frame, got a")
    play.row("worker1", "unreadable", 3, T0 + 2.0, "expected a frame, got b")
    far_away(play, 0.001)
    observations = merge_histories(play.write(), play.manifest)
    table = observations.unreadable
    assert observations.connections.dashboard[table.connection].tolist() == [2, 3]
    assert table.time.tolist() == pytest.approx([T0 + 1.0, T0 + 2.0])
    assert table.detail == ["expected a frame, got a", "expected a frame, got b"]


def test_refetches_keep_their_numbers(tmp_path: Path) -> None:
    play = Play(tmp_path, dashboards=2, processes=2).perform()
    for dashboard in range(2):
        process = play.home(dashboard)
        for n in (0, 1):
            play.row(process, "refetch", dashboard, dashboard, T0 + n, T0 + n + 0.1, 200, 0, 100, -1, n)
    table = merge_histories(play.write(), play.manifest).refetches
    numbered = table.n >= 0
    assert list(zip(table.dashboard[numbered].tolist(), table.n[numbered].tolist(), strict=True)) == [
        (0, 0), (0, 1), (1, 0), (1, 1),
    ]  # fmt: skip
    assert set(table.n[table.dashboard < 0].tolist()) == {-1}
