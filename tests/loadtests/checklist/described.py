"""Protocol files for the checklist's tests: shipped ones, and copies in which one thing is wrong."""

from __future__ import annotations

from collections.abc import Mapping

from chatswarm.loadtests.protocols.catalogue import find_protocol, shipped
from chatswarm.loadtests.protocols.described import Described

Edit = tuple[str, str]
"""A part of a file, and what stands there instead."""


def edited(text: str, *edits: Edit) -> str:
    """The text with edits, each of which has to find its place."""
    for before, after in edits:
        assert before in text, before
        text = text.replace(before, after)
    return text


def described(text: str, url: str, environment: Mapping[str, str] | None = None) -> Described:
    """The protocol that a file describes, for a chat at a base URL."""
    protocol = find_protocol("ours.toml", text).make(environment or {}, url)
    assert isinstance(protocol, Described)
    return protocol


def file_of(name: str) -> str:
    """The text of a shipped file."""
    return shipped()[name].read_text(encoding="utf-8")
