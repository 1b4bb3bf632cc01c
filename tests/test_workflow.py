"""The workflow for GitHub: valid by GitHub's own schema, with nothing loose in it, and its commands exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from chatswarm.loadtests import cli

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
MANUAL = (ROOT / "docs" / "pytest.md").read_text(encoding="utf-8")
SNIPPETS = [text for text in re.findall(r"```yaml\n(.*?)```", MANUAL, re.DOTALL) if "runs-on:" in text]


def workflows() -> list[Any]:
    return [YAML(typ="safe").load(text) for text in (WORKFLOW.read_text(encoding="utf-8"), *SNIPPETS)]


def steps() -> list[dict[str, Any]]:
    return [step for workflow in workflows() for job in workflow["jobs"].values() for step in job["steps"]]


def test_the_manual_has_one_for_a_team() -> None:
    assert SNIPPETS


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


def test_it_may_only_read() -> None:
    for workflow in workflows():
        assert workflow["permissions"] == {"contents": "read"}
        assert all("permissions" not in job for job in workflow["jobs"].values())


def commands() -> list[str]:
    return [line for step in steps() for line in step.get("run", "").splitlines()]


@pytest.mark.parametrize("command", commands())
def test_its_commands_exist(command: str) -> None:
    program, *args = shlex.split(command.removeprefix("env -u GITHUB_STEP_SUMMARY "))
    if program == "make":
        verbs = re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(args) <= set(verbs)
    elif Path(program).name == "chatswarm":
        group: Any = typer.main.get_command(cli.app)
        known = group.commands[args[0]]
        given = {part for part in args[1:] if part.startswith("--")}
        assert given <= {name for parameter in known.params for name in parameter.opts}
    else:
        assert Path(program).name in ("pip", "pytest", "python")
