"""Writes the dashboards' JSON files: `make grafana`."""

from .files import FILES

for path, board in FILES.items():
    path.write_text(board.json(), encoding="utf-8")
    print(path)
