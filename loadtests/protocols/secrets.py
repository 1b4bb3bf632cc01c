"""Secrets from a process's environment, the only place for them: flags and files of a run are public."""

from collections.abc import Mapping

TOKEN = "CHATSWARM_TOKEN"
"""The variable with the dashboards' bearer token."""


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
