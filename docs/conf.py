"""How Sphinx builds the manuals into a site (`make docs`).

The manuals are plain Markdown at the root and in `docs/`, and read the same on a forge. Sphinx reads them in place, so
a relative link means the same on both. Only the site needs navigation, so it is defined here.
"""

from pathlib import Path

from sphinx.application import Sphinx

project = "chatswarm"
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md"]
exclude_patterns = [".venv", "build", "runs"]

# The same anchors for headings as on a forge, so that `page.md#heading` works on both. A link to a page or heading that
# does not exist is a warning, which `make docs` turns into an error.
myst_heading_anchors = 4
# The guide marks console output as JavaScript, which it is not.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = "chatswarm"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_use_index = False

NAVIGATION = {
    "Use": ["docs/check", "docs/scenarios", "docs/faults", "docs/locust"],
    "Any chat": ["docs/your-chat", "docs/protocols", "docs/protocol-files", "docs/chats"],
    "Understand": [
        "docs/judging",
        "docs/why",
        "docs/compare",
        "docs/trend",
        "docs/results",
        "docs/sql",
        "docs/report",
    ],
    "Build in": ["docs/pytest", "docs/metrics", "docs/grafana", "docs/compose"],
    "The chat": ["docs/reference-chat", "docs/push-chat", "docs/refetch", "docs/protocol", "docs/guide"],
    "Change chatswarm": ["ARCHITECTURE", "EXTENDING", "CONTRIBUTING", "docs/benchmarks", "CHANGELOG"],
}
"""The pages of the site, in order. A page that is missing here is a warning, too."""


def _add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    """Adds the navigation to the root page. In the Markdown itself, a forge would show it as code."""
    if name == app.config.root_doc:
        for caption, pages in NAVIGATION.items():
            source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def _add_front_door(app: Sphinx, exception: Exception | None) -> None:
    """Redirects `index.html` to the README."""
    if exception is None:
        page = f'<!doctype html><title>{project}</title><meta http-equiv="refresh" content="0; url={root_doc}.html">\n'
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _add_navigation)
    app.connect("build-finished", _add_front_door)
