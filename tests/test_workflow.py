"""The GitHub workflow: valid by GitHub's schema, pinned, with few permissions; its commands exist."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from chatswarm.loadtests import cli
from tests.loadtests.judge.play import Play

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
PERMISSIONS = {"pytest": {"contents": "read"}, "trend": {"contents": "write"}}
"""Of the workflows in each manual. That of trends keeps its verdicts in a branch."""


def snippets(manual: str) -> list[str]:
    """The workflows in a manual."""
    text = (ROOT / "docs" / f"{manual}.md").read_text(encoding="utf-8")
    return [part for part in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "runs-on:" in part]


SNIPPETS = [text for manual in PERMISSIONS for text in snippets(manual)]


def workflows() -> list[Any]:
    return [YAML(typ="safe").load(text) for text in (WORKFLOW.read_text(encoding="utf-8"), *SNIPPETS)]


def steps() -> list[dict[str, Any]]:
    return [step for workflow in workflows() for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("manual", PERMISSIONS)
def test_the_manual_has_a_workflow_for_a_team(manual: str) -> None:
    assert len(snippets(manual)) == 1


def test_it_is_valid_by_githubs_schema(tmp_path: Path) -> None:
    files = [WORKFLOW]
    for number, text in enumerate(SNIPPETS):
        files.append(tmp_path / f"{number}.yml")
        files[-1].write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, files)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_actions_are_pinned_to_commits() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action) for action in used)


def test_it_has_no_permissions_that_it_does_not_need() -> None:
    needed = [{"contents": "read"}, *PERMISSIONS.values()]
    for workflow, permissions in zip(workflows(), needed, strict=True):
        assert workflow["permissions"] == permissions
        assert all("permissions" not in job for job in workflow["jobs"].values())


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, Path]:
    """A folder with this Makefile and a PATH with little more than `make`, like a bare machine."""
    (tmp_path / "path").mkdir()
    for name in ("make", "sh", "bash", "rm", "mkdir", "mv", "id", "touch"):
        program = shutil.which(name)
        assert program, name
        (tmp_path / "path" / name).symlink_to(program)
    (tmp_path / "tests" / "servers" / "node").mkdir(parents=True)
    for name in (
        "Makefile", "pyproject.toml", "requirements.lock", "tests/servers/requirements.lock",
        "tests/servers/node/package.json", "tests/servers/node/package-lock.json",
    ):  # fmt: skip
        shutil.copy(ROOT / name, tmp_path / name)
    return {"folder": tmp_path, "path": tmp_path / "path"}


def made(bare: dict[str, Path], *goals: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *goals],
        cwd=bare["folder"], env={"PATH": str(bare["path"])}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_make_test_installs_a_browser_and_prometheus(bare: dict[str, Path]) -> None:
    planned = made(bare, "--dry-run", "test").stdout
    assert "apt-get install -y -qq --no-install-recommends chromium" in planned
    assert "build/prometheus" in planned
    assert planned.index("build/prometheus") < planned.index("pytest")
    assert re.search(r"apt-get .*download prometheus", made(bare, "--dry-run", "build/prometheus").stdout)


def test_make_test_installs_the_chat_servers_of_pypi_and_npm_but_builds_none(bare: dict[str, Path]) -> None:
    planned = made(bare, "--dry-run", "test").stdout
    assert planned.index("tests/servers/requirements.lock") < planned.index("pytest")
    assert "NO NPM: the chats of Socket.IO and of GraphQL are not tested" in planned
    assert "build_debian.sh" not in planned
    (bare["path"] / "npm").write_text("#!/bin/sh\n")
    (bare["path"] / "npm").chmod(0o755)
    assert "npm ci --ignore-scripts" in made(bare, "--dry-run", "test").stdout
    planned = made(bare, "--dry-run", "protocols").stdout
    assert planned.index("build_debian.sh") < planned.index("-m tests.protocols")


def test_if_they_cannot_be_installed_make_says_so_and_goes_on(bare: dict[str, Path]) -> None:
    done = made(bare, "chromium", "prometheus")
    assert done.returncode == 0, done.stderr
    assert "No chromium, and it cannot be installed here" in done.stdout
    assert "NO PROMETHEUS, and it cannot be downloaded here" in done.stdout
    assert list((bare["folder"] / "build").iterdir()) == []


def test_a_prometheus_on_the_path_is_not_downloaded_again(bare: dict[str, Path]) -> None:
    for name in ("prometheus", "promtool"):
        (bare["path"] / name).write_text("#!/bin/sh\n")
        (bare["path"] / name).chmod(0o755)
    done = made(bare, "prometheus")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def commands() -> list[str]:
    return [line for step in steps() for line in step.get("run", "").splitlines()]


@pytest.mark.parametrize("command", commands())
def test_its_commands_exist(command: str) -> None:
    # Fewer than ten runs are no failure of a workflow.
    command = command.removesuffix(" || [ $? -eq 3 ]")
    program, *args = shlex.split(command.removeprefix("env -u GITHUB_STEP_SUMMARY "))
    if program == "make":
        verbs = re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(args) <= set(verbs)
    elif Path(program).name == "chatswarm":
        group: Any = typer.main.get_command(cli.app)
        known = group.commands[args[0]]
        flags = {part for part in args[1:] if part.startswith("--")}
        assert flags <= {name for parameter in known.params for name in parameter.opts}
    else:
        assert Path(program).name in ("pip", "pytest", "python", "git", "cp")


def test_the_workflow_of_trends_keeps_each_verdict_in_its_branch(tmp_path: Path) -> None:
    """Its own commands, but for the run itself, in a repository with the branch that the manual says to create."""
    (workflow,) = [YAML(typ="safe").load(text) for text in snippets("trend")]
    scripts = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    keep, look = (next(text for text in scripts if begin in text) for begin in ("cp run/", "chatswarm trend"))
    once = re.findall(r"```console\n(git .*?)\n```", (ROOT / "docs" / "trend.md").read_text(encoding="utf-8"))[0]
    who = {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        **{f"GIT_{one}_{key}": "a@b.c" for one in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")},
    }

    def bash(script: str, folder: Path, **variables: str) -> str:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, **who, "PATH": path, **variables}
        done = subprocess.run(
            ["bash", "-e", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    bash("git init --quiet --bare origin.git && git clone --quiet origin.git team", tmp_path)
    bash(once, tmp_path / "team")
    (tmp_path / "job").mkdir()
    bash("git clone --quiet --branch verdicts ../origin.git kept", tmp_path / "job")
    for number in ("7", "8"):
        run = Play(tmp_path / f"played-{number}")
        run.manifest.started = f"2026-01-0{number}T00:00:00Z"
        (tmp_path / "job" / "run").mkdir(exist_ok=True)
        (tmp_path / "job" / "run" / "verdict.json").write_bytes(run.perform().judge().json())
        bash(keep, tmp_path / "job", GITHUB_RUN_ID=number, GITHUB_RUN_ATTEMPT="1")
    assert bash("git ls-tree --name-only verdicts", tmp_path / "origin.git").split() == ["7-1.json", "8-1.json"]
    assert "play has 2" in bash(look, tmp_path / "job")
    assert (tmp_path / "job" / "trend.html").exists()
