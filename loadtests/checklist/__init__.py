"""`chatswarm check`: the guide's checklist, done step by step over real sockets, and what is wrong at the first ✗."""

from .steps import LABELS, CheckReport, Step, closing, report_text, run_checklist, step_line

__all__ = ["LABELS", "CheckReport", "Step", "closing", "report_text", "run_checklist", "step_line"]
