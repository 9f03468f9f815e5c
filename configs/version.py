"""The name and version of the installed distribution."""

from functools import cache

DISTRIBUTION = "ml-intern-graph"
"""The name on the package index. The command is `ml-intern`, a name another distribution has there."""


@cache
def version() -> str:
    """The installed version. The metadata is read on the first call."""
    from importlib.metadata import version as installed

    return installed(DISTRIBUTION)
