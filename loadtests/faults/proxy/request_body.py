"""Parses request bodies: JSON objects, whose problems are collected and reported together."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from .address import ListenAddress
from .errors import bad_body

_T = TypeVar("_T")


class Body:
    """A JSON object from a client. Each getter returns the field or its default, and adds to `problems`.

    As in Toxiproxy, `null` means "not given", and unknown fields are ignored.
    """

    def __init__(self, fields: Mapping[str, object], where: str = "") -> None:
        self.problems: list[str] = []
        self._fields = fields
        self._where = where

    def text(self, name: str, default: str) -> str:
        value = self._fields.get(name)
        if value is None or isinstance(value, str):
            return default if value is None else value
        return self._reject(name, "text", value, default)

    def boolean(self, name: str, default: bool) -> bool:
        value = self._fields.get(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        return self._reject(name, "true or false", value, default)

    def fraction(self, name: str, default: float) -> float:
        """A number from 0 to 1."""
        value = self._fields.get(name)
        if value is None:
            return default
        if type(value) in (int, float) and isinstance(value, int | float) and 0 <= value <= 1:
            return value
        return self._reject(name, "a number from 0 to 1", value, default)

    def mapping(self, name: str) -> Mapping[str, object]:
        value = self._fields.get(name)
        if value is None or isinstance(value, dict):
            return value or {}
        return self._reject(name, "an object", value, {})

    def address(self, name: str, default: _T) -> ListenAddress | _T:
        """An address; empty means "not given"."""
        text = self.text(name, "")
        try:
            return ListenAddress.parse(text) if text else default
        except ValueError as error:
            self.problems.append(f"{self._where}{name}: {error}")
            return default

    def _reject(self, name: str, expected: str, got: object, default: _T) -> _T:
        self.problems.append(f"{self._where}{name}: expected {expected}, got {_excerpt(got)}")
        return default


def read_object(body: bytes) -> Body:
    """Raises ApiError if the body is not a JSON object."""
    return _object(_decode(body, "a JSON object"), "")


def read_list(body: bytes) -> list[Body]:
    """Raises ApiError if the body is not a JSON array of objects."""
    value = _decode(body, "a JSON array of proxies")
    if not isinstance(value, list):
        raise bad_body([f"expected a JSON array of proxies, got {_excerpt(value)}"])
    return [_object(item, f"proxy {number}: ") for number, item in enumerate(value, 1)]


def _decode(body: bytes, expected: str) -> object:
    if not body.strip():
        raise bad_body([f"expected {expected}, got nothing"])
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise bad_body([f"expected {expected}, got something else: {error}"]) from None
    return value


def _object(value: object, where: str) -> Body:
    if not isinstance(value, dict):
        raise bad_body([f"{where}expected a JSON object, got {_excerpt(value)}"])
    return Body(value, where)


def _excerpt(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 100 else text[:100] + "…"
