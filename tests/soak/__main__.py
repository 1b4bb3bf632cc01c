"""`make soak`: ten minutes of mixed faults. Nothing lost, memory flat, open files back to where they were.

    python -m tests.soak                 the shipped scenario `soak`
    python -m tests.soak SCENARIO.toml   another

Exit code 1 if the verdict is no pass, or something grew.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .samples import Samples, trend

MOST_GROWTH = 0.10
"""Of memory over the second half of the measured part."""
MORE_FILES = 20
"""Open files at the end beyond those at the beginning: connections come and go."""
_LOOK = 1.0


def main() -> int:
    """Returns the exit code."""
    console = Console()
    scenario = sys.argv[1] if len(sys.argv) > 1 else "soak"
    with tempfile.TemporaryDirectory(prefix="chatswarm-soak-") as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "chatswarm.loadtests.entry", "run", scenario, "--out", str(out)]
        samples = Samples()
        with subprocess.Popen(command) as run:
            while run.poll() is None:
                samples.look(run.pid)
                time.sleep(_LOOK)
        if not (out / "verdict.json").exists():
            return run.returncode
        verdict = json.loads((out / "verdict.json").read_text(encoding="utf-8"))
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    start, end = manifest["start"] - samples.began, manifest["end"] - samples.began
    table = Table("", box=None, pad_edge=False)
    for title in ("memory at half", "at the end", "growth", "open files first", "at the end"):
        table.add_column(title, justify="right")
    well = bool(verdict["verdict"] == "pass")
    for name, taken in samples.parts.items():
        found = trend(taken, start, end)
        if found is None:
            table.add_row(name, "not measured")
            well = False
            continue
        flat = found.growth < MOST_GROWTH and found.files_after <= found.files_before + MORE_FILES
        well = well and flat
        table.add_row(
            name,
            f"{found.half / 2**20:.1f} MiB",
            f"{found.end / 2**20:.1f} MiB",
            f"{found.growth:+.1%}",
            f"{found.files_before:.0f}",
            f"{found.files_after:.0f}",
            style="" if flat else "red",
        )
    console.print(table)
    deliveries = verdict["deliveries"]
    console.print(
        f"{verdict['verdict']}: {deliveries['expected']:,} deliveries expected, {deliveries['lost']} lost; "
        f"{len(verdict['faults'])} faults; memory may grow by {MOST_GROWTH:.0%}, open files by {MORE_FILES}"
    )
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
