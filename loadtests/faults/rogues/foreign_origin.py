"""Handshakes with a foreign Origin, as from another site's page in a user's browser."""

from collections.abc import Mapping
from functools import partial

from .intrusion import Attempt, Intrusion


class ForeignOrigin(Intrusion):
    """Attempts handshakes with a foreign Origin, and otherwise as a proper dashboard. Any HTTP 4xx is a refusal."""

    def attempts(self) -> Mapping[str, Attempt]:
        origin = str(self.values["origin"])
        headers = {**self.proper.headers, "Origin": origin}
        return {origin: partial(self.handshake, self.proper._replace(headers=headers))}

    def is_refusal(self, status: int) -> bool:
        return 400 <= status < 500
