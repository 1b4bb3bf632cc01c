"""`python -m chatswarm.backend`: run the reference chat.

Exit codes: 0 after a clean stop, 2 for wrong settings, 1 if it could not start.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from typing import TYPE_CHECKING

from .environment import flush_streams, forget_others_variables, open_closed_streams, tell
from .settings import Settings, SettingsError, read_settings

if TYPE_CHECKING:
    from chatswarm.backend.workers.supervisor import WorkerPlace


def _serve(settings: Settings, place: WorkerPlace | None = None) -> int:
    from . import server

    return server.serve(settings, place)


def _supervise(settings: Settings) -> int:
    from . import listeners
    from .workers import supervisor

    bound = listeners.bind(settings)
    if bound.note is not None:
        tell(f"WARNING:  {bound.note}")
    return supervisor.Supervisor(settings, bound, _serve).run()


def main() -> int:
    """Read the settings, look at the database, serve."""
    open_closed_streams()
    forget_others_variables(os.environ)
    try:
        return _run()
    finally:
        flush_streams()


def _run() -> int:
    try:
        settings = read_settings(sys.argv[1:], os.environ)
        # Only now the heavy imports: a wrong flag is told at once.
        from .store import schema

        try:
            schema.prepare(settings.database)
        except (schema.ForeignDatabaseError, sqlite3.Error) as error:
            tell(f"--database: {error}")
            return 2
        return _supervise(settings) if settings.workers > 1 else _serve(settings)
    except SettingsError as error:
        tell(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
