"""Variables of a protocol, in four scopes: the run, a user, one of its connections, and a room on that connection."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Literal
from urllib.parse import quote, quote_plus

Scope = Literal["run", "user", "connection", "room"]
_ORDER: tuple[Scope, ...] = ("run", "user", "connection", "room")


class OutOfScopeError(KeyError):
    """A variable that is not known where it is used. The text says where it is known."""

    def __str__(self) -> str:
        return str(self.args[0])


class Variables:
    """The variables of one scope. Those of wider scopes can be read here, too; those of narrower ones cannot."""

    def __init__(self, scope: Scope, wider: "Variables | None" = None) -> None:
        """`wider`: the next wider scope that has variables. Raises ValueError if it is not wider."""
        if wider is not None and _ORDER.index(wider.scope) >= _ORDER.index(scope):
            raise ValueError(f"scope {scope}: expected a wider one around it, got {wider.scope}")
        self.scope: Scope = scope
        self._wider = wider
        self._values: dict[str, str] = {}
        self._plain: set[str] = set()
        self._narrower: set[tuple[str, Scope]] = set()

    def __getitem__(self, name: str) -> str:
        """The value of a variable. Raises OutOfScopeError."""
        scope: Variables | None = self
        while scope is not None:
            if name in scope._values:
                return scope._values[name]
            scope = scope._wider
        where = sorted((narrow for known, narrow in self._narrower if known == name), key=_ORDER.index)
        known = f"one that is known in the scope {where[0]} only" if where else "an unknown one"
        raise OutOfScopeError(f"{name}: expected a variable of the scope {self.scope} or wider, got {known}")

    def set_plain(self, name: str, value: str) -> None:
        """Sets a variable that is no secret."""
        self[name] = value
        self._plain.add(name)

    def take(self, others: "Variables") -> None:
        """Sets the variables of another scope of this kind, without its wider ones."""
        for name, value in others._values.items():
            self[name] = value
        self._plain |= others._plain

    def __setitem__(self, name: str, value: str) -> None:
        self._values[name] = value
        scope = self._wider
        while scope is not None:
            scope._narrower.add((name, self.scope))
            scope = scope._wider

    def __contains__(self, name: str) -> bool:
        return name in self._values or (self._wider is not None and name in self._wider)

    def forget(self, name: str) -> None:
        """Removes a variable of this scope, if it is there."""
        self._values.pop(name, None)
        self._plain.discard(name)

    def blanked(self, text: str) -> str:
        """The text with the values of this scope and wider ones blanked: they may be secrets. See `blanked`."""
        values: list[str] = []
        scope: Variables | None = self
        while scope is not None:
            values += [value for name, value in scope._values.items() if name not in scope._plain]
            scope = scope._wider
        return blanked(text, values)


def blanked(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets: as they are, as URLs, headers, JSON and Python's `repr` write them, and cut short
    at the end of an excerpt. Those of fewer than 6 characters stay, because any text has them by chance.
    """
    forms = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = _without(text, form)
    return text


_SHORTEST_SECRET = 6
_BLANK = "***"
_ENDS_AN_EXCERPT = "'\")"


def _forms(secret: str) -> set[str]:
    encoded = secret.encode("utf-8", "surrogatepass")
    base64s = {coded.decode().rstrip("=") for coded in (urlsafe_b64encode(encoded), b64encode(encoded))}
    return {
        secret,
        quote(encoded, safe=""),
        quote_plus(encoded),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        *base64s,
    }


def _without(text: str, secret: str) -> str:
    at = text.find(secret[:_SHORTEST_SECRET])
    while at >= 0:
        end = at + _SHORTEST_SECRET
        while end < len(text) and end - at < len(secret) and text[end] == secret[end - at]:
            end += 1
        if end - at == len(secret) or end == len(text) or text[end] in _ENDS_AN_EXCERPT:
            text = text[:at] + _BLANK + text[end:]
        at = text.find(secret[:_SHORTEST_SECRET], at + 1)
    return text
