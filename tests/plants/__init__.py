"""Chats for the tests: a small clean one, copies of it with one defect each, and copies that are slow in one stage."""

from .chat import Chat, serving
from .defects import AdmitsOneDashboardInTwo, ListFails, LosesEveryTenth, RefusesEveryThirdSend

__all__ = ["AdmitsOneDashboardInTwo", "Chat", "ListFails", "LosesEveryTenth", "RefusesEveryThirdSend", "serving"]
