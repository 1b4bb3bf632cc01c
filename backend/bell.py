"""What a worker needs of a bell, however it rings: by datagrams (intercom.py) or over a broker (broker.py)."""

from __future__ import annotations

from typing import Protocol


class Bell(Protocol):
    """Tells the other workers that the log has grown. It may fail at any time: the log is looked at anyway."""

    def ring(self) -> None:
        """Ring at the others. Never waits, never raises."""
