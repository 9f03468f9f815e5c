"""The version of the installed program."""


def version() -> str:
    """As pip shows it; the metadata is read only when somebody asks."""
    from importlib.metadata import version as installed

    return installed("ml-intern")
