"""The chats that can be tested, by the name that `--adapter` takes. A new one is one file and one row here."""

from .reference import Reference
from .target import Target

TARGETS: dict[str, type[Target]] = {"reference": Reference}
DEFAULT = "reference"

__all__ = ["DEFAULT", "TARGETS", "Reference", "Target"]
