"""Another site's page in a user's browser: handshakes with an Origin that is not the chat's."""

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from chatswarm.loadtests.faults.fault import Parameter
from chatswarm.loadtests.reading import positive, text

from .intruder import Attempt, Intruder


class ForeignOrigin(Intruder):
    """Attempts handshakes from another site, with the right token if there is one. HTTP 4xx refuses them."""

    parameters: ClassVar = {
        "attempts": Parameter(positive, 5.0, "handshakes per second"),
        "origin": Parameter(text, "https://evil.example", "their Origin header"),
    }

    def attempts(self) -> Mapping[str, Attempt]:
        origin = str(self.values["origin"])
        return {origin: partial(self.handshake, {**self.site.target.socket_headers, "Origin": origin})}

    def is_refusal(self, status: int) -> bool:
        return 400 <= status < 500
