"""Locust's page as a person sees it: which scenarios there are, why none starts, and what becomes of the faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.e2e.command import LOCUST, QUICK, Command, running, scenario, until
from tests.e2e.given import fault, given_chat
from tests.e2e.locust_page import Page as LocustPage

from .browser import Open, Tab

LONG = QUICK.replace('"2s"', '"60s"')
FAULTS = fault("pause", "1s", "50s", name="frozen") + fault("latency", "58s", "1s", latency="10ms", name="slow")


@contextmanager
def locust(folder: Path, *, with_pid: bool = True) -> Iterator[tuple[LocustPage, Command]]:
    with given_chat(folder) as chat:
        page = LocustPage(chat.url)
        args = [*page.args, "--scenario", scenario(folder, LONG + FAULTS)]
        args += ["--pid", str(chat.process.pid)] if with_pid else []
        with running([*LOCUST, *args], folder / "master") as command:
            until(page.there)
            yield page, command


def parameters(tab: Tab) -> Locator:
    """Opens the form's part for chatswarm. Returns the scenario's field."""
    tab.page.get_by_text("Custom parameters").click()
    field = tab.page.locator("input[name=scenario]")
    expect(field).to_be_visible()
    return field


def start(tab: Tab) -> None:
    tab.page.get_by_role("button", name="Start", exact=True).click()


def row(tab: Tab, what: str) -> Locator:
    return tab.page.locator("tbody tr", has=tab.page.get_by_role("cell", name=what, exact=True))


def test_the_form_asks_for_a_scenario_and_suggests_the_shipped_ones(tmp_path: Path, open_tab: Open) -> None:
    with locust(tmp_path) as (page, _):
        tab = open_tab(page.url)
        field = parameters(tab)
        expect(field).to_have_value(str(tmp_path / "quick.toml"))
        expect(field).to_have_attribute("title", "Empty it for a list of the shipped scenarios.")
        suggested = dict(field.evaluate("field => [...field.list.options].map(each => [each.value, each.label])"))
        assert suggested["smoke"] == "Without faults. Does it work under a light load?"
        assert suggested["kill"].startswith("Faults: kill on target. Is anything lost")
        # A web page must not be able to run commands, or to end processes.
        names = set(tab.page.locator("form [name]").evaluate_all("all => all.map(each => each.name)"))
        assert {"scenario", "protocol", "seed", "origin", "out"} <= names
        assert names.isdisjoint({"pid", "restart_command", "toxiproxy", "metrics_port", "metrics_host", "proxy_host"})


def test_why_a_scenario_cannot_start_is_on_the_page(tmp_path: Path, open_tab: Open) -> None:
    with locust(tmp_path, with_pid=False) as (page, _):
        tab = open_tab(page.url)
        field = parameters(tab)
        field.fill("kill")
        start(tab)
        said = "fault kill: expected --pid, the target's process, because chatswarm did not start it"
        expect(tab.page.get_by_role("alert")).to_have_text(said)
        expect(field).to_have_value("kill")


def test_a_run_and_its_faults_are_watched_and_stopped(tmp_path: Path, open_tab: Open) -> None:
    with locust(tmp_path) as (page, command):
        tab = open_tab(page.url)
        start(tab)
        tab.page.get_by_role("tab", name="chatswarm").click()
        expect(row(tab, "frozen")).to_contain_text("pausetargetat 1 s, for 50 sin force, since ")
        expect(row(tab, "slow")).to_contain_text("waiting until 58 s")
        expect(row(tab, "quick")).to_contain_text("measuring, ")
        tab.page.get_by_role("button", name="Stop").click()
        expect(row(tab, "frozen")).to_contain_text("over, from ")
        expect(row(tab, "slow")).to_contain_text("did not begin: the run ended before")
        expect(row(tab, "quick")).to_contain_text("over, ended after ")
        # And once more.
        tab.page.get_by_role("button", name="New").click()
        start(tab)
        expect(row(tab, "frozen")).to_contain_text("in force, since ")
        assert command.said().count("fault frozen begins") == 2
        tab.page.get_by_role("button", name="Stop").click()
        expect(row(tab, "frozen")).to_contain_text("over, from ")
