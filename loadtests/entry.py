"""The installed command: makes the process fit for its work, whatever it was started with, then hands over to `cli`.

Whoever starts chatswarm (a daemon, a pod, a CI runner) may have closed the standard streams, set variables for other
programs, or stopped reading. None of that may change a verdict, or its exit code.
"""

from __future__ import annotations

# No more than these before `prepare`: until then, PYTHONPATH may lead to modules of others that are called the same.
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
    """`chatswarm`. Never returns; what could not even be imported is exit code 70, because 1 blames the target."""
    code: object = _INTERNAL
    try:
        prepare()
        from .cli import main as command

        command()
        code = 0
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:
        print("interrupted before anything was done", file=sys.stderr)
        code = _UNDECIDED
    except BaseException:  # noqa: BLE001 - Python's own exit code would be 1, which means that the target failed
        import traceback

        traceback.print_exc()
        print("internal error: chatswarm could not start: please report it, with the lines above", file=sys.stderr)
    _ignore_signals()
    if sys.flags.inspect:
        # With PYTHONINSPECT, Python would forget the exit code and ask for commands.
        _end_at_once(code)
    sys.exit(code)  # type: ignore[arg-type]  # as it came out of a SystemExit


def prepare() -> None:
    """Opens what is closed, and takes what is meant for others out of this process's way. To be called once, first."""
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
        # Typer would colour help where FORCE_COLOR or GITHUB_ACTIONS is set, and so cut `--flag` into pieces.
        os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"


def unset_foreign(environment: MutableMapping[str, str]) -> None:
    """Unsets variables that are empty, which means not set, and those that Kubernetes made for Services of our names.

    A Service called `chatswarm-metrics` gives every pod of its namespace `CHATSWARM_METRICS_PORT=tcp://10.0.0.1:9646`.
    """
    for name, value in list(environment.items()):
        empty = not value and (name.startswith("CHATSWARM_") or name in _UNSET_IF_EMPTY)
        link = "://" in value and name.startswith("CHATSWARM_") and name.endswith("_PORT")
        if empty or link:
            del environment[name]
    if not environment.get("TERMINAL_WIDTH", "1").isdecimal():
        # Typer's help fails on it.
        del environment["TERMINAL_WIDTH"]


def put_pythonpath_last(path: list[str], environment: MutableMapping[str, str]) -> None:
    """Moves PYTHONPATH's folders behind all others: a team's `json.py` must not replace a module that we need.

    An empty part of it is the working folder, whatever lies there.
    """
    theirs = {_absolute(part) for part in environment.get("PYTHONPATH", "").split(os.pathsep)}
    if "PYTHONPATH" in environment and not sys.flags.ignore_environment:
        path.sort(key=lambda part: _absolute(part) in theirs)


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)  # noqa: PTH100 - pathlib is not to be imported yet
    except OSError:
        # The working folder was deleted.
        return path


def _ignore_signals() -> None:
    """The exit code is known by now: a signal while Python shuts down must not replace it."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _end_at_once(code: object) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else _INTERNAL)


if __name__ == "__main__":
    main()
