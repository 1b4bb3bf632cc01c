"""The chats that can be tested, by the name that `--adapter` takes. A new one is one file and one row here."""

import os
from collections.abc import Callable

from .reference import Reference
from .target import Target

TARGETS: dict[str, Callable[[str | None], Target]] = {"reference": Reference}
DEFAULT = "reference"
TOKEN = "CHATSWARM_TOKEN"
"""The variable with the token that lets dashboards in. A flag or a file of the run would give it away."""


def target_of(adapter: str) -> Target:
    """The target of that name, with the token of the environment. Raises KeyError if there is none of the name."""
    return TARGETS[adapter](os.environ.get(TOKEN))


__all__ = ["DEFAULT", "TARGETS", "TOKEN", "Reference", "Target", "target_of"]
