"""Checks a start or edit on Locust's web page, and shows its errors before anything starts."""

import math
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from flask import jsonify, request
from locust.web import WebUI

from .options import with_form

Check = Callable[[Namespace, str | None, int, float, list[str] | None], list[str]]
"""Why no run can begin with these options, host, users, users per second and kinds of users (None: as they are)."""

_ENDPOINT = "locust.swarm"  # Flask's name for POST /swarm


def guard_page(page: WebUI, options: Namespace, check: Check) -> None:
    """From now on, the page's *Start* and *Edit* show an error if `check` finds one."""
    app = page.app
    assert app is not None, "it is created with the page"
    swarm = app.view_functions.get(_ENDPOINT)
    if swarm is None:
        return  # another version of Locust: errors are only in its log

    def checked_swarm(**arguments: Any) -> Any:  # noqa: ANN401
        form = request.form
        users, spawn_rate = _whole(form.get("user_count")), _number(form.get("spawn_rate"))
        # Locust itself refuses what is not a number.
        if users is not None and spawn_rate is not None:
            kinds = form.getlist("user_classes") or None
            problems = check(with_form(options, form), form.get("host", options.host), users, spawn_rate, kinds)
            if problems:
                return jsonify({"success": False, "message": "; ".join(problems), "host": page.environment.host})
        return swarm(**arguments)

    app.view_functions[_ENDPOINT] = page.auth_required_if_enabled(checked_swarm)


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
