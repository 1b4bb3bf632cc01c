"""What `chatswarm compare` was asked for: sides, settings, and every problem at once."""

from pathlib import Path

import pytest

from chatswarm.loadtests.compare.request import CompareRequest, SideRequest, read_settings, read_time, unreachable
from chatswarm.loadtests.scenario.scenario import load
from chatswarm.loadtests.system.children import free_port


@pytest.mark.parametrize(
    ("request_", "live"),
    [
        (CompareRequest(["runs/a"], ["runs/b"]), False),
        (CompareRequest(["http://a"], ["http://b"]), True),
        (CompareRequest(["runs/a"], ["http://b"]), True),
        (CompareRequest([], [], "", "--workers 2"), True),
        (CompareRequest([], []), False),
    ],
)
def test_urls_and_flags_mean_that_runs_are_made(request_: CompareRequest, live: bool) -> None:
    assert request_.is_live is live


def test_folders() -> None:
    problems: list[str] = []
    request = CompareRequest(["a", "b"], ["c"], live_options={"--repeat": None, "--until-decided": False})
    assert request.folders(problems) == ([Path("a"), Path("b")], [Path("c")])
    assert problems == []


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (
            CompareRequest(["a"], []),
            "expected BASE... --against NEW...: folders of runs, or the URLs of two chats",
        ),
        (
            CompareRequest(
                ["a"], ["b"], live_options={"--repeat": 3, "--until-decided": False, "--scenario": "steady"}
            ),
            "--repeat, --scenario: expected chats and no recorded runs, got the folder a",
        ),
    ],
)
def test_wrong_folders(request_: CompareRequest, told: str) -> None:
    problems: list[str] = []
    request_.folders(problems)
    assert problems == [told]


def test_the_reference_chat_without_flags_need_not_be_given() -> None:
    problems: list[str] = []
    plain, flags = SideRequest(None, {}), SideRequest(None, {"workers": 2})
    assert CompareRequest([], [], new_backend="--workers 2").chats(problems) == (plain, flags)
    assert CompareRequest([], [], base_backend="--workers 2").chats(problems) == (flags, plain)
    assert problems == []


def test_a_chat_by_its_url_against_the_reference_chat() -> None:
    problems: list[str] = []
    base, new = CompareRequest(["HTTP://Chat.example:80/"], [], new_backend="--workers 2 --push").chats(problems)
    assert (base, problems) == (SideRequest("http://chat.example", {}), [])
    assert (base.name, new.name) == ("http://chat.example", "the reference chat --workers 2 --push on")
    scenario = new.applied_to(load("push"))
    assert scenario.backend == {"push": True, "workers": 2}
    assert scenario.table["backend"] == scenario.backend


@pytest.mark.parametrize(
    ("base", "backend", "told"),
    [
        (["http://a", "http://b"], None, "got http://a, http://b"),
        (["http://a"], "--workers 2", "got http://a, --base-backend '--workers 2'"),
        ([], None, "got neither"),
        (["ftp://a"], None, "BASE: expected a URL such as"),
        ([], "workers", "--base-backend: expected flags such as '--workers 2', got 'workers'"),
    ],
)
def test_wrong_chats(base: list[str], backend: str | None, told: str) -> None:
    problems: list[str] = []
    CompareRequest(base, ["http://new"], backend).chats(problems)
    assert len(problems) == 1
    assert told in problems[0]


def test_a_chat_that_does_not_answer() -> None:
    (problem,) = unreachable(SideRequest(f"http://127.0.0.1:{free_port()}", {}), SideRequest(None, {}))
    assert problem.startswith("expected an HTTP answer from ")


def test_settings() -> None:
    problems: list[str] = []
    settings = read_settings(["lost,notified.p50"], "10%", "0.95", problems, assume_no_drift=True)
    assert settings.on == ("lost", "notified.p50")
    assert (settings.rules.margin, settings.rules.confidence, settings.assume_no_drift) == (0.1, 0.95, True)
    # Several looks err together as often as one.
    looking = read_settings([], "20%", "90%", problems, until_decided=True)
    assert looking.rules.confidence == pytest.approx(0.97)
    assert problems == []


def test_all_problems_of_the_settings_are_told() -> None:
    problems: list[str] = []
    read_settings(["visble.p99"], "x", "y", problems)
    assert [problem.partition(":")[0] for problem in problems] == ["--on", "--margin", "--confidence"]
    assert "did you mean visible.p99?" in problems[0]


@pytest.mark.parametrize(("margin", "confidence"), [("3%", "90%"), ("20%", "100%"), ("20%", "90")])
def test_a_margin_or_confidence_that_decides_nothing(margin: str, confidence: str) -> None:
    problems: list[str] = []
    read_settings([], margin, confidence, problems)
    assert [problem.partition(": expected a ")[0] for problem in problems] == ["--margin, --confidence"]


def test_the_time() -> None:
    problems: list[str] = []
    assert read_time("20m", problems) == 1200
    assert read_time(None, problems) is None
    assert read_time("soon", problems) is None
    assert problems == ["--max-time: expected a duration such as 30s or 300ms, got 'soon'"]
