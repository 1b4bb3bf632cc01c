"""The project's own rules: the directions of imports, unique names, and documentation of everything."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from chatswarm.loadtests.faults.kinds import KINDS
from chatswarm.loadtests.judge.checks import CHECKS
from chatswarm.loadtests.judge.verdict import FINDINGS
from chatswarm.loadtests.protocols.catalogue import BUILT_IN
from chatswarm.loadtests.report.charts import CHARTS
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.scenario.fault_kinds import FAULT_KINDS
from chatswarm.loadtests.swarm.live.prometheus import METRICS

ROOT = Path(__file__).parents[1]
MANUALS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
EXTENDING = (ROOT / "EXTENDING.md").read_text(encoding="utf-8")
SOURCES = sorted(path for part in ("backend", "loadtests", "grafana") for path in (ROOT / part).rglob("*.py"))


# Each component, and the components that it may import. A component is a folder, or a file beside the folders.
MAY_IMPORT = {
    "backend": {
        "__main__": {"environment", "listeners", "server", "settings", "store", "workers"},
        "server": {"app", "chat", "fanout", "http", "listeners", "pages", "push_app", "settings", "workers"},
        "app": {"chat", "endpoints", "fanout", "http", "metrics", "settings", "store", "wire", "workers"},
        "push_app": {"chat", "endpoints", "fanout", "http", "metrics", "settings", "workers"},
        "endpoints": {"chat", "fanout", "http", "metrics", "settings", "store", "wire"},
        "chat": {"fanout", "metrics", "settings", "store", "wire", "workers"},
        "workers": {"listeners", "metrics", "settings", "store"},
        "http": {"fanout", "metrics", "wire"},
        "fanout": {"metrics", "store", "wire"},
        "pages": {"wire"},
        "wire": {"store"},
        "listeners": {"settings"},
        "settings": {"http"},
        "store": {"metrics"},
        "environment": set(),
        "metrics": set(),
    },
    "loadtests": {
        "entry": {"cli", "system"},
        "cli": {
            "capacity",
            "checklist",
            "compare",
            "history",
            "judge",
            "net",
            "protocols",
            "report",
            "run",
            "scenario",
            "system",
            "testbed",
        },
        "locustfile": {"swarm"},
        "plugin": {"capacity", "compare", "history", "judge", "net", "protocols", "report", "scenario", "system"},
        "report": {"capacity", "causes", "compare", "history", "judge", "scenario", "system"},
        "capacity": {
            "compare",
            "faults",
            "history",
            "judge",
            "net",
            "protocols",
            "run",
            "scenario",
            "system",
            "testbed",
        },
        "run": {"history", "judge", "net", "protocols", "scenario", "system", "testbed"},
        "swarm": {"history", "judge", "messages", "net", "protocols", "scenario", "system", "testbed"},
        "testbed": {"faults", "history", "net", "protocols", "scenario", "system"},
        "faults": {"history", "net", "protocols", "scenario", "system"},
        "checklist": {"causes", "messages", "net", "protocols", "system"},
        "judge": {"causes", "history", "messages", "scenario", "system"},
        "causes": set(),
        "compare": {"history", "judge", "net", "run", "scenario", "system", "testbed"},
        "history": {"protocols", "system"},
        "scenario": {"messages", "protocols", "system"},
        "net": {"system"},
        "protocols": {"messages", "net", "system"},
        "messages": set(),
        "system": set(),
    },
}


def module_of(path: Path) -> str:
    """The absolute name of the module in a file."""
    parts = ("chatswarm", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """The absolute names that a file imports, modules and their members, including imports for types only."""
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


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """A cycle in `graph`; empty if there is none."""
    done: set[str] = set()

    def beyond(way: list[str]) -> list[str]:
        if way[-1] in way[:-1]:
            return way[way.index(way[-1]) :]
        found: list[str] = []
        if way[-1] not in done:
            for step in sorted(graph.get(way[-1], set())):
                found = found or beyond([*way, step])
            done.add(way[-1])
        return found

    return next(filter(None, (beyond([start]) for start in sorted(graph))), [])


def test_wheels_have_every_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = [path.parent for half in ("backend", "loadtests") for path in (ROOT / half).rglob("__init__.py")]
    assert {".".join(("chatswarm", *folder.relative_to(ROOT).parts)) for folder in folders} <= set(listed)


def test_a_cycle_is_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_import_directions(path: Path) -> None:
    part = path.relative_to(ROOT).parts
    found = imports(path)
    if part[0] != "loadtests":
        assert not [name for name in found if name.startswith("chatswarm.loadtests")]
    if part[0] != "backend":
        assert not [name for name in found if name.startswith("chatswarm.backend")]
    if part[:2] != ("loadtests", "swarm") and part != ("loadtests", "locustfile.py"):
        assert not {name.split(".")[0] for name in found} & {"locust", "gevent"}


@pytest.mark.parametrize("half", MAY_IMPORT)
def test_components_import_only_what_they_may(half: str) -> None:
    """As in ARCHITECTURE.md. An import that is allowed but not used must be removed, so that the picture stays true."""
    used: dict[str, set[str]] = {component: set() for component in MAY_IMPORT[half]}
    for path in (ROOT / half).rglob("*.py"):
        component = path.relative_to(ROOT / half).parts[0].removesuffix(".py")
        inside = {name.split(".")[2] for name in imports(path) if name.startswith(f"chatswarm.{half}.")}
        if inside:
            used[component] |= inside - {component}
    assert used == MAY_IMPORT[half]


@pytest.mark.parametrize("half", MAY_IMPORT)
def test_components_have_no_import_cycle(half: str) -> None:
    assert cycle(MAY_IMPORT[half]) == []


def test_modules_have_no_import_cycle() -> None:
    modules = {module_of(path): path for path in SOURCES if "grafana" not in path.parts}
    graph = {name: imports(path) & modules.keys() for name, path in modules.items()}
    # A module inside a package imports that package by name when it imports a sibling: no dependency.
    for name, path in modules.items():
        if path.name != "__init__.py":
            graph[name] -= {above for above in graph[name] if name.startswith(f"{above}.")}
    assert cycle(graph) == []


def test_class_names_are_unique() -> None:
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


@pytest.mark.parametrize("module", ["judge.judge", "cli", "run.run", "report.terminal", "checklist", "report"])
def test_only_the_swarm_imports_locust(module: str) -> None:
    code = f"import sys, chatswarm.loadtests.{module}; print({{'locust', 'gevent'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_judge_loads_no_user_interface_no_network_and_no_faults() -> None:
    """Judging needs only the history, and a change in the terminal output cannot change a verdict."""
    code = "import sys, chatswarm.loadtests.judge.judge; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {name.split(".")[0] for name in loaded} & {"rich", "typer", "psutil", "websockets", "http", "ssl"}
    assert not [
        name for name in loaded if re.match(r"chatswarm\.loadtests\.(faults|checklist|report|plugin|run|net)\b", name)
    ]


@pytest.mark.parametrize("module", ["cli", "run.run", "report.terminal", "testbed.__main__"])
def test_a_start_does_not_wait_for_what_is_needed_later_or_not_at_all(module: str) -> None:
    code = f"import sys, chatswarm.loadtests.{module}; from chatswarm.loadtests.scenario import scenario; "
    code += "scenario.load('smoke'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    late = {"numpy", "jsonpath_rfc9535", "chatswarm.loadtests.judge.judge", "chatswarm.loadtests.faults.kinds"}
    assert not late & set(done.stdout.split())


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
    """Prometheus' conventions: only counters end in `_total`, units are base units, labels are bounded."""
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


