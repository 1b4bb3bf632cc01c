"""Which chatswarm this is."""

from importlib import metadata


def installed_version() -> str:
    """The version of the installed chatswarm; "unknown" where there is only a copy of its files."""
    try:
        return metadata.version("chatswarm")
    except metadata.PackageNotFoundError:
        return "unknown"
