"""The installed command: prepares the process, whatever environment it was started in, then runs `cli`.

A daemon, a pod or a CI runner may have closed the standard streams, set variables meant for other programs, or stopped
reading the output. None of that may change a verdict or its exit code.
"""

from __future__ import annotations

# Only these before `prepare`: until then, a foreign module on PYTHONPATH may shadow the one that we need.
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import NoReturn

_INTERNAL = 70
_UNDECIDED = 3
_UNSET_IF_EMPTY = ("SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR", "TEMP", "TMP", "FORCE_COLOR", "COLUMNS", "LINES")


def main() -> NoReturn:
    """Runs `chatswarm`. Never returns. A failed import exits with 70, because 1 would blame the target."""
    code: object = _INTERNAL
    try:
        prepare()
        from .cli import main as command

        command()
        code = 0
    except SystemExit as ended:
        code = 0 if ended.code is None else ended.code
    except KeyboardInterrupt:
        print("interrupted before anything was done", file=sys.stderr)
        code = _UNDECIDED
    except BaseException:  # noqa: BLE001 - Python would exit with 1, which means that the target failed
        import traceback

        traceback.print_exc()
        print("internal error: chatswarm could not start; please report it, with the lines above", file=sys.stderr)
    _ignore_signals()
    _exit_at_once(code)


def prepare() -> None:
    """Reopens closed standard streams and removes settings meant for other programs. Call it once, first."""
    put_pythonpath_last(sys.path, os.environ)
    import warnings

    from .system.streams import forgiving, open_standard_files

    open_standard_files()
    sys.stdout, sys.stderr = forgiving(1, sys.stdout), forgiving(2, sys.stderr)
    # Warnings are for developers; with PYTHONWARNINGS=error, one in a dependency would end the command.
    sys.warnoptions.clear()
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    unset_foreign(os.environ)
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        # With FORCE_COLOR or GITHUB_ACTIONS, Typer would colour its help, with escape codes inside `--flag`.
        os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"


def unset_foreign(environment: MutableMapping[str, str]) -> None:
    """Unsets empty variables, and those that Kubernetes sets for Services with our names.

    A Service called `chatswarm-metrics` gives every pod of its namespace `CHATSWARM_METRICS_PORT=tcp://10.0.0.1:9646`.
    """
    for name, value in list(environment.items()):
        empty = not value and (name.startswith("CHATSWARM_") or name in _UNSET_IF_EMPTY)
        link = "://" in value and name.startswith("CHATSWARM_") and name.endswith("_PORT")
        if empty or link:
            del environment[name]
    if not environment.get("TERMINAL_WIDTH", "1").isdecimal():
        # Typer's help would crash.
        del environment["TERMINAL_WIDTH"]


def put_pythonpath_last(path: list[str], environment: MutableMapping[str, str]) -> None:
    """Moves PYTHONPATH's folders to the end of `path`: a team's `json.py` must not shadow a module that we need.

    An empty entry in PYTHONPATH means the working folder.
    """
    foreign = {_absolute(part) for part in environment.get("PYTHONPATH", "").split(os.pathsep)}
    if "PYTHONPATH" in environment and not sys.flags.ignore_environment:
        path.sort(key=lambda part: _absolute(part) in foreign)


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)  # noqa: PTH100 - pathlib must not be imported yet
    except OSError:
        # The working folder was deleted.
        return path


def _ignore_signals() -> None:
    """The exit code is final: a signal while Python shuts down must not replace it."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _exit_at_once(code: object) -> NoReturn:
    """Python itself would take longer than the judge to clear up, and with PYTHONINSPECT drop the code for a prompt."""
    import contextlib

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code if isinstance(code, int) else _INTERNAL)


if __name__ == "__main__":
    main()
