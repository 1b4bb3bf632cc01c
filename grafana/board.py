"""What all dashboards have in common: variables, the faults as bands, a grid of rows."""

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
    """Panels side by side, of one height, each with its width; 24 make a full row. Without a title: no heading."""

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
        """As Grafana reads it from a file."""
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
                # From a bend in one dashboard to the same seconds in the other.
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
    """A panel of a size that its row decides."""

    def __init__(self, panel: Panel, width: int, height: int) -> None:
        panel.grid_pos = GridPos(h=height, w=width)
        self._panel = panel

    def build(self) -> Panel:
        return self._panel


class _Faults(AnnotationQuery, Builder[AnnotationQuery]):
    """Bands over every panel while a fault is there. The builder lacks what Prometheus' annotations say beside."""

    def __init__(self) -> None:
        super().__init__(name="Faults", datasource=SOURCE, enable=True, icon_color=RED, expr=FAULTS)

    def build(self) -> AnnotationQuery:
        return self

    def to_json(self) -> dict[str, object]:
        # Grafana moved the query below `target`, and still reads the older place.
        target = {"refId": "Anno", "expr": self.expr, "interval": SCRAPE}
        names = {"titleFormat": "{{name}}", "textFormat": "{{kind}}"}
        return {**super().to_json(), "target": target, "step": SCRAPE, **names}


def _variables() -> list[Builder[VariableModel]]:
    everything = VariableOption(selected=True, text="All", value="$__all")
    return [
        dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"),
        _query("run", "Run", "Runs of the swarm, by the random name in every message.", "chatswarm_run_info", "run")
        .multi(True)
        .current(everything),
        _query("swarm", "Swarm", "Masters of swarms.", "chatswarm_run_info", "instance").current(everything),
        _query("backend", "Backend", "Backends, each with all its workers.", "chat_messages_accepted_total", "instance")
        .multi(True)
        .current(everything),
        dashboard.IntervalVariable("window")
        .label("Window")
        .description("Over how long quantiles and rates are taken: short shows events, long is smooth.")
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
