"""Reads all queries from the dashboards' JSON files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grafana.files import FILES


@dataclass(frozen=True)
class Asked:
    """One query of one panel."""

    board: str
    panel: str
    legend: str
    query: str

    @property
    def name(self) -> str:
        return f"{self.panel}: {self.legend}"

    def filled(self, variables: Mapping[str, str]) -> str:
        """The query as Grafana would send it. Raises AssertionError if a variable is not replaced."""
        query = self.query
        for name, value in variables.items():
            query = query.replace(f"${name}", value)
        assert "$" not in query, query
        return query


def panels_of(board: Path) -> list[dict[str, Any]]:
    """A dashboard's panels, without the row headings."""
    content = json.loads(board.read_text(encoding="utf-8"))
    return [panel for panel in content["panels"] if panel["type"] != "row"]


def asked() -> list[Asked]:
    """Every query of every panel; annotations count as a panel."""
    found = []
    for path in FILES:
        content = json.loads(path.read_text(encoding="utf-8"))
        for panel in panels_of(path):
            found += [Asked(path.stem, panel["title"], one["legendFormat"], one["expr"]) for one in panel["targets"]]
        for note in content["annotations"]["list"]:
            found.append(Asked(path.stem, f"Annotation {note['name']}", note["titleFormat"], note["expr"]))
    return found
