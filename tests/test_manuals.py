"""The manuals: every link has a destination, every example works, and every feature is documented."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from chatswarm.loadtests import cli
from chatswarm.loadtests.compare.result import (
    ComparedMetric,
    ComparedRatio,
    ComparedRun,
    ComparedSide,
    CompareResult,
)
from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.judge.verdict import Counts, Deliveries, Latency, Messages, Quantiles, Verdict
from chatswarm.loadtests.plugin.hooks import _OPTIONS as PLUGIN_OPTIONS
from chatswarm.loadtests.scenario import scenario
from chatswarm.loadtests.system.exit_code import ExitCode

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
MANUALS = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
COMMANDS: Any = typer.main.get_command(cli.app)


def build(sources: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Builds the site like `make docs`."""
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\ndocs:")[1].split("\n\n")[0]
    flags = re.findall(r"(?<= )--(?:quiet|fresh-env|nitpicky|fail-on-warning|keep-going)\b", recipe)
    assert {"--nitpicky", "--fail-on-warning"} <= set(flags)
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *flags, "--conf-dir", str(sources / "docs"),
         "--doctree-dir", str(site.parent / "doctrees"), str(sources), str(site)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_link_has_a_destination_and_every_page_is_in_the_navigation(site: Path) -> None:
    for name in (
        "README",
        "ARCHITECTURE",
        "EXTENDING",
        "CONTRIBUTING",
        "CHANGELOG",
        *(f"docs/{page}" for page in MANUALS),
    ):
        assert (site / f"{name}.html").exists()
    assert "README.html" in (site / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[there](docs/check.md#no-such-heading)", "no-such-heading"),
        ("[there](docs/no-such-page.md)", "no-such-page"),
        ("[there](#no-such-heading)", "no-such-heading"),
    ],
)
def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path, text: str, problem: str) -> None:
    sources = tmp_path / "sources"
    (sources / "docs").mkdir(parents=True)
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*")):
        if path.is_file():
            shutil.copy(path, sources / path.relative_to(ROOT))
    with (sources / "README.md").open("a", encoding="utf-8") as readme:
        readme.write(f"\n{text}\n")
    done = build(sources, tmp_path / "site")
    assert done.returncode != 0
    assert problem in done.stderr


def test_the_site_loads_nothing_from_other_hosts(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]+)", text)
        loaded += re.findall(r"<link\b[^>]*\bhref=\"([^\"]+)", text)
        assert [where for where in loaded if re.match(r"(\w+:)?//", where)] == [], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_the_readme_is_short_and_shows_the_five_commands() -> None:
    assert len(README.splitlines()) <= 150
    for command in ("check", "run", "judge", "report", "serve"):
        assert f"\nchatswarm {command} " in README


def test_the_readme_links_to_every_manual() -> None:
    for page in MANUALS:
        assert f"](docs/{page}.md" in README


@pytest.mark.parametrize(
    ("command", "page"),
    [
        ("check", "check"),
        ("run", "scenarios"),
        ("judge", "judging"),
        ("report", "report"),
        ("compare", "compare"),
        ("trend", "trend"),
    ],
)
def test_every_option_is_documented(command: str, page: str) -> None:
    for parameter in COMMANDS.commands[command].params:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                assert re.search(rf"(?<![\w-]){option}(?![\w-])", MANUALS[page]), option


def test_every_option_of_the_plugin_is_documented() -> None:
    for name in PLUGIN_OPTIONS:
        assert f"`--chatswarm-{name.replace('_', '-')} " in MANUALS["pytest"]


def test_every_option_of_locust_is_documented() -> None:
    source = (ROOT / "loadtests" / "swarm" / "locust" / "arguments.py").read_text(encoding="utf-8")
    ours = re.findall(r"\"(--[a-z-]+)\", ", source)
    assert "--scenario" in ours
    for option in ours:
        assert option in MANUALS["locust"]


