"""A run as SQL tables."""

import re
from pathlib import Path

import pytest

from chatswarm.loadtests.judge.judge import NoRunError
from chatswarm.loadtests.report.sql import TABLES, open_sql
from tests.loadtests.judge.play import T0, Plant, Play

from .runs import passing


def test_queries(tmp_path: Path) -> None:
    Play(tmp_path, plants={(0, 2): Plant(unseen_by={1})}).perform().write()
    run = open_sql(tmp_path)
    assert run.sql("select outcome, count(*) from delivery group by all order by 1").fetchall() == [
        ("lost", 1),
        ("visible", 23),
    ]
    lost = "select widget, n, dashboard from delivery join message using (message) where latency is null"
    assert run.sql(lost).fetchall() == [(0, 2, 1)]
    assert run.sql("select round(quantile_disc(latency, 0.95), 3) from delivery").fetchall() == [(0.05,)]


MANUAL = (Path(__file__).parents[3] / "docs" / "sql.md").read_text(encoding="utf-8")


def test_the_examples_in_the_manual_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Play(tmp_path, plants={(0, 2): Plant(unseen_by={1})}).perform().write()
    python = re.findall(r'python -c "\n(.*?)"\n```', MANUAL, re.DOTALL)
    queries = re.findall(r"```sql\n(.*?)```", MANUAL, re.DOTALL)
    assert python
    assert queries
    for code in python:
        exec(code.replace("runs/tuesday", str(tmp_path)), {})
        assert "slowest" in capsys.readouterr().out
    for query in queries:
        assert open_sql(tmp_path).sql(query).fetchall()


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_in_the_manual(tmp_path: Path, table: str) -> None:
    Play(tmp_path).perform().write()
    row = re.search(rf"^\| `{table}` \|.*$", MANUAL, re.MULTILINE)
    assert row is not None
    for column in open_sql(tmp_path).sql(f"from {table}").columns:
        assert f"`{column}`" in row[0]


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_rows(tmp_path: Path, table: str) -> None:
    play = passing(tmp_path).perform()
    play.fault("slow-net", 1, 2)
    play.row("worker0", "server", 0, "127.0.0.1:1", "a")
    play.row("worker0", "membership", 0, 0, 0, 0, 1000.0, "")
    play.row("worker0", "unreadable", 0, 1000.0, "")
    play.write()
    assert open_sql(tmp_path).sql(f"from {table}").fetchall()


def test_what_was_used_second_by_second(tmp_path: Path) -> None:
    passing(tmp_path).perform().write()
    run = open_sql(tmp_path)
    machine = "select sampled_by, time, cpu, cores, cpu_pressure, io_pressure, memory_pressure from machine limit 1"
    assert run.sql(machine).fetchall() == [("worker0", 0.5, 0.25, 2, 0.1, 0.05, 0.0)]
    assert run.sql("select time, pid, name, cpu, memory from process limit 2").fetchall() == [
        (0.75, 70, "chat", 0.25, 10_000_000),
        (0.75, 71, "worker", None, 5_000_000),
    ]


def test_who_served(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    for number, name in enumerate("ab"):
        play.row("worker0", "server", number, "127.0.0.1:1", name)
    play.row("worker0", "send", 0, 900, 0, T0, T0, T0, T0, 0, 200, -1, 1)
    play.row("worker0", "refetch", 0, 0, T0, T0 + 0.1, 200, 0, 10, 0)
    play.row("worker0", "connection", 1, 1, 2, 1000, T0 + 20, "", -1, 1)
    play.write()
    run = open_sql(tmp_path)
    assert run.sql("from server").fetchall() == [(0, "127.0.0.1:1", "a"), (1, "127.0.0.1:1", "b")]
    for table, name in (("message", "b"), ("refetch", "a"), ("connection", "b")):
        served = f"select name, count(*) from {table} join server using (server) group by 1"
        assert run.sql(served).fetchall() == [(name, 1)]
        assert run.sql(f"select count(*) > 0 from {table} where server is null").fetchall() == [(True,)]


def test_faults_as_a_table(tmp_path: Path) -> None:
    play = Play(tmp_path).perform()
    play.fault("slow-net", 1, 2)
    play.fault("kill", 3, None, kind="kill", evidence={"pid": 7})
    play.write()
    assert open_sql(tmp_path).sql("select name, kind, start, stop, evidence from fault").fetchall() == [
        ("slow-net", "latency", 1.0, 2.0, '{"bytes_delayed":5.0}'),
        ("kill", "kill", 3.0, None, '{"pid":7.0}'),
    ]


def test_a_run_without_faults_has_an_empty_table_of_them(tmp_path: Path) -> None:
    Play(tmp_path).perform().write()
    assert open_sql(tmp_path).sql("from fault").fetchall() == []


def test_a_run_that_did_not_begin(tmp_path: Path) -> None:
    play = Play(tmp_path)
    play.manifest.start = None
    with pytest.raises(NoRunError, match="measured part began"):
        open_sql(play.write())
