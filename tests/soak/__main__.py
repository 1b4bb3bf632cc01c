"""`make soak`: ten minutes of mixed faults, without losses, memory growth or leaked files.

    python -m tests.soak                 the shipped scenario `soak`
    python -m tests.soak SCENARIO.toml   another

Exits with 1 if the verdict is not pass, or if memory or open files grew.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .samples import Samples, Trend, trend

MAX_GROWTH = 0.10
"""The fraction by which memory may grow in the second half of the measured part."""
MAX_MORE_FILES = 20
"""How many more files may be open at the end than at the beginning: connections come and go."""
_INTERVAL = 1.0  # seconds between samples


def main() -> int:
    """Runs the scenario, samples its processes, and prints the results. Returns the exit code."""
    console = Console()
    scenario = sys.argv[1] if len(sys.argv) > 1 else "soak"
    with tempfile.TemporaryDirectory(prefix="chatswarm-soak-") as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "chatswarm.loadtests.entry", "run", scenario, "--out", str(out)]
        samples = Samples()
        with subprocess.Popen(command) as run:
            while run.poll() is None:
                samples.take(run.pid)
                time.sleep(_INTERVAL)
        if not (out / "verdict.json").exists():
            return run.returncode
        verdict = json.loads((out / "verdict.json").read_text(encoding="utf-8"))
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    start, end = manifest["start"] - samples.began, manifest["end"] - samples.began
    trends = {name: trend(part, start, end) for name, part in samples.parts.items()}
    console.print(table_of(trends))
    deliveries = verdict["deliveries"]
    console.print(
        f"{verdict['verdict']}: {deliveries['expected']:,} deliveries expected, {deliveries['lost']} lost; "
        f"{len(verdict['faults'])} faults; memory may grow by {MAX_GROWTH:.0%}, open files by {MAX_MORE_FILES}"
    )
    return 0 if verdict["verdict"] == "pass" and all(map(is_flat, trends.values())) else 1


def is_flat(found: Trend | None) -> bool:
    """Whether neither memory nor open files grew. False if they were not measured."""
    return found is not None and found.growth < MAX_GROWTH and found.files_after <= found.files_before + MAX_MORE_FILES


def table_of(trends: Mapping[str, Trend | None]) -> Table:
    """One row per part of the run."""
    table = Table("", box=None, pad_edge=False)
    for title in ("memory at half", "at the end", "growth", "open files first", "at the end"):
        table.add_column(title, justify="right")
    for name, found in trends.items():
        if found is None:
            table.add_row(name, "not measured")
            continue
        table.add_row(
            name,
            f"{found.half / 2**20:.1f} MiB",
            f"{found.end / 2**20:.1f} MiB",
            f"{found.growth:+.1%}",
            f"{found.files_before:.0f}",
            f"{found.files_after:.0f}",
            style="" if is_flat(found) else "red",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
