"""The chat `lines` with its history, which is plain text: the file, and a class for what it cannot say."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from chatswarm.loadtests.protocols.described import Described, read_description
from chatswarm.loadtests.protocols.protocol import Page, Request, User

_FILE = Path(__file__).with_name("lines.toml")
_DESCRIPTION = read_description(_FILE.read_text(encoding="utf-8"), str(_FILE))


class _Line(msgspec.Struct, frozen=True):
    """One line of the history: `user|text`."""

    text: str
    from_customer: bool = True
    message_id: None = None


class Lines(Described):
    """All that the file says, and the history."""

    name = "lines"
    promises = msgspec.structs.replace(_DESCRIPTION.promises, history="pages")
    list_window = None
    unavailable_means_not_done = False
    expired_codes = ()
    server_header = ""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__(_DESCRIPTION, environment)
        self.promises = Lines.promises

    def whole_chat(self, user: User, chat: str, page: str | None = None) -> Request:
        return Request("GET", f"/history/{chat}")

    def read_whole_chat(self, body: bytes, page: str | None = None) -> Page:
        return Page([_Line(line.partition("|")[2]) for line in body.decode().split("\n")[:-1]])
