"""Runs a real Prometheus with this repository's configuration and rules, on a free port."""

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from chatswarm.loadtests.system.children import Child, free_port
from tests.e2e.command import until

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "grafana" / "prometheus"
_UNPACKED = ROOT / "build" / "prometheus" / "usr" / "bin"
_PATIENCE = 30.0  # seconds to start, on a busy machine

MISSING = (
    "NO PROMETHEUS: not one panel, rule or alert was tried. `make build/prometheus` unpacks Debian's package here; "
    "or have `prometheus` and `promtool` on the path."
)


def program(name: str) -> str | None:
    """The path of `prometheus` or `promtool`: from PATH, or as unpacked by `make build/prometheus`."""
    return shutil.which(name) or shutil.which(name, path=str(_UNPACKED))


@dataclass(frozen=True)
class Sample:
    """One series at one point in time."""

    labels: Mapping[str, str]
    value: float


class Prometheus:
    """A client for its HTTP API. Times are seconds since 1970."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=f"{url}/api/v1", timeout=_PATIENCE, trust_env=False)

    def ask(self, query: str, at: float | None = None) -> list[Sample]:
        """The result of a query at a time, by default now. Raises AssertionError for an invalid query."""
        data = self._get("query", {"query": query, **({} if at is None else {"time": str(at)})})
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(one["metric"], float(one["value"][1])) for one in data["result"]]

    def over_time(self, query: str, start: float, end: float, step: float) -> list[Sample]:
        """All values of a query at every step that a panel would draw."""
        data = self._get("query_range", {"query": query, "start": str(start), "end": str(end), "step": str(step)})
        drawn = [Sample(one["metric"], float(value)) for one in data["result"] for _, value in one["values"]]
        return [sample for sample in drawn if math.isfinite(sample.value)]

    def rules(self) -> list[dict[str, Any]]:
        """All rules, with their queries and the result of the last evaluation."""
        return [rule for group in self._get("rules", {})["groups"] for rule in group["rules"]]

    def _get(self, path: str, parameters: Mapping[str, str]) -> Any:
        answer = self._http.get(f"/{path}", params=parameters).json()
        assert answer["status"] == "success", f"{parameters.get('query')}: {answer}"
        return answer["data"]

    def answers(self) -> bool:
        with suppress(httpx.TransportError):
            return self._http.get("/status/buildinfo").status_code == 200
        return False

    def close(self) -> None:
        self._http.close()


@contextmanager
def watching(folder: Path, targets: Mapping[str, Sequence[str]]) -> Iterator[Prometheus]:
    """A Prometheus with the shipped configuration, but `targets` in place of docker-compose.yml's services."""
    binary = program("prometheus")
    assert binary, MISSING
    for name in ("recording.yml", "alerts.yml"):
        shutil.copy(CONFIGURATION / name, folder)
    text = (CONFIGURATION / "prometheus.yml").read_text(encoding="utf-8")
    for service, addresses in targets.items():
        assert f'["{service}"]' in text, f"prometheus.yml does not scrape {service}"
        text = text.replace(f'["{service}"]', f"[{', '.join(map(repr, addresses))}]")
    (folder / "prometheus.yml").write_text(text, encoding="utf-8")
    port = free_port()
    child = Child(
        [
            binary,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        folder / "prometheus.log",
    )
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    try:
        until(lambda: not child.running or prometheus.answers(), _PATIENCE, "Prometheus does not answer")
        assert child.running, child.log_tail()
        yield prometheus
    finally:
        prometheus.close()
        child.kill()
