"""The waterfall of one message's life: the same events in the terminal, in the picture and in its table."""

import math
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from chatswarm.loadtests.history.tables import ConnectionEvent
from chatswarm.loadtests.judge.life import find_message, life_of
from chatswarm.loadtests.judge.message_life import (
    DashboardLife,
    LifeConnection,
    LifeFault,
    LifeFrame,
    LifeRefetch,
    LifeServer,
    LifeSilence,
    LifeStall,
    MessageLife,
    StoredMessage,
)
from chatswarm.loadtests.report.life_rows import MEANING, CutWait, LifeAxis, axis_of, groups_of, headline, offset
from chatswarm.loadtests.report.life_text import print_life
from chatswarm.loadtests.report.style import STYLE
from chatswarm.loadtests.report.waterfall import waterfall, waterfall_page, waterfall_svg
from tests.loadtests.judge.play import RUN, T0, Plant, Play
from tests.loadtests.judge.push_play import PushPlay
from tests.loadtests.judge.test_ledger_reference import ledger_of
from tests.loadtests.nasty import NASTY, wrong_in

from .reader import Reader

WORKER, OTHER = LifeServer("worker-0", "127.0.0.1:8000"), LifeServer("worker-1", "127.0.0.1:8001")


def connection(opening: float | None, subscribed: float | None, ended: float | None = None) -> LifeConnection:
    end = "closed" if ended is not None else ""
    return LifeConnection(opening, subscribed, None, None, None, "", ended, end, 1006 if end else 0, "", WORKER)  # type: ignore[arg-type]


def dashboard(number: int, visible: float | None, **given: object) -> DashboardLife:
    made = DashboardLife(
        number, "visible", "", None, visible, "worker0", (connection(-2.0, -1.9),), 0, (), 0, (), 0, ()
    )
    return replace(made, **given)  # type: ignore[arg-type]


def life(*dashboards: DashboardLife, **given: object) -> MessageLife:
    """A life that was intended 10 s after the start, accepted after 10 ms, and ends after 3 s."""
    fates = {one.fate: sum(other.fate == one.fate for other in dashboards) for one in dashboards}
    made = MessageLife(
        uid="run.1.2", trace="", widget=1, chat="chat-1", process="worker0", intended=10.0, handed=10.001, sent=10.002,
        answered=10.01, outcome="accepted", status=200, served_by=WORKER,
        stored=StoredMessage("stored", "chat-1", 3, 1), visible_by="refetch", update_target=2.0, ends=13.0,
        watched=20.0, fates=fates, dashboards=dashboards, left_out=0, faults=(), faults_left_out=0, stalls=(),
        stalls_left_out=0,
    )  # fmt: skip
    return replace(made, **given)  # type: ignore[arg-type]


EVERYTHING = life(
    dashboard(
        4, None, fate="lost",
        connections=(
            connection(5.0, 5.1, 9.8),
            LifeConnection(9.9, None, None, None, None, "", 9.95, "failed", 503, "no", WORKER),
            LifeConnection(10.1, 10.2, 10.3, None, 12.0, "recovered", None, "", 0, "", OTHER),
        ),
        frames=(
            LifeFrame(10.4, "live", False, "", ""), LifeFrame(10.5, "replayed", True, "chat-9", "cut short"),
            LifeFrame(10.6, "read", True, "", ""),
        ),
        frames_left_out=7,
        refetches=(
            LifeRefetch(10.7, 10.9, 200, False, OTHER), LifeRefetch(11.0, 11.1, 500, None, WORKER),
            LifeRefetch(11.2, None, 0, None, None), LifeRefetch(11.3, 11.4, -24, None, WORKER),
        ),
        refetches_left_out=1,
        silences=(LifeSilence(11.5, 12.5, 6),),
    ),
    dashboard(7, 12.5, fate="late", refetches=(LifeRefetch(12.4, 12.5, 304, True, WORKER),)),
    dashboard(8, None, fate="not expected", why="it is never a member of the room"),
    faults=(LifeFault("cut", "down", 9.0, 11.0), LifeFault("open", "open", 12.0, None)),
    stalls=(LifeStall("worker0", 10.2, 10.3),),
    left_out=12, stalls_left_out=1,
)  # fmt: skip


def printed(shown: MessageLife, width: int = 120) -> str:
    output = StringIO()
    print_life(Console(file=output, width=width, no_color=True, force_terminal=False, highlight=False), shown)
    return output.getvalue()


def strip_of(line: str, label: str) -> str:
    return line.partition(label)[2]


