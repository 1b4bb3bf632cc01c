"""A master and workers with different versions of chatswarm, each installed in a separate folder."""

import json
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chatswarm.loadtests.system.children import free_port
from tests.plants import Chat, serving

from .command import Command, running, scenario, until

ROOT = Path(__file__).parents[2]
PARTS = ("backend", "dashboards", "loadtests", "pyproject.toml", "README.md", "LICENSE")
TREES = {
    "here": {},
    "next version": {"pyproject.toml": ('\nversion = "', '\nversion = "9.')},
    # Between two releases: the same version, but the processes would misread each other.
    "another wire": {"loadtests/swarm/plan.py": ("    sent: int = 0\n", "    sent: int = 0\n    gone: int = 0\n")},
    # As before 0.2: it sends no version.
    "silent": {"loadtests/swarm/locust/worker.py": ('self._send(Hello(', 'print(Hello(')},
}  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Builds and installs each tree. Returns the folders by name."""
    folders = {}
    for name, changes in TREES.items():
        tree, target = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("installed")
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, tree / part)
        for file, (old, new) in changes.items():
            text = (tree / file).read_text(encoding="utf-8")
            assert old in text
            (tree / file).write_text(text.replace(old, new, 1), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        subprocess.run([*pip, "--disable-pip-version-check", "--target", str(target), str(tree)], check=True)
        folders[name] = target
    return folders


@pytest.fixture
def target() -> Iterator[str]:
    with serving(Chat()) as url:
        yield url


class Swarm:
    """Processes of `locust -f`, each from one of the installed trees."""

    def __init__(self, installed: dict[str, Path], folder: Path, stack: ExitStack) -> None:
        self._installed, self._folder, self._stack = installed, folder, stack
        self.port = str(free_port())

    def start(self, tree: str, name: str, *args: str) -> Command:
        home = self._installed[tree]
        command = [sys.executable, "-m", "locust", "-f", str(home / "chatswarm" / "loadtests" / "locustfile.py"), *args]
        return self._stack.enter_context(running(command, self._folder / name, {"PYTHONPATH": str(home)}))

    def worker(self, tree: str, name: str = "worker") -> Command:
        return self.start(tree, name, "--worker", "--master-port", self.port)


@pytest.fixture
def swarm(installed: dict[str, Path], tmp_path: Path) -> Iterator[Swarm]:
    with ExitStack() as stack:
        yield Swarm(installed, tmp_path, stack)


def build_of(home: Path) -> str:
    code = "from chatswarm.loadtests.swarm.locust.compatibility import THIS_BUILD; print(THIS_BUILD)"
    # The working directory comes first on Python's path, and that of the tests may hold another build.
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("tree", ["next version", "another wire", "silent"])
def test_another_version_is_refused_at_once_and_both_are_named(
    swarm: Swarm, installed: dict[str, Path], tmp_path: Path, target: str, tree: str
) -> None:
    args = ["--headless", "--master", "--master-bind-port", swarm.port, "--expect-workers", "1", "--host", target]
    master = swarm.start("here", "master", *args, "--scenario", scenario(tmp_path), "--out", "out")
    worker = swarm.worker(tree)
    result = master.result(30)
    ours, theirs = build_of(installed["here"]), build_of(installed[tree])
    assert result.code == 2, result.err
    assert ours in result.err
    assert worker.process.wait(20) == (0 if tree == "silent" else 2)
    if tree == "silent":
        assert "it said no version, so it is older than 0.2" in result.err
    else:
        assert ours != theirs
        assert theirs in result.err
        assert f"the master: expected chatswarm {theirs} as here, got {ours}" in worker.said()
    assert not (tmp_path / "master" / "out").exists(), "a run that did not begin leaves no folder"


def test_a_master_with_a_page_keeps_running_with_the_compatible_workers(
    swarm: Swarm, tmp_path: Path, target: str
) -> None:
    page = f"http://127.0.0.1:{(web := free_port())}"
    args = ["--master", "--master-bind-port", swarm.port, "--web-host", "127.0.0.1", "--web-port", str(web)]
    master = swarm.start("here", "master", *args, "--host", target, "--scenario", scenario(tmp_path), "--out", "out")
    wrong, right = swarm.worker("next version"), swarm.worker("here", "right")
    assert wrong.process.wait(30) == 2
    until(lambda: "1 workers connected" in master.said() or "2 workers connected" in master.said())
    until(lambda: "Worker" in master.said() and "quit" in master.said())
    form = urllib.parse.urlencode({"user_count": 7, "spawn_rate": 7, "host": target}).encode()
    until(lambda: json.load(urllib.request.urlopen(f"{page}/swarm", form, timeout=10))["success"])
    verdict = tmp_path / "master" / "out" / "verdict.json"
    until(verdict.exists, 40, master.said())
    assert json.loads(verdict.read_text(encoding="utf-8"))["verdict"] == "pass"
    assert master.process.poll() is None
    assert right.process.poll() is None
    assert "the worker" in master.said()
    assert "got version 9." in master.said()
