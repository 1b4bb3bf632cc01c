import re
from pathlib import Path

from chatswarm.loadtests.judge.judge import judged
from chatswarm.loadtests.report.figures import figures_of
from chatswarm.loadtests.report.markdown import data, markdown
from chatswarm.loadtests.system.units import human

from .runs import failing, passing, undecided, write
from .test_html import hostile


def made(folder: Path) -> str:
    return markdown(figures_of(judged(folder)))


def test_a_pass(tmp_path: Path) -> None:
    run = judged(write(passing(tmp_path)))
    text = markdown(figures_of(run))
    assert text.startswith("## ✅ PASS: play\n")
    assert f"| {human(run.verdict.latency.visible.p99)} |" in text
    assert "| ✅ | visible.p99 &#60;= 2s |" in text
    assert "### Findings" not in text
    assert "--seed 7" in text


def test_a_fail_lists_the_findings_with_examples(tmp_path: Path) -> None:
    text = made(write(failing(tmp_path)))
    assert text.startswith("## ❌ FAIL: play\n")
    assert "| ❌ | lost | 2 |" in text
    assert "message testrun234.0.11, dashboard 1" in text
    assert "### Recoveries" in text


def test_an_undecided_run_has_reasons(tmp_path: Path) -> None:
    text = made(undecided(tmp_path))
    assert text.startswith("## ❔ UNDECIDED: play\n")
    assert "- because history/worker0.cs1 is not whole" in text.replace("&#95;", "_")


def test_every_row_of_a_table_has_all_columns(tmp_path: Path) -> None:
    for block in made(hostile(tmp_path)).split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in rows}) <= 1, block


def test_data_does_not_become_markup(tmp_path: Path) -> None:
    text = made(hostile(tmp_path))
    outside = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<script" not in outside
    assert "<img" not in outside
    assert data("[a](http://b) *c*\n# d | @e") == (
        "&#91;a&#93;&#40;http&#58;//b&#41; &#42;c&#42; &#35; d &#124; &#64;e"
    )
