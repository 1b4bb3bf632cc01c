"""`chatswarm check`: a checklist, done step by step over real sockets, and what is wrong at the first ✗."""

from .report import LABELS, ROOM_LABELS, CheckReport, Step, closing, report_text, step_line
from .steps import run_checklist

__all__ = [
    "LABELS",
    "ROOM_LABELS",
    "CheckReport",
    "Step",
    "closing",
    "report_text",
    "run_checklist",
    "step_line",
]
