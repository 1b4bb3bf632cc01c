"""A figure, and a process of its own to measure it in."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Figure:
    """What was measured, and what it is to be at the most, or at least; both in `unit`."""

    name: str
    measured: float
    reach: float
    unit: str
    at_least: bool = False

    @property
    def reached(self) -> bool:
        return self.measured >= self.reach if self.at_least else self.measured <= self.reach


def fresh(module: str, *arguments: str) -> Any:
    """What `python -m tests.bench.<module>` prints, as JSON. In a process that did nothing else before."""
    command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
