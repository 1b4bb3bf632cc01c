"""Where `make servers` puts packages of npm and of PyPI, and how a server is started with them."""

import shutil
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

import msgspec

from .server import BUILT, UnavailableError

_HOW = "run make servers"
_NODE = BUILT / "node"
_MODULES = _NODE / "node_modules"
_PYTHON = BUILT / "python"


class _Package(msgspec.Struct):
    version: str


def node_version(package: str) -> str:
    """The version of one of npm's packages, with its name. Raises UnavailableError."""
    if shutil.which("node") is None:
        raise UnavailableError(f"no node on the path: install nodejs and npm, then {_HOW}")
    about = _MODULES / package / "package.json"
    if not (_NODE / "ready").exists() or not about.exists():
        raise UnavailableError(f"no npm package {package}: {_HOW}")
    return f"{package} {msgspec.json.decode(about.read_bytes(), type=_Package).version}"


def node(script: Path) -> tuple[list[str], Mapping[str, str]]:
    """The command that runs a script which may require the packages, and its variables. Raises UnavailableError."""
    found = shutil.which("node")
    if found is None:
        raise UnavailableError(f"no node on the path: install nodejs and npm, then {_HOW}")
    return [found, str(script)], {"NODE_PATH": str(_MODULES)}


def python_version(package: str) -> str:
    """The version of one of PyPI's packages, with its name. Raises UnavailableError."""
    libraries = [str(path) for path in _PYTHON.glob("lib/python3*/site-packages")]
    if (_PYTHON / "ready").exists():
        for found in distributions(name=package, path=libraries):
            return f"{package} {found.version}"
    raise UnavailableError(f"no Python package {package}: {_HOW}")


def python(*arguments: str) -> list[str]:
    """The command that runs Python with the packages; whether they are there is `python_version`'s to say."""
    return [str(_PYTHON / "bin" / "python"), *arguments]
