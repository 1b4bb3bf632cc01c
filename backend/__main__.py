"""`python -m chatswarm.backend`: run the reference chat.

Exit codes: 0 after a clean stop, 2 for wrong settings, 1 if it could not start.
"""

from __future__ import annotations

import os
import sqlite3
import sys

from chatswarm.backend.settings import SettingsError, read_settings


def main() -> int:
    """Read the settings, look at the database, serve."""
    try:
        settings = read_settings(sys.argv[1:], os.environ)
        # Only now the heavy imports: a wrong flag is told at once.
        from chatswarm.backend import schema, server

        try:
            schema.prepare(settings.database)
        except (schema.ForeignDatabaseError, sqlite3.Error) as error:
            print(f"--database: {error}", file=sys.stderr)
            return 2
        return server.serve(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
