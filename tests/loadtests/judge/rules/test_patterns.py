"""Which ones went wrong, on literal histories."""

from pathlib import Path

from tests.loadtests.judge.play import Plant, Play
from tests.loadtests.judge.push_play import PushPlant, PushPlay

from .reading import first, told, why


def test_every_tenth_message_on_one_dashboard(tmp_path: Path) -> None:
    plants = {(0, n): Plant(unseen_by={1}) for n in range(9, 60, 10)}
    play = Play(tmp_path, dashboards=3, widgets=1, rate=10, seconds=6, plants=plants).perform()
    cause = first(play, "lost")
    assert (cause.id, cause.certainty, cause.deliveries) == ("every_kth", "proven", 6)
    assert cause.sentence == "every 10th message, without exception (all on dashboard 1)"


def test_an_exception_is_told_from_the_rule(tmp_path: Path) -> None:
    plants = {(0, n): Plant(unseen_by={1}) for n in range(9, 60, 10) if n != 29}
    play = Play(tmp_path, dashboards=3, widgets=1, rate=10, seconds=6, plants=plants).perform()
    assert "every_kth" not in {cause for _, cause, _ in told(play)}


def test_the_last_before_each_pause(tmp_path: Path) -> None:
    stages: list[dict[str, object]] = [
        {"for": "2s", "rate": 8}, {"for": "2s", "rate": 0}, {"for": "2s", "rate": 8}, {"for": "2s", "rate": 0},
    ]  # fmt: skip
    play = Play(tmp_path, widgets=2, seconds=8, stages=stages)
    at = play.schedule()
    last = [one for one, following in zip(at, [*at[1:], (99.0, 0, 0)], strict=True) if following[0] - one[0] > 1]
    play.plants = {(widget, n): Plant(unseen_by={0, 1}) for _, widget, n in last}
    assert first(play.perform(), "lost").id == "last_before_quiet"


def _served(play: Play, sends: dict[int, int], dashboards: dict[int, int]) -> Play:
    """Gives sends, by widget, and connections, by dashboard, a server: A or B."""
    rows = play.rows["worker0"]
    for at, (table, values) in enumerate(rows):
        if table == "send":
            rows[at] = (table, (*values, sends[int(values[0])], -1))  # type: ignore[call-overload]
        if table == "connection":
            rows[at] = (table, (*values, -1, dashboards[int(values[1])], -1))  # type: ignore[call-overload]
    for number, name in enumerate("AB"):
        rows.insert(0, ("server", (number, "10.0.0.1:80", name)))
    return play


def test_messages_that_do_not_reach_the_other_server(tmp_path: Path) -> None:
    plants = {(0, n): PushPlant(unseen_by={2, 3}) for n in range(60)}
    play = PushPlay(tmp_path, room_count=1, members=None, rate=8, seconds=12, push_plants=plants).perform()
    cause = first(_served(play, {0: 0, 1: 1}, {0: 0, 1: 0, 2: 1, 3: 1}), "lost")
    assert (cause.id, cause.certainty) == ("one_worker", "proven")
    assert cause.sentence.startswith("what A took did not reach the dashboards of B")
    assert sorted(cause.evidence[1:]) == [
        "A → A: 0 of 96 deliveries", "A → B: 96 of 96 deliveries", "B → A: 0 of 96 deliveries",
        "B → B: 0 of 96 deliveries",
    ]  # fmt: skip


def test_a_server_for_each_message_proves_nothing(tmp_path: Path) -> None:
    plants = {(0, n): PushPlant(unseen_by={n % 4}) for n in (3, 11, 20, 33, 41, 42)}
    play = PushPlay(tmp_path, room_count=1, members=None, rate=8, seconds=12, push_plants=plants).perform()
    rows = play.rows["worker0"]
    number = 0
    for at, (table, values) in enumerate(rows):
        if table in ("send", "connection"):
            extra = (number, -1) if table == "send" else (-1, number, -1)
            rows[at] = (table, (*values, *extra))
            number += 1
    for one in range(number):
        rows.insert(0, ("server", (one, "10.0.0.1:80", f"request-{one}")))
    assert "one_worker" not in {cause for _, cause, _ in told(play)}


def test_the_same_dashboards_each_time(tmp_path: Path) -> None:
    plants = {(0, n): PushPlant(unseen_by={1, 3}) for n in (2, 5, 9, 11, 20, 21)}
    play = PushPlay(tmp_path, room_count=1, members=None, rate=8, seconds=8, push_plants=plants).perform()
    cause = first(play, "lost")
    assert (cause.id, cause.sentence) == ("same_dashboards", "the same dashboards 1 and 3 each time")


def test_the_ranking_names_the_second_in_which_unexplained_cases_are(tmp_path: Path) -> None:
    play = Play(tmp_path, dashboards=5, widgets=4, rate=20, seconds=8)
    inside = [(widget, n) for at, widget, n in play.schedule() if 3 <= at < 4]
    play.plants = {message: Plant(unseen_by={number % 5}) for number, message in enumerate(inside) if number % 5 != 3}
    found = why(play.perform())
    assert (found.causes, found.unexplained.by_finding) == ([], {"lost": 16})
    assert found.unexplained.ranking[0].startswith("lost: intended from 3 s to 4 s: 16 of 16 cases, 16.0% of 100 there")


def test_all_messages_of_one_sender_are_not_every_second(tmp_path: Path) -> None:
    plants = {(0, n): PushPlant(unseen_by={0, 1, 2, 3}) for n in range(60)}
    play = PushPlay(tmp_path, room_count=1, members=None, rate=8, seconds=10, push_plants=plants).perform()
    assert "every_kth" not in {cause for _, cause, _ in told(play)}


def test_one_outage_of_one_dashboard_is_only_probable(tmp_path: Path) -> None:
    play = Play(tmp_path, dashboards=4, widgets=2, rate=16, seconds=12)
    inside = [(widget, n) for at, widget, n in play.schedule() if 4 <= at < 5.5]
    play.plants = {message: Plant(unseen_by={2}) for message in inside}
    cause = first(play.perform(), "lost")
    assert (cause.id, cause.certainty) == ("one_dashboard", "probable")
