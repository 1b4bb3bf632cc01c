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


def test_a_target_that_stands_still_again_and_again(tmp_path: Path) -> None:
    play = Play(tmp_path, **BUSY).perform()  # type: ignore[arg-type]
    for begin in (2.0, 6.0):
        _held(play, begin, begin + 2.5)
        rows = play.rows["worker0"]
        for at, (table, values) in enumerate(rows):
            if table == "send" and T0 + begin <= values[5] < T0 + begin + 2.5:  # type: ignore[operator]
                rows[at] = (table, (*values[:6], T0 + begin + 2.5, *values[7:]))
    cause = first(play, "late")
    assert (cause.id, cause.certainty) == ("pauses", "proven")
    assert "2 times" in cause.sentence


def test_one_slow_request_is_no_pause(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, rate=0.25, widgets=1, seconds=16)
    play.push_plants = {(0, n): PushPlant(slow=2.5) for n in (0, 2)}
    play.perform()
    rows = play.rows["worker0"]
    for at, (table, values) in enumerate(rows):
        if table == "send" and values[1] in (0, 2):
            rows[at] = (table, (*values[:6], values[5] + 2.51, *values[7:]))  # type: ignore[operator]
    assert {cause for _, cause, _ in told(play)} == {"slow_accept"}


def _queued(play: Play, first: float, last: float, each: float) -> None:
    """From `first` on, one message after another is announced and listed, `each` seconds apart, until `last`."""
    sent = sorted(values[5] for table, values in play.rows["worker0"] if table == "send")  # type: ignore[type-var]
    until, shift = 0.0, {}
    for moment in sent:
        due = float(moment) + 0.02  # type: ignore[arg-type]
        until = max(due, until + each) if T0 + first <= due < T0 + last else max(due, until + each / 3)
        shift[moment] = until - due
    rows = play.rows["worker0"]
    for at, (table, values) in enumerate(rows):
        if table == "frame":
            before = max(one for one in sent if one < values[2])  # type: ignore[type-var,operator]
            rows[at] = (table, (*values[:2], values[2] + shift[before]))  # type: ignore[operator]


def test_a_backlog(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, rate=20, widgets=4, seconds=14).perform()
    _queued(play, 2.0, 12.0, 0.07)
    cause = first(play, "late")
    assert (cause.id, cause.certainty) == ("backlog", "proven")
    assert "14.2/s of 20/s" in cause.sentence


def test_a_steady_delay_is_no_backlog(tmp_path: Path) -> None:
    plants = {(widget, n): PushPlant(slow=2.5) for widget in range(4) for n in range(70)}
    play = PushPlay(tmp_path, room_count=1, members=None, rate=20, widgets=4, seconds=14, push_plants=plants).perform()
    assert {cause for _, cause, _ in told(play)} == {"slow_notify"}


def test_dashboards_in_turn(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, dashboards=8, rate=4, seconds=10).perform()
    rows = play.rows["worker0"]
    for at, (table, values) in enumerate(rows):
        if table == "frame":
            rows[at] = (table, (*values[:2], values[2] + 0.4 * (7 - int(values[0]))))  # type: ignore[call-overload]
    cause = first(play, "late")
    assert (cause.id, cause.certainty) == ("dashboards_in_turn", "proven")
    assert "400 ms for each" in cause.sentence


def test_frames_in_any_order_are_not_in_turn(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, dashboards=8, rate=4, seconds=10).perform()
    rows = play.rows["worker0"]
    for at, (table, values) in enumerate(rows):
        if table == "frame":
            turn = (int(values[0]) + 3 * (int(values[1]) // 8)) % 8  # type: ignore[call-overload]
            rows[at] = (table, (*values[:2], values[2] + 0.4 * turn))
    assert first(play, "late").id == "slow_notify"


def test_a_starved_load_generator_is_not_the_targets_pause(tmp_path: Path) -> None:
    play = Play(tmp_path, **BUSY).perform()  # type: ignore[arg-type]
    for begin in (2.0, 6.0):
        _held(play, begin, begin + 2.5)
        rows = play.rows["worker0"]
        rows[:] = [row for row in rows if row[0] != "lag" or not T0 + begin < row[1][0] < T0 + begin + 2.5]  # type: ignore[operator]
        for woke in range(1, 6):
            play.row("worker0", "lag", T0 + begin + 0.5 * woke - 0.001, 0.49)
    found = {cause.id for cause in why(play).causes if cause.finding == "late"}
    assert found == {"rig"}


def test_one_slow_dashboard_is_not_the_last_in_turn(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, room_count=1, members=None, dashboards=6, rate=4, seconds=10).perform()
    rows = play.rows["worker0"]
    for at, (table, values) in enumerate(rows):
        if table == "frame" and values[0] == 5:
            rows[at] = (table, (*values[:2], values[2] + 2.6))  # type: ignore[operator]
    assert first(play, "late").id == "slow_notify"


def test_what_is_under_a_fault_that_adds_little_is_not_blamed_on_it(tmp_path: Path) -> None:
    """The target stands still once, within a fault that only slows connections down."""
    play = Play(tmp_path, **BUSY).perform()  # type: ignore[arg-type]
    _held(play, 4.0, 6.6)
    play.fault("thin", 2.0, 9.0, kind="bandwidth", evidence={"bytes_delayed": 7})
    assert "fault" not in {cause for _, cause, _ in told(play)}


def test_a_missed_slo_that_no_rule_is_about_is_named(tmp_path: Path) -> None:
    play = Play(tmp_path, slos=["accepted.p99 <= 1ms"]).perform()
    found = why(play)
    assert (found.causes, found.without) == ([], ["accepted.p99 <= 1ms"])