def test_every_key_of_a_scenario_is_in_the_example() -> None:
    source = Path(scenario.__file__).read_text(encoding="utf-8")
    keys = re.findall(r"swarm\.take\(\"(\w+)\"", source)
    assert "refetch" in keys
    for key in keys:
        assert re.search(rf"^{key} = ", MANUALS["scenarios"], re.MULTILINE), key


def test_the_example_of_a_scenario_is_valid() -> None:
    swarm, stage = toml("scenarios")[0].split("[[stage]]")
    loaded = scenario.parse(tomllib.loads(swarm), "example", "docs/scenarios.md")
    assert loaded.dashboards == 100
    kept = "\n".join(line for line in swarm.splitlines() if not re.match("(rate|duration) =", line))
    assert len(scenario.parse(tomllib.loads(f"{kept}\n[[stage]]{stage}"), "example", "docs/scenarios.md").slos) == 2


def test_the_example_of_rooms_is_valid_and_has_every_key() -> None:
    swarm, rooms = "[swarm]\ndashboards = 300\nwidgets = 60\n", toml("scenarios")[1]
    loaded = scenario.parse(tomllib.loads(swarm + rooms), "example", "docs/scenarios.md").rooms
    assert loaded is not None
    assert (loaded.count, loaded.members, len(loaded.changes)) == (60, 20, 1)
    source = Path(scenario.__file__).read_text(encoding="utf-8").partition("def _rooms(")[2]
    keys = set(re.findall(r"part\.take\(\"(\w+)\"", source.partition("def _fault_names(")[0]))
    assert {"members", "join"} < keys
    keys -= {"fixed"}  # instead of the others: it has an example of its own
    assert set(re.findall(r"^(?:\[\[rooms\.)?(change|\w+(?= = ))", rooms, re.MULTILINE)) == keys


def test_the_example_of_a_fault_is_valid() -> None:
    fault, slos = toml("faults")
    loaded = scenario.parse(tomllib.loads(fault + slos), "example", "docs/faults.md")
    assert loaded.faults[0].kind == "latency"
    assert len(loaded.slos) == 3


def toml(page: str) -> list[str]:
    return re.findall(r"```toml\n(.*?)```", MANUALS[page], re.DOTALL)


@pytest.mark.parametrize("part", [Messages, Deliveries, Counts, Latency, Quantiles])
def test_every_metric_of_an_slo_is_documented(part: type[msgspec.Struct]) -> None:
    for name in part.__struct_fields__:
        assert f"`{name}`" in MANUALS["judging"], name


@pytest.mark.parametrize("key", Verdict.__struct_fields__)
def test_every_key_of_the_verdict_is_documented(key: str) -> None:
    table = MANUALS["results"].split("## `verdict.json`")[1]
    assert re.search(rf"^\| (`\w+`, )*`{key}`", table, re.MULTILINE)


@pytest.mark.parametrize("part", [CompareResult, ComparedMetric, ComparedSide, ComparedRun, ComparedRatio])
def test_every_key_of_a_comparison_is_documented(part: type[msgspec.Struct]) -> None:
    for key in part.__struct_fields__:
        assert f"`{key}`" in MANUALS["compare"], key


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_documented(code: ExitCode) -> None:
    assert f"\n| {code.value} |" in MANUALS["results"]


@pytest.mark.parametrize("outcome", SendOutcome)
def test_every_outcome_of_a_send_is_defined(outcome: SendOutcome) -> None:
    assert f"\n| `{outcome.name.lower()}` |" in MANUALS["judging"]


def test_the_glossary_has_at_most_25_words() -> None:
    table = ARCHITECTURE.split("## The words")[1].split("\n## ")[0]
    words = [word for row in re.findall(r"^\| ([^|]+) \| .* \|$", table, re.MULTILINE)[1:] for word in row.split(", ")]
    assert 20 <= len(words) <= 25
    assert len(set(words)) == len(words)


def test_every_verb_of_the_makefile_is_in_its_help() -> None:
    verbs = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert verbs is not None
    shown = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True).stdout
    for verb in set(verbs[1].split()) - {"chromium", "prometheus"}:
        assert re.search(rf"^make {verb} +\S", shown, re.MULTILINE), verb
