"""Installs opponents into build/bench/, apart from the project's environment, each pinned by a lock beside this file.

An opponent is installed once, and again when its lock has changed. Every function raises NotMeasuredError if it cannot
be had here.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

from tests.bench.figure import ROOT
from tests.bench.row import NotMeasuredError

LOCKS = Path(__file__).parent
BUILT = ROOT / "build" / "bench"
_TIMEOUT = 280.0  # seconds; a row may take 300


def python_packages(name: str) -> Path:
    """The folder of the commands of an environment that has the packages in `<name>.lock`, Python included."""
    folder, lock = BUILT / name, LOCKS / f"{name}.lock"
    if not _is_ready(folder, lock):
        _begin(folder)
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--require-hashes", "-r", str(lock)])
        _finish(folder, lock)
    return folder / "bin"


def python_version(name: str, package: str) -> str:
    """The version of a package in that environment."""
    libraries = [str(path) for path in (BUILT / name).glob("lib/python3*/site-packages")]
    for found in distributions(name=package, path=libraries):
        return found.version
    raise NotMeasuredError(f"expected the package {package} in {name}.lock, got none")


def node_packages(name: str) -> Path:
    """The `node_modules` with the packages in `<name>/package-lock.json`, for NODE_PATH."""
    folder, lock = BUILT / name, LOCKS / name / "package-lock.json"
    on_path("node")
    on_path("npm")
    if not _is_ready(folder, lock):
        _begin(folder)
        for file in (lock, lock.with_name("package.json")):
            shutil.copy(file, folder)
        # No package may run an install script, which could download more.
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"], cwd=folder)
        _finish(folder, lock)
    return folder / "node_modules"


def go_program(module: str, version: str, flags: Sequence[str] = ()) -> Path:
    """The program that `go install <flags> <module>@v<version>` builds. Go's checksum database vouches for it."""
    folder = BUILT / f"{Path(module.removesuffix(f'/v{version[0]}')).name}-{version}"
    if not folder.exists():
        on_path("go")
        part = folder.with_suffix(".part")
        _begin(part)
        _run(["go", "install", *flags, f"{module}@v{version}"], env={"GOBIN": str(part)})
        part.rename(folder)
    return next(iter(folder.iterdir()))


def on_path(program: str) -> str:
    """The path of a program of this machine."""
    path = shutil.which(program)
    if path is None:
        raise NotMeasuredError(f"there is no {program} on the path")
    return path


def _is_ready(folder: Path, lock: Path) -> bool:
    ready = folder / "ready"
    return ready.exists() and ready.read_bytes() == lock.read_bytes()


def _begin(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _finish(folder: Path, lock: Path) -> None:
    shutil.copy(lock, folder / "ready")


def _run(command: list[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    try:
        subprocess.run(
            command, cwd=cwd, env={**os.environ, **(env or {})}, check=True, capture_output=True, text=True,
            timeout=_TIMEOUT,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
        raise NotMeasuredError(f"{Path(command[0]).name} could not install an opponent: {said}") from None
