"""The table of causes, and that rules and checks name only what is in it."""

import ast
import re
import string
from pathlib import Path

import pytest

from chatswarm.loadtests.causes.table import CAUSES, Cause

ROOT = Path(__file__).parents[3]
JUDGE = ROOT / "loadtests" / "judge"
WORDS = {
    "dashboards", "was", "dashboard", "chat", "nth", "k", "shown", "accepted", "statuses", "relation", "fault", "verb",
    "pauses", "each", "stage", "answer", "damage",
}  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES.values(), ids=lambda cause: cause.id)
def test_a_cause_says_what_proves_it_and_what_to_do(cause: Cause) -> None:
    assert all((cause.sentence, cause.proves, cause.excludes, cause.next))
    assert not cause.sentence.endswith(".")
    fields = {name for text in cause for _, name, _, _ in string.Formatter().parse(text) if name}
    assert fields <= WORDS


def test_rules_and_checks_name_these_causes_and_no_others() -> None:
    named = set()
    for path in [*(JUDGE / "rules").glob("*.py"), *(JUDGE / "checks").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in CAUSES:
                named.add(node.value)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Claim", "CaseKind"):
                first = node.args[0] if node.args else None
                assert not isinstance(first, ast.Constant) or first.value in CAUSES
    assert named == CAUSES.keys()


def test_the_manual_has_every_cause_as_it_is_in_the_table() -> None:
    manual = (ROOT / "docs" / "why.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", manual, re.MULTILINE))
    assert rows == {cause.id: f"{cause.proves} | {cause.excludes}" for cause in CAUSES.values()}
