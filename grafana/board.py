"""What all dashboards share: variables, fault annotations, and the grid of rows."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    GridPos,
    Panel,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from .panels import RED, SOURCE
from .queries import SCRAPE, of_swarm

TAG: Final = "chatswarm"
WINDOWS: Final = ("5s", "10s", "30s", "1m", "5m")
WINDOW: Final = "10s"
FAULTS: Final = f"max by (name, kind) ({of_swarm('chatswarm_fault_active')}) > 0"


@dataclass(frozen=True)
class BoardRow:
    """Panels side by side with one height, each with its width, up to 24 in total. No heading without a title."""

    title: str
    height: int
    panels: tuple[tuple[Callable[[], Builder[Panel]], int], ...]


@dataclass(frozen=True)
class Board:
    """A dashboard."""

    uid: str
    title: str
    description: str
    rows: tuple[BoardRow, ...]

    def json(self) -> str:
        """The JSON that Grafana reads from a file."""
        return json.dumps(self._build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def _build(self) -> Dashboard:
        board = (
            dashboard.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .editable()
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .time("now-5m", "now")
            .timezone("browser")
            .refresh("5s")
            .timepicker(dashboard.TimePicker().refresh_intervals(["1s", "5s", "10s", "30s", "1m"]))
            .link(
                # Links to the other dashboard with the same time range.
                dashboard.DashboardLink(TAG)
                .type(DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .include_vars(True)
                .keep_time(True)
            )
            .annotation(_Faults())
        )
        for variable in _variables():
            board.with_variable(variable)
        number = 0
        for row in self.rows:
            if row.title:
                number += 1
                board.with_row(dashboard.Row(row.title).id(number))
            for panel, width in row.panels:
                number += 1
                built = panel().build()
                built.id_val = number
                board.with_panel(_Placed(built, width, row.height))
        return board.build()


class _Placed(Builder[Panel]):
    """A panel with the size that its row sets."""

    def __init__(self, panel: Panel, width: int, height: int) -> None:
        panel.grid_pos = GridPos(h=height, w=width)
        self._panel = panel

    def build(self) -> Panel:
        return self._panel


class _Faults(AnnotationQuery, Builder[AnnotationQuery]):
    """Bands over every panel while a fault is active. The SDK's builder lacks fields of Prometheus annotations."""

    def __init__(self) -> None:
        super().__init__(name="Faults", datasource=SOURCE, enable=True, icon_color=RED, expr=FAULTS)

    def build(self) -> AnnotationQuery:
        return self

    def to_json(self) -> dict[str, object]:
        # Newer versions of Grafana read the query from `target`, older ones from `expr`.
        target = {"refId": "Anno", "expr": self.expr, "interval": SCRAPE}
        names = {"titleFormat": "{{name}}", "textFormat": "{{kind}}"}
        return {**super().to_json(), "target": target, "step": SCRAPE, **names}


def _variables() -> list[Builder[VariableModel]]:
    everything = VariableOption(selected=True, text="All", value="$__all")
    return [
        dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"),
        _query(
            "run",
            "Run",
            "Runs of the swarm, by the random name in each of their messages.",
            "chatswarm_run_info",
            "run",
        )
        .multi(True)
        .current(everything),
        _query("swarm", "Swarm", "Masters of swarms.", "chatswarm_run_info", "instance").current(everything),
        _query("backend", "Backend", "Backends, each with all its workers.", "chat_messages_accepted_total", "instance")
        .multi(True)
        .current(everything),
        dashboard.IntervalVariable("window")
        .label("Window")
        .description("The window of quantiles and rates: short windows show events, long ones are smooth.")
        .values(",".join(WINDOWS))
        .current(VariableOption(selected=True, text=WINDOW, value=WINDOW)),
    ]


def _query(name: str, label: str, description: str, metric: str, of: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(SOURCE)
        .query({"query": f"label_values({metric}, {of})", "refId": "values"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .include_all(True)
        .all_value(".*")
    )
