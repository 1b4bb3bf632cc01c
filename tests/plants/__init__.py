"""Chats for the tests: a small clean one, copies with one defect each, and copies that are slow in one stage.

Defects are deterministic: they affect every n-th message or delivery, not a random share. Each chat counts what it
broke, so the counts in a verdict can be compared exactly.
"""

from .chat import Chat, serving
from .losing import ListFails, LosesEveryTenth
from .refusing import AdmitsOneDashboardInTwo, RefusesEveryThirdSend

__all__ = ["AdmitsOneDashboardInTwo", "Chat", "ListFails", "LosesEveryTenth", "RefusesEveryThirdSend", "serving"]
