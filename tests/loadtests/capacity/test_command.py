"""The command `chatswarm capacity` around a search whose probes are made up."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chatswarm.loadtests.capacity import search
from chatswarm.loadtests.cli import app

from .searched import MadeUp


def test_a_page_that_cannot_be_written_costs_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "RealProbes", lambda *_: MadeUp(137))
    words = ["capacity", "smoke", "--from", "20", "--to", "640", "--out", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(app, [*words, "--html", str(tmp_path / "no" / "page.html")])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["result"]["kind"] == "found"
    assert "page.html" in done.stderr
