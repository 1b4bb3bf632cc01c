"""Durations as people write and read them."""

import pytest

from chatswarm.loadtests.system.units import about, human, seconds, share


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30s", 30), ("300ms", 0.3), ("5m", 300), ("1h", 3600), (" 1.5 s ", 1.5), ("7", 7), (7, 7), (0.25, 0.25), (0, 0)],
)
def test_seconds(text: object, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "s", "30 sec", "-1s", "1s 2s", "1,5s", None, True, [], "nan", "١s"])
def test_invalid_durations(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 30s or 300ms, got"):
        seconds(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0.0, "0 ms"), (0.0123, "12.3 ms"), (0.191, "191 ms"), (0.9994, "999 ms"), (1.0, "1.00 s"), (1.834, "1.83 s"),
        (120.0, "120 s"), (None, "–"), (float("inf"), "never"), (-0.05, "-50 ms"),
    ],
)  # fmt: skip
def test_human(duration: float | None, text: str) -> None:
    assert human(duration) == text


@pytest.mark.parametrize(("text", "expected"), [("10%", 0.1), (" 2.5 % ", 0.025), ("0.3", 0.3), ("99%", 0.99)])
def test_share(text: str, expected: float) -> None:
    assert share(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "0", "0%", "1", "100%", "-5%", "ten", "10%%", "nan", "1e-2"])
def test_invalid_shares(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a share such as 10% or 0\.1, got "):
        share(text)


@pytest.mark.parametrize(
    ("duration", "text"),
    [(40.0, "40 s"), (89.6, "90 s"), (91.0, "2 min"), (540.0, "9 min"), (540.5, "10 min"), (4800.0, "1 h 20 min")],
)
def test_long_times(duration: float, text: str) -> None:
    assert about(duration) == text