class TestRows:
    def test_they_tell_every_event_in_order(self) -> None:
        groups = groups_of(EVERYTHING)
        assert [(group.title, group.tone) for group in groups] == [
            ("the send", None), ("around it", None), ("dashboard 4: lost", "fail"),
            ("dashboard 7: late, visible after 2.50 s", "fail"),
            ("dashboard 8: not expected (it is never a member of the room)", None),
        ]  # fmt: skip
        assert [(offset(row.at), row.text) for row in groups[2].rows] == [
            ("-4.90 s", "subscribed, room not joined, closed 1006 at -200 ms"),
            ("-100 ms", "connection, failed (503) at -50 ms, no"),
            ("+100 ms", "subscribed at +200 ms, room joined at +300 ms, room left at +2.00 s, recovered, by worker-1"),
            ("+400 ms", "frame: announces its chat, perhaps for another message"),
            ("+500 ms", "replayed: announces it, in chat chat-9, cut short"),
            ("", "… 7 more frames in between"),
            ("+600 ms", "read after connecting: announces it"),
            ("+700 ms", "refetch: does not show it (200), 200 ms, by worker-1"),
            ("+1.00 s", "refetch: no list (500), 100 ms"),
            ("+1.20 s", "refetch: no list (no response), never ended"),
            ("", "… 1 more refetch in between: none shows it"),
            ("+1.30 s", "refetch: no list (the load generator's own EMFILE), 100 ms"),
            ("+1.50 s", "silent: 6 frames were due and none came for 1.00 s"),
            ("never", "visible"),
        ]
        assert [row.text for row in groups[1].rows] == [
            "fault cut (down): 2.00 s long", "fault open: never healed",
            "load generator stalled: worker0 did nothing for 100 ms",
        ]  # fmt: skip
        assert [row.text for row in groups[0].rows] == [
            "intended", "handed to a connection", "sent", "accepted: 200",
        ]  # fmt: skip

    def test_a_send_without_a_response_says_so(self) -> None:
        rows = groups_of(life(outcome="unknown", answered=None, status=0))[0].rows
        assert (offset(rows[-1].at), rows[-1].text) == ("never", "answered")

    def test_a_room_that_was_not_joined_on_a_connection_is_named(self) -> None:
        joined = replace(connection(8.0, 8.1, 9.0), joined=8.1)
        rows = groups_of(life(dashboard(1, None, fate="gap", connections=(joined, connection(9.5, 9.9)))))[1].rows
        assert [row.text for row in rows[:2]] == ["subscribed, closed 1006 at -1.00 s", "subscribed, room not joined"]

    @pytest.mark.parametrize(
        ("dashboards", "said"),
        [
            ((), "no dashboard was to show it"),
            ((dashboard(1, 10.5),), "visible on dashboard 1 after 500 ms"),
            ((dashboard(1, 10.5), dashboard(2, 10.2)), "visible on all 2 dashboards, the last after 500 ms"),
            (
                (dashboard(0, None, fate="lost"), dashboard(1, 10.5)),
                "lost on 1, visible on 1 of 2 dashboards, the last after 500 ms",
            ),
        ],
    )
    def test_the_headline_counts_dashboards(self, dashboards: tuple[DashboardLife, ...], said: str) -> None:
        assert headline(life(*dashboards)) == said


