"""The version of the installed chatswarm."""


def installed_version() -> str:
    """The version of the installed chatswarm; "unknown" if it is not installed as a package."""
    # Takes as long as half of the command line, which needs no version.
    from importlib import metadata

    try:
        return metadata.version("chatswarm")
    except metadata.PackageNotFoundError:
        return "unknown"
