"""Writes reports to disk: all of them, whole, or none."""

import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from chatswarm.loadtests.system.text import one_line

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable with the file that summaries are appended to."""


class NotWrittenError(Exception):
    """A report could not be written; the text says which, and why. No half-written file is left behind."""


def save(reports: Mapping[Path, bytes]) -> None:
    """Writes all files, each under a temporary name first; none if one cannot be written. Raises NotWrittenError."""
    ready: dict[Path, Path] = {}
    try:
        for path, content in reports.items():
            try:
                if _is_special(path):
                    continue
                if path.is_dir():
                    raise IsADirectoryError("it is a folder")
                ready[path] = new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
                new.write_bytes(content)
            except OSError as error:
                raise _not_written(path, error) from None
        for path, content in reports.items():
            try:
                if path in ready:
                    ready[path].replace(path)
                else:
                    # The reader of a pipe may stop before the end.
                    with suppress(BrokenPipeError):
                        path.write_bytes(content)
            except OSError as error:
                raise _not_written(path, error) from None
    finally:
        for new in ready.values():
            with suppress(OSError):
                new.unlink(missing_ok=True)


def append_summary(text: str, environment: Mapping[str, str] = os.environ) -> None:
    """Appends to the file that CI has named, if any. Raises NotWrittenError."""
    if not (name := environment.get(STEP_SUMMARY)):
        return
    try:
        with Path(name).open("ab") as file:
            file.write(f"{text}\n".encode())
    except OSError as error:
        raise NotWrittenError(one_line(f"{STEP_SUMMARY}: expected a file to append to, got: {error}")) from None


def _is_special(path: Path) -> bool:
    """Whether this is a pipe, a terminal or a device (/dev/stdout), which must be written to and never replaced."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _not_written(path: Path, error: OSError) -> NotWrittenError:
    return NotWrittenError(one_line(f"{path}: expected a file that can be written, got: {error.strerror or error}"))
