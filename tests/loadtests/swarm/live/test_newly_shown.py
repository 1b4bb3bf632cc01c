"""Which messages are new to a dashboard, version by version."""

from chatswarm.loadtests.messages.identity import IGNORED, Condition, ParsedText
from chatswarm.loadtests.swarm.live.newly_shown import ShownMessages, Viewer


def texts(*ns: int, widget: int = 0) -> list[ParsedText]:
    return [ParsedText(widget, n, Condition.INTACT) for n in ns]


class Play:
    """A list whose versions are shown to dashboards."""

    def __init__(self) -> None:
        self.shown = ShownMessages(lambda widget, n: float(100 * widget + n) if n < 90 else None)
        self.versions = 0

    def version(self, *changes: tuple[str, int, int, list[ParsedText]]) -> int:
        for change in changes:
            self.shown.change(*change)
        self.shown.end_version()
        self.versions += 1
        return self.versions - 1

    def new(self, viewer: Viewer, version: int) -> list[tuple[int, int]]:
        return [self.shown.keys[number] for part in self.shown.newly(viewer, version) for number in part]


def test_a_list_that_grows() -> None:
    play, early, late = Play(), Viewer(), Viewer()
    one = play.version(("a", 1, 0, texts(0)))
    two = play.version(("a", 2, 0, texts(1)), ("b", 1, 0, texts(0, widget=1)))
    assert play.new(early, one) == [(0, 0)]
    assert play.new(early, two) == [(0, 1), (1, 0)]
    assert play.new(early, two) == play.new(early, one) == []
    assert play.new(late, two) == [(0, 0), (0, 1), (1, 0)]
    assert play.shown.intended.tolist() == [0.0, 1.0, 100.0]


def test_texts_that_newer_ones_pushed_out_were_seen_by_count() -> None:
    play, here, away = Play(), Viewer(), Viewer()
    one = play.version(("a", 2, 0, texts(0, 1)))
    two = play.version(("a", 3, 1, texts(2)))
    three = play.version(("a", 4, 1, texts(3)))
    assert play.new(here, one) == [(0, 0), (0, 1)]
    assert play.new(here, three) == [(0, 2), (0, 3)]
    assert play.new(away, three) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert play.new(away, two) == []


def test_a_count_ahead_of_the_texts_shows_the_messages_in_between() -> None:
    play, viewer = Play(), Viewer()
    one = play.version(("a", 2, 0, texts(0, 1)))
    assert play.new(viewer, one) == [(0, 0), (0, 1)]
    two = play.version(("a", 6, 2, texts(4, 5)))
    assert sorted(play.new(viewer, two)) == [(0, 2), (0, 3), (0, 4), (0, 5)]


def test_a_message_that_the_count_does_not_include_is_not_shown() -> None:
    play = Play()
    play.version(("a", 2, 0, texts(0, 1)))
    assert play.new(Viewer(), play.version(("a", 4, 2, texts(3, 4)))) == [(0, 0), (0, 1), (0, 3), (0, 4)]


def test_a_message_that_was_overtaken_and_hidden_is_found_after_the_texts() -> None:
    play = Play()
    play.version(("a", 2, 0, texts(0, 1)))
    assert sorted(play.new(Viewer(), play.version(("a", 5, 2, texts(2, 3))))) == [(0, n) for n in range(5)]


def test_a_hidden_greeting_is_not_a_message_of_the_run() -> None:
    play = Play()
    first = play.version(("a", 3, 0, texts(0, 1)))
    assert play.new(Viewer(), first) == [(0, 0), (0, 1)]
    assert play.new(Viewer(), play.version(("a", 4, 0, [IGNORED]))) == [(0, 0), (0, 1)]


def test_a_message_missing_from_a_dashboards_list_is_new_once_it_is_shown() -> None:
    play, viewer, other = Play(), Viewer(), Viewer()
    full = play.version(("a", 2, 0, texts(0, 1)))
    without = play.version(("a", 1, 2, texts(0)))
    again = play.version(("a", 2, 0, texts(1)))
    assert play.new(other, full) == [(0, 0), (0, 1)]
    assert play.new(viewer, without) == [(0, 0)], "the other dashboard's list had it, this one's did not"
    assert play.new(viewer, without) == []
    assert play.new(viewer, again) == [(0, 1)]
    assert play.new(other, without) == play.new(other, again) == []


def test_an_older_list_that_arrives_late_shows_nothing_from_the_newer_one() -> None:
    play, viewer = Play(), Viewer()
    play.version(("a", 5, 0, texts(2, 3, 4)))
    older = play.version(("a", 4, 3, texts(1, 2, 3)))
    newer = play.version(("a", 6, 1, texts(4, 5)))
    assert sorted(play.new(viewer, older)) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert sorted(play.new(viewer, newer)) == [(0, 4), (0, 5)]
    assert len(play.shown.keys) == 6


def test_a_much_older_list_does_not_make_the_next_one_show_unsent_messages() -> None:
    play, viewer = Play(), Viewer()
    play.version(("a", 3, 0, texts(0, 1, 2)))
    play.version(("a", 9, 3, texts(6, 7, 8)))
    play.version(("a", 4, 3, texts(1, 2, 3)))
    newest = play.version(("a", 9, 3, texts(6, 7, 8)))
    assert sorted(play.new(viewer, newest)) == [(0, n) for n in range(9)]


def test_unseen_messages_of_a_chat_that_left_the_list_are_not_shown() -> None:
    play, viewer = Play(), Viewer()
    play.version(("a", 2, 0, texts(0, 1)))
    gone = play.version(("a", -1, 2, []))
    back = play.version(("a", 3, 0, texts(1, 2)))
    assert play.new(viewer, gone) == []
    assert (0, 1) in play.new(viewer, back)
    assert play.new(viewer, back) == []


def test_a_message_that_is_not_in_the_schedule_has_no_number() -> None:
    play = Play()
    assert play.new(Viewer(), play.version(("a", 2, 0, texts(95, 1)))) == [(0, 1)]


def test_missing_messages_of_a_dashboard_are_bounded() -> None:
    play, viewer = Play(), Viewer()
    for widget in range(10):
        play.version((str(widget), 90, 0, texts(*range(90), widget=widget)))
    gone = play.version(*((str(widget), -1, 90, []) for widget in range(10)))
    assert play.new(viewer, gone) == []
    assert len(viewer.missing) == 256
