"""The merged tables of a history."""

import numpy as np

from chatswarm.loadtests.judge.ledger.observations import RefetchTable


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
        server=versions,
        n=versions,
    )
    assert table.showed.tolist() == [True, True, True, False, False, False]
