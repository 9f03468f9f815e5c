"""The version of the installed program."""

from functools import cache


@cache
def version() -> str:
    """As pip shows it; the metadata is read only when somebody asks, and once."""
    from importlib.metadata import version as installed

    return installed("ml-intern")
