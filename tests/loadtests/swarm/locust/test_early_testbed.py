"""The testbed that is set up while Locust is imported: only if `chatswarm run` has no target, and a run can begin."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chatswarm.loadtests.system.children import PROGRESS

# In a separate process, because it imports gevent.
BEGIN = """
import sys
from chatswarm.loadtests.swarm.locust.early_testbed import begin
testbed = begin(sys.argv[1:])
if testbed is None:
    print("none")
else:
    print(testbed.order.scenario, testbed.order.folder, testbed.order.seed)
    testbed.kill()
"""


def begun(*arguments: str, driven: bool = True) -> str:
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-c", BEGIN, *arguments],
            env={**os.environ, **({PROGRESS: str(writing)} if driven else {})},
            pass_fds=[writing],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        os.close(reading)
        os.close(writing)
    return done.stdout.strip()


def test_it_is_what_the_arguments_of_locust_ask_for(tmp_path: Path) -> None:
    arguments = [
        "-f",
        "locustfile.py",
        "--headless",
        "--processes=2",
        "--scenario=smoke",
        f"--out={tmp_path}",
        "--seed=7",
    ]
    assert begun(*arguments) == f"smoke {tmp_path} 7"
    assert (tmp_path / "testbed.log").exists()


@pytest.mark.parametrize(
    ("arguments", "driven"),
    [
        pytest.param(["--scenario=smoke", "--host=http://127.0.0.1:1"], True, id="a target"),
        pytest.param(["--scenario=none"], True, id="no such scenario"),
        pytest.param(["--scenario=smoke", "--users-file=/none.csv"], True, id="no such file"),
        pytest.param(["--scenario=smoke"], False, id="not by chatswarm run"),
    ],
)
def test_without_a_run_that_can_begin_there_is_none(tmp_path: Path, arguments: list[str], driven: bool) -> None:
    assert begun(*arguments, f"--out={tmp_path}", driven=driven) == "none"
    assert list(tmp_path.iterdir()) == []
