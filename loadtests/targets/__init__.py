"""The chats that can be tested, by the name that `--adapter` takes. A new one is one file and one row here."""

import os
from collections.abc import Callable, Mapping

from .reference import Reference
from .target import Target

TARGETS: dict[str, Callable[[str | None], Target]] = {"reference": Reference}
DEFAULT = "reference"
TOKEN = "CHATSWARM_TOKEN"
"""The variable with the token that lets dashboards in. A flag or a file of the run would give it away."""


def token_of(environment: Mapping[str, str]) -> str | None:
    """The token of an environment; None if there is none. Raises ValueError, which does not repeat it.

    What files and shells leave around a token, a line's end above all, is no part of it.
    """
    token = environment.get(TOKEN, "").strip()
    if not token:
        return None
    wrong = next((at for at, character in enumerate(token, 1) if not "!" <= character <= "~"), None)
    if wrong is not None:
        what = "a space" if token[wrong - 1] == " " else f"U+{ord(token[wrong - 1]):04X}"
        raise ValueError(f"{TOKEN}: expected printable ASCII without spaces, got {what} as character {wrong}")
    return token


def target_of(adapter: str) -> Target:
    """The target of that name, with the token of the environment. Raises KeyError if there is none of the name, and
    ValueError if the token is none.
    """
    return TARGETS[adapter](token_of(os.environ))


__all__ = ["DEFAULT", "TARGETS", "TOKEN", "Reference", "Target", "target_of", "token_of"]
