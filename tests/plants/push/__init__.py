"""A small clean push chat with rooms, and copies with one defect each."""

from . import leaking, losing, refusing, showing
from .chat import PushChat
from .plant import PushPlant

__all__ = ["PushChat", "PushPlant", "leaking", "losing", "refusing", "showing"]
