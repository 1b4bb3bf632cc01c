"""Several plots as one SVG file, in columns."""

from collections.abc import Sequence

from chatswarm.loadtests.report.markup import Markup, element
from chatswarm.loadtests.report.plot import Plot

_WIDTH, _HEIGHT = 620.0, 322.0  # of one plot, in pixels
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a; } .grid { stroke: #e4e8ec; } .axis { stroke: #8c959f; }
path { fill: none; } .line { stroke-width: 2; } .page { fill: #fff; } text.name { stroke: none; }
"""


def grid(columns: Sequence[Sequence[Plot]], style: str) -> str:
    """The plots of each column, from the top. `style`: the colours of their lines, as CSS."""
    placed: list[Markup] = []
    for column, plots in enumerate(columns):
        for row, plot in enumerate(plots):
            place = {"x": column * _WIDTH, "y": row * _HEIGHT, "width": _WIDTH, "height": _HEIGHT}
            placed.append(element("svg", plot.draw(_WIDTH), **place))
    whole = element(
        "svg",
        element("style", Markup(_STYLE + style)),
        element("rect", width="100%", height="100%", class_="page"),
        placed,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {len(columns) * _WIDTH:g} {max(map(len, columns)) * _HEIGHT:g}",
    )
    return f"{whole}\n"
