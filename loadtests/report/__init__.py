"""What a run leaves for people and for CI: one page, JUnit's XML, and a summary in Markdown.

`figures.py` works out what is shown; the others only show it.
"""

from .build import append_step_summary, figures_again, report_on, write_reports
from .files import NotWrittenError

__all__ = ["NotWrittenError", "append_step_summary", "figures_again", "report_on", "write_reports"]
