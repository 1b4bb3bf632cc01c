"""What happened to each message on each dashboard, derived from the history. No opinions: those are in `checks`."""

from .ledger import Ledger, build
from .merge import merge_histories
from .observations import Observations

__all__ = ["Ledger", "Observations", "build", "merge_histories"]
