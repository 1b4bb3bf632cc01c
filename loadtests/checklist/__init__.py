"""`chatswarm check`: the guide's checklist, walked step by step over real sockets, and what is wrong at the first ✗."""

from .walk import LABELS, Report, Step, closing, report_text, step_line, walk

__all__ = ["LABELS", "Report", "Step", "closing", "report_text", "step_line", "walk"]
