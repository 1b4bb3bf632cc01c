"""Which metrics may be compared."""

import pytest

from chatswarm.loadtests.compare.metrics import COMPARABLE, DEFAULT, STAGES, UnknownMetricError, metrics_of
from chatswarm.loadtests.scenario.metric_names import CLOSED, METRICS


def test_several_in_one_text_and_each_once() -> None:
    assert metrics_of(["visible.p99, lost", "lost", "closed"]) == ("visible.p99", "lost", "closed")


def test_all_are_metrics_and_the_defaults_are_among_them() -> None:
    assert set(COMPARABLE) - {CLOSED} <= set(METRICS)
    assert len(set(COMPARABLE)) == len(COMPARABLE)
    assert {*DEFAULT, *STAGES} <= set(COMPARABLE)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("visble.p99", r"got 'visble.p99' \(did you mean visible.p99\?\)"),
        ("notified.p98", r"\(did you mean notified.p9\w+\?\)"),
        ("qwxz", "got 'qwxz'$"),
        ("", "got ''$"),
        ("dashboards", "of which less or more is better, got dashboards"),
        ("visible.count", "of which less or more is better, got visible.count"),
    ],
)
def test_what_cannot_be_compared_is_named_with_the_nearest(name: str, told: str) -> None:
    with pytest.raises(UnknownMetricError, match=told):
        metrics_of([name])
