"""Queries every panel and rule in a real Prometheus after real runs, and compares the results with the verdicts."""

from collections.abc import Sequence

import pytest

from tests.grafana.agreement import Compared, panels, rules
from tests.grafana.prometheus import MISSING, program
from tests.grafana.watched import Evidence, watch

# Both runs are part of the first test's set-up.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    if program("prometheus") is None:
        pytest.skip(MISSING)
    return watch(tmp_path_factory.mktemp("watched"))


def assert_agreement(rows: Sequence[Compared]) -> None:
    failed = [(row, row.agreement) for row in rows if not row.agreement.holds]
    wrong = [f"{row.name} ({row.run}): got {it.said}, expected {it.relation} {it.verdict}" for row, it in failed]
    assert not wrong, "\n".join(wrong)


def test_every_panel_agrees_with_the_verdict(evidence: Evidence) -> None:
    assert_agreement(panels(evidence))


def test_every_rule_is_evaluated_and_agrees_with_the_verdict(evidence: Evidence) -> None:
    assert_agreement(rules(evidence))
