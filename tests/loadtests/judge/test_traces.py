"""Examples name the trace of their message's send, if it had one, and so does every report."""

from pathlib import Path

import pytest

from chatswarm.loadtests.judge.judge import judged, write_verdict
from chatswarm.loadtests.judge.verdict import Example
from chatswarm.loadtests.messages.trace import send_trace_id
from chatswarm.loadtests.report import wording
from chatswarm.loadtests.report.figures import figures_of
from chatswarm.loadtests.report.html import page
from chatswarm.loadtests.report.junit import junit
from chatswarm.loadtests.report.markdown import markdown

from .play import REJECTED, RUN, Plant, Play, finding

NAN = float("nan")
UID = f"{RUN}.0.2"


def losing(folder: Path, *, traced: bool) -> Play:
    """A message that is lost on a dashboard, and one that is rejected."""
    plants = {(0, 2): Plant(unseen_by={1}), (1, 1): Plant(outcome=REJECTED, stored=0)}
    play = Play(folder, dashboards=2, plants=plants)
    play.manifest.traceparent = traced
    return play


def traces(play: Play, check: str) -> list[str]:
    return [example.trace for example in finding(play.judge(), check).examples]


def test_an_example_has_the_trace_id_of_its_send(tmp_path: Path) -> None:
    play = losing(tmp_path, traced=True).perform()
    assert traces(play, "lost") == [send_trace_id(UID)]
    assert traces(play, "refused") == [send_trace_id(f"{RUN}.1.1")]


def test_a_run_without_trace_contexts_names_none(tmp_path: Path) -> None:
    assert traces(losing(tmp_path, traced=False).perform(), "lost") == [""]


def test_a_message_that_went_over_a_socket_has_no_header_to_name(tmp_path: Path) -> None:
    play = losing(tmp_path, traced=True)
    play.swarm["send_over"] = "socket"
    assert traces(play.perform(), "lost") == [""]


def test_a_send_that_never_went_out_is_in_nobodys_tracing(tmp_path: Path) -> None:
    play = losing(tmp_path, traced=True).perform()
    rows = play.rows["worker0"]
    for at, (table, values) in enumerate(rows):
        if table == "send" and values[:2] == (1, 1):
            rows[at] = table, (*values[:5], NAN, *values[6:])
    assert traces(play, "refused") == [""]
    assert traces(play, "lost") == [send_trace_id(UID)]


@pytest.mark.parametrize("traced", [True, False])
def test_every_report_shows_the_whole_id(traced: bool, tmp_path: Path) -> None:
    play = losing(tmp_path, traced=traced).perform()
    write_verdict(tmp_path, play.judge())
    figures = figures_of(judged(tmp_path))
    shown = [page(figures), junit(figures).decode(), markdown(figures)]
    assert [send_trace_id(UID) in text for text in shown] == [traced] * 3
    assert [f"trace {send_trace_id(UID)}" in text for text in shown[1:]] == [traced] * 2
    assert (">trace</th>" in shown[0]) == traced, "a column that says nothing is left out"


def test_the_words_of_an_example() -> None:
    assert wording.example(Example(uid="a.0.1", trace="4bf9", detail="why")) == "message a.0.1, trace 4bf9, why"
