"""What the page and the picture make of searches, whose probes are made up; and whether it shows what was measured."""

import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from chatswarm.loadtests.capacity.record import CapacityBy, CapacityReport
from chatswarm.loadtests.capacity.search import perform
from tests.bench import curves
from tests.bench.curves.picture import Searches, picture
from tests.bench.curves.section import with_curves
from tests.loadtests.capacity.searched import ASKED, MadeUp, begun

PAGE = curves.PAGE.read_text(encoding="utf-8")


@pytest.fixture
def searches(tmp_path: Path) -> Searches:
    def made(by: CapacityBy, chat: MadeUp) -> CapacityReport:
        return perform(begun(tmp_path, msgspec.structs.replace(ASKED, by=by)), tmp_path, chat)

    return {
        ("one worker", "rate"): made("rate", MadeUp(137)),
        ("tutorial", "rate"): made("rate", MadeUp(60)),
        ("one worker", "dashboards"): made("dashboards", MadeUp(900, machine=0.95)),
    }


def test_the_page_shows_limits_and_what_gave_out(searches: Searches) -> None:
    page = with_curves(PAGE, "2 CPUs", searches)
    assert "| reference chat, one worker | 134 | 134 to 150 | the target |" in page
    assert "the machine that the target and the load generator share |" in page
    assert "| 80 | 300 ms ✓ | never ✗✗ |" in page
    assert with_curves(page, "2 CPUs", searches) == page


def test_the_picture_has_two_plots_for_each_load(searches: Searches) -> None:
    whole = ET.fromstring(picture(searches))
    assert len(whole.findall("{*}svg/{*}svg")) == 4
    assert "lost" in "".join(whole.itertext())


def test_a_search_is_kept_as_it_was(searches: Searches, tmp_path: Path) -> None:
    for (chat, by), report in searches.items():
        curves.save(chat, by, report, tmp_path)
    _, kept = curves.saved(tmp_path)
    assert list(kept) == list(searches)
    assert kept["tutorial", "rate"].result == searches["tutorial", "rate"].result


def test_the_page_shows_the_searches_that_were_saved() -> None:
    assert with_curves(PAGE, *curves.saved()) == PAGE, "run make bench ROW=curves"