class TestTheAxis:
    @given(
        st.floats(-5, 0), st.floats(0.01, 50),
        st.lists(st.floats(0.05, 0.95), max_size=6, unique=True), st.lists(st.floats(0, 1), min_size=2),
    )  # fmt: skip
    def test_it_never_goes_back_and_stays_inside(
        self, low: float, length: float, edges: list[float], moments: list[float]
    ) -> None:
        edges = sorted(low + length * edge for edge in edges)
        cuts = tuple(CutWait(*pair) for pair in zip(edges[::2], edges[1::2], strict=False) if pair[1] - pair[0] > 1e-3)
        axis = LifeAxis(low, low + length, cuts)
        at = [axis.at(low + length * moment) for moment in sorted(moments)]
        assert at == sorted(at)
        assert axis.at(low) == 0
        assert axis.at(low + length) == pytest.approx(1)
        assert axis.at(low - 1) == 0
        assert axis.at(low + length + 1) == pytest.approx(1)
        for tick in axis.ticks(6):
            assert low - 1e-9 <= tick <= low + length + 1e-9
            assert not any(cut.begin + 1e-9 < tick < cut.end - 1e-9 for cut in cuts)

    def test_without_a_long_wait_it_is_linear(self) -> None:
        shown = life(dashboard(1, 10.4), ends=10.4)
        axis = axis_of(groups_of(shown), shown)
        assert (axis.low, axis.cuts) == (0.0, ())
        assert axis.high == pytest.approx(0.4)
        assert axis.at(0.1) == pytest.approx(0.25)
        assert axis.ticks(4) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])

    def test_a_wait_that_dwarfs_the_rest_is_cut_and_said(self) -> None:
        refetches = (LifeRefetch(10.1, 10.2, 200, False, WORKER), LifeRefetch(69.8, 70.0, 200, True, WORKER))
        shown = life(dashboard(1, 70.0, fate="late", refetches=refetches), ends=70.0)
        axis = axis_of(groups_of(shown), shown)
        # Between the first refetch and the target, and between that and the last refetch.
        assert [0.2 < cut.begin < cut.end < 2.0 for cut in axis.cuts] == [True, False]
        assert [2.0 < cut.begin < cut.end < 59.8 for cut in axis.cuts] == [False, True]
        assert axis.at(0.2) > 0.2
        assert axis.at(59.8) - axis.at(2.0) < 0.4
        for cut in axis.cuts:
            said = f"it hardly shows {cut.end - cut.begin:.2f} s in which nothing happened"
            assert said in waterfall(shown).reading
            assert said in " ".join(printed(shown).split())
        assert "≈" in printed(shown)

    def test_it_begins_when_a_dashboard_went_away(self) -> None:
        shown = life(dashboard(1, 10.4, connections=(connection(3.0, 3.1, 9.5), connection(9.8, 10.2))), ends=10.4)
        assert axis_of(groups_of(shown), shown).low == pytest.approx(-0.5)
        there = life(dashboard(1, 10.4), ends=10.4)
        assert axis_of(groups_of(there), there).low == 0.0


class TestTheTerminal:
    @pytest.mark.parametrize("width", [80, 120])
    def test_it_shows_every_row_within_its_width(self, width: int) -> None:
        shown = printed(EVERYTHING, width)
        assert max(map(len, shown.splitlines())) <= width
        words = re.sub(r"\s", "", shown)
        assert "12moredashboardsarenotshown" in words
        for group in groups_of(EVERYTHING):
            assert re.sub(r"\s", "", group.title) in words
        for mark in ("╿", "┬", "▽", "↻", "◇", "▒", "!", "~", "█", "●", "✗", "▓", "░", "┊", "─"):
            assert mark in shown, mark

    def test_positions_are_to_scale_and_need_no_colour(self) -> None:
        shown = life(dashboard(1, 12.0, refetches=(LifeRefetch(11.0, 12.0, 200, True, WORKER),)), ends=12.0)
        lines = printed(shown).splitlines()
        refetch = strip_of(next(line for line in lines if "refetch: shows" in line), "1.00 s")
        bar = strip_of(next(line for line in lines if " subscribed " in line), "subscribed")
        intended = next(line for line in lines if "╿" in line).index("╿")
        line = next(line for line in lines if "refetch: shows" in line)
        whole = bar.count("─")
        assert refetch.count("█") == pytest.approx(whole / 2, abs=1)
        assert line.index("█") - intended == pytest.approx(whole / 2, abs=1)
        # Up to the right edge, which is its own width away.
        assert len(next(line for line in lines if " subscribed " in line).rstrip()) >= 119

    def test_the_key_explains_what_is_shown_and_nothing_else(self) -> None:
        shown = printed(life(dashboard(1, 10.4), ends=10.4))
        assert MEANING["visible"] in shown
        assert MEANING["lacks"] not in shown
        # It connected long before.
        assert MEANING["opening"] not in shown
        assert "target" not in shown


