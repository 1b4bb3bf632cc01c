"""Locust's options: the run that they describe, or why they are refused."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatswarm.loadtests.history.folders import SCENARIO, give_back
from chatswarm.loadtests.swarm.locust.options import (
    RefusedOptionsError,
    RunOptions,
    claim,
    locust_problems,
    read,
    split_users,
    with_form,
)
from chatswarm.loadtests.testbed.messages import TestbedOptions
from tests.plants import Chat, serving


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with serving(Chat()) as url:
        yield url


def options(**given: object) -> Namespace:
    defaults = {
        "scenario": "smoke",
        "protocol": "reference",
        "seed": 1,
        "origin": "",
        "out": "",
        "pid": None,
        "users_file": None,
        "traceparent": False,
    }
    defaults |= {"restart_command": None, "toxiproxy": None, "proxy_host": ""}
    return Namespace(**{**defaults, **given})


def asked(target: str | None, users: int | None = None, spawn_rate: float = 1.0, **given: object) -> RunOptions:
    return read(options(**given), target, users, spawn_rate, {}, driven=False)


def test_valid_options(target: str) -> None:
    run = asked(f"{target.upper()}/", 10, origin="https://Chat.example.com", pid=7, seed="7")
    assert run.testbed == TestbedOptions(base_url=target, origin="https://chat.example.com", pid=7)
    assert run.seed == 7
    assert run.scenario.dashboards + run.scenario.widgets == 10


def test_sends_are_traced_if_asked_for(target: str) -> None:
    assert not asked(target, 10).testbed.traceparent
    testbed = asked(target, 10, traceparent=True).testbed
    assert testbed == TestbedOptions(base_url=target, traceparent=True)
    assert testbed.flags == ["--target", target, "--protocol", "reference", "--traceparent"]


def test_an_origin_may_be_that_of_an_app(target: str) -> None:
    assert asked(target, 10, origin="capacitor://localhost").testbed.origin == "capacitor://localhost"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scenario": "staedy"}, "did you mean steady?"),
        ({"scenario": "a\0b"}, ": expected a readable TOML file, got: embedded null byte"),
        ({"protocol": "foo"}, "the path of a TOML file, or module:Class, got 'foo'"),
        ({"seed": "many"}, "--seed: expected a whole number, got 'many'"),
        (
            {"origin": "https://a.example/path"},
            "got 'https://a.example/path' (it has a path)",
        ),
        ({"origin": "chat"}, "--origin: expected an origin such as "),
        ({"toxiproxy": "localhost:8474"}, "--toxiproxy: expected a URL such as"),
        ({"users": 1}, "-u: expected at least 2 users"),
        ({"spawn_rate": 0.0}, "-r: expected a number of users per second above 0, got 0"),
        ({"spawn_rate": float("nan")}, "-r: expected a number of users per second above 0, got nan"),
    ],
)
def test_invalid_options_are_refused_on_one_line(target: str, given: dict[str, object], said: str) -> None:
    with pytest.raises(RefusedOptionsError) as refused:
        asked(target, **given)  # type: ignore[arg-type]
    (problem,) = refused.value.problems
    assert said in problem
    assert "\n" not in problem


@pytest.mark.parametrize("host", ["nonsense", "ftp://chat", "http://", "http://chat:99999", "http://h/?q", "", None])
def test_an_invalid_host_is_refused(host: str | None) -> None:
    with pytest.raises(RefusedOptionsError) as refused:
        asked(host)
    assert refused.value.problems[0].startswith("--host: expected ")


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(RefusedOptionsError) as refused:
        asked("http://me:hunter2@127.0.0.1:8000")
    assert "hunter2" not in str(refused.value)


def test_a_target_that_does_not_answer_is_refused() -> None:
    with pytest.raises(RefusedOptionsError, match="--host: expected an HTTP answer"):
        asked("http://127.0.0.1:9")


def test_an_invalid_token_is_refused(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATSWARM_TOKEN", "s3cret word")
    with pytest.raises(RefusedOptionsError) as refused:
        asked(target)
    assert "CHATSWARM_TOKEN" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(RefusedOptionsError) as refused:
        asked("nonsense", 1, scenario="staedy", seed="x")
    assert len(refused.value.problems) == 4


def test_the_form_of_the_page_changes_only_a_copy() -> None:
    before = options()
    after = with_form(before, {"scenario": "storm", "seed": "5", "user_count": "3", "metrics_port": "1"})
    assert (before.scenario, after.scenario, after.seed) == ("smoke", "storm", "5")
    assert not hasattr(after, "metrics_port")


def test_a_folder_that_cannot_be_made_is_refused(target: str) -> None:
    with pytest.raises(RefusedOptionsError, match="--out: expected a folder that can be made, got '/dev/null/x'"):
        claim(asked(target, out="/dev/null/x"))


def test_releasing_a_folder_removes_the_parents_that_were_made_for_it(target: str, tmp_path: Path) -> None:
    run = asked(target, out=str(tmp_path / "a" / "b"))
    folder, made = claim(run)
    assert folder == tmp_path / "a" / "b"
    again, made_again = claim(run)
    assert again == tmp_path / "a" / "b-2"
    give_back(made_again)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    give_back(made)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_made_for_this_run_is_used_unchanged(target: str, tmp_path: Path) -> None:
    (tmp_path / SCENARIO).write_text("given")
    folder, made = claim(asked(target, out=str(tmp_path)), given=True)
    assert folder == tmp_path
    give_back(made)
    assert [path.name for path in tmp_path.iterdir()] == [SCENARIO]


def test_a_load_shape_or_a_missing_kind_of_user_excludes_a_scenario() -> None:
    assert locust_problems(None, ["DashboardUser", "WidgetUser", "Other"]) == []
    assert (
        "got object: a shape and a scenario cannot both say who is there"
        in locust_problems(object(), ["DashboardUser"])[0]
    )
    assert locust_problems(None, ["WidgetUser"]) == ["expected both kinds of users, got no DashboardUser"]


@pytest.mark.parametrize(
    ("users", "expected"), [(6, (4, 2)), (3, (2, 1)), (2, (1, 1)), (30, (20, 10)), (1000, (667, 333))]
)
def test_users_are_shared_out_in_the_scenarios_proportion(users: int, expected: tuple[int, int]) -> None:
    assert split_users(users, 4, 2) == expected
