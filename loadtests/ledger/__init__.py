"""What happened to every message on every dashboard, from what the processes wrote down. No opinions: see `checks`."""

from .evidence import Evidence
from .gather import gather
from .ledger import Ledger, build

__all__ = ["Evidence", "Ledger", "build", "gather"]
