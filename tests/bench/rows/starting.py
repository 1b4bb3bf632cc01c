"""P11: what `chatswarm run smoke` takes beyond its ramp, measured part and drain: starting, ending and judging."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chatswarm.loadtests.history.manifest import read_manifest
from chatswarm.loadtests.scenario import scenario
from tests.bench.row import NotMeasuredError, Row, Sample, Sides
from tests.bench.swarm_run import cpu_of_machine

_SCENARIO = "smoke"


def _run() -> Sample:
    """Runs the installed command in an empty folder, as its first user does."""
    planned = scenario.load(_SCENARIO)
    with tempfile.TemporaryDirectory() as folder:
        busy, began = cpu_of_machine(), time.monotonic()
        done = subprocess.run(
            [Path(sys.executable).with_name("chatswarm"), "run", _SCENARIO],
            cwd=folder,
            # Where Python may not keep what it has compiled, each start compiles everything again.
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        ended, cores = time.monotonic(), (cpu_of_machine() - busy) / (time.monotonic() - began)
        if done.returncode:
            raise NotMeasuredError(f"expected the exit code 0, got {done.returncode}: {done.stderr}")
        (run,) = (Path(folder) / "runs").iterdir()
        manifest = read_manifest(run)
    assert manifest.start is not None
    assert manifest.end is not None
    before, after = manifest.start - began - planned.ramp, ended - manifest.end - planned.drain
    return Sample(
        ended - began - planned.ramp - planned.duration - planned.drain,
        details={"before_t0": before, "after_the_drain": after, "cores_of_all_programs": cores},
    )


@contextmanager
def _sides() -> Iterator[Sides]:
    _run()  # compiles what was not run since it was changed
    yield Sides(_run)


ROWS = [
    Row(
        "P11",
        f"`chatswarm run {_SCENARIO}`, to its verdict, beyond the scenario's ramp, measured part and drain",
        "s",
        1.2,
        _sides,
        runs=5,
    )
]
