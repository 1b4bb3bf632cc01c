"""Locust's page with what chatswarm adds, also in a Locust that has no place for it. Each in a separate process."""

import subprocess
import sys

PRELUDE = """
from argparse import Namespace

from flask import jsonify
from locust.env import Environment
from locust.web import WebUI

from chatswarm.loadtests.swarm.live.run_table import RunRow
from chatswarm.loadtests.swarm.locust.page import guard_page, show_run, suggest_scenarios

class Older:
    '''A page of a Locust that has none of the places.'''
    def __init__(self, app):
        self.app = app

environment = Environment(user_classes=[])
environment.create_local_runner()
page = WebUI(environment, "127.0.0.1", 0, delayed_start=True)
row = RunRow("cut", "down", "dashboards", "at 1 s", "waiting")
"""


def passes(program: str) -> None:
    result = subprocess.run([sys.executable, "-c", PRELUDE + program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_a_locust_without_the_places_keeps_its_page_as_it_is() -> None:
    passes("""
from flask import Flask
older = Older(Flask("older"))
older.app.add_url_rule("/stats", "somewhere.else", lambda: jsonify({"state": "ready"}))
guard_page(older, Namespace(), lambda *_: ["never"], list)
show_run(older, lambda: [row])
suggest_scenarios(older, {"kill": "Faults"})
assert older.app.test_client().get("/stats").json == {"state": "ready"}
assert not hasattr(older, "template_args")
""")


def test_answers_that_are_not_as_expected_are_left_alone() -> None:
    passes("""
page.app.view_functions["locust.request_stats"] = lambda: jsonify(["something", "else"])
page.app.view_functions["locust.index"] = lambda: ("no page", 500)
show_run(page, lambda: [row])
suggest_scenarios(page, {"kill": "Faults"})
client = page.app.test_client()
assert client.get("/stats/requests").json == ["something", "else"]
index = client.get("/")
assert (index.status_code, index.text) == (500, "no page")
""")


def test_tabs_of_somebody_elses_stay() -> None:
    passes("""
page.template_args["extended_tabs"] = [{"title": "Mine", "key": "mine"}]
stats = page.app.view_functions["locust.request_stats"]
theirs = {"key": "mine", "data": []}
page.app.view_functions["locust.request_stats"] = lambda: jsonify({**stats().json, "extended_stats": [theirs]})
show_run(page, lambda: [row])
client = page.app.test_client()
for _ in range(2):
    mine, ours = client.get("/stats/requests").json["extended_stats"]
    assert mine == theirs
    assert (ours["key"], ours["data"][0]["what"], ours["data"][0]["name"]) == ("chatswarm", "cut", 0)
page.update_template_args()
assert [tab["title"] for tab in page.template_args["extended_tabs"]] == ["Mine", "chatswarm"]
""")


def test_what_is_said_of_a_scenario_is_text() -> None:
    passes("""
suggest_scenarios(page, {'a"b': "</datalist><b>&"})
text = page.app.test_client().get("/").text
assert '<option value="a&#34;b">&lt;/datalist&gt;&lt;b&gt;&amp;</option>' in text
assert text.rstrip().endswith("</html>")
""")
