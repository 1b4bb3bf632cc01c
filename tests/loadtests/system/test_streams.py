"""Standard streams: a reader that is slow or gone has no effect on the command."""

import os
import threading
from pathlib import Path

import pytest

from chatswarm.loadtests.system.streams import forgiving, problem_of


def read_all(descriptor: int, into: list[bytes]) -> None:
    with os.fdopen(descriptor, "rb") as pipe:
        into.append(pipe.read())


def test_a_reader_that_goes_away_is_no_problem() -> None:
    reading, writing = os.pipe()
    stream = forgiving(writing, None)
    print("first", file=stream, flush=True)
    os.close(reading)
    for _ in range(3):
        print("second", file=stream, flush=True)
        stream.buffer.write(b"x" * 100_000)
    assert problem_of(stream) is None
    stream.close()
    os.close(writing)


def test_a_full_disk_is_reported_without_an_exception() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        stream = forgiving(full.fileno(), None)
        stream.buffer.write(b"x" * 100_000)
        problem = problem_of(stream)
        stream.close()
    assert problem is not None
    assert "No space left" in str(problem)


def test_a_non_blocking_pipe_gets_everything() -> None:
    """Node.js leaves a terminal or pipe that it shares in this mode."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    got: list[bytes] = []
    stream = forgiving(writing, None)
    reader = threading.Thread(target=read_all, args=(reading, got))
    reader.start()
    data = bytes(range(256)) * 8192
    stream.buffer.write(data)
    assert problem_of(stream) is None
    stream.close()
    os.close(writing)
    reader.join(20)
    assert got == [data]


@pytest.mark.parametrize("text", ["✓ pass", "r\udce9sultats"])
def test_characters_that_the_encoding_lacks_are_escaped(text: str, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="ascii") as file:
        stream = forgiving(file.fileno(), file)
        print(text, file=stream, flush=True)
        stream.close()
    shown = (tmp_path / "out").read_text(encoding="ascii")
    assert shown == text.encode("ascii", "backslashreplace").decode() + "\n"