def test_every_chart_is_documented() -> None:
    assert all(chart.__doc__ for chart in CHARTS)
    assert "`loadtests/report/charts.py`" in EXTENDING


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_protocol_is_documented(name: str) -> None:
    assert f"`{name}`" in EXTENDING


@pytest.mark.parametrize("half", MAY_IMPORT)
def test_every_component_is_on_the_map(half: str) -> None:
    components = [path.parent for path in (ROOT / half).rglob("__init__.py") if path.parent.name != "scenarios"]
    for component in components:
        assert f"`{component.relative_to(ROOT)}/`" in ARCHITECTURE, f"expected {component} in ARCHITECTURE.md"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_has_a_first_line_that_says_what_it_is(path: Path) -> None:
    """`make inventory` prints these lines."""
    about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert about
    assert about.split("\n")[0].endswith((".", "?"))


@pytest.mark.parametrize("path", sorted((ROOT / "dashboards").glob("*.js")), ids=lambda path: path.name)
def test_every_javascript_module_says_what_it_is(path: Path) -> None:
    assert re.match(r"// .+[.?:]\n", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", ["run", "capacity", "check", "judge", "report", "serve"])
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
def test_every_promise_of_the_reference_chat_has_a_test(number: str) -> None:
    named: set[str] = set()
    for path in (ROOT / "tests" / "backend").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                named |= set(re.findall(r"\bpromise (\d)\b", ast.get_docstring(node) or "", re.IGNORECASE))
    assert number in named


def test_there_are_eight_promises() -> None:
    assert re.findall(r"^(\d)\. ", ARCHITECTURE, re.MULTILINE) == list("12345678")


def test_uvicorn_is_pinned_exactly() -> None:
    """Promise 7 relies on uvicorn's internals."""
    assert re.search(r'"uvicorn==[\d.]+"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
