"""The Dockerfile: copied files exist, installed packages are pinned by hash, and it does not run as root."""

import re
import tomllib
from pathlib import Path

from .resolved import OURS, ROOT, service


def instructions() -> list[tuple[str, str]]:
    """Each instruction and its arguments, with continuation lines joined and comments removed."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def copied() -> list[str]:
    """The paths that are copied from the repository."""
    lists = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")]
    return [source for sources in lists for source in sources]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    return found[max(number for number, (word, _) in enumerate(found) if word == "FROM") :]


def test_its_bases_are_pinned_by_version_and_digest() -> None:
    variables = dict(rest.split("=", 1) for word, rest in instructions() if word == "ARG")
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    assert len(bases) == 2
    for base in bases:
        image = re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], base)
        assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", image)


def test_copied_paths_exist_and_are_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    assert copied()
    for source in copied():
        assert (ROOT / source).exists(), source
        assert f"!{Path(source).parts[0]}" in ignored, f".dockerignore keeps {source} out"


def test_everything_that_pyproject_needs_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = set(project["tool"]["setuptools"]["package-dir"].values())
    files = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml", "requirements.lock"}
    assert folders | files <= set(copied())


def test_everything_is_installed_by_hash_and_from_no_other_source() -> None:
    pips = [
        part
        for word, rest in instructions()
        if word == "RUN"
        for part in rest.split("&&")
        if re.match(r"\s*pip ", part)
    ]
    assert len(pips) == 2
    assert "--require-hashes" in pips[0]
    assert "-r requirements.lock" in pips[0]
    assert "--no-index --find-links /wheels" in pips[1]


def test_it_does_not_run_as_root() -> None:
    users = [rest for word, rest in last_stage() if word == "USER"]
    assert users
    assert int(users[-1]) > 0
    made = [rest for word, rest in last_stage() if word == "RUN" and "useradd" in rest]
    assert f"--uid {users[-1]} " in made[0]
    for name in OURS:
        assert "user" not in service(name), "docker-compose.yml would override the Dockerfile's"


def test_volumes_are_mounted_on_folders_that_belong_to_that_user() -> None:
    made = " ".join(rest for word, rest in last_stage() if word == "RUN")
    owned = re.search(r"install -d -o chatswarm -g chatswarm (.+)", made)
    assert owned
    mounted = {volume["target"] for name in OURS for volume in service(name).get("volumes", [])}
    assert mounted == set(owned[1].split())
