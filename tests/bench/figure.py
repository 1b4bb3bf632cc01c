"""A figure with its limit, and a fresh process to measure it in."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Figure:
    """A measured value and its upper limit, or lower limit if `at_least`; both in `unit`."""

    name: str
    measured: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def within_limit(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


def fresh(module: str, *arguments: str) -> Any:
    """Runs `python -m tests.bench.<module>` in a fresh process, and returns the JSON that it prints."""
    command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
