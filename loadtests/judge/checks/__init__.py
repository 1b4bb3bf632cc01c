"""The checks that every run goes through. A new check is one file and one row here."""

from .absent import absent
from .check import WORST, Check, CheckResult
from .frames import silent_socket, unnotified
from .late import late
from .leaked import leaked
from .lost import lost
from .order import reordered
from .refused import refused
from .stored import recovered, store_lost
from .vanished import vanished
from .wrongly_shown import corrupted, duplicated, misplaced, phantom

CHECKS: dict[str, Check] = {
    "lost": lost,
    "store_lost": store_lost,
    "unnotified": unnotified,
    "late": late,
    "duplicated": duplicated,
    "reordered": reordered,
    "phantom": phantom,
    "vanished": vanished,
    "corrupted": corrupted,
    "misplaced": misplaced,
    "silent_socket": silent_socket,
    "refused": refused,
    "absent": absent,
    "leaked": leaked,
}
"""Each check by the name of its finding in `verdict.json`. A count above 0 fails the run, unless an SLO names it."""

COUNTS: dict[str, Check] = {"recovered": recovered}
"""Counted and reported, but never a failure."""

__all__ = ["CHECKS", "COUNTS", "WORST", "Check", "CheckResult"]
