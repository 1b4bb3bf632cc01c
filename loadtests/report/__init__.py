"""Reports of a run, for people and for CI: an HTML page, JUnit XML, and a Markdown summary.

`figures.py` computes the figures; all other modules only present them.
"""
