"""promtool checks the configuration, and tests every alert on synthetic series."""

import re
import subprocess
from pathlib import Path

import pytest

from .prometheus import CONFIGURATION, MISSING, program

TESTS = CONFIGURATION / "tests" / "alerts_test.yml"


def promtool(*arguments: str) -> str:
    binary = program("promtool")
    if binary is None:
        pytest.skip(MISSING)
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", (CONFIGURATION / "alerts.yml").read_text(encoding="utf-8"))


def test_prometheus_accepts_the_configuration() -> None:
    assert "2 rule files found" in promtool("check", "config", str(CONFIGURATION / "prometheus.yml"))


def test_every_alert_fires_on_its_condition_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(TESTS))


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_is_tested_both_ways_and_says_what_to_do(alert: str, tmp_path: Path) -> None:
    tried = TESTS.read_text(encoding="utf-8")
    assert re.search(rf"\{{eval_time: \w+, alertname: {alert}\}}", tried), "no test in which it stays silent"
    assert re.search(rf"alertname: {alert}\n +exp_alerts", tried), "no test in which it fires"
    text = (CONFIGURATION / "alerts.yml").read_text(encoding="utf-8").split(f"alert: {alert}\n")[1].split("- alert:")[0]
    assert "summary:" in text
    assert re.search(r"\b(look|check|use|fix|reduce|increase)\b", text.split("description:")[1], re.IGNORECASE), (
        "no word of what to do"
    )
