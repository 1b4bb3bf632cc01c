"""The instructions for the rogues: one line of JSON on standard input. Secrets come in the environment."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from chatswarm.loadtests.protocols.catalogue import ProtocolError, find_protocol
from chatswarm.loadtests.scenario.fault_kinds import FAULT_KINDS
from chatswarm.loadtests.system.toml_reader import TomlTable

from . import KINDS
from .attacked_chat import AttackedChat
from .rogue import CannotBeginError, Rogue


class Instructions(msgspec.Struct, forbid_unknown_fields=True):
    """Which rogue, and against what. `target` is a base URL. Missing parameters get their defaults."""

    kind: str
    target: str
    protocol: str
    run: str = ""
    rooms: Sequence[str] = ()  # the ids of the run's rooms
    parameters: Mapping[str, Any] = {}
    protocol_text: str = ""  # of its file, if it has been read already

    @classmethod
    def parse(cls, line: bytes) -> "Instructions":
        """Raises CannotBeginError."""
        try:
            return msgspec.json.decode(line, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise CannotBeginError(
                f"instructions: expected one line of JSON with kind, target and protocol, got: {error}"
            ) from None

    def rogue(self, tasks: asyncio.TaskGroup, environment: Mapping[str, str]) -> Rogue:
        """Makes the rogue, with the environment's secrets. Raises CannotBeginError."""
        if self.kind not in KINDS:
            raise CannotBeginError(f"kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")
        try:
            protocol = find_protocol(self.protocol, self.protocol_text)
            chat = AttackedChat(self.target, protocol, environment, self.run, self.rooms)
        except ProtocolError as error:
            raise CannotBeginError(f"protocol: {'; '.join(error.problems)}") from None
        except ValueError as error:
            raise CannotBeginError(f"target: {error}") from None
        known = FAULT_KINDS[self.kind].parameters
        table = TomlTable("parameters", self.parameters)
        values = {key: table.take(key, parameter.default, parameter.read) for key, parameter in known.items()}
        table.finish()
        if table.problems:
            raise CannotBeginError("; ".join(table.problems))
        return KINDS[self.kind](chat, {key: value for key, value in values.items() if value is not None}, tasks)
