"""The version of the installed chatswarm."""

from importlib import metadata


def installed_version() -> str:
    """The version of the installed chatswarm; "unknown" if it is not installed as a package."""
    try:
        return metadata.version("chatswarm")
    except metadata.PackageNotFoundError:
        return "unknown"
