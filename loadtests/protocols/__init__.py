"""The protocols by the name that `--protocol` takes. A new one is one file and one row here."""

import os
from collections.abc import Callable, Mapping

from .protocol import ChatProtocol
from .reference import Reference

PROTOCOLS: dict[str, Callable[[str | None], ChatProtocol]] = {"reference": Reference}
DEFAULT = "reference"
TOKEN = "CHATSWARM_TOKEN"
"""The variable with the dashboards' bearer token. A flag or a file of the run would expose it."""


def token_of(environment: Mapping[str, str]) -> str | None:
    """The token in an environment; None if there is none. Raises ValueError, whose message does not contain it.

    Surrounding white space, such as the line end of a file, is ignored.
    """
    token = environment.get(TOKEN, "").strip()
    if not token:
        return None
    wrong = next((at for at, character in enumerate(token, 1) if not "!" <= character <= "~"), None)
    if wrong is not None:
        what = "a space" if token[wrong - 1] == " " else f"U+{ord(token[wrong - 1]):04X}"
        raise ValueError(f"{TOKEN}: expected printable ASCII without spaces, got {what} as character {wrong}")
    return token


def protocol_of(name: str) -> ChatProtocol:
    """The protocol called `name`, with the environment's token. Raises KeyError for an unknown name, and ValueError
    for an invalid token.
    """
    return PROTOCOLS[name](token_of(os.environ))


__all__ = ["DEFAULT", "PROTOCOLS", "TOKEN", "ChatProtocol", "Reference", "protocol_of", "token_of"]
