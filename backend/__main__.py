"""`python -m chatswarm.backend`: run the reference chat.

Exit codes: 0 after a clean stop, 1 if it could not start, 2 for invalid settings.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from typing import TYPE_CHECKING

from .environment import drop_foreign_variables, flush_streams, open_closed_streams, print_stderr
from .settings import Settings, SettingsError, read_settings

if TYPE_CHECKING:
    from chatswarm.backend.workers.supervisor import WorkerContext


def _serve(settings: Settings, worker: WorkerContext | None = None) -> int:
    from . import server

    return server.serve(settings, worker)


def _supervise(settings: Settings) -> int:
    from . import listeners
    from .workers import supervisor

    bound = listeners.bind(settings)
    if bound.note is not None:
        print_stderr(f"WARNING:  {bound.note}")
    return supervisor.Supervisor(settings, bound, _serve).run()


def main() -> int:
    """Read the settings, prepare the database, serve. Returns the exit code."""
    open_closed_streams()
    drop_foreign_variables(os.environ)
    try:
        return _run()
    finally:
        flush_streams()


def _run() -> int:
    try:
        settings = read_settings(sys.argv[1:], os.environ)
        # The heavy imports come only now, so that an invalid flag is reported at once.
        from .store import schema

        try:
            schema.prepare(settings.database)
        except (schema.ForeignDatabaseError, sqlite3.Error) as error:
            print_stderr(f"--database: {error}")
            return 2
        return _supervise(settings) if settings.workers > 1 else _serve(settings)
    except SettingsError as error:
        print_stderr(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
