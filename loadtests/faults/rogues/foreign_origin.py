"""Another site's page in a user's browser: handshakes with an Origin that is not the chat's."""

from collections.abc import Mapping
from functools import partial

from .intrusion import Attempt, Intrusion


class ForeignOrigin(Intrusion):
    """Attempts handshakes from another site, with the right token if there is one. HTTP 4xx refuses them."""

    def attempts(self) -> Mapping[str, Attempt]:
        origin = str(self.values["origin"])
        return {origin: partial(self.handshake, {**self.site.target.socket_headers, "Origin": origin})}

    def is_refusal(self, status: int) -> bool:
        return 400 <= status < 500
