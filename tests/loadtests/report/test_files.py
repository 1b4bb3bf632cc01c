import os
import stat
import threading
from pathlib import Path

import pytest

from chatswarm.loadtests.report.files import NotWrittenError, append_summary, save
from tests.loadtests.nasty import NASTY, wrong_in


def test_no_file_is_written_if_one_cannot_be(tmp_path: Path) -> None:
    first = tmp_path / "a.html"
    first.write_bytes(b"before")
    (tmp_path / "file").write_bytes(b"")
    for wrong in (tmp_path / "nowhere" / "b.xml", tmp_path / "file" / "b.xml", tmp_path):
        with pytest.raises(NotWrittenError, match=f"^{wrong}: expected a file that can be written, got: "):
            save({first: b"after", wrong: b"x"})
    assert first.read_bytes() == b"before"
    assert {path.name for path in tmp_path.iterdir()} == {"a.html", "file"}


def test_existing_files_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")
    save({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"1", "b": b"2"}


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    save({pipe: b"through"})
    reader.join(10)
    assert got == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_the_summary_is_appended_to_the_file_that_ci_names(tmp_path: Path) -> None:
    file = tmp_path / "summary.md"
    append_summary("not requested", {})
    file.write_text("before\n", encoding="utf-8")
    append_summary("# after", {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text(encoding="utf-8") == "before\n# after\n"
    with pytest.raises(NotWrittenError, match="GITHUB_STEP_SUMMARY: expected a file to append to, got: "):
        append_summary("x", {"GITHUB_STEP_SUMMARY": str(tmp_path)})


@pytest.mark.parametrize("text", [text for text in NASTY.values() if "\x00" not in text and "\ud83d" not in text])
def test_the_error_is_one_line_for_any_path(tmp_path: Path, text: str) -> None:
    with pytest.raises(NotWrittenError) as caught:
        save({tmp_path / text / "missing" / "x": b""})
    assert wrong_in(str(caught.value), ours="") == []
