"""The page of one message's life, in the browser: what it takes from the screen, and that its policy lets it look as
it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatswarm.loadtests.report.waterfall import waterfall_page, waterfall_svg
from tests.loadtests.report.test_waterfall import EVERYTHING

from .browser import Open
from .test_looks import low_contrast

COVERED = """() => {
  const boxes = [...document.querySelectorAll("svg")].filter((each) => each.checkVisibility())
    .flatMap((svg) => [...svg.querySelectorAll("text")].map((each) => each.getBoundingClientRect()));
  const outside = boxes.filter((box) => box.left < -1 || box.right > innerWidth + 1);
  const over = boxes.filter((one, at) => boxes.some((other, place) => place > at
    && one.left + 1 < other.right && other.left + 1 < one.right
    && one.top + 4 < other.bottom && other.top + 4 < one.bottom));
  return [outside.length, over.length];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "picture"), [(1100, "wide"), (400, "narrow")])
def test_it_fits_and_can_be_read(open_tab: Open, tmp_path: Path, width: int, picture: str, scheme: str) -> None:
    file = tmp_path / "life.html"
    file.write_text(waterfall_page(EVERYTHING), encoding="utf-8")
    tab = open_tab(file.as_uri(), viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert tab.lines == []
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    shown = tab.page.locator("svg:visible")
    assert [shown.nth(at).get_attribute("class") for at in range(shown.count())] == [f"waterfall {picture}"]
    assert tab.page.evaluate(COVERED) == [0, 0]
    assert low_contrast(tab) == []


def test_the_picture_alone_is_shown_at_any_width(open_tab: Open, tmp_path: Path) -> None:
    file = tmp_path / "life.svg"
    file.write_text(waterfall_svg(EVERYTHING), encoding="utf-8")
    tab = open_tab(file.as_uri(), viewport={"width": 500, "height": 900})
    box = tab.page.evaluate(
        "(({ width, height }) => [width, height])(document.documentElement.getBoundingClientRect())"
    )
    assert box[0] == 500
    assert box[1] > 100
