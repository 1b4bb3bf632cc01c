"""Reports of a run, for people and for CI: an HTML page, JUnit XML, and a Markdown summary.

`figures.py` computes the figures; all other modules only present them.
"""

from .build import append_step_summary, figures_again, report_on, write_reports
from .files import NotWrittenError

__all__ = ["NotWrittenError", "append_step_summary", "figures_again", "report_on", "write_reports"]
