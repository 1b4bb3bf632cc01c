"""Chats for the tests: a small clean one, copies of it with one defect each, and copies that are slow in one stage.

Defects are deterministic: every so-many-th message or delivery, never one in so many at random. Each chat counts what
it broke, so that a verdict can be compared with the truth to the one.
"""

from .chat import Chat, serving
from .losing import ListFails, LosesEveryTenth
from .refusing import AdmitsOneDashboardInTwo, RefusesEveryThirdSend

__all__ = ["AdmitsOneDashboardInTwo", "Chat", "ListFails", "LosesEveryTenth", "RefusesEveryThirdSend", "serving"]
