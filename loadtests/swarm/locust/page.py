"""Locust's page: what makes no run is said to the person who asked for it, before anything starts."""

import math
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from flask import jsonify, request
from locust.web import WebUI

from .options import with_form

Check = Callable[[Namespace, str | None, int, float, list[str] | None], list[str]]
"""Why no run can begin with these options, host, users, users per second and kinds of users (None: as they are)."""

_ENDPOINT = "locust.swarm"  # of Flask: what answers POST /swarm


def guard_page(page: WebUI, options: Namespace, check: Check) -> None:
    """From now on the page's *Start* and *Edit* are answered with an error where `check` finds one."""
    app = page.app
    assert app is not None, "it is made with the page"
    swarm = app.view_functions.get(_ENDPOINT)
    if swarm is None:
        return  # another Locust: then errors are in its log only

    def answer(**arguments: Any) -> Any:  # noqa: ANN401
        form = request.form
        users, spawn_rate = _whole(form.get("user_count")), _number(form.get("spawn_rate"))
        # What is no number is Locust's own to refuse.
        if users is not None and spawn_rate is not None:
            kinds = form.getlist("user_classes") or None
            problems = check(with_form(options, form), form.get("host", options.host), users, spawn_rate, kinds)
            if problems:
                return jsonify({"success": False, "message": "; ".join(problems), "host": page.environment.host})
        return swarm(**arguments)

    app.view_functions[_ENDPOINT] = page.auth_required_if_enabled(answer)


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
