"""`--traceparent` end to end: each message of a run is found in its chat's log by the trace id that follows from it."""

import json
import re
from pathlib import Path

import pytest

from chatswarm.loadtests.history.files import read
from chatswarm.loadtests.history.manifest import history_file
from chatswarm.loadtests.history.tables import SendOutcome
from chatswarm.loadtests.messages.trace import send_trace_id
from tests.plants import RefusesEveryThirdSend, serving

from .command import LOCUST, QUICK, chatswarm, running, scenario

ROOMS = f"{QUICK}[rooms]\ncount = 2\nmembers = 3\n[backend]\npush = true\n"


def sent(folder: Path) -> set[str]:
    """The trace ids of all accepted messages of a run."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    ids = set()
    for process in manifest["processes"]:
        rows = read(history_file(folder, process)).tables["send"]
        ids |= {
            send_trace_id(f"{manifest['run']}.{widget}.{n}")
            for widget, n, outcome in zip(rows["widget"], rows["n"], rows["outcome"], strict=True)
            if outcome == SendOutcome.ACCEPTED
        }
    return ids


@pytest.mark.parametrize("text", [QUICK, ROOMS], ids=["reference", "push"])
def test_every_message_is_in_the_chats_log_by_its_trace_id(text: str, tmp_path: Path) -> None:
    args = ["--traceparent", "--processes", "2", "--out", "out", "--json"]
    result = chatswarm("run", scenario(tmp_path, text), *args, folder=tmp_path)
    assert result.code == 0, result.err
    out = tmp_path / "out"
    logged = re.findall(r"Trace (\w+): message \d+ saved$", (out / "backend.log").read_text("utf-8"), re.MULTILINE)
    assert len(logged) == result.verdict["messages"]["accepted"] > 0
    assert set(logged) == sent(out)
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["traceparent"] is True
    assert "--traceparent" in manifest["command"]


def test_locusts_own_command_has_the_option_and_examples_name_the_traces(tmp_path: Path) -> None:
    with serving(RefusesEveryThirdSend()) as url:
        options = ["--headless", "--host", url, "--scenario", scenario(tmp_path), "--traceparent", "--out", "out"]
        with running([*LOCUST, *options], tmp_path) as command:
            assert command.result().code == 1
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text(encoding="utf-8"))
    (refused,) = [finding for finding in verdict["findings"] if finding["check"] == "refused"]
    assert refused["examples"]
    for example in refused["examples"]:
        assert example["trace"] == send_trace_id(example["uid"])


def test_a_run_that_did_not_ask_for_it_is_not_traced(tmp_path: Path) -> None:
    result = chatswarm("run", scenario(tmp_path), "--out", "out", "--json", folder=tmp_path)
    assert result.code == 0, result.err
    assert "Trace" not in (tmp_path / "out" / "backend.log").read_text("utf-8")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))["traceparent"] is False