class TestThePage:
    @pytest.mark.parametrize("shown", [EVERYTHING, life()], ids=["everything", "nobody"])
    def test_the_picture_has_an_alternative_and_its_figures_stand_in_a_table(self, shown: MessageLife) -> None:
        reader = Reader(waterfall_page(shown))
        rows = reader.tables["One message's life"][1:]
        assert rows == [
            [group.title, offset(row.at), row.name, row.detail] for group in groups_of(shown) for row in group.rows
        ]
        pictures = [attributes for tag, attributes in reader.tags if tag == "svg"]
        assert [str(one["class"]).split()[1] for one in pictures] == ["wide", "narrow"]
        for picture in pictures:
            assert picture["role"] == "img"
            for words in ("Message run.1.2", headline(shown), "accepted (200) by worker-0 at 127.0.0.1:8000"):
                assert words in str(picture["aria-label"])
        assert not [tag for tag, _ in reader.tags if tag in ("script", "link", "img")]
        headings = [tag for tag, _ in reader.tags if re.fullmatch("h[1-6]", tag)]
        assert headings == ["h1", "h2"]

    def test_faults_and_stalls_are_bands_across_all_rows(self) -> None:
        reader = Reader(waterfall_page(EVERYTHING))
        bands = [attributes for tag, attributes in reader.tags if str(attributes.get("class")).startswith("band ")]
        assert [band["class"] for band in bands] == 2 * ["band fault", "band fault", "band stall"]
        assert all(float(str(band["height"])) > 300 for band in bands)

    def test_marks_and_bars_lie_where_the_axis_says(self) -> None:
        shown = life(dashboard(1, 12.0, refetches=(LifeRefetch(11.0, 12.0, 200, True, WORKER),)), ends=12.0)
        wide = ElementTree.fromstring(waterfall_svg(shown))
        spans = {
            str(part.get("class")): (float(part.get("x", 0)), float(part.get("width", 0)))
            for part in wide.iter("{http://www.w3.org/2000/svg}rect")
            if part.get("class", "").startswith("span ") and float(part.get("width", 0)) > 14
        }
        begin, whole = spans["span subscribed"]
        assert spans["span shows"][0] == pytest.approx(begin + whole / 2, abs=0.2)
        assert spans["span shows"][1] == pytest.approx(whole / 2, abs=0.2)
        assert begin + whole > 940

    def test_every_kind_has_a_style(self) -> None:
        for kind in MEANING:
            assert re.search(rf"\.(span|at)\.{kind}\b", STYLE), kind

    def test_the_picture_alone_is_a_whole_file(self) -> None:
        root = ElementTree.fromstring(waterfall_svg(EVERYTHING))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("class") == "waterfall alone"
        assert root.findtext("{http://www.w3.org/2000/svg}style") == STYLE

    def test_nothing_is_drawn_outside(self) -> None:
        for width, picture in zip((960, 400), waterfall(EVERYTHING).pictures, strict=True):
            for part in ElementTree.fromstring(picture).iter("rect"):
                begin = float(part.get("x", 0))
                assert 0 <= begin <= begin + float(part.get("width", 0)) <= width + 0.1
                assert not math.isinf(begin)


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_texts_from_outside_stay_texts(text: str) -> None:
    server = LifeServer(text, text)
    seen = dashboard(
        1, None, fate="lost", why=text,
        connections=(
            replace(connection(8.0, 8.1, 10.5), detail=text, join_detail=text, served_by=server),
            connection(10.6, 10.7),
        ),
        frames=(LifeFrame(10.2, "live", True, text, text),),
        refetches=(LifeRefetch(10.3, 10.4, 200, False, server),),
    )  # fmt: skip
    shown = life(
        seen, uid=text, chat=text, served_by=LifeServer("b", text), faults=(LifeFault(text, text, 9.0, 11.0),),
        stalls=(LifeStall(text, 10.0, 10.1),), stored=StoredMessage("not known", text, None, 0, text),
    )  # fmt: skip
    page, picture = waterfall_page(shown), waterfall_svg(shown)
    page.encode()
    picture.encode()
    assert wrong_in(page) == wrong_in(picture) == wrong_in(printed(shown)) == []
    reader = Reader(page)
    assert not {"script", "img", "b", "i"} & {tag for tag, _ in reader.tags}
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    ElementTree.fromstring(picture)


def test_a_real_history_from_the_ledger_to_the_page(tmp_path: Path) -> None:
    play = Play(tmp_path, plants={(0, 2): Plant(unseen_by={1})}).perform()
    ledger = ledger_of(play)
    shown = life_of(ledger, find_message(ledger, f"{RUN}.0.2"))
    assert "lost on 1, visible on 1 of 2 dashboards" in printed(shown)
    assert "dashboard 1: lost" in Reader(waterfall_page(shown)).text


def test_a_real_history_of_a_room(tmp_path: Path) -> None:
    play = PushPlay(tmp_path, members=None, offline={1: (2.2, 3.0)}).perform()
    play.event(1, 1, ConnectionEvent.CLOSED, T0 + 2.2, 1001)
    ledger = play.ledger()
    text = printed(life_of(ledger, find_message(ledger, f"{RUN}.0.2")))
    assert "dashboard 1: lost while away" in text
    assert "frame: carries its text" in text
