"""Why deliveries were late, on literal histories."""

from pathlib import Path

import pytest

from tests.loadtests.judge.play import T0, Plant, Play
from tests.loadtests.judge.push_play import READ, PushPlant, PushPlay

from .reading import first, told, why


def test_late_frames(tmp_path: Path) -> None:
    plants = {(0, n): PushPlant(slow=2.5) for n in (1, 4)}
    play = PushPlay(tmp_path, seconds=10, room_count=1, members=None, push_plants=plants).perform()
    cause = first(play, "late")
    assert (cause.id, cause.certainty) == ("slow_notify", "proven")
    assert "2.5" in cause.sentence


def test_a_late_response_and_frame(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, push_plants={(0, 2): PushPlant(slow=2.5)}).perform()
    rows = play.rows["worker0"]
    for at, (table, values) in enumerate(rows):
        if table == "send" and values[:2] == (0, 2):
            rows[at] = (table, (*values[:6], values[5] + 2.5, *values[7:]))  # type: ignore[operator]
    assert first(play, "late").id == "slow_accept"


def test_a_stopped_load_generator(tmp_path: Path) -> None:
    plants = {(0, 2): PushPlant(slow=2.6), (1, 2): PushPlant(slow=2.3)}
    play = PushPlay(tmp_path, seconds=10, room_count=1, members=None, push_plants=plants).perform()
    # It could not wake in between.
    play.rows["worker0"] = [
        row
        for row in play.rows["worker0"]
        if row[0] != "lag" or not T0 + 2.3 < row[1][0] < T0 + 5.1  # type: ignore[operator]
    ]
    play.row("worker0", "lag", T0 + 5.095, 2.795)
    cause = first(play, "late")
    assert (cause.id, cause.certainty) == ("rig", "proven")


def test_lag_that_is_too_short_to_explain_it_is_not_blamed(tmp_path: Path) -> None:
    plants = {(0, 2): PushPlant(slow=2.6)}
    play = PushPlay(tmp_path, seconds=10, room_count=1, members=None, push_plants=plants).perform()
    play.row("worker0", "lag", T0 + 4.5, 0.2)
    assert first(play, "late").id == "slow_notify"


def test_a_dashboard_that_was_away(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, offline={2: (2.0, 5.0)}).perform()
    for n in (2, 3, 4):
        for widget in (0, 1):
            play.show(2, widget, n, T0 + 5.05, how=READ, connection=102)
    cause = first(play, "late")
    assert cause.id == "away"
    assert "dashboard 2 was disconnected" in cause.sentence


def _held(play: Play, begin: float, end: float) -> None:
    """Frames and refetches that fall into a span come at its end."""
    for process, rows in play.rows.items():
        for at, (table, values) in enumerate(rows):
            if table == "frame" and T0 + begin <= values[2] < T0 + end:  # type: ignore[operator]
                rows[at] = (table, (*values[:2], T0 + end))
            if table == "refetch" and T0 + begin <= values[2] < T0 + end:  # type: ignore[operator]
                rows[at] = (table, (*values[:2], T0 + end + 0.01, T0 + end + 0.03, *values[4:]))
        assert process


BUSY = {"rate": 20, "seconds": 10, "widgets": 4}


def test_a_fault_that_held_up_what_was_under_it(tmp_path: Path) -> None:
    play = Play(tmp_path, **BUSY).perform()  # type: ignore[arg-type]
    _held(play, 4.0, 7.0)
    play.fault("freeze", 4.0, 7.0, kind="pause", evidence={"paused": 1})
    cause = first(play, "late")
    assert (cause.id, cause.certainty) == ("fault", "proven")
    assert "freeze" in cause.sentence


@pytest.mark.parametrize(("kind", "begin", "end"), [("pause", 8.0, 8.5), ("idle_sockets", 4.0, 7.0)])
def test_a_fault_beside_it_is_not_proven_to_be_the_cause(tmp_path: Path, kind: str, begin: float, end: float) -> None:
    play = Play(tmp_path, **BUSY).perform()  # type: ignore[arg-type]
    _held(play, 4.0, 7.0)
    play.fault("beside", begin, end, kind=kind, evidence={"held": 1})
    assert not [cause for cause in why(play).causes if (cause.id, cause.certainty) == ("fault", "proven")]


def test_lateness_that_goes_on_outside_a_fault_is_not_blamed_on_it(tmp_path: Path) -> None:
    plants = {(widget, n): Plant(slow=2.5) for widget in range(4) for n in range(0, 50, 3)}
    play = Play(tmp_path, **BUSY, plants=plants).perform()  # type: ignore[arg-type]
    play.fault("beside", 4.0, 7.0, kind="pause", evidence={"paused": 1})
    assert "fault" not in {cause for _, cause, _ in told(play)}


def test_a_latency_fault_is_not_blamed_for_more_than_it_can_add(tmp_path: Path) -> None:
    slow_net: dict[str, object] = {"name": "slow-net", "kind": "latency", "at": 4.0, "for": 3.0, "latency": "20ms"}
    play = Play(tmp_path, **BUSY, planned_faults=[slow_net]).perform()  # type: ignore[arg-type]
    _held(play, 4.0, 7.0)
    play.fault("slow-net", 4.0, 7.0)
    assert "fault" not in {cause for _, cause, _ in told(play)}


def test_a_closed_connection_that_was_back_at_once_is_not_why(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, offline={2: (2.0, 2.1)})
    play.push_plants = {(0, 1): PushPlant(slow=2.5)}
    assert "away" not in {cause for _, cause, _ in told(play.perform())}
