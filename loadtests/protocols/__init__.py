"""The protocols by the name that `--protocol` takes. A new one is one file and one row here."""

import os
from collections.abc import Callable, Mapping

from .protocol import ChatProtocol
from .push import KEY, Push
from .reference import Reference

PROTOCOLS: dict[str, Callable[[Mapping[str, str]], ChatProtocol]] = {
    "reference": lambda environment: Reference(token_of(environment)),
    "push": lambda environment: Push(secret_of(environment, KEY)),
}
"""Each makes its protocol from a process's environment. Raises ValueError for an invalid secret, without showing it."""
DEFAULT = "reference"
TOKEN = "CHATSWARM_TOKEN"
"""The variable with the dashboards' bearer token. A flag or a file of the run would expose it."""


def token_of(environment: Mapping[str, str]) -> str | None:
    """The token in an environment; None if there is none. Raises ValueError, whose message does not contain it."""
    return secret_of(environment, TOKEN)


def secret_of(environment: Mapping[str, str], variable: str) -> str | None:
    """The secret in a variable; None if there is none. Raises ValueError, whose message does not contain it.

    Surrounding white space, such as the line end of a file, is ignored.
    """
    secret = environment.get(variable, "").strip()
    if not secret:
        return None
    wrong = next((at for at, character in enumerate(secret, 1) if not "!" <= character <= "~"), None)
    if wrong is not None:
        what = "a space" if secret[wrong - 1] == " " else f"U+{ord(secret[wrong - 1]):04X}"
        raise ValueError(f"{variable}: expected printable ASCII without spaces, got {what} as character {wrong}")
    return secret


def protocol_of(name: str) -> ChatProtocol:
    """The protocol called `name`, with the environment's secrets. Raises KeyError for an unknown name, and ValueError
    for an invalid secret.
    """
    return PROTOCOLS[name](os.environ)


__all__ = ["DEFAULT", "KEY", "PROTOCOLS", "TOKEN", "ChatProtocol", "Push", "Reference", "protocol_of", "token_of"]
