"""What happened to every message on every dashboard, from what the processes wrote down. No opinions: see `checks`."""

from .ledger import Ledger, build
from .merge import merge_histories
from .observations import Observations

__all__ = ["Ledger", "Observations", "build", "merge_histories"]
