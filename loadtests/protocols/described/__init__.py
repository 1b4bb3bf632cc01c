"""Chats that are described in a TOML file, from its text to a protocol: see docs/protocol-files.md."""

from .description import Description, ProtocolFileError
from .members import MembersFileError, read_members
from .protocol import Described
from .reader import read_description

__all__ = ["Described", "Description", "MembersFileError", "ProtocolFileError", "read_description", "read_members"]
