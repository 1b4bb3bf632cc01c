"""The wheel as users get it: installed with its dependencies into an empty environment, used in an empty folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chatswarm.loadtests.system.children import free_port

from .command import running, until

ROOT = Path(__file__).parents[2]
PARTS = ("backend", "dashboards", "loadtests", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the installed commands."""
    tree, folder = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("installed")
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tree / part)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(tree)], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
    own_pip = [str(folder / "env/bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*own_pip, "install", str(wheel)], check=False, capture_output=True, text=True)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip(f"NO PACKAGE INDEX can be reached, so no wheel was installed: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return folder / "env" / "bin"


def execute(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    # Nothing from this repository is importable.
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)


def test_the_wheel_is_complete(commands: Path, tmp_path: Path) -> None:
    chatswarm = str(commands / "chatswarm")
    assert execute([chatswarm, "--version"], tmp_path).stdout.startswith("chatswarm ")
    assert "smoke" in execute([chatswarm, "scenarios"], tmp_path).stdout
    run = execute(
        [chatswarm, "run", "smoke", "--dashboards", "2", "--widgets", "1", "--rate", "2", "--out", "out"], tmp_path
    )
    assert run.returncode in (0, 3), run.stderr  # undecided if the machine was busy
    assert (tmp_path / "out" / "report.html").exists()
    port, pages = free_port(), free_port()
    serve = [chatswarm, "serve", "--port", str(port), "--pages-port", str(pages)]
    with running(serve, tmp_path / "chat"):
        until(lambda: execute([chatswarm, "check", "--target", f"http://127.0.0.1:{port}"], tmp_path).returncode == 0)
        page = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{pages}/inbox').status)"
        assert execute([str(commands / "python"), "-c", page], tmp_path).stdout.strip() == "200"
