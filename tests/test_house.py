"""The house tests itself: import directions hold, and what exists is documented."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chatswarm.loadtests import scenario
from chatswarm.loadtests.checks import CHECKS
from chatswarm.loadtests.fault_kinds import FAULT_KINDS
from chatswarm.loadtests.faults.kinds import KINDS
from chatswarm.loadtests.report.charts import CHARTS
from chatswarm.loadtests.swarm.prometheus import METRICS
from chatswarm.loadtests.targets import TARGETS
from chatswarm.loadtests.verdict import FINDINGS

ROOT = Path(__file__).parents[1]
MANUALS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
EXTENDING = (ROOT / "EXTENDING.md").read_text(encoding="utf-8")
SOURCES = sorted(path for part in ("backend", "loadtests", "grafana") for path in (ROOT / part).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """The absolute names of all modules that a file imports."""
    package = ("chatswarm", *path.relative_to(ROOT).parent.parts)
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = f"{base}.{node.module}".strip(".") if node.module else base
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_import_directions(path: Path) -> None:
    part = path.relative_to(ROOT).parts
    found = imports(path)
    if part[0] != "loadtests":
        assert not [name for name in found if name.startswith("chatswarm.loadtests")]
    if part[0] != "backend":
        assert not [name for name in found if name.startswith("chatswarm.backend")]
    if part[:2] != ("loadtests", "swarm") and part != ("loadtests", "locustfile.py"):
        outside = {name.split(".")[0] for name in found}
        assert not outside & {"locust", "gevent"}
        assert not [name for name in found if name.startswith("chatswarm.loadtests.swarm")]


@pytest.mark.parametrize("module", ["judge", "cli", "run", "terminal", "checklist", "report"])
def test_only_the_swarm_imports_locust(module: str) -> None:
    code = f"import sys, chatswarm.loadtests.{module}; print({{'locust', 'gevent'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_judge_loads_no_user_interface_no_network_and_no_faults_executor() -> None:
    """So that judging needs nothing but the history, and whoever changes the terminal changes no verdict."""
    code = "import sys, chatswarm.loadtests.judge; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {name.split(".")[0] for name in loaded} & {"rich", "typer", "psutil", "websockets", "http", "ssl"}
    assert not [
        name for name in loaded if re.match(r"chatswarm\.loadtests\.(faults|checklist|report|plugin|run)\b", name)
    ]


@pytest.mark.parametrize("name", scenario.shipped())
def test_every_shipped_scenario_loads_and_is_documented(name: str) -> None:
    loaded = scenario.load(name)
    assert loaded.slos
    assert loaded.question.endswith("?")
    assert re.search(rf"^\| (`[\w-]+`, )*`{name}`", MANUALS["scenarios"] + MANUALS["faults"], re.MULTILINE)


def test_a_resolved_scenario_reads_back_the_same() -> None:
    import tomllib

    for name in scenario.shipped():
        loaded = scenario.load(name, {"widgets": 7})
        again = scenario.parse(tomllib.loads(loaded.toml()), name, "again")
        assert again == loaded


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_of_the_swarm_is_documented_and_well_named(name: str) -> None:
    """Prometheus' conventions: counters and only they end in `_total`, units are base units, labels are bounded."""
    spec = METRICS[name]
    assert re.fullmatch(r"chatswarm_[a-z]+(_[a-z]+)*", name)
    assert name.endswith("_total") == (spec.kind == "counter")
    assert name.endswith("_seconds") or spec.kind != "histogram"
    assert not re.search(r"_(ms|milliseconds|percent|mb|kb)(_|$)", name)
    assert spec.help.endswith(".")
    assert all(re.fullmatch(r"[a-z]+", label) for label in spec.labels)
    assert all(0 < len(values) < 20 for values in spec.labels.values() if not isinstance(values, str))
    assert f"`{name}" in MANUALS["metrics"]


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_is_documented(name: str) -> None:
    assert name in FINDINGS
    assert f"\n| `{name}` |" in MANUALS["judging"]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_fault_is_documented(name: str) -> None:
    assert f"\n| `{name}` |" in MANUALS["faults"]
    for parameter in FAULT_KINDS[name].parameters:
        assert f"`{parameter}`" in MANUALS["faults"]


def test_every_chart_is_documented_by_what_it_shows() -> None:
    assert all(chart.__doc__ for chart in CHARTS)
    assert "`loadtests/report/charts.py`" in EXTENDING


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_is_documented(name: str) -> None:
    assert f"`{name}`" in EXTENDING


def test_every_room_is_on_the_map() -> None:
    for path in SOURCES:
        relative = path.relative_to(ROOT)
        if path.name != "__init__.py":
            assert f"`{relative.name}`" in ARCHITECTURE, f"ARCHITECTURE.md says nothing of {relative}"
        else:
            assert f"`{relative.parent}/`" in ARCHITECTURE, f"ARCHITECTURE.md says nothing of {relative.parent}"


def test_every_file_of_the_pages_is_on_the_map() -> None:
    for path in (ROOT / "dashboards").iterdir():
        if path.suffix in (".html", ".js", ".css", ".svg"):
            assert f"`{path.name}`" in ARCHITECTURE, f"ARCHITECTURE.md says nothing of {path.name}"


@pytest.mark.parametrize("command", ["run", "check", "judge", "report", "serve"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chatswarm.loadtests.entry", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--" in done.stdout
    if command != "serve":
        assert f"chatswarm {command}" in done.stdout


def test_the_lock_names_no_index() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert "--hash=sha256:" in lock


@pytest.mark.parametrize("number", re.findall(r"^(\d)\. ", ARCHITECTURE, re.MULTILINE))
def test_every_promise_of_the_reference_chat_is_held_to_by_a_test(number: str) -> None:
    named: set[str] = set()
    for path in (ROOT / "tests" / "backend").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                named |= set(re.findall(r"\bpromise (\d)\b", ast.get_docstring(node) or "", re.IGNORECASE))
    assert number in named


def test_all_eight_promises_are_written_down() -> None:
    assert re.findall(r"^(\d)\. ", ARCHITECTURE, re.MULTILINE) == list("12345678")


def test_the_server_whose_inside_the_chat_leans_on_is_pinned() -> None:
    """Promise 7: pin uvicorn exactly."""
    assert re.search(r'"uvicorn==[\d.]+"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
