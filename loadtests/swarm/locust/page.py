"""Locust's web page: what refuses a start or edit is shown there, and what becomes of the run and its faults.

Another version of Locust may lack a place for one of these: then that one is not on the page.
"""

import math
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from flask import Response, jsonify, render_template_string, request
from locust.argument_parser import ui_extra_args_dict
from locust.web import WebUI

from chatswarm.loadtests.swarm.live.run_table import RunRow

from .options import with_form

Check = Callable[[Namespace, str | None, int, float, list[str] | None], list[str]]
"""Why no run can begin with these options, host, users, users per second and kinds of users (None: as they are)."""

# Flask's names for what Locust answers.
_SWARM = "locust.swarm"  # POST /swarm
_STATS = "locust.request_stats"  # GET /stats/requests, every 2 s while there is a run

_INDEX = "locust.index"  # GET /

_TAB = "chatswarm"
_COLUMNS = {"what": "What", "kind": "Kind", "on": "On", "due": "Due", "state": "State"}
"""By the field of RunRow: the title."""

_SUGGESTIONS = """
<datalist id="chatswarm-scenarios">
{% for name, said in scenarios.items() %}<option value="{{ name }}">{{ said }}</option>
{% endfor %}</datalist>
<script>
  // The form is rendered again each time it is opened.
  const suggest = () => {
    const field = document.querySelector("input[name=scenario]:not([list])");
    if (field === null) return;
    field.setAttribute("list", "chatswarm-scenarios");
    field.title = "Empty it for a list of the shipped scenarios.";
  };
  new MutationObserver(suggest).observe(document.body, {childList: true, subtree: true});
</script>
"""


def guard_page(page: WebUI, options: Namespace, check: Check, refused: Callable[[], list[str]]) -> None:
    """From now on, the page's *Start* and *Edit* show an error if `check` finds one, or if the start fails later:
    `refused` waits until that is known, and returns why.
    """
    app = page.app
    assert app is not None, "it is created with the page"
    swarm: Callable[..., Any] | None = app.view_functions.get(_SWARM)
    if swarm is None:
        return  # another version of Locust: errors are only in its log

    def checked_swarm(**arguments: Any) -> Any:  # noqa: ANN401
        form = request.form
        users, spawn_rate = _whole(form.get("user_count")), _number(form.get("spawn_rate"))
        # Locust sets any option that the form names, also those that it does not show.
        if foreign := sorted(name for name in form if name in vars(options) and name not in _shown()):
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in foreign)
            return refusal([f"{flags}: expected on the command line only, got it in the form"])
        # Locust itself refuses what is not a number.
        if users is not None and spawn_rate is not None:
            kinds = form.getlist("user_classes") or None
            problems = check(with_form(options, form), form.get("host", options.host), users, spawn_rate, kinds)
            if problems:
                return refusal(problems)
        response = app.make_response(swarm(**arguments))
        begun = response.get_json(silent=True)
        # The page asks how a run is only as long as there is one: too early, and it would never ask again.
        if isinstance(begun, dict) and begun.get("success") and (problems := refused()):
            return refusal(problems)
        return response

    def refusal(problems: list[str]) -> Any:  # noqa: ANN401
        return jsonify({"success": False, "message": "; ".join(problems), "host": page.environment.host})

    app.view_functions[_SWARM] = page.auth_required_if_enabled(checked_swarm)


def show_run(page: WebUI, rows: Callable[[], list[RunRow]]) -> None:
    """From now on, the page has a tab with these rows, and asks for them together with its statistics."""
    app, places = page.app, getattr(page, "template_args", None)
    assert app is not None, "it is created with the page"
    stats: Callable[..., Any] | None = app.view_functions.get(_STATS)
    if stats is None or not isinstance(places, dict):
        return

    def add(key: str, entry: dict[str, object]) -> None:
        """A locustfile of somebody's own may have added tabs, too."""
        places[key] = [*places.get(key, ()), {"key": _TAB, **entry}]

    add("extended_tabs", {"title": _TAB})
    add("extended_tables", {"structure": [{"key": key, "title": title} for key, title in _COLUMNS.items()]})

    def stats_with_run(**arguments: Any) -> Any:  # noqa: ANN401
        # Locust's answer may be one that it keeps for a while, so it must not be changed.
        response = app.make_response(stats(**arguments))
        report = response.get_json(silent=True)
        if not isinstance(report, dict):
            return response  # a login, or an error
        # The table is sorted by `name`, until somebody clicks on a column.
        data = [{"name": number, **asdict(row)} for number, row in enumerate(rows())]
        return jsonify({**report, "extended_stats": [*report.get("extended_stats", ()), {"key": _TAB, "data": data}]})

    app.view_functions[_STATS] = stats_with_run


def suggest_scenarios(page: WebUI, scenarios: Mapping[str, str]) -> None:
    """From now on, the form suggests these names, and says something of each, where it asks for the scenario."""
    app = page.app
    assert app is not None, "it is created with the page"
    index: Callable[..., Any] | None = app.view_functions.get(_INDEX)
    if index is None:
        return

    def index_with_suggestions(**arguments: Any) -> Response:  # noqa: ANN401
        response = app.make_response(index(**arguments))
        above, end, below = response.get_data(as_text=True).rpartition("</body>")
        if response.mimetype == "text/html" and end:
            response.set_data(above + render_template_string(_SUGGESTIONS, scenarios=scenarios) + end + below)
        return response

    app.view_functions[_INDEX] = index_with_suggestions


def _shown() -> set[str]:
    """The fields of the form that are options."""
    return {*ui_extra_args_dict(), "host", "run_time", "profile", "users", "spawn_rate", "user_classes", "shape_class"}


def _whole(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
