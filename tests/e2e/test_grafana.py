"""Every panel's and rule's query, asked of a real Prometheus after real runs: it has data, and the verdict agrees."""

from collections.abc import Sequence

import pytest

from tests.grafana.agreement import Compared, panels, rules
from tests.grafana.prometheus import MISSING, program
from tests.grafana.watched import Evidence, watch

# Both runs are the first test's set-up, on whatever machine.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    if program("prometheus") is None:
        pytest.skip(MISSING)
    return watch(tmp_path_factory.mktemp("watched"))


def agree(rows: Sequence[Compared]) -> None:
    held = [(row, row.agreement) for row in rows if not row.agreement.holds]
    wrong = [f"{row.name} ({row.run}): got {said.said}, expected {said.relation} {said.verdict}" for row, said in held]
    assert not wrong, "\n".join(wrong)


def test_what_every_panel_shows_agrees_with_the_verdict(evidence: Evidence) -> None:
    agree(panels(evidence))


def test_every_rule_is_evaluated_and_agrees_with_the_verdict(evidence: Evidence) -> None:
    agree(rules(evidence))
