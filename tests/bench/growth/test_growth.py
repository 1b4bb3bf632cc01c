"""The law that is fitted to literal steps, and what of it gets into the picture and the page."""

import xml.etree.ElementTree as ET

import pytest

from tests.bench.growth.law import SECOND, fit
from tests.bench.growth.picture import Laws, picture
from tests.bench.growth.section import with_growth
from tests.bench.growth.step import MODES, SIDES, GrowthStep, Mode
from tests.bench.page_of_rows import PAGE


def step(mode: Mode, dashboards: int, rate: int) -> GrowthStep:
    counts = {SECOND: 4.0, "message": 4.0 * rate, "delivery": 4.0 * rate * dashboards}
    cpu = 0.1 * counts[SECOND] + 1e-3 * counts["message"] + 1e-5 * counts["delivery"]
    return GrowthStep(mode, dashboards, rate, counts, {"rig": cpu, "chat": cpu}, 0.3, is_sound=True)


OVER_DASHBOARDS = [step(mode, dashboards, 10) for dashboards in (100, 200, 400) for mode in MODES]
OVER_RATE = [step(mode, 100, rate) for rate in (10, 20, 40) for mode in MODES]
LAW = fit(
    [each.counts for each in OVER_DASHBOARDS + OVER_RATE], [each.cpu["rig"] for each in OVER_DASHBOARDS + OVER_RATE]
)
LAWS: Laws = {(mode, side): LAW for mode in MODES for side in SIDES}


def test_a_law_is_found_and_predicts_a_load_that_it_was_not_fitted_to() -> None:
    assert LAW.costs == pytest.approx({SECOND: 0.1, "message": 1e-3, "delivery": 1e-5})
    unseen = step("push", 300, 30)
    assert LAW.predict(unseen.counts) == pytest.approx(unseen.cpu["rig"])


def test_nothing_costs_less_than_nothing() -> None:
    falling = fit([{SECOND: 1.0, "message": 1.0}, {SECOND: 1.0, "message": 2.0}], [2.0, 1.0])
    assert falling.costs["message"] == 0
    assert falling.costs[SECOND] == pytest.approx(4 / 3)  # the least squares of (2 - cost)/√2 and 1 - cost


def test_the_picture_is_an_svg_with_four_plots() -> None:
    whole = ET.fromstring(picture(OVER_DASHBOARDS, OVER_RATE, LAWS))
    assert whole.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(whole.findall("{*}svg/{*}svg")) == 4


def test_the_page_gets_the_laws_and_the_predictions() -> None:
    page = with_growth(PAGE.read_text(encoding="utf-8"), [step("push", 300, 30)], LAWS)
    assert "| rig, push | 100 ms | 1,000 µs | 10 µs |" in page
    assert "| push, 300 dashboards × 30/s | chat | 880 ms | 880 ms |" in page
    assert with_growth(page, [step("push", 300, 30)], LAWS) == page
